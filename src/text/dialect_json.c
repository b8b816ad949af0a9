/* text/dialect_json.c: calls in JSON.
 *
 *   json    OPEN {"name": f, "arguments": {...}} END           also several, also in a list
 *   named   OPEN f SEPARATOR {...} CLOSE                       the arguments alone are JSON
 *
 * A call counts as soon as its name is known and its arguments are whole: what is missing after them (a brace, an end
 * marker) is forgiven. */
#include "text/output_scan.h"

enum { BETWEEN, OBJECT, REST, NAME, ARGS, TAIL };
enum { KEY_OTHER, KEY_NAME, KEY_ARGS };

/* ---- json */

static void json_begin(vmt_output_parser *p, uint32_t marker_idx) {
    const vmt_json_syntax *syntax = p->dialect->syntax;
    (void)marker_idx;
    p->u.json = (struct json_call){.state = BETWEEN};
    vmt_matcher_init(&p->u.json.match, syntax->markers);
}

static void end_if_whole(vmt_output_parser *p) {
    if (!p->u.json.has_args || p->call.name.len == 0) return;
    if (!p->call.is_started) vmt_call_start(p);
    vmt_call_end(p);
    p->u.json.state = REST;
}

/* Arguments given as a string that holds an object, or as null. */
static bool odd_args(vmt_output_parser *p) {
    vmt_json_doc *outer = NULL, *inner = NULL;
    vmt_str text;
    bool ok = vmt_json_parse(&outer, vmt_buf_str(&p->value), NULL) == VMT_OK;
    if (ok && vmt_json_is_null(vmt_json_root(outer))) {
        vmt_buf_append_c(&p->call.args, "{}");
    } else if (ok) {
        ok = vmt_json_get_str(vmt_json_root(outer), &text) && vmt_json_parse(&inner, text, NULL) == VMT_OK &&
             vmt_json_typeof(vmt_json_root(inner)) == VMT_JSON_OBJECT;
        if (ok) vmt_buf_append(&p->call.args, text);
    }
    vmt_json_doc_destroy(inner);
    vmt_json_doc_destroy(outer);
    return ok;
}

static bool take_name(vmt_output_parser *p) {
    vmt_json_doc *doc = NULL;
    vmt_str name;
    bool ok = vmt_json_parse(&doc, vmt_buf_str(&p->value), NULL) == VMT_OK &&
              vmt_json_get_str(vmt_json_root(doc), &name) && vmt_call_set_name(p, name);
    vmt_json_doc_destroy(doc);
    return ok;
}

static bool begin_member(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    j->in_value = j->key != KEY_OTHER;
    vmt_buf_clear(&p->value);
    if (j->key == KEY_NAME) return byte == '"' && p->call.name.len == 0;
    if (j->key == KEY_OTHER) return true;
    if (j->has_args || (byte != '{' && byte != '"' && byte != 'n')) return false;
    if (byte == '{' && p->call.name.len) vmt_call_start(p);
    return true;
}

static bool end_member(vmt_output_parser *p) {
    struct json_call *j = &p->u.json;
    j->in_value = false;
    if (j->key == KEY_NAME && !take_name(p)) return false;
    if (j->key == KEY_ARGS) {
        bool is_odd = p->value.len > 0;
        if (is_odd && !odd_args(p)) return false;
        j->has_args = true;
    }
    end_if_whole(p);
    return true;
}

static void note_key(vmt_output_parser *p, vmt_json_scan_state before, char byte) {
    struct json_call *j = &p->u.json;
    if (before == VMT_SCAN_KEY || before == VMT_SCAN_FIRST_KEY) {
        vmt_buf_clear(&p->key);
    } else if (j->scan.state != VMT_SCAN_COLON) {
        if (p->key.len < VMT_HEADER_MAX) vmt_buf_append_byte(&p->key, byte);
    } else if (before == VMT_SCAN_STRING) {
        vmt_str key = vmt_buf_str(&p->key);
        bool is_args = vmt_str_eq_c(key, "arguments") || vmt_str_eq_c(key, "parameters");
        j->key = vmt_str_eq_c(key, "name") ? KEY_NAME : is_args ? KEY_ARGS : KEY_OTHER;
    }
}

static vmt_step object_step(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    vmt_json_scan_state before = j->scan.state;
    bool is_top = j->scan.depth == 1;
    if (before == VMT_SCAN_VALUE && is_top && !vmt_is_space(byte) && !begin_member(p, byte)) return VMT_STEP_FAIL;
    if (!j->in_value) {
        if (vmt_json_scan_push(&j->scan, byte) == VMT_SCAN_BAD) return VMT_STEP_FAIL;
        if (is_top && j->scan.depth == 1 && j->scan.in_key) note_key(p, before, byte);
    } else {
        bool streams = j->key == KEY_ARGS && p->value.len == 0 && (j->scan.depth > 1 || byte == '{');
        if (vmt_args_push(p, &j->scan, byte, streams ? NULL : &p->value) == VMT_SCAN_BAD) return VMT_STEP_FAIL;
        if (j->scan.state == VMT_SCAN_AFTER && j->scan.depth == 1 && !end_member(p)) return VMT_STEP_FAIL;
        return VMT_STEP_MORE;
    }
    if (j->scan.state != VMT_SCAN_DONE) return VMT_STEP_MORE;
    j->has_args = true; /* a call without any: {"name": "f"} */
    if (p->call.name.len && p->call.args.len == 0) vmt_buf_append_c(&p->call.args, "{}");
    end_if_whole(p);
    if (!p->call.is_ended) return VMT_STEP_FAIL;
    j->state = BETWEEN;
    return VMT_STEP_MORE;
}

