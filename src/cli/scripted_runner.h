/* cli/scripted_runner.h: a model that says what it is told: for tests of everything around a model.
 *
 * Scripts are JSON lines: {"text": "what to say", "match": "part of the prompt"}.  A text may be a list of pieces, each
 * tokenized by itself: a model's own tokens are not always those of its text.  A generation whose prompt holds a
 * script's match says the first such text; others take the scripts without a match in turn.  The end-of-text token
 * follows.  What has been said is remembered beside the KV slots, so a sequence is known by its blocks.  A
 * sequence that is preempted begins again. */
#ifndef VMT_CLI_SCRIPTED_RUNNER_H
#define VMT_CLI_SCRIPTED_RUNNER_H

#include "model/runner.h"
#include "text/tokenizer.h"

#define VMT_SCRIPTS_MAX 4096u

typedef struct vmt_scripted_runner vmt_scripted_runner;

typedef struct vmt_scripted_runner_config {
    const vmt_tokenizer *tokenizer; /* borrowed */
    int32_t eos_id;
    uint32_t vocab, max_model_len;
    uint32_t num_blocks, block_size; /* as the scheduler's */
} vmt_scripted_runner_config;

vmt_status vmt_scripted_runner_create(vmt_scripted_runner **out, vmt_str scripts,
                                      const vmt_scripted_runner_config *config, vmt_err *err);
void vmt_scripted_runner_destroy(vmt_scripted_runner *runner); /* NULL is fine */
vmt_runner vmt_scripted_runner_face(vmt_scripted_runner *runner);

#endif
