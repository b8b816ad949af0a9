/* api/logprobs.h: log probabilities as chat, completions and prompt_logprobs show them.
 *
 * A token's text is UTF-8 with U+FFFD for bytes that are no character by themselves; its bytes are the real ones.
 * Lists are written as tokens come, as JSON fragments, so that a long answer is never formatted in one go. */
#ifndef VMT_API_LOGPROBS_H
#define VMT_API_LOGPROBS_H

#include "engine/engine.h"
#include "json/json_writer.h"
#include "text/tokenizer.h"

#define VMT_LOGPROB_FLOOR (-9999.0f) /* minus infinity is written so */

typedef struct vmt_logprobs_style {
    const vmt_tokenizer *tok;
    int32_t num_top;  /* -1: all there are */
    bool as_token_id; /* "token_id:17" for the token's text */
} vmt_logprobs_style;

/* Appends the text of a token as it appears in logprobs. */
void vmt_logprobs_token_text(const vmt_logprobs_style *style, int32_t token_id, vmt_buf *out);

/* {token, logprob, bytes, top_logprobs}: one element of logprobs.content. */
void vmt_logprobs_chat_entry(vmt_json_writer *w, const vmt_logprobs_style *style, const vmt_output_token *token);

/* The four parallel lists of a completion.  Zeroed is empty. */
typedef struct vmt_logprobs_lists {
    vmt_buf text_offset, token_logprobs, tokens, top_logprobs; /* elements joined by commas */
    uint64_t next_offset;                                      /* code points of all tokens so far */
} vmt_logprobs_lists;

/* has_logprob false: the first prompt token, whose entries are null. */
void vmt_logprobs_lists_add(vmt_logprobs_lists *lists, const vmt_logprobs_style *style,
                            const vmt_output_token *token, bool has_logprob);
/* {"text_offset":[..],"token_logprobs":[..],"tokens":[..],"top_logprobs":[..]} */
void vmt_logprobs_lists_write(const vmt_logprobs_lists *lists, vmt_json_writer *w);
/* What was sent is forgotten; offsets go on. */
void vmt_logprobs_lists_clear(vmt_logprobs_lists *lists);
void vmt_logprobs_lists_free(vmt_logprobs_lists *lists);
bool vmt_logprobs_lists_failed(const vmt_logprobs_lists *lists);

/* [null, {"17":{"logprob","rank","decoded_token"}, ...}, ...]: one element per prompt token. */
void vmt_logprobs_prompt(vmt_json_writer *w, const vmt_logprobs_style *style, const vmt_generation *gen,
                         uint32_t num_prompt);

#endif
