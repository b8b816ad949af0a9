/* model/test_golden.h: the tiny random checkpoints of tests/golden (make_models.py), with what transformers makes of
 * them: for tests of whole models.  Each helper ends the case when a file is not as it should be. */
#ifndef VMT_MODEL_TEST_GOLDEN_H
#define VMT_MODEL_TEST_GOLDEN_H

#include "base/test.h"
#include "model/config.h"
#include "tensor/weight_file.h"

#define VMT_GOLDEN            "tests/golden/"
#define VMT_GOLDEN_CONTEXT    512u
#define VMT_GOLDEN_GREEDY_MAX 64u
#define VMT_GOLDEN_FAMILIES   8u

extern const char *const vmt_golden_families[VMT_GOLDEN_FAMILIES];

typedef struct vmt_golden {
    int32_t prompt[VMT_GOLDEN_CONTEXT], greedy[VMT_GOLDEN_GREEDY_MAX];
    uint32_t prompt_len, greedy_len;
    const float *logits; /* [prompt_len, vocab] */
} vmt_golden;

vmt_golden vmt_golden_load(vmt_test *t, const char *family);
const char *vmt_golden_path(vmt_test *t, const char *family, const char *file);
/* From the GGUF header, or else from config.json. */
vmt_model_config *vmt_golden_config(vmt_test *t, const char *config_path, const vmt_weight_file *file);
/* A file's bytes, in the case's arena. */
vmt_str vmt_golden_read(vmt_test *t, const char *path);
vmt_json_doc *vmt_golden_parse(vmt_test *t, const char *path);
uint32_t vmt_golden_ids(vmt_test *t, vmt_json list, int32_t *out, uint32_t max);

#endif
