/* text/jinja_format.c: 'format' % values, and 'format'.format(values). */
#include "text/jinja_spec.h"

#include <math.h>

/* Where % takes its values from. */
typedef struct percent_args {
    vmt_jval all;
    size_t next; /* of a tuple; for a single value 0 or 1 */
} percent_args;

static vmt_status next_arg(vmt_jrun *run, percent_args *args, vmt_jval *out) {
    size_t count = args->all.kind == VMT_JTUPLE ? args->all.list->count : 1;
    if (args->next >= count) return vmt_jinvalid(run, "not enough arguments for format string");
    *out = args->all.kind == VMT_JTUPLE ? args->all.list->items[args->next] : args->all;
    args->next++;
    return VMT_OK;
}

/* A number, or * for the next argument. */
static vmt_status percent_number(vmt_jrun *run, vmt_str format, size_t *pos, percent_args *args, int64_t *out) {
    *out = 0;
    if (*pos < format.len && format.ptr[*pos] == '*') {
        vmt_jval v;
        ++*pos;
        VMT_TRY(next_arg(run, args, &v));
        if (!vmt_jget_int(v, out)) return vmt_jinvalid(run, "* wants int");
        if (*out > VMT_TEMPLATE_OUTPUT_MAX || *out < -(int64_t)VMT_TEMPLATE_OUTPUT_MAX) {
            return vmt_jinvalid(run, "width or precision too big");
        }
        return VMT_OK;
    }
    for (; *pos < format.len && format.ptr[*pos] >= '0' && format.ptr[*pos] <= '9'; ++*pos) {
        *out = *out * 10 + (format.ptr[*pos] - '0');
        if (*out > VMT_TEMPLATE_OUTPUT_MAX) return vmt_jinvalid(run, "width or precision too big");
    }
    return VMT_OK;
}

static vmt_status percent_flags(vmt_jrun *run, vmt_str format, size_t *pos, percent_args *args, vmt_jspec *spec) {
    bool left = false, zero = false;
    for (; *pos < format.len; ++*pos) {
        char c = format.ptr[*pos];
        if (c == '-')
            left = true;
        else if (c == '0')
            zero = true;
        else if (c == '+')
            spec->sign = '+';
        else if (c == ' ')
            spec->sign = spec->sign == '+' ? '+' : ' ';
        else if (c == '#')
            spec->alternate = true;
        else
            break;
    }
    VMT_TRY(percent_number(run, format, pos, args, &spec->width));
    if (spec->width < 0) {
        left = true;
        spec->width = -spec->width;
    }
    spec->align = left ? '<' : zero ? '=' : '>';
    if (zero && !left) spec->fill = VMT_STR("0");
    if (*pos < format.len && format.ptr[*pos] == '.') {
        ++*pos;
        VMT_TRY(percent_number(run, format, pos, args, &spec->precision));
        if (spec->precision < 0) spec->precision = 0;
    }
    while (*pos < format.len && (format.ptr[*pos] == 'l' || format.ptr[*pos] == 'h' || format.ptr[*pos] == 'L'))
        ++*pos;
    return VMT_OK;
}

