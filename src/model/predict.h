/* model/predict.h: what steps of a model would do on a GPU, counted from its recorded programs; nothing runs.
 *
 * Dispatches, barriers and bytes of weights are those of the programs that a server replays.  Bytes of the KV cache and
 * operations follow from the shapes.  Left out, for they are small: activations between dispatches, logits that the
 * sampler reads, what a step writes. */
#ifndef VMT_MODEL_PREDICT_H
#define VMT_MODEL_PREDICT_H

#include "backend/metal/chips.h"
#include "model/gpu_weights.h"

typedef struct vmt_gpu_predict_options {
    uint32_t batch_size; /* sequences that decode side by side */
    uint32_t context;    /* tokens that each of them has, the new one included */
    uint32_t prompt_len; /* of one prefill */
    uint32_t chunk;      /* its tokens in one step, at most */
} vmt_gpu_predict_options;

typedef struct vmt_gpu_predicted_work {
    vmt_step_cost cost;        /* of all steps */
    vmt_step_prediction time;  /* likewise, on the chip */
    uint64_t kv_bytes;         /* of cost.bytes */
    uint32_t num_steps;        /* decode: 1 */
    double layer_dispatches;   /* of one step, per layer: the mean */
    uint32_t other_dispatches; /* of one step, beside the layers */
} vmt_gpu_predicted_work;

/* A decode step that draws a token for each sequence, and a prefill whose last token's successor is drawn.  weights:
 * loaded on a device of plan/plan_gpu.h.  VMT_E_INVALID: an option is 0 or past the model's context. */
vmt_status vmt_gpu_predict(const vmt_model_config *config, const vmt_gpu_weights *weights, const vmt_chip *chip,
                           const vmt_gpu_predict_options *options, vmt_gpu_predicted_work *decode,
                           vmt_gpu_predicted_work *prefill, vmt_err *err);

#endif
