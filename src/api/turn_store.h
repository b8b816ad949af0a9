/* api/turn_store.h: what the model has said, token for token, kept for when a client sends it back.
 *
 * A turn is found by a key of what the client will say of it (the id of its first tool call, or its text), and by the
 * hash of everything that stood before it.  Bounded in bytes; the turn that was not asked for the longest goes first.
 * Turns are counted references and do not change.  Any thread. */
#ifndef VMT_API_TURN_STORE_H
#define VMT_API_TURN_STORE_H

#include "base/hash.h"

#define VMT_TURNS_KEPT_BYTES_MAX ((size_t)64 << 20) /* of all turns: about 12 million tokens */
#define VMT_TURN_TOKENS_MAX      131072u            /* of one; a longer one is not kept */
#define VMT_TURNS_ALIKE_MAX      8u                 /* turns of one key that are looked at */

typedef struct vmt_turn_store vmt_turn_store;

typedef struct vmt_turn {
    uint64_t key;
    vmt_hash128 before;        /* of the prompt up to where the turn begins */
    uint64_t before_bytes;     /* of the prompt's own text before it, turns of the model left out */
    bool begins_in_reasoning;  /* its text does */
    int32_t stop_id;           /* the token that ended it, which is not among ids */
    uint32_t num_ids, num_led; /* the first num_led ids ended the prompt: an opened or an empty reasoning block */
    const int32_t *ids;        /* [num_ids] */
} vmt_turn;

vmt_turn_store *vmt_turn_store_create(void); /* NULL: no memory */
void vmt_turn_store_destroy(vmt_turn_store *store);

/* Copied.  One with the same key and hash is replaced. */
void vmt_turn_store_put(vmt_turn_store *store, const vmt_turn *turn);
/* The turns of a key, newest first; each is released by the caller.  The number of them. */
uint32_t vmt_turn_store_find(vmt_turn_store *store, uint64_t key, const vmt_turn *found[VMT_TURNS_ALIKE_MAX]);
void vmt_turn_store_release(vmt_turn_store *store, const vmt_turn *turn);
/* Keyed hashes for what strangers choose; the keys are the store's own. */
uint64_t vmt_turn_store_hash(const vmt_turn_store *store, vmt_str text);
vmt_hash128 vmt_turn_store_root(const vmt_turn_store *store, vmt_str cache_salt);

#endif
