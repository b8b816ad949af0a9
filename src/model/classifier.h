/* model/classifier.h: the weight that makes one number, a logit, of a final hidden state.
 *
 * Rerankers are decoders with a head of one row; or they answer with one of two words, and then the difference of these
 * words' rows in the language model's head is such a row: softmax over two logits is the logistic of their
 * difference. */
#ifndef VMT_MODEL_CLASSIFIER_H
#define VMT_MODEL_CLASSIFIER_H

#include "model/config.h"
#include "tensor/weight_file.h"

#define VMT_CLASSIFIER_TOKENS_MAX 2u

/* Into weight [hidden]: the head's row of ids[0]; or of two ids, ids[1]'s row less ids[0]'s.  Ids lie below vocab. */
vmt_status vmt_classifier_from_tokens(float *weight, const vmt_model_config *config, const vmt_weight_file *file,
                                      const int32_t *ids, uint32_t num_ids, vmt_err *err);
/* Into weight [hidden]: the one row of "score.weight"; or of GGUF's "cls.output.weight", and of two, yes and no, the
 * first less the second. */
vmt_status vmt_classifier_from_file(float *weight, const vmt_model_config *config, const vmt_weight_file *file,
                                    vmt_err *err);

#endif
