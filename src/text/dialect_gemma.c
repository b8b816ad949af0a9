/* text/dialect_gemma.c: Gemma's calls: call:f{k:<|"|>text<|"|>,n:42,o:{a:true},l:[1,2]}.
 *
 * Strings stand between quote tokens, keys and other values are bare.  A bare value of the arguments is typed by the
 * tool's schema; deeper ones are JSON scalars where they look so, else strings. */
#include "text/output_scan.h"

enum { HEAD, KEY, COLON, VALUE, STRING, AFTER, TAIL };

static void begin(vmt_output_parser *p, uint32_t marker_idx) {
    const vmt_gemma_syntax *syntax = p->dialect->syntax;
    (void)marker_idx;
    p->u.nested = (struct nested_call){.state = HEAD};
    vmt_matcher_init(&p->u.nested.match, syntax->quote);
}

static vmt_step head(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (byte != '{') {
        vmt_buf_append_byte(&p->key, byte);
        return p->key.len > VMT_HEADER_MAX || byte == '<' || byte == '}' ? VMT_STEP_FAIL : VMT_STEP_MORE;
    }
    vmt_str text = vmt_str_trim(vmt_buf_str(&p->key)), prefix = VMT_STR("call:");
    if (!vmt_str_starts(text, prefix)) return VMT_STEP_FAIL;
    if (!vmt_call_set_name(p, vmt_str_trim(vmt_str_slice(text, prefix.len, text.len)))) return VMT_STEP_FAIL;
    vmt_call_start(p);
    vmt_buf_clear(&p->key);
    n->stack[n->depth++] = '{';
    n->state = KEY;
    return VMT_STEP_MORE;
}

/* A key is whole, and in p->key. */
static void end_key(vmt_output_parser *p) {
    struct nested_call *n = &p->u.nested;
    n->state = VALUE;
    vmt_buf_clear(&p->value);
    vmt_str key = vmt_str_trim(vmt_buf_str(&p->key));
    if (n->depth == 1) {
        vmt_call_key(p, key);
        return;
    }
    vmt_call_args(p, vmt_str_from(n->need_comma ? ", \"" : "\""));
    for (size_t i = 0; i < key.len; i++) vmt_call_string_byte(p, key.ptr[i]);
    vmt_call_args(p, VMT_STR("\": "));
    n->need_comma = false;
}

static void separate(vmt_output_parser *p) {
    struct nested_call *n = &p->u.nested;
    if (n->stack[n->depth - 1] == '[' && n->need_comma) vmt_call_args(p, VMT_STR(", "));
    n->need_comma = false;
}

/* A bare value is whole, and in p->value. */
static void end_bare(vmt_output_parser *p) {
    struct nested_call *n = &p->u.nested;
    vmt_str text = vmt_str_trim(vmt_buf_str(&p->value)), key = vmt_str_trim(vmt_buf_str(&p->key));
    if (text.len == 0) return;
    vmt_buf out = {0};
    vmt_json schema = n->depth == 1 ? vmt_call_property(p, key) : (vmt_json){0};
    separate(p);
    if (!vmt_json_exists(schema) && vmt_is_json_scalar(text)) {
        vmt_buf_append(&out, text);
    } else {
        vmt_typed_value(schema, text, &out);
    }
    vmt_call_args(p, vmt_buf_str(&out));
    vmt_buf_free(&out);
    n->need_comma = true;
}

static vmt_step close_container(vmt_output_parser *p, char byte) {
    const vmt_gemma_syntax *syntax = p->dialect->syntax;
    struct nested_call *n = &p->u.nested;
    if (n->stack[n->depth - 1] != (byte == ']' ? '[' : '{')) return VMT_STEP_FAIL;
    n->state = AFTER;
    if (--n->depth == 0) {
        vmt_call_close(p);
        n->state = TAIL;
        vmt_matcher_init(&n->match, syntax->ends);
        return VMT_STEP_MORE;
    }
    vmt_call_arg_byte(p, byte);
    n->need_comma = true;
    return VMT_STEP_MORE;
}

static vmt_step after(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (vmt_is_space(byte)) return VMT_STEP_MORE;
    if (byte != ',') return byte == ']' || byte == '}' ? close_container(p, byte) : VMT_STEP_FAIL;
    n->state = n->stack[n->depth - 1] == '[' ? VALUE : KEY;
    vmt_buf_clear(n->state == KEY ? &p->key : &p->value);
    return VMT_STEP_MORE;
}

