/* ops/gpu_attention.h: paged attention on a GPU, routed per row and not per batch.
 *
 * A sequence with one query row is decoded: a vector kernel reads each key and value once per group of query heads, and
 * a long context is cut into parts that run side by side and are merged.  A sequence with more rows is cut into tiles
 * that multiply 16x16 fragments.  The host says which row goes where in three lists that it fills each step
 * (vmt_gpu_attention_route), so one program serves every mix:
 *
 *     parts   VMT_COUNT_DECODE_SPLITS  a stretch of keys of one query row         ──► out, or partial results
 *     merges  VMT_COUNT_DECODE_MERGES  a query row that has several parts         ──► out
 *     tiles   VMT_COUNT_PREFILL_TILES  neighbouring query rows of one sequence    ──► out
 *
 * How a context is cut depends on its own length alone, and a tile's keys are walked from the same positions however a
 * prefill is chunked.  So a row's result depends on its own sequence, not on what runs beside it.
 *
 * Math: softmax(scale * q k^T + mask) v with a running maximum and sum (arXiv:1805.02867) over paged KV
 * (arXiv:2309.06180).  Query head h reads KV head h / (num_heads / num_kv_heads).  A sequence's last row is position
 * seq_len - 1. */
#ifndef VMT_OPS_GPU_ATTENTION_H
#define VMT_OPS_GPU_ATTENTION_H

#include "backend/gpu_program.h"
#include "kernels/attention_kargs.h"
#include "ops/gpu_kv.h"

/* ---- plan: how large the lists and the scratch are; pure functions */

typedef struct vmt_gpu_attention_plan {
    uint32_t tile_heads;  /* query heads of one KV head in a tile; with */
    uint32_t tile_tokens; /* so many query rows each */
    bool has_tiles;       /* no: each row of a prefill becomes parts too (F32 with heads of 512, odd head sizes) */
    uint32_t parts_max, merges_max, tiles_max; /* rows of the lists */
    uint32_t partials_max;                     /* results of parts that are merged */
    size_t partials_bytes;                     /* scratch for them */
} vmt_gpu_attention_plan;

typedef struct vmt_gpu_attention_shape {
    uint32_t num_heads, num_kv_heads, head_dim;
    vmt_dtype dtype; /* of q and out */
    uint32_t seqs_max, tokens_max, context_max;
    uint64_t kv_tokens_max; /* num_blocks * block_size: bounds the parts that all contexts have together */
    bool lacks_tiles;       /* the kernel of tiles does not work here (vmt_gpu_attention_lacks_tiles) */
} vmt_gpu_attention_shape;

vmt_gpu_attention_plan vmt_gpu_attention_plan_make(const vmt_gpu_attention_shape *shape);
/* The device distrusts the kernel of tiles, if there is one: rows of a prefill become parts, which is slower. */
bool vmt_gpu_attention_lacks_tiles(const vmt_gpu *gpu, uint32_t head_dim, vmt_dtype dtype, vmt_dtype kv_dtype);
/* Into how many parts a context of so many keys is cut, and how many keys a part has (but the last). */
uint32_t vmt_gpu_attention_part_keys(uint32_t num_keys);
uint32_t vmt_gpu_attention_num_parts(uint32_t num_keys);

/* ---- route: each step, on the host */

typedef struct vmt_gpu_attention_batch { /* as in model/batch.h */
    uint32_t num_seqs;
    const uint32_t *cu_seqlens_q; /* [num_seqs + 1] */
    const uint32_t *seq_lens;     /* [num_seqs] with this step's tokens */
} vmt_gpu_attention_batch;

typedef struct vmt_gpu_attention_lists {       /* host memory that the device sees */
    vmt_attention_part *parts;                 /* [plan.parts_max] */
    vmt_attention_merge *merges;               /* [plan.merges_max] */
    vmt_attention_tile *tiles;                 /* [plan.tiles_max] longest first */
    uint32_t num_parts, num_merges, num_tiles; /* the step's counts */
} vmt_gpu_attention_lists;

/* Sequences without rows are left out.  The batch keeps the plan's shape: asserted.  A context whose parts no longer
 * fit into partials_max (many sequences that share a prefix) is one part. */
void vmt_gpu_attention_route(const vmt_gpu_attention_plan *plan, const vmt_gpu_attention_batch *batch,
                             vmt_gpu_attention_lists *lists);

/* ---- record: once per program and layer */

typedef struct vmt_gpu_attention_args {
    const vmt_gpu_attention_plan *plan;
    uint32_t num_heads;
    vmt_tensor q;   /* F32, F16 or BF16 [tokens_max, stride]; RoPE applied; heads side by side from column 0 */
    vmt_tensor out; /* the same type [tokens_max, out stride], heads from column 0 */
    vmt_gpu_kv kv;
    vmt_tensor block_tables;         /* I32 [seqs_max, stride] ids below num_blocks: the host checks that */
    vmt_tensor parts, merges, tiles; /* I32 [.., sizeof(row) / 4]: the lists' memory */
    vmt_tensor partials;             /* F32 [plan.partials_bytes / 4] */
    vmt_tensor sinks;                /* F32 [num_heads] logits of a key without value, or all zero */
    float scale;
    float soft_cap;          /* 0: none; else s = cap * tanh(s / cap) */
    uint32_t sliding_window; /* 0: none; else a query sees itself and the window - 1 positions before it */
} vmt_gpu_attention_args;

vmt_status vmt_gpu_attention_check(const vmt_gpu_attention_args *args, vmt_err *err);
vmt_status vmt_gpu_attention(vmt_gpu_program *program, const vmt_gpu_attention_args *args, vmt_err *err);

#endif
