/* text/jinja_methods_str.c: methods of str: searching, splitting, trimming, padding.  Those that ask about or change
 * characters are in jinja_methods_case.c, those of other types in jinja_methods_other.c. */
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#define STR VMT_JKIND_BIT(VMT_JSTR)

static vmt_status give_str(vmt_str s, vmt_jval *out) {
    *out = vmt_jstr(s);
    return VMT_OK;
}

static vmt_status push_str(vmt_jrun *run, vmt_jlist *list, vmt_str s, size_t begin, size_t end) {
    return vmt_jlist_push(run, list, vmt_jstr(vmt_str_slice(s, begin, end)));
}

static vmt_status charge_text(vmt_jrun *run, const vmt_jcall *call) {
    return vmt_jrun_charge(run, call->self.s.len / 32);
}

static vmt_status strip(vmt_jrun *run, vmt_jcall *call, bool left, bool right, vmt_jval *out) {
    vmt_str chars;
    VMT_TRY(charge_text(run, call));
    bool is_given = call->param[0].kind != VMT_JABSENT && call->param[0].kind != VMT_JNONE;
    if (is_given) VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &chars));
    return give_str(vmt_juni_strip(call->self.s, is_given ? &chars : NULL, left, right), out);
}

static vmt_status str_strip(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return strip(run, call, true, true, out);
}

static vmt_status str_lstrip(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return strip(run, call, true, false, out);
}

static vmt_status str_rstrip(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return strip(run, call, false, true, out);
}

/* The last occurrence that ends at or before end, or SIZE_MAX. */
static size_t find_last(vmt_str s, vmt_str needle, size_t end) {
    for (size_t i = needle.len <= end ? end - needle.len + 1 : 0; i-- > 0;) {
        if (memcmp(s.ptr + i, needle.ptr, needle.len) == 0) return i;
    }
    return SIZE_MAX;
}

static vmt_status split_space(vmt_jrun *run, vmt_str s, int64_t max, vmt_jlist *list) {
    size_t pos = 0;
    for (;;) {
        while (pos < s.len) {
            size_t next = pos;
            if (!vmt_juni_is_space(vmt_utf8_next(s, &next))) break;
            pos = next;
        }
        if (pos == s.len) return VMT_OK;
        if (max-- == 0) return push_str(run, list, s, pos, s.len);
        size_t begin = pos, next = pos;
        while (pos < s.len && !vmt_juni_is_space(vmt_utf8_next(s, &next))) pos = next;
        VMT_TRY(push_str(run, list, s, begin, pos));
    }
}

static vmt_status rsplit_space(vmt_jrun *run, vmt_str s, int64_t max, vmt_jlist *list) {
    size_t end = s.len;
    for (;;) {
        end = vmt_juni_strip(vmt_str_slice(s, 0, end), NULL, false, true).len;
        if (end == 0) return VMT_OK;
        if (max-- == 0) return push_str(run, list, s, 0, end);
        size_t begin = end, prev = end;
        while (begin > 0 && !vmt_juni_is_space(vmt_juni_prev(s, &prev))) begin = prev;
        VMT_TRY(push_str(run, list, s, begin, end));
        end = begin;
    }
}

static void reverse_items(vmt_jlist *list) {
    for (size_t i = 0; i < list->count / 2; i++) {
        vmt_jval swap = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = swap;
    }
}

static vmt_status split(vmt_jrun *run, vmt_jcall *call, bool from_right, vmt_jval *out) {
    vmt_str s = call->self.s, sep;
    int64_t max;
    VMT_TRY(charge_text(run, call));
    VMT_TRY(vmt_jparam_int(run, call, 1, -1, &max));
    *out = (vmt_jval){.kind = VMT_JLIST};
    VMT_TRY(vmt_jlist_new(run, 4, &out->list));
    if (call->param[0].kind == VMT_JABSENT || call->param[0].kind == VMT_JNONE) {
        if (!from_right) return split_space(run, s, max, out->list);
        VMT_TRY(rsplit_space(run, s, max, out->list));
        reverse_items(out->list);
        return VMT_OK;
    }
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &sep));
    if (sep.len == 0) return vmt_jinvalid(run, "empty separator");
    size_t begin = 0, end = s.len, at;
    if (from_right) {
        for (; max != 0 && (at = find_last(s, sep, end)) != SIZE_MAX; max--, end = at) {
            VMT_TRY(push_str(run, out->list, s, at + sep.len, end));
        }
        VMT_TRY(push_str(run, out->list, s, 0, end));
        reverse_items(out->list);
        return VMT_OK;
    }
    for (; max != 0 && (at = vmt_str_find(s, sep, begin)) != SIZE_MAX; max--, begin = at + sep.len) {
        VMT_TRY(push_str(run, out->list, s, begin, at));
    }
    return push_str(run, out->list, s, begin, s.len);
}

