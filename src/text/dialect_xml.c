/* text/dialect_xml.c: calls in tags, an argument in each: Qwen3-Coder, Seed-OSS, MiniMax, DeepSeek's DSML, GLM.
 *
 *   xml    <tool_call> <function=f> <parameter=k> v </parameter> ... </function> </tool_call>
 *          <invoke name="f"><parameter name="k" string="true">v</parameter>...</invoke>
 *   glm    <tool_call>f <arg_key>k</arg_key> <arg_value>v</arg_value> ... </tool_call>
 *
 * A value is text that the tool's schema types; a string is passed on as it comes, other types when they are whole. */
#include "text/output_scan.h"

enum { BETWEEN, NAME, BODY, KEY, TO_VALUE, VALUE };
enum { VALUE_TYPED, VALUE_STRING, VALUE_JSON };

static void enter(vmt_output_parser *p, int state, const char *const *markers) {
    p->u.xml.state = state;
    vmt_matcher_init(&p->u.xml.match, markers);
}

static void begin_name(vmt_output_parser *p) {
    vmt_call_reset(p);
    vmt_buf_clear(&p->key);
    p->u.xml.state = NAME;
}

/* ---- values */

static void begin_value(vmt_output_parser *p, int kind, const char *const *ends) {
    struct xml_call *x = &p->u.xml;
    vmt_str key = vmt_buf_str(&p->key);
    enter(p, VALUE, ends);
    x->value = kind;
    if (kind == VALUE_TYPED && vmt_typed_is_string(vmt_call_property(p, key))) x->value = VALUE_STRING;
    x->is_first = true;
    x->holds_newline = false;
    vmt_buf_clear(&p->value);
    if (x->value != VALUE_STRING) return;
    vmt_call_key(p, key);
    vmt_call_args(p, VMT_STR("\""));
}

static void value_byte(vmt_output_parser *p, char byte, bool strips) {
    struct xml_call *x = &p->u.xml;
    bool is_first = x->is_first;
    x->is_first = false;
    if (strips && is_first && byte == '\n') return;
    if (x->holds_newline && x->value == VALUE_STRING) vmt_call_string_byte(p, '\n');
    if (x->holds_newline && x->value != VALUE_STRING) vmt_buf_append_byte(&p->value, '\n');
    x->holds_newline = strips && byte == '\n';
    if (x->holds_newline) return;
    if (x->value == VALUE_STRING) {
        vmt_call_string_byte(p, byte);
    } else {
        vmt_buf_append_byte(&p->value, byte);
    }
}

static void end_value(vmt_output_parser *p) {
    struct xml_call *x = &p->u.xml;
    vmt_str key = vmt_buf_str(&p->key), text = vmt_buf_str(&p->value);
    if (x->value == VALUE_STRING) {
        vmt_call_args(p, VMT_STR("\""));
    } else if (x->value == VALUE_JSON) {
        vmt_json_doc *doc = NULL;
        if (vmt_json_parse(&doc, text, NULL) == VMT_OK) {
            vmt_call_key(p, key);
            vmt_call_args(p, vmt_str_trim(text));
        } else {
            vmt_call_typed(p, key, text);
        }
        vmt_json_doc_destroy(doc);
    } else {
        vmt_call_typed(p, key, text);
    }
}

/* The marker that ends the value, or -1. */
static int32_t value_step(vmt_output_parser *p, char byte, bool strips) {
    vmt_buf *passed = &p->call.args; /* free while a call is announced */
    vmt_buf_clear(passed);
    int32_t idx = vmt_matcher_push(&p->u.xml.match, byte, passed);
    for (size_t i = 0; i < passed->len; i++) value_byte(p, passed->ptr[i], strips);
    vmt_buf_clear(passed);
    if (idx >= 0) end_value(p);
    return idx;
}

/* A marker after filler, or -1; *fails when there is other text. */
static int32_t marker(vmt_output_parser *p, char byte, bool *fails) {
    vmt_buf_clear(&p->value);
    int32_t idx = vmt_matcher_push(&p->u.xml.match, byte, &p->value);
    *fails = !vmt_is_filler(vmt_buf_str(&p->value), "");
    return idx;
}

/* ---- xml */

static void xml_begin(vmt_output_parser *p, uint32_t marker_idx) {
    const vmt_xml_syntax *syntax = p->dialect->syntax;
    p->u.xml = (struct xml_call){0};
    enter(p, BETWEEN, syntax->between);
    if (strcmp(p->dialect->opens[marker_idx], syntax->between[0]) == 0) begin_name(p);
}

/* What a tag says after its beginning: the name, and attributes.  key becomes the name alone. */
static bool end_tag(vmt_output_parser *p, bool *is_json) {
    const vmt_xml_syntax *syntax = p->dialect->syntax;
    vmt_str text = vmt_buf_str(&p->key);
    size_t end = text.len;
    if (syntax->quoted) {
        end = vmt_str_find(text, VMT_STR("\""), 0);
        if (end == SIZE_MAX) return false;
        *is_json = vmt_str_find(text, VMT_STR("string=\"false\""), end) != SIZE_MAX;
    }
    p->key.len = end;
    vmt_str name = vmt_str_trim(vmt_buf_str(&p->key));
    if (name.len == 0) return false;
    memmove(p->key.ptr, name.ptr, name.len);
    p->key.len = name.len;
    return true;
}

