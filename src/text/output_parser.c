#include "text/output_scan.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- markers */

void vmt_matcher_init(vmt_matcher *m, const char *const *markers) {
    m->markers = markers;
    m->num_held = 0;
}

/* What is held is a marker, or may become one. */
static int32_t held_is(const vmt_matcher *m, bool *may_become) {
    *may_become = false;
    for (int32_t i = 0; m->markers[i]; i++) {
        if (strncmp(m->markers[i], m->held, m->num_held) != 0) continue;
        if (m->markers[i][m->num_held] == '\0') return i;
        *may_become = true;
    }
    return -1;
}

int32_t vmt_matcher_push(vmt_matcher *m, char byte, vmt_buf *out) {
    VMT_ASSERT(m->num_held < VMT_MARKER_MAX);
    m->held[m->num_held++] = byte;
    while (m->num_held) {
        bool may_become;
        int32_t idx = held_is(m, &may_become);
        if (idx >= 0) m->num_held = 0;
        if (idx >= 0 || may_become) return idx;
        vmt_buf_append_byte(out, m->held[0]);
        m->num_held--;
        memmove(m->held, m->held + 1, m->num_held);
    }
    return -1;
}

void vmt_matcher_flush(vmt_matcher *m, vmt_buf *out) {
    vmt_buf_append(out, (vmt_str){m->held, m->num_held});
    m->num_held = 0;
}

/* ---- events */

static void send(vmt_output_parser *p, vmt_output_event_kind kind, vmt_str text) {
    const vmt_output_event event = {
        .kind = kind,
        .call_idx = p->num_calls ? p->num_calls - 1 : 0,
        .text = text,
        .name = vmt_buf_str(&p->call.name),
        .id = vmt_buf_str(&p->call.id),
    };
    p->options.on_event(p->options.ctx, &event);
}

static void flush(vmt_output_parser *p) {
    if (p->has_pending && p->pending.len) send(p, p->pending_kind, vmt_buf_str(&p->pending));
    p->has_pending = false;
    vmt_buf_clear(&p->pending);
}

void vmt_output_emit(vmt_output_parser *p, vmt_output_event_kind kind, vmt_str text) {
    bool joins = kind == VMT_OUTPUT_REASONING || kind == VMT_OUTPUT_CONTENT || kind == VMT_OUTPUT_CALL_ARGS;
    if (p->has_pending && p->pending_kind != kind) flush(p);
    if (!joins) {
        send(p, kind, text);
        return;
    }
    p->has_pending = true;
    p->pending_kind = kind;
    vmt_buf_append(&p->pending, text);
    p->failed = p->failed || p->pending.failed;
}

void vmt_output_content(vmt_output_parser *p, vmt_str text) {
    size_t i = 0;
    if (p->dialect && !p->had_text) {
        while (i < text.len && vmt_is_space(text.ptr[i])) i++;
        vmt_buf_append(&p->spaces, vmt_str_slice(text, 0, i));
        if (i == text.len) return;
        p->had_text = true;
        p->at_start = false;
        vmt_output_emit(p, VMT_OUTPUT_CONTENT, vmt_buf_str(&p->spaces));
        vmt_buf_clear(&p->spaces);
    }
    if (i < text.len) vmt_output_emit(p, VMT_OUTPUT_CONTENT, vmt_str_slice(text, i, text.len));
}

/* ---- calls */

void vmt_call_reset(vmt_output_parser *p) {
    vmt_call *call = &p->call;
    vmt_buf_clear(&call->name);
    vmt_buf_clear(&call->id);
    vmt_buf_clear(&call->args);
    call->is_started = call->is_ended = call->has_args = false;
    call->parameters = (vmt_json){0};
}

static bool find_tool(const vmt_output_parser *p, vmt_str name, vmt_json *parameters) {
    vmt_json tool;
    for (vmt_json_iter it = vmt_json_iter_begin(p->options.tools); vmt_json_iter_next(&it, NULL, &tool);) {
        vmt_json function = VMT_JSON_AT(tool, "function");
        vmt_str own;
        if (!vmt_json_get_str(VMT_JSON_AT(function, "name"), &own) || !vmt_str_eq(own, name)) continue;
        *parameters = VMT_JSON_AT(function, "parameters");
        return true;
    }
    return false;
}