static vmt_status str_split(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return split(run, call, false, out);
}

static vmt_status str_rsplit(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return split(run, call, true, out);
}

static bool is_line_end(uint32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static vmt_status str_splitlines(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str s = call->self.s;
    bool keeps_ends = vmt_jparam_true(call, 0);
    VMT_TRY(charge_text(run, call));
    *out = (vmt_jval){.kind = VMT_JLIST};
    VMT_TRY(vmt_jlist_new(run, 4, &out->list));
    size_t begin = 0;
    for (size_t pos = 0; pos < s.len;) {
        size_t end = pos;
        uint32_t c = vmt_utf8_next(s, &pos);
        if (!is_line_end(c)) continue;
        if (c == '\r' && pos < s.len && s.ptr[pos] == '\n') pos++;
        VMT_TRY(push_str(run, out->list, s, begin, keeps_ends ? pos : end));
        begin = pos;
    }
    return begin < s.len ? push_str(run, out->list, s, begin, s.len) : VMT_OK;
}

/* A character index, counted from the end if negative, as a byte offset; cut to the text, as slices are. */
static size_t offset_of(vmt_str s, int64_t i) {
    size_t pos = i < 0 ? s.len : 0;
    if (i > 0 && i >= (int64_t)s.len) return s.len;
    for (; i < 0 && pos > 0; i++) vmt_juni_prev(s, &pos);
    for (; i > 0 && pos < s.len; i--) vmt_utf8_next(s, &pos);
    return pos;
}

/* The window of (needle, start, end); false if start lies behind the end. */
static vmt_status window_of(vmt_jrun *run, vmt_jcall *call, size_t *begin, size_t *end, bool *exists) {
    int64_t from, to;
    vmt_str s = call->self.s;
    VMT_TRY(charge_text(run, call));
    VMT_TRY(vmt_jparam_int(run, call, 1, 0, &from));
    VMT_TRY(vmt_jparam_int(run, call, 2, INT64_MAX, &to));
    *begin = offset_of(s, from);
    *end = to == INT64_MAX ? s.len : offset_of(s, to);
    *exists = *begin <= *end && from <= (int64_t)s.len;
    return VMT_OK;
}

enum search { FIND, RFIND, INDEX, RINDEX, COUNT };

static vmt_status search(vmt_jrun *run, vmt_jcall *call, enum search how, vmt_jval *out) {
    size_t begin, end, at = SIZE_MAX;
    vmt_str needle;
    bool exists;
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &needle));
    VMT_TRY(window_of(run, call, &begin, &end, &exists));
    vmt_str window = exists ? vmt_str_slice(call->self.s, 0, end) : VMT_STR("");
    if (how == COUNT) {
        int64_t n = 0;
        if (exists && needle.len == 0)
            n = (int64_t)vmt_utf8_count(vmt_str_slice(window, begin, end)) + 1;
        else if (exists) {
            for (at = begin; (at = vmt_str_find(window, needle, at)) != SIZE_MAX; at += needle.len) n++;
        }
        *out = vmt_jint(n);
        return VMT_OK;
    }
    if (exists && (how == FIND || how == INDEX))
        at = needle.len ? vmt_str_find(window, needle, begin) : begin;
    else if (exists)
        at = needle.len ? find_last(window, needle, end) : end;
    if (at != SIZE_MAX && at < begin) at = SIZE_MAX;
    if (at == SIZE_MAX && (how == INDEX || how == RINDEX)) return vmt_jinvalid(run, "substring not found");
    *out = vmt_jint(at == SIZE_MAX ? -1 : (int64_t)vmt_utf8_count(vmt_str_slice(call->self.s, 0, at)));
    return VMT_OK;
}

static vmt_status str_find(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return search(run, call, FIND, out);
}

static vmt_status str_rfind(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return search(run, call, RFIND, out);
}

static vmt_status str_index(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return search(run, call, INDEX, out);
}

static vmt_status str_rindex(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return search(run, call, RINDEX, out);
}

static vmt_status str_count(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return search(run, call, COUNT, out);
}

static vmt_status has_affix(vmt_jrun *run, vmt_jcall *call, bool at_end, vmt_jval *out) {
    size_t begin, end;
    bool exists;
    vmt_jval affix = call->param[0];
    VMT_TRY(window_of(run, call, &begin, &end, &exists));
    vmt_str window = exists ? vmt_str_slice(call->self.s, begin, end) : VMT_STR("");
    const vmt_jval *options = affix.kind == VMT_JTUPLE ? affix.list->items : &affix;
    size_t n = affix.kind == VMT_JTUPLE ? affix.list->count : 1;
    *out = vmt_jbool(false);
    for (size_t i = 0; i < n && !out->b; i++) {
        if (options[i].kind == VMT_JUNDEF) return vmt_jundef_fail(run, options[i]);
        if (options[i].kind != VMT_JSTR) {
            return vmt_jinvalid(run, "%s first arg must be str or a tuple of str, not %s",
                                at_end ? "endswith" : "startswith", vmt_jtype_name(options[i]));
        }
        out->b = exists && (at_end ? vmt_str_ends(window, options[i].s) : vmt_str_starts(window, options[i].s));
    }
    return VMT_OK;
}