static vmt_step tag(vmt_output_parser *p, char byte) {
    const vmt_xml_syntax *syntax = p->dialect->syntax;
    bool is_json = false;
    if (byte != '>') {
        vmt_buf_append_byte(&p->key, byte);
        return byte == '<' || p->key.len > VMT_HEADER_MAX ? VMT_STEP_FAIL : VMT_STEP_MORE;
    }
    if (!end_tag(p, &is_json)) return VMT_STEP_FAIL;
    if (p->u.xml.state == KEY) {
        begin_value(p, is_json ? VALUE_JSON : VALUE_TYPED, syntax->value);
        return VMT_STEP_MORE;
    }
    if (!vmt_call_set_name(p, vmt_buf_str(&p->key))) return VMT_STEP_FAIL;
    enter(p, BODY, syntax->body);
    return VMT_STEP_MORE;
}

static vmt_step xml_step(vmt_output_parser *p, char byte) {
    const vmt_xml_syntax *syntax = p->dialect->syntax;
    bool fails;
    int32_t idx;
    switch (p->u.xml.state) {
    case BETWEEN:
        idx = marker(p, byte, &fails);
        if (fails) return VMT_STEP_FAIL;
        if (idx == 0) begin_name(p);
        if (idx >= 0 && p->num_region_calls && idx > 0) vmt_region_forget(p);
        return idx > 0 ? VMT_STEP_END : VMT_STEP_MORE;
    case NAME:
    case KEY: return tag(p, byte);
    case BODY:
        idx = marker(p, byte, &fails);
        if (fails) return VMT_STEP_FAIL;
        if (idx < 0) return VMT_STEP_MORE;
        if (idx == 0) {
            if (!p->call.is_started) vmt_call_start(p);
            vmt_buf_clear(&p->key);
            p->u.xml.state = KEY;
            return VMT_STEP_MORE;
        }
        vmt_call_close(p);
        enter(p, BETWEEN, syntax->between);
        return idx > 1 ? VMT_STEP_END : VMT_STEP_MORE;
    default:
        idx = value_step(p, byte, syntax->strips_newline);
        if (idx == 0) enter(p, BODY, syntax->body);
        if (idx == 1) {
            vmt_call_close(p);
            enter(p, BETWEEN, syntax->between);
        }
        return VMT_STEP_MORE;
    }
}

/* A model that stops by itself between two arguments has said what it wanted. */
static vmt_step finish(vmt_output_parser *p, bool was_cut) {
    if (p->u.xml.state == BETWEEN) return VMT_STEP_END;
    if (p->u.xml.state != BODY || was_cut) return VMT_STEP_FAIL;
    vmt_call_close(p);
    return VMT_STEP_END;
}

const vmt_scanner vmt_scan_xml = {xml_begin, xml_step, finish};

/* ---- glm */

static const char *const glm_body[] = {"<arg_key>", "</tool_call>", NULL};
static const char *const glm_key_end[] = {"</arg_key>", NULL};
static const char *const glm_to_value[] = {"<arg_value>", NULL};
static const char *const glm_value_end[] = {"</arg_value>", NULL};

static void glm_begin(vmt_output_parser *p, uint32_t marker_idx) {
    (void)marker_idx;
    p->u.xml = (struct xml_call){0};
    enter(p, NAME, glm_body);
}

static vmt_step glm_member(vmt_output_parser *p, int32_t idx) {
    if (idx == 0) {
        if (!p->call.is_started) vmt_call_start(p);
        vmt_buf_clear(&p->key);
        enter(p, KEY, glm_key_end);
        return VMT_STEP_MORE;
    }
    vmt_call_close(p);
    return VMT_STEP_END;
}

static vmt_step glm_step(vmt_output_parser *p, char byte) {
    bool fails = false;
    int32_t idx;
    switch (p->u.xml.state) {
    case NAME:
        idx = vmt_matcher_push(&p->u.xml.match, byte, &p->key);
        if (p->key.len > VMT_HEADER_MAX || (p->key.len && strchr("<>{}[]()\"'", p->key.ptr[p->key.len - 1]))) {
            return VMT_STEP_FAIL;
        }
        if (idx < 0) return VMT_STEP_MORE;
        if (!vmt_call_set_name(p, vmt_str_trim(vmt_buf_str(&p->key)))) return VMT_STEP_FAIL;
        return glm_member(p, idx);
    case BODY:
        idx = marker(p, byte, &fails);
        return fails ? VMT_STEP_FAIL : idx < 0 ? VMT_STEP_MORE : glm_member(p, idx);
    case KEY:
        if (vmt_matcher_push(&p->u.xml.match, byte, &p->key) == 0) enter(p, TO_VALUE, glm_to_value);
        return p->key.len > VMT_HEADER_MAX ? VMT_STEP_FAIL : VMT_STEP_MORE;
    case TO_VALUE:
        if (marker(p, byte, &fails) == 0) begin_value(p, VALUE_TYPED, glm_value_end);
        return fails ? VMT_STEP_FAIL : VMT_STEP_MORE;
    default:
        if (value_step(p, byte, false) == 0) enter(p, BODY, glm_body);
        return VMT_STEP_MORE;
    }
}

const vmt_scanner vmt_scan_glm = {glm_begin, glm_step, finish};
