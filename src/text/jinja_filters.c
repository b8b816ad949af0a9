/* text/jinja_filters.c: filters on one value: text, numbers, JSON.  Those on sequences: jinja_filters_seq.c, and
 * map, select and their kin: jinja_filters_select.c. */
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* str(value), as most text filters begin. */
static vmt_status self_text(vmt_jrun *run, const vmt_jcall *call, vmt_str *out) {
    return vmt_jto_str(run, call->self, out);
}

/* A str method applied to str(value). */
static vmt_status via_method(vmt_jrun *run, vmt_jcall *call, const char *name, vmt_jval *out) {
    vmt_str text;
    VMT_TRY(self_text(run, call, &text));
    vmt_jcall on_text = *call;
    on_text.self = vmt_jstr(text);
    return vmt_jbuiltin_call(run, vmt_jmethod_find(on_text.self, vmt_str_from(name)), &on_text, out);
}

static vmt_status filter_upper(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return via_method(run, call, "upper", out);
}

static vmt_status filter_lower(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return via_method(run, call, "lower", out);
}

static vmt_status filter_capitalize(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return via_method(run, call, "capitalize", out);
}

static vmt_status filter_center(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jval width = call->param[0].kind == VMT_JABSENT ? vmt_jint(80) : call->param[0];
    vmt_jcall centered = {.self = call->self, .args = &width, .num_args = 1};
    return via_method(run, &centered, "center", out);
}

static vmt_status filter_trim(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jcall stripped = {.self = call->self, .args = call->param, .num_args = call->param[0].kind != VMT_JABSENT};
    return via_method(run, &stripped, "strip", out);
}