static vmt_status percent_int(vmt_jrun *run, vmt_jspec *spec, vmt_jval v) {
    if (v.kind == VMT_JFLOAT && spec->type == 'd') {
        if (!isfinite(v.f)) return vmt_jinvalid(run, "cannot convert float to integer");
        if (fabs(v.f) >= 9.2e18) return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "integer result exceeds 64 bits");
        v = vmt_jint((int64_t)v.f);
    }
    if (!vmt_jis_number(v) || v.kind == VMT_JFLOAT) {
        if (v.kind == VMT_JUNDEF && spec->type == 'd') return vmt_jundef_fail(run, v);
        return vmt_jinvalid(run, "%%%c format: a%s is required, not %s", spec->type,
                            spec->type == 'd' ? " real number" : "n integer", vmt_jtype_name(v));
    }
    if (spec->precision < 0) return vmt_jspec_write_int(run, spec, v);
    /* The precision is a least number of digits: format those first, then pad. */
    vmt_jspec digits = {.fill = VMT_STR("0"),
                        .align = '=',
                        .sign = spec->sign,
                        .alternate = spec->alternate,
                        .precision = -1,
                        .type = spec->type};
    int64_t i = 0;
    bool signs = (vmt_jget_int(v, &i) && i < 0) || spec->sign != '-';
    digits.width = spec->precision + signs + (spec->alternate && spec->type != 'd' ? 2 : 0);
    vmt_str text;
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jspec_write_int(run, &digits, v));
    VMT_TRY(vmt_jtext_end(run, begin, &text));
    vmt_jspec padded = *spec;
    padded.precision = -1;
    padded.fill = VMT_STR(" ");
    padded.align = spec->align == '<' ? '<' : '>';
    vmt_str body = text;
    if (spec->align == '=') {
        /* Zeros go between the sign and the digits. */
        digits.width = VMT_MAX(digits.width, spec->width);
        return vmt_jspec_write_int(run, &digits, v);
    }
    int64_t missing = VMT_MAX(padded.width - (int64_t)body.len, 0);
    if (padded.align == '>') VMT_TRY(vmt_jtext_repeat(run, VMT_STR(" "), missing));
    vmt_buf_append(&run->out, body);
    return padded.align == '<' ? vmt_jtext_repeat(run, VMT_STR(" "), missing) : VMT_OK;
}

static vmt_status percent_text(vmt_jrun *run, vmt_jspec *spec, vmt_jval v) {
    vmt_str text;
    size_t begin = vmt_jtext_begin(run);
    if (spec->type == 's')
        VMT_TRY(vmt_jto_str(run, v, &text));
    else {
        VMT_TRY(vmt_jwrite_repr(run, v));
        VMT_TRY(vmt_jtext_end(run, begin, &text));
    }
    if (spec->align == '=') spec->align = '>';
    spec->fill = VMT_STR(" ");
    return vmt_jspec_write_str(run, spec, text);
}

static vmt_status percent_value(vmt_jrun *run, vmt_jspec *spec, vmt_jval v) {
    switch (spec->type) {
    case 's':
    case 'r':
    case 'a': return percent_text(run, spec, v);
    case 'd':
    case 'i':
    case 'u': spec->type = 'd'; return percent_int(run, spec, v);
    case 'o':
    case 'x':
    case 'X': return percent_int(run, spec, v);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
        if (!vmt_jis_number(v)) return vmt_jinvalid(run, "must be real number, not %s", vmt_jtype_name(v));
        if (!isfinite(vmt_jget_float(v)) && spec->align == '=') {
            spec->align = '>';
            spec->fill = VMT_STR(" ");
        }
        return vmt_jspec_write_float(run, spec, vmt_jget_float(v));
    case 'c':
        spec->align = spec->align == '<' ? '<' : '>';
        spec->fill = VMT_STR(" ");
        spec->precision = -1;
        if (v.kind == VMT_JSTR && vmt_utf8_count(v.s) == 1) return vmt_jspec_write_str(run, spec, v.s);
        if (v.kind == VMT_JSTR) return vmt_jinvalid(run, "%%c requires int or char");
        return vmt_jspec_write(run, spec, v);
    default: return vmt_jinvalid(run, "unsupported format character '%c'", spec->type);
    }
}

/* One conversion; *pos is behind its %. */
static vmt_status percent_one(vmt_jrun *run, vmt_str format, size_t *pos, percent_args *args) {
    vmt_jspec spec = {.fill = VMT_STR(" "), .sign = '-', .precision = -1};
    vmt_jval v = {.kind = VMT_JABSENT};
    if (*pos < format.len && format.ptr[*pos] == '(') {
        size_t begin = ++*pos;
        for (int depth = 1; *pos < format.len; ++*pos) {
            if (format.ptr[*pos] == '(') depth++;
            if (format.ptr[*pos] == ')' && --depth == 0) break;
        }
        if (*pos == format.len) return vmt_jinvalid(run, "incomplete format key");
        if (args->all.kind != VMT_JDICT) return vmt_jinvalid(run, "format requires a mapping");
        const vmt_jval *found;
        vmt_str key = vmt_str_slice(format, begin, *pos);
        VMT_TRY(vmt_jdict_get(run, args->all.dict, vmt_jstr(key), &found));
        if (found == NULL)
            return vmt_jinvalid(run, "the format's key '%.*s' is missing", (int)VMT_MIN(key.len, 60), key.ptr);
        v = *found;
        ++*pos;
    }
    VMT_TRY(percent_flags(run, format, pos, args, &spec));
    if (*pos == format.len) return vmt_jinvalid(run, "incomplete format");
    spec.type = format.ptr[(*pos)++];
    if (spec.type == '%') {
        vmt_buf_append_byte(&run->out, '%');
        return VMT_OK;
    }
    if (v.kind == VMT_JABSENT) VMT_TRY(next_arg(run, args, &v));
    return percent_value(run, &spec, v);
}

