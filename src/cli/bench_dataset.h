/* cli/bench_dataset.h: the prompts of a benchmark: random ones, random ones behind shared prefixes, or a JSONL file.
 *
 * Random prompts are token ids from a range that is ordinary text in every usual vocabulary, so that lengths are exact
 * without a tokenizer; where a server wants text, they are as many common words.  A seed always gives the same ones. */
#ifndef VMT_CLI_BENCH_DATASET_H
#define VMT_CLI_BENCH_DATASET_H

#include "cli/flags.h"

#define VMT_BENCH_PROMPTS_MAX 1000000
#define VMT_BENCH_LEN_MAX     1048576           /* tokens of a prompt or an answer */
#define VMT_BENCH_FILE_MAX    ((size_t)1 << 30) /* bytes of a dataset file */
#define VMT_BENCH_ID_MIN      1000              /* random ids: above bytes and special tokens, */
#define VMT_BENCH_ID_MAX      20000             /* below the end of any vocabulary in use */

typedef struct vmt_bench_dataset_options {
    vmt_str name, path; /* random | prefix_repetition | custom; path of the custom file */
    int64_t num_prompts, seed;
    int64_t input_len, output_len, prefix_len; /* random */
    double range_ratio;                        /* lengths vary by this share, 0..1 */
    int64_t repetition_prefix_len, repetition_suffix_len, repetition_num_prefixes, repetition_output_len;
    int64_t custom_output_len; /* -1: what the line says */
} vmt_bench_dataset_options;

#define VMT_BENCH_DATASET_DEFAULTS     \
    {                                  \
        .name = {"random", 6},         \
        .num_prompts = 1000,           \
        .input_len = 1024,             \
        .output_len = 128,             \
        .repetition_prefix_len = 256,  \
        .repetition_suffix_len = 256,  \
        .repetition_num_prefixes = 10, \
        .repetition_output_len = 128,  \
        .custom_output_len = 256,      \
    }

typedef struct vmt_bench_prompt {
    const int32_t *ids; /* [num_ids], or NULL for a text prompt */
    uint32_t num_ids;
    vmt_str text;
    uint32_t output_len;
} vmt_bench_prompt;

typedef struct vmt_bench_dataset {
    vmt_arena *arena;
    vmt_bench_prompt *prompts;
    uint32_t num;
} vmt_bench_dataset;

/* as_text: words instead of ids.  id_max: one past the largest id drawn; 0: VMT_BENCH_ID_MAX. */
vmt_status vmt_bench_dataset_create(vmt_bench_dataset *out, const vmt_bench_dataset_options *options, bool as_text,
                                    uint32_t id_max, vmt_err *err);
void vmt_bench_dataset_free(vmt_bench_dataset *dataset);

#endif