/* jinja2's own title: words begin after spaces, hyphens and opening brackets. */
static vmt_status filter_title(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str text;
    VMT_TRY(self_text(run, call, &text));
    VMT_TRY(vmt_jrun_charge(run, text.len / 8));
    size_t begin = vmt_jtext_begin(run);
    bool starts_word = true;
    for (size_t pos = 0; pos < text.len;) {
        size_t from = pos;
        uint32_t c = vmt_utf8_next(text, &pos);
        bool separates = vmt_juni_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
        if (separates)
            vmt_buf_append(&run->out, vmt_str_slice(text, from, pos));
        else
            vmt_juni_append_case(&run->out, starts_word ? VMT_JUNI_UPPER : VMT_JUNI_LOWER, c);
        starts_word = separates;
    }
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status filter_string(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = call->self;
    if (call->self.kind == VMT_JSTR) return VMT_OK;
    *out = vmt_jstr(VMT_STR(""));
    return self_text(run, call, &out->s);
}

vmt_status vmt_jescape(vmt_jrun *run, vmt_str s, vmt_str *out) {
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    size_t begin = vmt_jtext_begin(run);
    for (size_t i = 0; i < s.len; i++) {
        switch (s.ptr[i]) {
        case '&': vmt_buf_append_c(&run->out, "&amp;"); break;
        case '<': vmt_buf_append_c(&run->out, "&lt;"); break;
        case '>': vmt_buf_append_c(&run->out, "&gt;"); break;
        case '\'': vmt_buf_append_c(&run->out, "&#39;"); break;
        case '"': vmt_buf_append_c(&run->out, "&#34;"); break;
        default: vmt_buf_append_byte(&run->out, s.ptr[i]);
        }
    }
    return vmt_jtext_end(run, begin, out);
}

static vmt_status filter_safe(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    VMT_TRY(filter_string(run, call, out));
    out->sub = 1;
    return VMT_OK;
}

static vmt_status filter_escape(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = call->self;
    if (call->self.kind == VMT_JSTR && call->self.sub == 1) return VMT_OK;
    VMT_TRY(filter_safe(run, call, out));
    return vmt_jescape(run, out->s, &out->s);
}

static vmt_status filter_replace(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jval args[3] = {call->param[0], call->param[1], call->param[2]};
    for (int i = 0; i < 2; i++) {
        vmt_str text;
        VMT_TRY(vmt_jto_str(run, args[i], &text));
        args[i] = vmt_jstr(text);
    }
    vmt_jcall replaced = {.self = call->self, .args = args, .num_args = 3};
    if (args[2].kind == VMT_JABSENT || args[2].kind == VMT_JNONE) replaced.num_args = 2;
    return via_method(run, &replaced, "replace", out);
}

static vmt_status split_lines(vmt_jrun *run, vmt_str text, vmt_jlist **out) {
    vmt_jcall call = {.self = vmt_jstr(text)};
    vmt_jval lines;
    VMT_TRY(vmt_jbuiltin_call(run, vmt_jmethod_find(call.self, VMT_STR("splitlines")), &call, &lines));
    *out = lines.list;
    return VMT_OK;
}

static vmt_status filter_indent(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str pad;
    int64_t width = 0;
    vmt_jlist *lines;
    if (call->self.kind != VMT_JSTR) {
        if (call->self.kind == VMT_JUNDEF) return vmt_jundef_fail(run, call->self);
        return vmt_jinvalid(run, "indent: value must be str, not %s", vmt_jtype_name(call->self));
    }
    size_t begin = vmt_jtext_begin(run);
    if (call->param[0].kind == VMT_JSTR)
        pad = call->param[0].s;
    else {
        VMT_TRY(vmt_jparam_int(run, call, 0, 4, &width));
        VMT_TRY(vmt_jtext_repeat(run, VMT_STR(" "), width));
        VMT_TRY(vmt_jtext_end(run, begin, &pad));
    }
    bool first = vmt_jparam_true(call, 1), blank = vmt_jparam_true(call, 2);
    VMT_TRY(vmt_jconcat(run, call->self.s, VMT_STR("\n"), &call->self.s));
    VMT_TRY(split_lines(run, call->self.s, &lines));
    for (size_t i = 0; i < lines->count; i++) {
        if (i > 0) vmt_buf_append_byte(&run->out, '\n');
        if (i == 0 ? first : blank || lines->items[i].s.len > 0) vmt_buf_append(&run->out, pad);
        vmt_buf_append(&run->out, lines->items[i].s);
        if (run->out.failed) break;
    }
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status filter_truncate(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t length, leeway, count, end_count;
    vmt_str end;
    VMT_TRY(vmt_jparam_int(run, call, 0, 255, &length));
    VMT_TRY(vmt_jparam_str(run, call, 2, VMT_STR("..."), &end));
    VMT_TRY(vmt_jparam_int(run, call, 3, 5, &leeway));
    VMT_TRY(vmt_jlen(run, call->self, &count));
    VMT_TRY(vmt_jlen(run, vmt_jstr(end), &end_count));
    if (length < end_count)
        return vmt_jinvalid(run, "expected length >= %lld, got %lld", (long long)end_count, (long long)length);
    if (leeway < 0) return vmt_jinvalid(run, "expected leeway >= 0, got %lld", (long long)leeway);
    *out = call->self;
    if (count <= length || count - length <= leeway) return VMT_OK;
    if (call->self.kind != VMT_JSTR) return vmt_jinvalid(run, "truncate: value must be str");
    vmt_str kept = call->self.s;
    size_t pos = 0;
    for (int64_t i = 0; i < length - end_count; i++) vmt_utf8_next(kept, &pos);
    kept.len = pos;
    if (!vmt_jparam_true(call, 1)) {
        size_t space = kept.len;
        while (space > 0 && kept.ptr[space - 1] != ' ') space--;
        if (space > 0) kept.len = space - 1;
    }
    return vmt_jconcat(run, kept, end, &out->s);
}

static vmt_status filter_wordcount(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str text;
    int64_t words = 0;
    bool in_word = false;
    VMT_TRY(self_text(run, call, &text));
    VMT_TRY(vmt_jrun_charge(run, text.len / 8));
    for (size_t pos = 0; pos < text.len;) {
        bool is_word = vmt_juni_is_word(vmt_utf8_next(text, &pos));
        words += is_word && !in_word;
        in_word = is_word;
    }
    *out = vmt_jint(words);
    return VMT_OK;
}

static vmt_status filter_format(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str text;
    vmt_jval args;
    VMT_TRY(self_text(run, call, &text));
    if (call->num_kwargs > 0) {
        if (call->num_args > 0)
            return vmt_jinvalid(run, "can't handle positional and keyword arguments at the same time");
        vmt_jdict *dict;
        VMT_TRY(vmt_jdict_new(run, call->num_kwargs, &dict));
        for (size_t i = 0; i < call->num_kwargs; i++) {
            VMT_TRY(vmt_jdict_set(run, dict, vmt_jstr(call->kwargs[i].name), call->kwargs[i].value));
        }
        args = vmt_jof_dict(dict);
    } else {
        vmt_jlist *list;
        VMT_TRY(vmt_jlist_new(run, call->num_args, &list));
        for (size_t i = 0; i < call->num_args; i++) VMT_TRY(vmt_jlist_push(run, list, call->args[i]));
        args = vmt_jof_list(VMT_JTUPLE, list);
    }
    return vmt_jformat_percent(run, text, args, out);
}

static vmt_status filter_default(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = call->self;
    if (call->self.kind != VMT_JUNDEF && !(vmt_jparam_true(call, 1) && !vmt_jtruthy(call->self))) return VMT_OK;
    *out = call->param[0].kind == VMT_JABSENT ? vmt_jstr(VMT_STR("")) : call->param[0];
    return VMT_OK;
}

static vmt_status filter_abs(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jval v = call->self;
    int64_t i;
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    if (!vmt_jis_number(v)) return vmt_jinvalid(run, "bad operand type for abs(): '%s'", vmt_jtype_name(v));
    *out = v;
    if (v.kind == VMT_JFLOAT)
        out->f = fabs(v.f);
    else if (vmt_jget_int(v, &i)) {
        if (i < 0) return vmt_jnegate(run, v, out);
        *out = vmt_jint(i);
    }
    return VMT_OK;
}

/* "12_3" becomes "123"; false if an underscore is not between digits, or the text does not fit. */
static bool drop_underscores(vmt_str s, char *text, size_t text_bytes) {
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '_') {
            bool between = i > 0 && i + 1 < s.len && s.ptr[i - 1] != '_' && s.ptr[i + 1] != '_';
            if (!between) return false;
            continue;
        }
        if (len + 1 >= text_bytes || s.ptr[i] == 0) return false;
        text[len++] = s.ptr[i];
    }
    text[len] = 0;
    return len > 0;
}

