/* text/dialect_pythonic.c: calls as Python writes them: [f(a='x', n=[1, 2.5], d={'k': None}), g()].
 *
 * Keyword arguments with literals: strings, numbers, True, False, None (and JSON's names for them), lists, dicts.  They
 * are turned into JSON as they come. */
#include "text/output_scan.h"

enum { BETWEEN, NAME, KEY, VALUE, STRING, ESCAPE, HEX, BARE, AFTER, DICT_KEY, COLON };

static void begin(vmt_output_parser *p, uint32_t marker_idx) {
    const vmt_pythonic_syntax *syntax = p->dialect->syntax;
    (void)marker_idx;
    p->u.nested = (struct nested_call){.state = BETWEEN};
    vmt_matcher_init(&p->u.nested.match, syntax->ends);
}

static bool is_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

static bool push(struct nested_call *n, char container) {
    if (n->depth == VMT_NEST_MAX) return false;
    n->stack[n->depth++] = container;
    n->need_comma = false;
    return true;
}

/* The separator before an element of the innermost list or dict. */
static void separate(vmt_output_parser *p) {
    struct nested_call *n = &p->u.nested;
    if (n->depth && n->need_comma) vmt_call_args(p, VMT_STR(", "));
    n->need_comma = false;
}

static vmt_step begin_value(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (vmt_is_space(byte)) return VMT_STEP_MORE;
    if (byte == '\'' || byte == '"') {
        separate(p);
        vmt_call_args(p, VMT_STR("\""));
        n->quote = byte;
        n->is_key = false;
        n->state = STRING;
        return VMT_STEP_MORE;
    }
    if (byte == '[' || byte == '{') {
        separate(p);
        vmt_call_arg_byte(p, byte);
        n->state = byte == '[' ? VALUE : DICT_KEY;
        return push(n, byte) ? VMT_STEP_MORE : VMT_STEP_FAIL;
    }
    if (!is_name_byte(byte) && byte != '+') return VMT_STEP_FAIL;
    vmt_buf_clear(&p->value);
    vmt_buf_append_byte(&p->value, byte);
    n->state = BARE;
    return VMT_STEP_MORE;
}

static vmt_step close_container(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (byte != ']' && byte != '}') return VMT_STEP_FAIL;
    if (n->depth == 0 || n->stack[n->depth - 1] != (byte == ']' ? '[' : '{')) return VMT_STEP_FAIL;
    n->depth--;
    n->need_comma = true;
    n->state = AFTER;
    vmt_call_arg_byte(p, byte);
    return VMT_STEP_MORE;
}

static vmt_step after_value(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (vmt_is_space(byte)) return VMT_STEP_MORE;
    if (n->depth == 0) {
        if (byte == ',') {
            vmt_buf_clear(&p->key);
            n->state = KEY;
            return VMT_STEP_MORE;
        }
        if (byte != ')') return VMT_STEP_FAIL;
        vmt_call_close(p);
        n->state = BETWEEN;
        return VMT_STEP_MORE;
    }
    if (byte != ',') return close_container(p, byte);
    n->need_comma = true;
    n->state = n->stack[n->depth - 1] == '[' ? VALUE : DICT_KEY;
    return VMT_STEP_MORE;
}

static bool emit_bare(vmt_output_parser *p) {
    static const struct {
        const char *python, *json;
    } words[] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    vmt_str text = vmt_buf_str(&p->value);
    for (size_t i = 0; i < VMT_COUNT(words); i++) {
        if (vmt_str_eq_c(text, words[i].python)) text = vmt_str_from(words[i].json);
    }
    if (!vmt_is_json_scalar(text)) return false;
    separate(p);
    vmt_call_args(p, text);
    p->u.nested.need_comma = true;
    return true;
}

static vmt_step bare(vmt_output_parser *p, char byte) {
    if (is_name_byte(byte) || byte == '+') {
        vmt_buf_append_byte(&p->value, byte);
        return p->value.len > VMT_HEADER_MAX ? VMT_STEP_FAIL : VMT_STEP_MORE;
    }
    if (!emit_bare(p)) return VMT_STEP_FAIL;
    p->u.nested.state = AFTER;
    return after_value(p, byte);
}

static vmt_step string(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (byte == '\\') {
        n->state = ESCAPE;
    } else if (byte == n->quote) {
        vmt_call_args(p, VMT_STR("\""));
        n->need_comma = true;
        n->state = n->is_key ? COLON : AFTER;
    } else {
        vmt_call_string_byte(p, byte);
    }
    return VMT_STEP_MORE;
}