bool vmt_call_set_name(vmt_output_parser *p, vmt_str name) {
    if (name.len == 0 || name.len > VMT_CALL_NAME_MAX || p->num_calls == VMT_CALLS_PER_CHOICE_MAX) return false;
    for (size_t i = 0; i < name.len; i++) {
        if (vmt_is_space(name.ptr[i]) || strchr("<>{}[]()\"'", name.ptr[i])) return false;
    }
    if (!find_tool(p, name, &p->call.parameters) && p->dialect->names_known) return false;
    vmt_buf_clear(&p->call.name);
    vmt_buf_append(&p->call.name, name);
    return true;
}

void vmt_call_start(vmt_output_parser *p) {
    VMT_ASSERT(!p->call.is_started && p->call.name.len);
    flush(p);
    p->call.is_started = true;
    vmt_buf_clear(&p->spaces);
    p->had_text = p->at_start = false;
    p->num_calls++;
    p->num_region_calls++;
    vmt_output_emit(p, VMT_OUTPUT_CALL_START, (vmt_str){0});
    if (p->call.args.len) vmt_output_emit(p, VMT_OUTPUT_CALL_ARGS, vmt_buf_str(&p->call.args));
    vmt_buf_clear(&p->call.args);
}

void vmt_call_args(vmt_output_parser *p, vmt_str json) {
    if (p->call.is_started) {
        vmt_output_emit(p, VMT_OUTPUT_CALL_ARGS, json);
    } else {
        vmt_buf_append(&p->call.args, json);
    }
}

void vmt_call_arg_byte(vmt_output_parser *p, char byte) {
    vmt_call_args(p, (vmt_str){&byte, 1});
}

void vmt_call_end(vmt_output_parser *p) {
    VMT_ASSERT(p->call.is_started && !p->call.is_ended);
    vmt_output_emit(p, VMT_OUTPUT_CALL_END, (vmt_str){0});
    p->call.is_ended = p->any_call = true;
    vmt_buf_clear(&p->raw);
}

vmt_json_scan_state vmt_args_push(vmt_output_parser *p, vmt_json_scan *scan, char byte, vmt_buf *out) {
    if (scan->state == VMT_SCAN_STRING && (unsigned char)byte < 0x20) {
        char escape[8];
        size_t len = (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)byte);
        if (byte == '\n' || byte == '\t' || byte == '\r') {
            escape[1] = byte == '\n' ? 'n' : byte == '\t' ? 't' : 'r';
            len = 2;
        }
        if (out)
            vmt_buf_append(out, (vmt_str){escape, len});
        else
            vmt_call_args(p, (vmt_str){escape, len});
        return scan->state;
    }
    vmt_json_scan_state state = vmt_json_scan_push(scan, byte);
    if (state == VMT_SCAN_BAD) return state;
    if (out)
        vmt_buf_append_byte(out, byte);
    else
        vmt_call_arg_byte(p, byte);
    return state;
}

vmt_step vmt_args_step(vmt_output_parser *p, vmt_json_scan *scan, char byte) {
    if (!p->call.is_started) {
        if (vmt_is_space(byte)) return VMT_STEP_MORE;
        if (byte != '{') return VMT_STEP_FAIL;
        vmt_call_start(p);
    }
    vmt_json_scan_state state = vmt_args_push(p, scan, byte, NULL);
    if (state == VMT_SCAN_BAD) return VMT_STEP_FAIL;
    if (state != VMT_SCAN_DONE) return VMT_STEP_MORE;
    vmt_call_end(p);
    return VMT_STEP_END;
}

bool vmt_is_filler(vmt_str text, const char *also) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!vmt_is_space(c) && (c == '\0' || !strchr(also, c))) return false;
    }
    return true;
}

void vmt_region_forget(vmt_output_parser *p) {
    vmt_buf_clear(&p->raw);
}

/* ---- content: regions */

static void end_region(vmt_output_parser *p, bool as_text) {
    p->in_region = false;
    bool is_broken = p->call.is_started && !p->call.is_ended;
    if (is_broken) {
        vmt_output_emit(p, VMT_OUTPUT_CALL_BROKEN, vmt_buf_str(&p->raw));
        p->call.is_ended = true;
    } else if (as_text || p->num_region_calls == 0) {
        vmt_output_content(p, vmt_buf_str(&p->raw));
    }
    vmt_buf_clear(&p->raw);
    p->at_start = false;
}