static bool parse_float(vmt_str s, double *out) {
    char text[512], *end;
    s = vmt_juni_strip(s, NULL, true, true);
    if (!drop_underscores(s, text, sizeof text)) return false;
    for (char *p = text; *p; p++) {
        if (*p == 'x' || *p == 'X' || *p == 'p' || *p == 'P' || *p == '(')
            return false; /* C's hex floats, nan(...) */
    }
    *out = strtod(text, &end);
    return *end == 0 && end != text;
}

static bool parse_int(vmt_str s, int64_t base, int64_t *out, bool *overflows) {
    char text[512], *end, *p = text;
    s = vmt_juni_strip(s, NULL, true, true);
    *overflows = false;
    if (!drop_underscores(s, text, sizeof text)) return false;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    char mark = *p == '0' ? (char)(p[1] | 32) : 0;
    int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
        p += 2;
        base = marked;
    } else if (base == 0) {
        base = 10;
    }
    bool is_alnum = (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z');
    if (!is_alnum || base < 2 || base > 36) return false;
    unsigned long long value = 0;
    for (end = p; *end; end++) {
        int digit = *end >= '0' && *end <= '9'                 ? *end - '0'
                    : (*end | 32) >= 'a' && (*end | 32) <= 'z' ? (*end | 32) - 'a' + 10
                                                               : 99;
        if (digit >= base) return false;
        *overflows |= __builtin_mul_overflow(value, (unsigned long long)base, &value);
        *overflows |= __builtin_add_overflow(value, (unsigned long long)digit, &value);
    }
    *overflows |= value > (unsigned long long)INT64_MAX;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static vmt_status int_of_float(vmt_jrun *run, double f, vmt_jval fallback, vmt_jval *out) {
    *out = fallback;
    if (!isfinite(f)) return VMT_OK;
    if (fabs(f) >= 9.2e18) return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "integer result exceeds 64 bits");
    *out = vmt_jint((int64_t)f);
    return VMT_OK;
}

static vmt_status filter_int(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jval fallback = call->param[0].kind == VMT_JABSENT ? vmt_jint(0) : call->param[0], v = call->self;
    int64_t base, i;
    double f;
    bool overflows;
    VMT_TRY(vmt_jparam_int(run, call, 1, 10, &base));
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    if (v.kind == VMT_JFLOAT) {
        if (isinf(v.f)) return vmt_jinvalid(run, "cannot convert float infinity to integer");
        return int_of_float(run, v.f, fallback, out);
    }
    *out = v;
    if (v.kind == VMT_JUINT) return VMT_OK;
    *out = fallback;
    if (vmt_jget_int(v, &i)) *out = vmt_jint(i);
    if (v.kind != VMT_JSTR) return VMT_OK;
    if (parse_int(v.s, base, &i, &overflows)) {
        if (overflows) return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "integer result exceeds 64 bits");
        *out = vmt_jint(i);
        return VMT_OK;
    }
    return parse_float(v.s, &f) ? int_of_float(run, f, fallback, out) : VMT_OK;
}

