#include "api/answer.h"
#include "base/hash.h"

#include <stdio.h>

#define ID_RANDOM_BYTES 12u

struct reader {
    vmt_choice *choice;
    vmt_answer_sink sink;
    void *ctx;
};

static void tell(const struct reader *r, vmt_answer_kind kind, vmt_str text) {
    const vmt_answer_event event = {.kind = kind, .text = text};
    r->sink(r->ctx, &event);
}

static void tell_text(const struct reader *r, vmt_answer_kind kind, const vmt_buf *text) {
    if (text->len) tell(r, kind, vmt_buf_str(text));
}

static void tell_rest_of_call(const struct reader *r, vmt_choice_call *call) {
    tell_text(r, VMT_ANSWER_CALL_ARGS, &call->args);
    if (!call->is_whole) return;
    call->is_ended = true;
    tell(r, VMT_ANSWER_CALL_END, (vmt_str){0});
}

static void tell_call(const struct reader *r, vmt_choice_call *call) {
    const vmt_answer_event start = {
        .kind = VMT_ANSWER_CALL_START, .name = call->name, .id = vmt_str_from(call->id)};
    r->sink(r->ctx, &start);
    tell_rest_of_call(r, call);
}

/* Goes on with the call that an earlier delta has begun.  true: it broke, and the text was told in its place. */
static bool tell_open_call(const struct reader *r) {
    vmt_choice_output *output = &r->choice->output;
    uint32_t idx = output->first_unsent;
    if (idx >= output->num_calls || !output->calls[idx].is_sent || output->calls[idx].is_ended) return false;
    vmt_choice_call *call = &output->calls[idx];
    tell_rest_of_call(r, call);
    if (!call->is_void) return false;
    call->is_ended = true;
    tell(r, VMT_ANSWER_CALL_BROKEN, vmt_buf_str(&r->choice->text));
    return true;
}

void vmt_answer_read(vmt_job *job, vmt_choice *choice, vmt_answer_sink sink, void *ctx) {
    const struct reader r = {choice, sink, ctx};
    vmt_choice_output *output = &choice->output;
    bool has_told_text = tell_open_call(&r);
    tell_text(&r, VMT_ANSWER_REASONING, &output->reasoning);
    if (!has_told_text) tell_text(&r, VMT_ANSWER_CONTENT, &choice->text);
    for (uint32_t i = output->first_unsent; i < output->num_calls; i++) {
        vmt_choice_call *call = &output->calls[i];
        if (call->is_sent) continue;
        /* One that broke before anyone heard of it is in the text: it never began. */
        if (call->is_void) call->is_ended = true;
        if (!call->is_void) tell_call(&r, call);
    }
}

void vmt_answer_make_id(char id[VMT_ANSWER_ID_BYTES], const char *prefix) {
    unsigned char bytes[ID_RANDOM_BYTES];
    vmt_random_bytes(bytes, sizeof bytes);
    int len = snprintf(id, VMT_ANSWER_ID_BYTES, "%s", prefix);
    VMT_ASSERT(len > 0 && (size_t)len + 2 * sizeof bytes < VMT_ANSWER_ID_BYTES);
    for (size_t i = 0; i < sizeof bytes; i++, len += 2) {
        snprintf(id + len, VMT_ANSWER_ID_BYTES - (size_t)len, "%02x", bytes[i]);
    }
}
