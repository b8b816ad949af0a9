/* engine/constraint.h: what may limit a sequence's next token, as the engine sees it.
 *
 * A constraint belongs to one sequence and is told every token of it, in order.  The engine asks for the mask once for
 * each token it samples, while the model computes that token's logits: on a thread of its own, but never at the same
 * time as accept().  The engine knows nothing of grammars; whoever submits a generation brings its constraints, and
 * keeps them until it has ended. */
#ifndef VMT_ENGINE_CONSTRAINT_H
#define VMT_ENGINE_CONSTRAINT_H

#include "base/status.h"

#define VMT_CONSTRAINT_FORCED_MAX   32u /* tokens that forced() gives at once */
#define VMT_CONSTRAINT_WORDS(vocab) (((vocab) + 31u) / 32u)

typedef struct vmt_constraint {
    void *self;
    /* Writes bits [num_words]: bit id is set when the token may come next; or sets *is_free and writes nothing: any
     * may.  An error ends the sequence with its message. */
    vmt_status (*mask)(void *self, uint32_t *bits, uint32_t num_words, bool *is_free, vmt_err *err);
    /* The token was sampled. */
    vmt_status (*accept)(void *self, int32_t token_id, vmt_err *err);
    /* Nothing may follow what was accepted. */
    bool (*is_ended)(const void *self);
    /* After accept(): tokens that come next whatever the model says, num_max at most, into ids; they count as accepted.
     * The engine computes them together instead of one a step.  May be NULL. */
    uint32_t (*forced)(void *self, int32_t *ids, uint32_t num_max);
} vmt_constraint;

#endif