vmt_status vmt_jformat_percent(vmt_jrun *run, vmt_str format, vmt_jval all, vmt_jval *out) {
    percent_args args = {.all = all};
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jrun_charge(run, format.len / 16));
    for (size_t pos = 0; pos < format.len;) {
        size_t end = pos;
        while (end < format.len && format.ptr[end] != '%') end++;
        vmt_buf_append(&run->out, vmt_str_slice(format, pos, end));
        pos = end + 1;
        if (end < format.len) VMT_TRY(percent_one(run, format, &pos, &args));
    }
    bool left_over = all.kind == VMT_JTUPLE ? args.next < all.list->count
                                            : args.next == 0 && (vmt_jis_number(all) || all.kind == VMT_JSTR ||
                                                                 all.kind == VMT_JNONE);
    if (left_over) return vmt_jinvalid(run, "not all arguments converted during string formatting");
    return vmt_jtext_end_value(run, begin, out);
}

/* Where .format() takes its values from. */
typedef struct brace_args {
    const vmt_jcall *call;
    int64_t next; /* number of the next {}; -1: fields are numbered by hand */
} brace_args;

static vmt_status brace_first(vmt_jrun *run, vmt_str name, brace_args *args, vmt_jval *out) {
    int64_t index = 0;
    bool is_number = name.len == 0 || (name.ptr[0] >= '0' && name.ptr[0] <= '9' && vmt_str_to_i64(name, &index));
    if (!is_number) {
        for (size_t i = 0; i < args->call->num_kwargs; i++) {
            if (!vmt_str_eq(args->call->kwargs[i].name, name)) continue;
            *out = args->call->kwargs[i].value;
            return VMT_OK;
        }
        return vmt_jinvalid(run, "the format's field '%.*s' is missing", (int)VMT_MIN(name.len, 60), name.ptr);
    }
    if (name.len == 0) {
        if (args->next < 0)
            return vmt_jinvalid(run, "cannot switch from manual field specification to automatic field numbering");
        index = args->next++;
    } else {
        if (args->next > 0)
            return vmt_jinvalid(run, "cannot switch from automatic field numbering to manual field specification");
        args->next = -1;
    }
    if ((uint64_t)index >= args->call->num_args) {
        return vmt_jinvalid(run, "Replacement index %lld out of range for positional args tuple",
                            (long long)index);
    }
    *out = args->call->args[index];
    return VMT_OK;
}

/* name.attr[key]... */
static vmt_status brace_field(vmt_jrun *run, vmt_str path, brace_args *args, vmt_jval *out) {
    size_t pos = 0;
    while (pos < path.len && path.ptr[pos] != '.' && path.ptr[pos] != '[') pos++;
    VMT_TRY(brace_first(run, vmt_str_slice(path, 0, pos), args, out));
    while (pos < path.len) {
        bool is_attr = path.ptr[pos] == '.';
        size_t begin = ++pos;
        while (pos < path.len && (is_attr ? path.ptr[pos] != '.' && path.ptr[pos] != '[' : path.ptr[pos] != ']'))
            pos++;
        vmt_str name = vmt_str_slice(path, begin, pos);
        if (name.len == 0) return vmt_jinvalid(run, "Empty attribute in format string");
        if (is_attr) {
            VMT_TRY(vmt_jgetattr(run, *out, name, out));
            continue;
        }
        if (pos++ == path.len) return vmt_jinvalid(run, "Missing ']' in format string");
        int64_t index;
        bool is_number = name.ptr[0] >= '0' && name.ptr[0] <= '9' && vmt_str_to_i64(name, &index);
        VMT_TRY(vmt_jgetitem(run, *out, is_number ? vmt_jint(index) : vmt_jstr(name), out));
    }
    return VMT_OK;
}

