/* text/jinja_methods_case.c: methods of str that look at each character: isalpha(), upper(), title(), ... */
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#define STR VMT_JKIND_BIT(VMT_JSTR)

static vmt_status all_are(vmt_jrun *run, vmt_jcall *call, bool (*is)(uint32_t c), bool if_empty, vmt_jval *out) {
    vmt_str s = call->self.s;
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    bool all = s.len > 0 || if_empty;
    for (size_t pos = 0; pos < s.len && all;) all = is(vmt_utf8_next(s, &pos));
    *out = vmt_jbool(all);
    return VMT_OK;
}

static bool is_ascii(uint32_t c) {
    return c < 0x80;
}

#define ALL_METHOD(name, predicate, if_empty)                                     \
    static vmt_status str_##name(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) { \
        return all_are(run, call, predicate, if_empty, out);                      \
    }

ALL_METHOD(isalpha, vmt_juni_is_alpha, false)
ALL_METHOD(isalnum, vmt_juni_is_alnum, false)
ALL_METHOD(isdigit, vmt_juni_is_digit, false)
ALL_METHOD(isdecimal, vmt_juni_is_decimal, false)
ALL_METHOD(isnumeric, vmt_juni_is_numeric, false)
ALL_METHOD(isspace, vmt_juni_is_space, false)
ALL_METHOD(isprintable, vmt_juni_is_printable, true)
ALL_METHOD(isascii, is_ascii, true)

/* All cased characters are of one case, and there is one. */
static vmt_status is_in_case(vmt_jrun *run, vmt_jcall *call, bool want_upper, vmt_jval *out) {
    vmt_str s = call->self.s;
    bool any = false;
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    *out = vmt_jbool(false);
    for (size_t pos = 0; pos < s.len;) {
        uint32_t c = vmt_utf8_next(s, &pos);
        bool upper = vmt_juni_is_upper(c), lower = vmt_juni_is_lower(c);
        if ((want_upper ? lower : upper) || vmt_juni_is_title(c)) return VMT_OK;
        any |= want_upper ? upper : lower;
    }
    out->b = any;
    return VMT_OK;
}

static vmt_status str_isupper(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return is_in_case(run, call, true, out);
}

static vmt_status str_islower(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return is_in_case(run, call, false, out);
}

static vmt_status str_istitle(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str s = call->self.s;
    bool any = false, after_cased = false;
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    *out = vmt_jbool(false);
    for (size_t pos = 0; pos < s.len;) {
        uint32_t c = vmt_utf8_next(s, &pos);
        bool upper = vmt_juni_is_upper(c) || vmt_juni_is_title(c), lower = vmt_juni_is_lower(c);
        if ((upper && after_cased) || (lower && !after_cased)) return VMT_OK;
        after_cased = upper || lower;
        any |= after_cased;
    }
    out->b = any;
    return VMT_OK;
}

static vmt_status in_case(vmt_jrun *run, vmt_jcall *call, vmt_juni_case how, vmt_jval *out) {
    VMT_TRY(vmt_jrun_charge(run, call->self.s.len / 16));
    size_t begin = vmt_jtext_begin(run);
    vmt_juni_append_cased(&run->out, how, call->self.s);
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status str_upper(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return in_case(run, call, VMT_JUNI_UPPER, out);
}

static vmt_status str_lower(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return in_case(run, call, VMT_JUNI_LOWER, out);
}

static vmt_status str_casefold(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return in_case(run, call, VMT_JUNI_FOLD, out);
}

static vmt_status str_swapcase(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str s = call->self.s;
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    size_t begin = vmt_jtext_begin(run);
    for (size_t pos = 0; pos < s.len;) {
        uint32_t c = vmt_utf8_next(s, &pos);
        if (vmt_juni_is_upper(c))
            vmt_juni_append_case(&run->out, VMT_JUNI_LOWER, c);
        else if (vmt_juni_is_lower(c))
            vmt_juni_append_case(&run->out, VMT_JUNI_UPPER, c);
        else
            vmt_juni_append(&run->out, c);
    }
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status str_capitalize(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str s = call->self.s;
    size_t pos = 0, begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    if (s.len > 0) vmt_juni_append_case(&run->out, VMT_JUNI_TITLE, vmt_utf8_next(s, &pos));
    vmt_juni_append_cased(&run->out, VMT_JUNI_LOWER, vmt_str_slice(s, pos, s.len));
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status str_title(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str s = call->self.s;
    bool after_cased = false;
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    size_t begin = vmt_jtext_begin(run);
    for (size_t pos = 0; pos < s.len;) {
        uint32_t c = vmt_utf8_next(s, &pos);
        vmt_juni_append_case(&run->out, after_cased ? VMT_JUNI_LOWER : VMT_JUNI_TITLE, c);
        after_cased = vmt_juni_is_upper(c) || vmt_juni_is_lower(c) || vmt_juni_is_title(c);
    }
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status str_expandtabs(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str s = call->self.s;
    int64_t tab, column = 0;
    VMT_TRY(vmt_jparam_int(run, call, 0, 8, &tab));
    VMT_TRY(vmt_jrun_charge(run, s.len / 16));
    size_t begin = vmt_jtext_begin(run);
    for (size_t pos = 0; pos < s.len;) {
        size_t from = pos;
        uint32_t c = vmt_utf8_next(s, &pos);
        if (c == '\t') {
            int64_t n = tab > 0 ? tab - column % tab : 0;
            VMT_TRY(vmt_jtext_repeat(run, VMT_STR(" "), n));
            column += n;
            continue;
        }
        vmt_buf_append(&run->out, vmt_str_slice(s, from, pos));
        column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
    return vmt_jtext_end_value(run, begin, out);
}

const vmt_jbuiltin vmt_jmethods_str_is[] = {
    {"capitalize", str_capitalize, "", 0, STR},
    {"casefold", str_casefold, "", 0, STR},
    {"expandtabs", str_expandtabs, "tabsize", 0, STR},
    {"isalnum", str_isalnum, "", 0, STR},
    {"isalpha", str_isalpha, "", 0, STR},
    {"isascii", str_isascii, "", 0, STR},
    {"isdecimal", str_isdecimal, "", 0, STR},
    {"isdigit", str_isdigit, "", 0, STR},
    {"islower", str_islower, "", 0, STR},
    {"isnumeric", str_isnumeric, "", 0, STR},
    {"isprintable", str_isprintable, "", 0, STR},
    {"isspace", str_isspace, "", 0, STR},
    {"istitle", str_istitle, "", 0, STR},
    {"isupper", str_isupper, "", 0, STR},
    {"lower", str_lower, "", 0, STR},
    {"swapcase", str_swapcase, "", 0, STR},
    {"title", str_title, "", 0, STR},
    {"upper", str_upper, "", 0, STR},
    {0},
};
