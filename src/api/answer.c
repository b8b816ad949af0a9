#include "api/answer.h"
#include "base/hash.h"

#include <stdio.h>

#define ID_RANDOM_BYTES 12u

void vmt_answer_read(vmt_job *job, vmt_choice *choice, vmt_answer_sink sink, void *ctx) {
    if (choice->text.len == 0) return;
    const vmt_answer_event event = {.kind = VMT_ANSWER_CONTENT, .text = vmt_buf_str(&choice->text)};
    sink(ctx, &event);
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