static vmt_status filter_float(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    double f;
    if (call->self.kind == VMT_JUNDEF) return vmt_jundef_fail(run, call->self);
    *out = call->param[0].kind == VMT_JABSENT ? vmt_jfloat(0) : call->param[0];
    if (vmt_jis_number(call->self))
        *out = vmt_jfloat(vmt_jget_float(call->self));
    else if (call->self.kind == VMT_JSTR && parse_float(call->self.s, &f))
        *out = vmt_jfloat(f);
    return VMT_OK;
}

/* round(f, precision), half to even on the exact binary value. */
static double round_float(double f, int64_t precision) {
    char text[512];
    if (!isfinite(f) || precision > 300) return f;
    if (precision >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)precision, f);
        return strtod(text, NULL);
    }
    if (precision < -300) return copysign(0, f);
    double scale = pow(10, (double)-precision);
    return rint(f / scale) * scale;
}

static int64_t round_int(int64_t i, int64_t precision) {
    if (precision >= 0) return i;
    if (precision < -18) return 0;
    int64_t scale = 1;
    for (int64_t p = precision; p < 0; p++) scale *= 10;
    int64_t rest = i % scale, half = scale / 2, down = i - rest;
    if (rest < 0) {
        rest += scale;
        down -= scale;
    }
    bool up = rest > half || (rest == half && (down / scale) % 2 != 0);
    return up ? down + scale : down;
}

static vmt_status filter_round(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t precision, i;
    vmt_str method;
    vmt_jval v = call->self;
    VMT_TRY(vmt_jparam_int(run, call, 0, 0, &precision));
    VMT_TRY(vmt_jparam_str(run, call, 1, VMT_STR("common"), &method));
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    bool ceils = vmt_str_eq_c(method, "ceil"), floors = vmt_str_eq_c(method, "floor");
    if (!ceils && !floors && !vmt_str_eq_c(method, "common")) {
        return vmt_jinvalid(run, "method must be common, ceil or floor");
    }
    if (!vmt_jis_number(v)) return vmt_jinvalid(run, "type %s doesn't define __round__ method", vmt_jtype_name(v));
    if (ceils || floors) {
        double scale = pow(10, (double)precision), f = vmt_jget_float(v) * scale;
        *out = vmt_jfloat((ceils ? ceil(f) : floor(f)) / scale);
        return VMT_OK;
    }
    if (vmt_jget_int(v, &i))
        *out = vmt_jint(round_int(i, precision));
    else
        *out = v.kind == VMT_JUINT ? v : vmt_jfloat(round_float(v.f, precision));
    return VMT_OK;
}

static void append_quoted(vmt_buf *buf, vmt_str s, bool is_query) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c == '.' ||
                     c == '-' || c == '~' || (c == '/' && !is_query);
        if (plain)
            vmt_buf_append_byte(buf, (char)c);
        else if (c == ' ' && is_query)
            vmt_buf_append_byte(buf, '+');
        else
            vmt_buf_printf(buf, "%%%02X", c);
    }
}

static vmt_status filter_urlencode(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str text;
    vmt_jval v = call->self;
    if (v.kind == VMT_JSTR || !vmt_jis_iterable(v)) {
        VMT_TRY(self_text(run, call, &text));
        VMT_TRY(vmt_jrun_charge(run, text.len / 8));
        size_t begin = vmt_jtext_begin(run);
        append_quoted(&run->out, text, false);
        return vmt_jtext_end_value(run, begin, out);
    }
    vmt_jlist *items, *pair;
    VMT_TRY(vmt_jlist_from(run, v, &items));
    vmt_str joined = VMT_STR("");
    for (size_t i = 0; i < items->count; i++) {
        vmt_str parts[2];
        if (v.kind == VMT_JDICT) {
            VMT_TRY(vmt_jto_str(run, v.dict->entries[i].key, &parts[0]));
            VMT_TRY(vmt_jto_str(run, v.dict->entries[i].value, &parts[1]));
        } else {
            VMT_TRY(vmt_jlist_from(run, items->items[i], &pair));
            if (pair->count != 2) return vmt_jinvalid(run, "urlencode: items must be pairs");
            VMT_TRY(vmt_jto_str(run, pair->items[0], &parts[0]));
            VMT_TRY(vmt_jto_str(run, pair->items[1], &parts[1]));
        }
        size_t begin = vmt_jtext_begin(run);
        if (i > 0) vmt_buf_append_byte(&run->out, '&');
        append_quoted(&run->out, parts[0], true);
        vmt_buf_append_byte(&run->out, '=');
        append_quoted(&run->out, parts[1], true);
        VMT_TRY(vmt_jtext_end(run, begin, &text));
        VMT_TRY(vmt_jconcat(run, joined, text, &joined));
    }
    *out = vmt_jstr(joined);
    return VMT_OK;
}