static vmt_step between(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    const vmt_json_syntax *syntax = p->dialect->syntax;
    if (byte == '{') {
        if (!vmt_is_filler((vmt_str){j->match.held, j->match.num_held}, "[")) return VMT_STEP_FAIL;
        j->match.num_held = 0;
        vmt_call_reset(p);
        vmt_json_scan_init(&j->scan);
        j->state = OBJECT;
        j->has_args = j->in_value = false;
        j->key = KEY_OTHER;
        return object_step(p, byte);
    }
    vmt_buf_clear(&p->value);
    int32_t idx = vmt_matcher_push(&j->match, byte, &p->value);
    if (!vmt_is_filler(vmt_buf_str(&p->value), "[],;")) return VMT_STEP_FAIL;
    if (idx >= 0 && p->num_region_calls) vmt_region_forget(p);
    if (idx >= 0 && idx < syntax->num_ends) return VMT_STEP_END;
    return byte == ']' && syntax->num_ends == 0 && idx < 0 ? VMT_STEP_END : VMT_STEP_MORE;
}

/* The rest of an object whose call is whole. */
static vmt_step rest(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    vmt_json_scan_state state = vmt_json_scan_push(&j->scan, byte);
    if (state == VMT_SCAN_DONE) vmt_region_forget(p);
    if (state == VMT_SCAN_DONE || state == VMT_SCAN_BAD) j->state = BETWEEN;
    return state == VMT_SCAN_BAD ? between(p, byte) : VMT_STEP_MORE;
}

static vmt_step json_step(vmt_output_parser *p, char byte) {
    switch (p->u.json.state) {
    case OBJECT: return object_step(p, byte);
    case REST: return rest(p, byte);
    default: return between(p, byte);
    }
}

static vmt_step json_finish(vmt_output_parser *p, bool was_cut) {
    (void)was_cut;
    return p->u.json.state == OBJECT ? VMT_STEP_FAIL : VMT_STEP_END;
}

const vmt_scanner vmt_scan_json = {json_begin, json_step, json_finish};

/* ---- named */

static void named_between(vmt_output_parser *p) {
    const vmt_named_syntax *syntax = p->dialect->syntax;
    p->u.json.state = BETWEEN;
    vmt_matcher_init(&p->u.json.match, syntax->between);
}

static void named_name(vmt_output_parser *p) {
    const vmt_named_syntax *syntax = p->dialect->syntax;
    vmt_call_reset(p);
    vmt_buf_clear(&p->key);
    p->u.json.state = NAME;
    vmt_matcher_init(&p->u.json.match, syntax->separator);
}

static void named_begin(vmt_output_parser *p, uint32_t marker_idx) {
    const vmt_named_syntax *syntax = p->dialect->syntax;
    p->u.json = (struct json_call){0};
    if (syntax->is_bare_start || marker_idx == 1) {
        named_name(p);
    } else {
        named_between(p);
    }
}

/* key holds what stands before the separator. */
static bool named_take_name(vmt_output_parser *p) {
    const vmt_named_syntax *syntax = p->dialect->syntax;
    vmt_str text = vmt_str_trim(vmt_buf_str(&p->key));
    if (syntax->strip_to) {
        size_t at = vmt_str_find(text, vmt_str_from(syntax->strip_to), 0);
        if (at != SIZE_MAX) text = vmt_str_slice(text, at + strlen(syntax->strip_to), text.len);
    }
    if (syntax->has_index) {
        vmt_buf_append(&p->call.id, text);
        vmt_str prefix = VMT_STR("functions.");
        size_t colon = vmt_str_find(text, VMT_STR(":"), 0);
        if (colon != SIZE_MAX) text = vmt_str_slice(text, 0, colon);
        if (vmt_str_starts(text, prefix)) text = vmt_str_slice(text, prefix.len, text.len);
    }
    return vmt_call_set_name(p, vmt_str_trim(text));
}

static vmt_step named_step(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    const vmt_named_syntax *syntax = p->dialect->syntax;
    if (j->state == ARGS) {
        vmt_step step = vmt_args_step(p, &j->scan, byte);
        if (step != VMT_STEP_END) return step;
        j->state = TAIL;
        vmt_matcher_init(&j->match, syntax->close);
        return VMT_STEP_MORE;
    }
    if (j->state == NAME) {
        if (vmt_matcher_push(&j->match, byte, &p->key) < 0) {
            return p->key.len > VMT_HEADER_MAX ? VMT_STEP_FAIL : VMT_STEP_MORE;
        }
        j->state = ARGS;
        vmt_json_scan_init(&j->scan);
        return named_take_name(p) ? VMT_STEP_MORE : VMT_STEP_FAIL;
    }
    vmt_buf_clear(&p->value);
    int32_t idx = vmt_matcher_push(&j->match, byte, &p->value);
    if (!vmt_is_filler(vmt_buf_str(&p->value), j->state == TAIL ? "`" : "")) return VMT_STEP_FAIL;
    if (idx < 0) return VMT_STEP_MORE;
    if (p->num_region_calls) vmt_region_forget(p);
    if (idx == 1) return VMT_STEP_END;
    if (j->state == TAIL) {
        if (syntax->is_bare_start) return VMT_STEP_END;
        named_between(p);
    } else {
        named_name(p);
    }
    return VMT_STEP_MORE;
}

static vmt_step named_finish(vmt_output_parser *p, bool was_cut) {
    (void)was_cut;
    return p->u.json.state == NAME || p->u.json.state == ARGS ? VMT_STEP_FAIL : VMT_STEP_END;
}

const vmt_scanner vmt_scan_named = {named_begin, named_step, named_finish};