static void begin_region(vmt_output_parser *p, int32_t marker_idx) {
    p->in_region = true;
    p->num_region_calls = 0;
    vmt_call_reset(p);
    vmt_buf_clear(&p->key);
    vmt_buf_clear(&p->value);
    vmt_buf_clear(&p->raw);
    if (marker_idx >= 0) vmt_buf_append_c(&p->raw, p->dialect->opens[marker_idx]);
    p->dialect->scanner->begin(p, marker_idx < 0 ? VMT_MARKERS_MAX : (uint32_t)marker_idx);
}

/* true: the byte was the region's. */
static bool region_byte(vmt_output_parser *p, char byte) {
    vmt_buf_append_byte(&p->raw, byte);
    if (p->raw.failed) p->failed = true;
    vmt_step step = p->dialect->scanner->step(p, byte);
    if (step == VMT_STEP_MORE) return true;
    bool keeps = step == VMT_STEP_END;
    if (!keeps && p->raw.len) p->raw.len--;
    end_region(p, step == VMT_STEP_FAIL);
    return keeps;
}

void vmt_output_content_byte(vmt_output_parser *p, char byte) {
    if (!p->dialect) {
        vmt_output_content(p, (vmt_str){&byte, 1});
        return;
    }
    if (p->in_region && region_byte(p, byte)) return;
    if (p->at_start && !p->had_text && byte == p->dialect->bare_open && p->outer.num_held == 0) {
        begin_region(p, -1);
        if (region_byte(p, byte)) return;
    }
    int32_t idx = vmt_matcher_push(&p->outer, byte, &p->passed);
    if (p->passed.len) {
        vmt_output_content(p, vmt_buf_str(&p->passed));
        vmt_buf_clear(&p->passed);
    }
    if (idx >= 0) begin_region(p, idx);
}

/* ---- the parser */

static const char *const no_markers[] = {NULL};

vmt_output_parser *vmt_output_parser_create(const vmt_output_options *options) {
    vmt_output_parser *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->options = *options;
    p->dialect = options->dialect;
    p->at_start = true;
    vmt_buf_init(&p->raw, VMT_CALL_TEXT_MAX);
    vmt_buf_init(&p->value, VMT_CALL_TEXT_MAX);
    vmt_buf_init(&p->call.args, VMT_CALL_TEXT_MAX);
    vmt_reasoning_init(p);
    vmt_matcher_init(&p->outer, p->dialect && p->dialect->opens ? p->dialect->opens : no_markers);
    if (p->dialect && p->dialect->from_start) begin_region(p, -1);
    return p;
}

void vmt_output_parser_destroy(vmt_output_parser *p) {
    if (!p) return;
    vmt_buf *bufs[] = {&p->pending, &p->lead,  &p->spaces,    &p->passed,  &p->raw,
                       &p->key,     &p->value, &p->call.name, &p->call.id, &p->call.args};
    for (size_t i = 0; i < VMT_COUNT(bufs); i++) vmt_buf_free(bufs[i]);
    free(p);
}

static bool is_well(const vmt_output_parser *p) {
    return !p->failed && !p->raw.failed && !p->value.failed && !p->call.args.failed && !p->spaces.failed &&
           !p->pending.failed && !p->lead.failed && !p->passed.failed && !p->key.failed;
}

bool vmt_output_parser_push(vmt_output_parser *p, vmt_str text) {
    for (size_t i = 0; i < text.len && is_well(p); i++) vmt_reasoning_byte(p, text.ptr[i]);
    flush(p);
    return is_well(p);
}

bool vmt_output_parser_finish(vmt_output_parser *p, bool was_cut) {
    vmt_reasoning_finish(p);
    if (p->dialect) {
        if (p->in_region) {
            vmt_step step = p->dialect->scanner->finish(p, was_cut);
            end_region(p, step == VMT_STEP_FAIL);
        }
        vmt_matcher_flush(&p->outer, &p->passed);
        vmt_output_content(p, vmt_buf_str(&p->passed));
        if (!p->any_call && p->spaces.len) vmt_output_emit(p, VMT_OUTPUT_CONTENT, vmt_buf_str(&p->spaces));
    }
    flush(p);
    return is_well(p);
}