static vmt_status pair_of_separators(vmt_jrun *run, vmt_jval v, vmt_jdump *how) {
    vmt_jlist *pair;
    VMT_TRY(vmt_jlist_from(run, v, &pair));
    if (pair->count != 2 || pair->items[0].kind != VMT_JSTR || pair->items[1].kind != VMT_JSTR) {
        return vmt_jinvalid(run, "tojson: separators must be two strings");
    }
    how->item_separator = pair->items[0].s;
    how->key_separator = pair->items[1].s;
    return VMT_OK;
}

static vmt_status filter_tojson(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jdump how = {.ascii_only = vmt_jparam_true(call, 0), .sort_keys = vmt_jparam_true(call, 3)};
    vmt_jval indent = call->param[1], separators = call->param[2];
    size_t begin = vmt_jtext_begin(run);
    how.is_indented = indent.kind != VMT_JABSENT && indent.kind != VMT_JNONE;
    if (indent.kind == VMT_JSTR)
        how.indent = indent.s;
    else if (how.is_indented) {
        int64_t width;
        VMT_TRY(vmt_jparam_int(run, call, 1, 0, &width));
        VMT_TRY(vmt_jtext_repeat(run, VMT_STR(" "), width));
        VMT_TRY(vmt_jtext_end(run, begin, &how.indent));
    }
    how.item_separator = how.is_indented ? VMT_STR(",") : VMT_STR(", ");
    how.key_separator = VMT_STR(": ");
    if (separators.kind != VMT_JABSENT && separators.kind != VMT_JNONE) {
        VMT_TRY(pair_of_separators(run, separators, &how));
    }
    VMT_TRY(vmt_jdump_write(run, &how, call->self));
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status filter_attr(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str name;
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &name));
    vmt_jval v = call->self;
    if (v.kind != VMT_JDICT) return vmt_jgetattr(run, v, name, out);
    /* Unlike dict.name this never looks at the keys. */
    vmt_jdict *none;
    VMT_TRY(vmt_jdict_new(run, 0, &none));
    VMT_TRY(vmt_jgetattr(run, vmt_jof_dict(none), name, out));
    if (out->kind == VMT_JMETHOD) out->method->self = v;
    return VMT_OK;
}

const vmt_jbuiltin vmt_jfilters_text[] = {
    {"abs", filter_abs, "", 0, 0},
    {"attr", filter_attr, "name", 1, 0},
    {"capitalize", filter_capitalize, "", 0, 0},
    {"center", filter_center, "width", 0, 0},
    {"d", filter_default, "default_value boolean", 0, 0},
    {"default", filter_default, "default_value boolean", 0, 0},
    {"e", filter_escape, "", 0, 0},
    {"escape", filter_escape, "", 0, 0},
    {"forceescape", filter_escape, "", 0, 0},
    {"float", filter_float, "default", 0, 0},
    {"format", filter_format, NULL, 0, 0},
    {"indent", filter_indent, "width first blank", 0, 0},
    {"int", filter_int, "default base", 0, 0},
    {"lower", filter_lower, "", 0, 0},
    {"replace", filter_replace, "old new count", 2, 0},
    {"round", filter_round, "precision method", 0, 0},
    {"safe", filter_safe, "", 0, 0},
    {"string", filter_string, "", 0, 0},
    {"title", filter_title, "", 0, 0},
    {"tojson", filter_tojson, "ensure_ascii indent separators sort_keys", 0, 0},
    {"trim", filter_trim, "chars", 0, 0},
    {"truncate", filter_truncate, "length killwords end leeway", 0, 0},
    {"upper", filter_upper, "", 0, 0},
    {"urlencode", filter_urlencode, "", 0, 0},
    {"wordcount", filter_wordcount, "", 0, 0},
    {0},
};

const vmt_jbuiltin *vmt_jfilter_find(vmt_str name) {
    static const vmt_jbuiltin *const tables[] = {vmt_jfilters_text, vmt_jfilters_seq, vmt_jfilters_select};
    for (size_t i = 0; i < VMT_COUNT(tables); i++) {
        for (const vmt_jbuiltin *row = tables[i]; row->name != NULL; row++) {
            if (vmt_str_eq_c(name, row->name)) return row;
        }
    }
    return NULL;
}
