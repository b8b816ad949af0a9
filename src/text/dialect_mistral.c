/* text/dialect_mistral.c: Mistral's calls, of both tokenizer generations.
 *
 *   [TOOL_CALLS][{"name": f, "arguments": {...}}, ...]              a JSON list: dialect_json.c
 *   [TOOL_CALLS]f{...}   [TOOL_CALLS]f[CALL_ID]id[ARGS]{...}        a marker for each call */
#include "text/output_scan.h"

enum { START = 100, NAME, CALL_ID, ARGS }; /* above the states of JSON */

static const char *const after_name[] = {"[ARGS]", "[CALL_ID]", NULL};
static const char *const after_id[] = {"[ARGS]", NULL};

static void begin(vmt_output_parser *p, uint32_t marker_idx) {
    vmt_scan_json.begin(p, marker_idx);
    p->u.json.state = START;
}

static vmt_step begin_args(vmt_output_parser *p) {
    vmt_str name = vmt_str_trim(vmt_buf_str(&p->key));
    p->u.json.state = ARGS;
    vmt_json_scan_init(&p->u.json.scan);
    return vmt_call_set_name(p, name) ? VMT_STEP_MORE : VMT_STEP_FAIL;
}

static vmt_step name(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    if (byte == '{' && j->match.num_held == 0) {
        if (begin_args(p) == VMT_STEP_FAIL) return VMT_STEP_FAIL;
        return vmt_args_step(p, &j->scan, byte);
    }
    int32_t idx = vmt_matcher_push(&j->match, byte, &p->key);
    if (p->key.len > VMT_HEADER_MAX) return VMT_STEP_FAIL;
    if (idx == 0) return begin_args(p);
    if (idx == 1) {
        j->state = CALL_ID;
        vmt_matcher_init(&j->match, after_id);
    }
    return VMT_STEP_MORE;
}

static vmt_step step(vmt_output_parser *p, char byte) {
    struct json_call *j = &p->u.json;
    switch (j->state) {
    case START:
        if (vmt_is_space(byte)) return VMT_STEP_MORE;
        if (byte == '[' || byte == '{') {
            vmt_scan_json.begin(p, 0);
            return vmt_scan_json.step(p, byte);
        }
        j->state = NAME;
        vmt_matcher_init(&j->match, after_name);
        return name(p, byte);
    case NAME: return name(p, byte);
    case CALL_ID:
        if (vmt_matcher_push(&j->match, byte, &p->call.id) == 0) return begin_args(p);
        return p->call.id.len > VMT_HEADER_MAX ? VMT_STEP_FAIL : VMT_STEP_MORE;
    case ARGS: return vmt_args_step(p, &j->scan, byte);
    default: return vmt_scan_json.step(p, byte);
    }
}

static vmt_step finish(vmt_output_parser *p, bool was_cut) {
    return p->u.json.state >= START ? VMT_STEP_FAIL : vmt_scan_json.finish(p, was_cut);
}

const vmt_scanner vmt_scan_mistral = {begin, step, finish};