static vmt_status str_startswith(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return has_affix(run, call, false, out);
}

static vmt_status str_endswith(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return has_affix(run, call, true, out);
}

static vmt_status remove_affix(vmt_jrun *run, vmt_jcall *call, bool at_end, vmt_jval *out) {
    vmt_str affix, s = call->self.s;
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &affix));
    if (at_end && vmt_str_ends(s, affix)) s.len -= affix.len;
    if (!at_end && vmt_str_starts(s, affix)) s = vmt_str_slice(s, affix.len, s.len);
    return give_str(s, out);
}

static vmt_status str_removeprefix(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return remove_affix(run, call, false, out);
}

static vmt_status str_removesuffix(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return remove_affix(run, call, true, out);
}

/* replace('', x): x before every character and at the end. */
static vmt_status replace_empty(vmt_jrun *run, vmt_str s, vmt_str new, int64_t max) {
    for (size_t pos = 0;; max--) {
        if (max == 0) {
            vmt_buf_append(&run->out, vmt_str_slice(s, pos, s.len));
            return VMT_OK;
        }
        VMT_TRY(vmt_jrun_charge(run, 1));
        vmt_buf_append(&run->out, new);
        if (pos == s.len || run->out.failed) return VMT_OK;
        size_t begin = pos;
        vmt_utf8_next(s, &pos);
        vmt_buf_append(&run->out, vmt_str_slice(s, begin, pos));
    }
}

static vmt_status str_replace(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str old, new, s = call->self.s;
    int64_t max;
    VMT_TRY(charge_text(run, call));
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &old));
    VMT_TRY(vmt_jparam_str(run, call, 1, VMT_STR(""), &new));
    VMT_TRY(vmt_jparam_int(run, call, 2, -1, &max));
    size_t text = vmt_jtext_begin(run), begin = 0, at;
    if (old.len == 0) {
        VMT_TRY(replace_empty(run, s, new, max));
        return vmt_jtext_end_value(run, text, out);
    }
    if (max == 0 || vmt_str_find(s, old, 0) == SIZE_MAX) return give_str(s, out);
    for (; max != 0 && (at = vmt_str_find(s, old, begin)) != SIZE_MAX; max--, begin = at + old.len) {
        vmt_buf_append(&run->out, vmt_str_slice(s, begin, at));
        vmt_buf_append(&run->out, new);
        if (run->out.failed) break;
    }
    vmt_buf_append(&run->out, vmt_str_slice(s, begin, s.len));
    return vmt_jtext_end_value(run, text, out);
}

static vmt_status str_join(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jiter it;
    vmt_str text = VMT_STR("");
    VMT_TRY(vmt_jiter_init(run, &it, call->param[0]));
    for (size_t i = 0;; i++) {
        vmt_jval item;
        bool got;
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) return give_str(text, out);
        if (item.kind != VMT_JSTR) {
            return vmt_jinvalid(run, "sequence item %zu: expected str instance, %s found", i,
                                vmt_jtype_name(item));
        }
        if (i > 0) VMT_TRY(vmt_jconcat(run, text, call->self.s, &text));
        VMT_TRY(vmt_jconcat(run, text, item.s, &text));
    }
}

static vmt_status partition(vmt_jrun *run, vmt_jcall *call, bool from_right, vmt_jval *out) {
    vmt_str sep, s = call->self.s;
    vmt_jlist *parts;
    VMT_TRY(charge_text(run, call));
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &sep));
    if (sep.len == 0) return vmt_jinvalid(run, "empty separator");
    size_t at = from_right ? find_last(s, sep, s.len) : vmt_str_find(s, sep, 0);
    bool found = at != SIZE_MAX;
    VMT_TRY(vmt_jlist_new(run, 3, &parts));
    size_t first_end = found        ? at
                       : from_right ? 0
                                    : s.len,
           last_begin = found        ? at + sep.len
                        : from_right ? 0
                                     : s.len;
    VMT_TRY(push_str(run, parts, s, 0, first_end));
    VMT_TRY(vmt_jlist_push(run, parts, vmt_jstr(found ? sep : VMT_STR(""))));
    VMT_TRY(push_str(run, parts, s, last_begin, s.len));
    *out = vmt_jof_list(VMT_JTUPLE, parts);
    return VMT_OK;
}

static vmt_status str_partition(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return partition(run, call, false, out);
}

