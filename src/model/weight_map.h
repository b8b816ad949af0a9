/* model/weight_map.h: which tensors a model's file must have, by the family's names, and their shapes: what all loaders
 * of weights share.
 *
 * A layer has four linear layers, each over up to three matrices that read the same input: their rows stand one after
 * the other in its output. */
#ifndef VMT_MODEL_WEIGHT_MAP_H
#define VMT_MODEL_WEIGHT_MAP_H

#include "model/config.h"
#include "model/families.h"
#include "tensor/matrix.h"
#include "tensor/weight_file.h"

#define VMT_LINEAR_PARTS_MAX 3
#define VMT_WEIGHT_NAME_MAX  192u /* bytes of a name that a pattern makes */

typedef struct vmt_linear_part {
    const char *pattern;
    uint32_t rows;
} vmt_linear_part;

typedef struct vmt_linear_shape {
    vmt_linear_part parts[VMT_LINEAR_PARTS_MAX];
    uint32_t num_parts, cols;
    bool has_bias;
} vmt_linear_shape;

typedef struct vmt_layer_shape {
    vmt_linear_shape qkv, o, gate_up, down;
} vmt_layer_shape;

/* The family's names for this kind of file. */
const vmt_weight_names *vmt_weight_map_names(const vmt_model_config *config, const vmt_weight_file *file);
vmt_layer_shape vmt_weight_map_layer(const vmt_model_config *config, const vmt_weight_names *names);
vmt_linear_shape vmt_weight_map_head(const vmt_model_config *config, const vmt_weight_names *names);

/* "model.layers.3.mlp.up_proj.weight" from pattern, layer and ".weight", into out. */
const char *vmt_weight_map_name(const char *pattern, uint32_t layer, const char *ending,
                                char out[VMT_WEIGHT_NAME_MAX]);
/* A matrix of floating-point elements, plain or quantized.  VMT_E_INVALID: "NAME is [576, 1536] F16, expected [..]".
 * MLX's: NAME.weight has words of quants, NAME.scales and NAME.biases lie beside it; bits and the group's size follow
 * from their shapes, whatever config.json says of this layer. */
vmt_status vmt_weight_map_matrix(const vmt_weight_file *file, const char *name, uint32_t rows, uint32_t cols,
                                 vmt_matrix *out, vmt_err *err);
/* The tensor of a vector; vmt_dtype_get(dtype)->dequantize makes floats of it. */
vmt_status vmt_weight_map_vector(const vmt_weight_file *file, const char *name, uint32_t len, vmt_tensor *out,
                                 vmt_err *err);

#endif