static vmt_step value(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    bool is_first = vmt_str_trim(vmt_buf_str(&p->value)).len == 0;
    if (is_first && (byte == '{' || byte == '[')) {
        if (n->depth == VMT_NEST_MAX) return VMT_STEP_FAIL;
        separate(p);
        n->stack[n->depth++] = byte;
        n->need_comma = false;
        n->state = byte == '[' ? VALUE : KEY;
        vmt_buf_clear(&p->key);
        vmt_buf_clear(&p->value);
        vmt_call_arg_byte(p, byte);
        return VMT_STEP_MORE;
    }
    if (byte != ',' && byte != '}' && byte != ']') {
        vmt_buf_append_byte(&p->value, byte);
        return VMT_STEP_MORE;
    }
    if (is_first && n->stack[n->depth - 1] == '{') vmt_call_args(p, VMT_STR("null"));
    end_bare(p);
    n->state = AFTER;
    return after(p, byte);
}

/* A byte that is no part of a quote. */
static vmt_step plain(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    switch (n->state) {
    case KEY:
        if (byte == ':' && vmt_str_trim(vmt_buf_str(&p->key)).len) {
            end_key(p);
        } else if (byte == '}' && vmt_str_trim(vmt_buf_str(&p->key)).len == 0) {
            return close_container(p, byte);
        } else if (byte == '{' || byte == '}' || byte == ',' || p->key.len > VMT_HEADER_MAX) {
            return VMT_STEP_FAIL;
        } else {
            vmt_buf_append_byte(&p->key, byte);
        }
        return VMT_STEP_MORE;
    case VALUE: return value(p, byte);
    case STRING:
        if (n->is_key) {
            vmt_buf_append_byte(&p->key, byte);
        } else {
            vmt_call_string_byte(p, byte);
        }
        return VMT_STEP_MORE;
    case COLON:
        if (byte == ':') end_key(p);
        return byte == ':' || vmt_is_space(byte) ? VMT_STEP_MORE : VMT_STEP_FAIL;
    default: return after(p, byte);
    }
}

static vmt_step quote(vmt_output_parser *p) {
    struct nested_call *n = &p->u.nested;
    if (n->state == STRING) {
        if (!n->is_key) vmt_call_args(p, VMT_STR("\""));
        n->need_comma = n->need_comma || !n->is_key;
        n->state = n->is_key ? COLON : AFTER;
        return VMT_STEP_MORE;
    }
    bool is_key = n->state == KEY && vmt_str_trim(vmt_buf_str(&p->key)).len == 0;
    bool is_value = n->state == VALUE && vmt_str_trim(vmt_buf_str(&p->value)).len == 0;
    if (!is_key && !is_value) return VMT_STEP_FAIL;
    n->is_key = is_key;
    n->state = STRING;
    vmt_buf_clear(is_key ? &p->key : &p->value);
    if (is_value) {
        separate(p);
        vmt_call_args(p, VMT_STR("\""));
    }
    return VMT_STEP_MORE;
}

static vmt_step step(vmt_output_parser *p, char byte) {
    struct nested_call *n = &p->u.nested;
    if (n->state == HEAD) return head(p, byte);
    vmt_buf *passed = &p->call.args; /* free while a call is announced */
    vmt_buf_clear(passed);
    int32_t idx = vmt_matcher_push(&n->match, byte, passed);
    vmt_step result = VMT_STEP_MORE;
    if (n->state == TAIL) {
        if (!vmt_is_filler(vmt_buf_str(passed), "")) result = VMT_STEP_FAIL;
        if (idx >= 0) result = VMT_STEP_END;
    } else {
        for (size_t i = 0; i < passed->len && result == VMT_STEP_MORE && n->state != TAIL; i++) {
            result = plain(p, passed->ptr[i]);
        }
        if (result == VMT_STEP_MORE && idx == 0) result = quote(p);
    }
    vmt_buf_clear(passed);
    return result;
}

static vmt_step finish(vmt_output_parser *p, bool was_cut) {
    (void)was_cut;
    return p->u.nested.state == TAIL ? VMT_STEP_END : VMT_STEP_FAIL;
}

const vmt_scanner vmt_scan_gemma = {begin, step, finish};