static vmt_status str_rpartition(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return partition(run, call, true, out);
}

/* Padding by so many characters on either side. */
static vmt_status pad(vmt_jrun *run, vmt_jcall *call, int64_t left, int64_t right, vmt_jval *out) {
    vmt_str fill;
    VMT_TRY(vmt_jparam_str(run, call, 1, VMT_STR(" "), &fill));
    if (vmt_utf8_count(fill) != 1)
        return vmt_jinvalid(run, "The fill character must be exactly one character long");
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jtext_repeat(run, fill, left));
    vmt_buf_append(&run->out, call->self.s);
    VMT_TRY(vmt_jtext_repeat(run, fill, right));
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status missing_width(vmt_jrun *run, vmt_jcall *call, int64_t *missing, int64_t *width) {
    int64_t count;
    VMT_TRY(vmt_jlen(run, call->self, &count));
    VMT_TRY(vmt_jparam_int(run, call, 0, 0, width));
    *missing = *width > count ? *width - count : 0;
    return VMT_OK;
}

static vmt_status str_ljust(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t missing, width;
    VMT_TRY(missing_width(run, call, &missing, &width));
    return pad(run, call, 0, missing, out);
}

static vmt_status str_rjust(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t missing, width;
    VMT_TRY(missing_width(run, call, &missing, &width));
    return pad(run, call, missing, 0, out);
}

static vmt_status str_center(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t missing, width;
    VMT_TRY(missing_width(run, call, &missing, &width));
    int64_t left = missing / 2 + (missing & width & 1);
    return pad(run, call, left, missing - left, out);
}

static vmt_status str_zfill(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t missing, width;
    vmt_str s = call->self.s;
    VMT_TRY(missing_width(run, call, &missing, &width));
    size_t sign = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'), begin = vmt_jtext_begin(run);
    vmt_buf_append(&run->out, vmt_str_slice(s, 0, sign));
    VMT_TRY(vmt_jtext_repeat(run, VMT_STR("0"), missing));
    vmt_buf_append(&run->out, vmt_str_slice(s, sign, s.len));
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status str_format(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return vmt_jformat_braces(run, call->self.s, call, out);
}

/* Python has these too; no template we know calls them. */
static vmt_status str_unsupported(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "this method of str is not supported");
}

const vmt_jbuiltin vmt_jmethods_str[] = {
    {"center", str_center, "width fillchar", 1, STR},
    {"count", str_count, "sub start end", 1, STR},
    {"encode", str_unsupported, NULL, 0, STR},
    {"endswith", str_endswith, "suffix start end", 1, STR},
    {"find", str_find, "sub start end", 1, STR},
    {"format", str_format, NULL, 0, STR},
    {"format_map", str_unsupported, NULL, 0, STR},
    {"index", str_index, "sub start end", 1, STR},
    {"join", str_join, "iterable", 1, STR},
    {"ljust", str_ljust, "width fillchar", 1, STR},
    {"lstrip", str_lstrip, "chars", 0, STR},
    {"maketrans", str_unsupported, NULL, 0, STR},
    {"partition", str_partition, "sep", 1, STR},
    {"removeprefix", str_removeprefix, "prefix", 1, STR},
    {"removesuffix", str_removesuffix, "suffix", 1, STR},
    {"replace", str_replace, "old new count", 2, STR},
    {"rfind", str_rfind, "sub start end", 1, STR},
    {"rindex", str_rindex, "sub start end", 1, STR},
    {"rjust", str_rjust, "width fillchar", 1, STR},
    {"rpartition", str_rpartition, "sep", 1, STR},
    {"rsplit", str_rsplit, "sep maxsplit", 0, STR},
    {"rstrip", str_rstrip, "chars", 0, STR},
    {"split", str_split, "sep maxsplit", 0, STR},
    {"splitlines", str_splitlines, "keepends", 0, STR},
    {"startswith", str_startswith, "prefix start end", 1, STR},
    {"strip", str_strip, "chars", 0, STR},
    {"translate", str_unsupported, NULL, 0, STR},
    {"zfill", str_zfill, "width", 1, STR},
    {0},
};

const vmt_jbuiltin *vmt_jmethod_find(vmt_jval receiver, vmt_str name) {
    static const vmt_jbuiltin *const tables[] = {vmt_jmethods_str, vmt_jmethods_str_is, vmt_jmethods_other};
    size_t first = receiver.kind == VMT_JSTR ? 0 : 2, last = receiver.kind == VMT_JSTR ? 2 : 3;
    for (size_t i = first; i < last; i++) {
        for (const vmt_jbuiltin *row = tables[i]; row->name != NULL; row++) {
            if ((row->kinds & VMT_JKIND_BIT(receiver.kind)) && vmt_str_eq_c(name, row->name)) return row;
        }
    }
    return NULL;
}
