/* engine/sampling.h: how the next token is chosen from a row of logits.
 *
 * Order, as vLLM has it: min_tokens and bad words ban, allowed ids keep, logit_bias adds, penalties, and a constraint's
 * mask, which wins where they leave nothing of it; then greedy takes the maximum (lowest id on ties), else temperature,
 * min_p, top_k, top_p, and a draw from what is left.  Reported log probabilities are of the raw logits.  The draw
 * depends on (seed, sequence index, output position) alone, so a seeded request gives the same text whatever runs
 * beside it. */
#ifndef VMT_ENGINE_SAMPLING_H
#define VMT_ENGINE_SAMPLING_H

#include "base/arena.h"

#define VMT_STOP_TOKEN_IDS_MAX    1024u
#define VMT_LOGIT_BIAS_MAX        16384u
#define VMT_BAD_WORDS_MAX         1024u /* runs of tokens */
#define VMT_ALLOWED_TOKEN_IDS_MAX (1u << 20)

typedef struct vmt_token_logprob {
    int32_t token_id;
    float logprob;
} vmt_token_logprob;

typedef struct vmt_logit_bias {
    int32_t token_id;
    float bias;
} vmt_logit_bias;

typedef struct vmt_token_run {
    const int32_t *ids;
    uint32_t len;
} vmt_token_run;

typedef struct vmt_sampling {
    float temperature;                         /* 0: greedy */
    float top_p, min_p;                        /* 1 and 0: off */
    int32_t top_k;                             /* 0: off */
    float repetition_penalty;                  /* 1: off; counts prompt and output */
    float presence_penalty, frequency_penalty; /* 0: off; count output only */
    bool has_seed;
    uint64_t seed;
    uint32_t max_tokens, min_tokens;
    bool ignore_eos;
    int32_t num_logprobs; /* -1: none; 0: the sampled token's; k: and the k best; INT32_MAX: the vocabulary */
    int32_t num_prompt_logprobs;   /* likewise for each prompt position */
    const int32_t *stop_token_ids; /* the model's own end ids are added by the engine unless ignore_eos */
    uint32_t num_stop_token_ids;
    const vmt_logit_bias *logit_bias;
    uint32_t num_logit_bias;
    const int32_t *allowed_token_ids; /* NULL: all */
    uint32_t num_allowed_token_ids;
    const vmt_token_run *bad_words; /* the last id of a run is banned while the output ends with the rest */
    uint32_t num_bad_words;
} vmt_sampling;

/* Everything off, greedy off, temperature 1. */
vmt_sampling vmt_sampling_default(void);

#endif