static vmt_step escape(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    static const char from[] = "ntrbf\\'\"/", to[] = "\n\t\r\b\f\\'\"/";
    const char *at = byte == '\0' ? NULL : strchr(from, byte);
    n->state = STRING;
    if (at) {
        vmt_call_string_byte(p, to[at - from]);
    } else if (byte == 'u' || byte == 'x') {
        vmt_call_args(p, vmt_str_from(byte == 'u' ? "\\u" : "\\u00"));
        n->num_hex = byte == 'u' ? 4 : 2;
        n->state = HEX;
    } else if (byte != '\n') {
        vmt_call_string_byte(p, '\\');
        vmt_call_string_byte(p, byte);
    }
    return VMT_STEP_MORE;
}

static vmt_step hex(vmt_output_parser *p, char byte) {
    if (byte == '\0' || !strchr("0123456789abcdefABCDEF", byte)) return VMT_STEP_FAIL;
    vmt_call_arg_byte(p, byte);
    if (--p->u.nested.num_hex == 0) p->u.nested.state = STRING;
    return VMT_STEP_MORE;
}

static vmt_step dict_key(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (vmt_is_space(byte)) return VMT_STEP_MORE;
    if (byte == '}') return close_container(p, byte);
    if (byte != '\'' && byte != '"') return VMT_STEP_FAIL;
    separate(p);
    vmt_call_args(p, VMT_STR("\""));
    n->quote = byte;
    n->is_key = true;
    n->state = STRING;
    return VMT_STEP_MORE;
}

static vmt_step between(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    const vmt_pythonic_syntax *syntax = p->dialect->syntax;
    if (n->match.num_held == 0 && is_name_byte(byte)) {
        vmt_call_reset(p);
        n->depth = 0;
        n->need_comma = false;
        vmt_buf_append_byte(&p->call.id, byte); /* the name, as it comes */
        n->state = NAME;
        return VMT_STEP_MORE;
    }
    vmt_buf_clear(&p->value);
    int32_t idx = vmt_matcher_push(&n->match, byte, &p->value);
    if (!vmt_is_filler(vmt_buf_str(&p->value), "[],;")) return VMT_STEP_FAIL;
    if (idx >= 0 && p->num_region_calls) vmt_region_forget(p);
    if (idx >= 0) return VMT_STEP_END;
    if (byte == ']' && p->num_region_calls) vmt_region_forget(p);
    return byte == ']' && !syntax->ends[0] ? VMT_STEP_END : VMT_STEP_MORE;
}

static vmt_step name(vmt_output_parser *p, char byte) {
    vmt_buf *text = &p->call.id;
    if (byte == '(') {
        bool ok = vmt_call_set_name(p, vmt_str_trim(vmt_buf_str(text)));
        vmt_buf_clear(text);
        vmt_buf_clear(&p->key);
        p->u.nested.state = KEY;
        return ok ? VMT_STEP_MORE : VMT_STEP_FAIL;
    }
    if (!is_name_byte(byte) || text->len > VMT_CALL_NAME_MAX) return VMT_STEP_FAIL;
    vmt_buf_append_byte(text, byte);
    return VMT_STEP_MORE;
}

static vmt_step key(vmt_output_parser *p, char byte) {
    if (byte == '=' && vmt_str_trim(vmt_buf_str(&p->key)).len) {
        if (!p->call.is_started) vmt_call_start(p);
        vmt_call_key(p, vmt_str_trim(vmt_buf_str(&p->key)));
        p->u.nested.state = VALUE;
        return VMT_STEP_MORE;
    }
    if (byte == ')' && vmt_str_trim(vmt_buf_str(&p->key)).len == 0) {
        vmt_call_close(p);
        p->u.nested.state = BETWEEN;
        return VMT_STEP_MORE;
    }
    if ((!is_name_byte(byte) && !vmt_is_space(byte)) || p->key.len > VMT_HEADER_MAX) return VMT_STEP_FAIL;
    vmt_buf_append_byte(&p->key, byte);
    return VMT_STEP_MORE;
}

static vmt_step step(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    switch (n->state) {
    case BETWEEN: return between(p, byte);
    case NAME: return name(p, byte);
    case KEY: return key(p, byte);
    case VALUE:
        if (byte == ']' && n->depth && n->stack[n->depth - 1] == '[') return close_container(p, byte);
        return begin_value(p, byte);
    case STRING: return string(p, byte);
    case ESCAPE: return escape(p, byte);
    case HEX: return hex(p, byte);
    case BARE: return bare(p, byte);
    case DICT_KEY: return dict_key(p, byte);
    case COLON:
        if (vmt_is_space(byte)) return VMT_STEP_MORE;
        if (byte != ':') return VMT_STEP_FAIL;
        vmt_call_args(p, VMT_STR(": "));
        n->need_comma = false;
        n->state = VALUE;
        return VMT_STEP_MORE;
    default: return after_value(p, byte);
    }
}

static vmt_step finish(vmt_output_parser *p, bool was_cut) {
    (void)was_cut;
    return p->u.nested.state == BETWEEN ? VMT_STEP_END : VMT_STEP_FAIL;
}

const vmt_scanner vmt_scan_pythonic = {begin, step, finish};
