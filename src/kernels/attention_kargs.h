/* kernels/attention_kargs.h: arguments and work lists of paged attention, for kernels and host alike. */
#ifndef VMT_KERNELS_ATTENTION_KARGS_H
#define VMT_KERNELS_ATTENTION_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

#define VMT_ATTENTION_PARTIAL_PAD 4 /* floats of a partial result behind its head_dim: maximum, sum, two unused */

/* A stretch of keys [key_begin, key_end) of one query row. */
typedef struct vmt_attention_part {
    int32_t seq;                /* row of the block tables */
    int32_t row;                /* of q and out */
    int32_t num_keys;           /* the row's position is num_keys - 1 */
    int32_t key_begin, key_end; /* key_begin a multiple of 128 */
    int32_t partial;            /* where the result goes; negative: into out, as it is the only part */
} vmt_attention_part;

#define VMT_ATTENTION_PARTS_MAX 128 /* of one query row */

/* A query row whose parts' results are [partial_begin, partial_end). */
typedef struct vmt_attention_merge {
    int32_t row;
    int32_t partial_begin, partial_end;
} vmt_attention_merge;

/* Neighbouring query rows of one sequence. */
typedef struct vmt_attention_tile {
    int32_t seq;
    int32_t row, num_rows; /* of q and out */
    int32_t position;      /* of the first row; it sees keys 0 .. position */
} vmt_attention_tile;

typedef struct vmt_attention_kargs {
    uint32_t num_rows; /* of the list */
    uint32_t num_heads, num_kv_heads, head_dim;
    uint32_t tile_heads, head_chunks;            /* a group's query heads, tile_heads a threadgroup */
    uint32_t q_stride, out_stride, table_stride; /* elements */
    uint32_t block_shift;                        /* a block has 1 << block_shift slots */
    uint32_t sliding_window;                     /* 0: none */
    uint32_t has_sinks;
    float scale;    /* of the scores */
    float soft_cap; /* 0: none */
} vmt_attention_kargs;

#endif