static vmt_status format_text(vmt_jrun *run, vmt_str format, brace_args *args, int depth);

static vmt_status brace_write(vmt_jrun *run, vmt_str spec_text, char conversion, brace_args *args, vmt_jval v,
                              int depth) {
    vmt_str text;
    size_t begin = vmt_jtext_begin(run);
    if (conversion == 'r' || conversion == 'a') {
        VMT_TRY(vmt_jwrite_repr(run, v));
        VMT_TRY(vmt_jtext_end_value(run, begin, &v));
    } else if (conversion == 's') {
        VMT_TRY(vmt_jto_str(run, v, &text));
        v = vmt_jstr(text);
    } else if (conversion != 0) {
        return vmt_jinvalid(run, "Unknown conversion specifier %c", conversion);
    }
    VMT_TRY(format_text(run, spec_text, args, depth + 1));
    VMT_TRY(vmt_jtext_end(run, begin, &text));
    if (text.len == 0) return vmt_jwrite_str(run, v);
    vmt_jspec spec;
    VMT_TRY(vmt_jspec_parse(run, text, &spec));
    return vmt_jspec_write(run, &spec, v);
}

/* One {field!conversion:spec}; *pos is behind its brace. */
static vmt_status brace_one(vmt_jrun *run, vmt_str format, size_t *pos, brace_args *args, int depth) {
    size_t begin = *pos, end = begin, name_end;
    for (int level = 1; end < format.len; end++) {
        if (format.ptr[end] == '{') level++;
        if (format.ptr[end] == '}' && --level == 0) break;
    }
    if (end == format.len) return vmt_jinvalid(run, "expected '}' before end of string");
    *pos = end + 1;
    bool in_index = false;
    for (name_end = begin; name_end < end; name_end++) {
        char c = format.ptr[name_end];
        if (c == '[') in_index = true;
        if (c == ']') in_index = false;
        if (!in_index && (c == ':' || c == '!')) break;
        if (c == '{') return vmt_jinvalid(run, "unexpected '{' in field name");
    }
    vmt_jval v;
    VMT_TRY(brace_field(run, vmt_str_slice(format, begin, name_end), args, &v));
    char conversion = 0;
    if (name_end < end && format.ptr[name_end] == '!') {
        if (name_end + 1 == end) return vmt_jinvalid(run, "end of string while looking for conversion specifier");
        conversion = format.ptr[name_end + 1];
        name_end += 2;
        if (name_end < end && format.ptr[name_end] != ':')
            return vmt_jinvalid(run, "expected ':' after conversion specifier");
    }
    vmt_str spec = name_end < end ? vmt_str_slice(format, name_end + 1, end) : VMT_STR("");
    return brace_write(run, spec, conversion, args, v, depth);
}

static vmt_status format_text(vmt_jrun *run, vmt_str format, brace_args *args, int depth) {
    if (depth > 2) return vmt_jinvalid(run, "Max string recursion exceeded");
    VMT_TRY(vmt_jrun_charge(run, format.len / 16));
    for (size_t pos = 0; pos < format.len;) {
        char c = format.ptr[pos++];
        if (c != '{' && c != '}') {
            vmt_buf_append_byte(&run->out, c);
            continue;
        }
        if (depth == 0 && pos < format.len && format.ptr[pos] == c) {
            vmt_buf_append_byte(&run->out, c);
            pos++;
            continue;
        }
        if (c == '}') return vmt_jinvalid(run, "Single '}' encountered in format string");
        if (pos == format.len) return vmt_jinvalid(run, "Single '{' encountered in format string");
        VMT_TRY(brace_one(run, format, &pos, args, depth));
    }
    return VMT_OK;
}

vmt_status vmt_jformat_braces(vmt_jrun *run, vmt_str format, const vmt_jcall *call, vmt_jval *out) {
    brace_args args = {.call = call};
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(format_text(run, format, &args, 0));
    return vmt_jtext_end_value(run, begin, out);
}
