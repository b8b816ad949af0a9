/* ops/simd/attention_impl.h: the bodies of attention_kernel.h, compiled once per instruction set.
 *
 * Scores: a vector holds 16 keys, one fma chain over head_dim.  Output: a vector holds 16 elements of head_dim, one fma
 * chain over keys.  Both inner kernels keep up to MICRO_ROWS query rows in registers, so that each K and V vector is
 * loaded once for all of them.  A job of few rows reads the cache as it is stored; one of many converts each tile to
 * floats once and reuses it. */
#ifndef VMT_OPS_SIMD_ATTENTION_IMPL_H
#define VMT_OPS_SIMD_ATTENTION_IMPL_H

#include "ops/simd/attention_kernel.h"
#include "ops/simd/vec16.h"

#define TILE       VMT_ATTN_TILE
#define TILE_VECS  (TILE / VF_LANES)
#define MICRO_ROWS 6u
/* Vectors side by side in an inner kernel: what the register file holds beside the rows. */
#if defined(__AVX512F__)
#define WIDE_VECS(rows) 4u
#else
#define WIDE_VECS(rows) ((rows) <= 2 ? 2u : 1u)
#endif

struct state {  /* running softmax of each row */
    float *max; /* [rows] -inf: nothing seen yet */
    float *sum; /* [rows][16] by lane */
    float *out; /* [rows][dim_padded] */
};

struct work {
    const vmt_attn_job *job;
    uint32_t rows, group, dim, dim_padded;
    bool is_staged;
    uint32_t *pos; /* [rows] */
    float *q;      /* [rows][dim], scaled */
    float *p;      /* [rows][TILE] scores, then weights */
    float *shrink; /* [rows] what the tile's new maximum does to earlier sums */
    float *k, *v;  /* staged tile: [dim][TILE], [TILE][dim] */
    struct state total, part;
};

struct tile {
    uint32_t begin, num_keys; /* absolute position of key 0; keys up to the job's last position */
    vmt_dtype dtype;
    const uint8_t *k[TILE_VECS]; /* 16 keys each, rows of head_dim k_stride elements apart */
    size_t k_stride;
    const uint8_t *v[TILE / 8]; /* segments of seg_keys rows of dim elements */
    uint32_t seg_keys;
    /* The same places of the job's next tile, or of this one.  A block's keys of one head are a page or less, where the
     * hardware's prefetchers give up, so the kernels ask for them while this tile is read.  Unused if staged. */
    const uint8_t *k_ahead[TILE_VECS], *v_ahead[TILE / 8];
};

struct span { /* of keys in a tile */
    uint32_t lo, hi;
};

VF_INLINE vf load_kv(vmt_dtype dtype, const uint8_t *base, size_t idx) {
    if (dtype == VMT_F32) return vf_load((const float *)(const void *)base + idx);
    const uint16_t *p = (const uint16_t *)(const void *)base + idx;
    return dtype == VMT_F16 ? vf_load_f16(p) : vf_load_bf16(p);
}

static inline size_t elem_bytes(vmt_dtype dtype) {
    return dtype == VMT_F32 ? 4 : 2;
}

/* Staged tiles are F32 and in the cache already. */
VF_INLINE void prefetch_kv(vmt_dtype dtype, const uint8_t *base, size_t idx) {
    if (dtype != VMT_F32) __builtin_prefetch(base + 2 * idx);
}

/* ---- inner kernels: rows, vecs and dtype are constants where they are inlined ---- */

VF_INLINE void score_block(uint32_t rows, uint32_t vecs, vmt_dtype dtype, const struct tile *t, uint32_t vec,
                           const float *q, uint32_t dim, float *p) {
    vf acc[MICRO_ROWS][4];
    VF_UNROLL for (uint32_t r = 0; r < rows; r++) {
        VF_UNROLL for (uint32_t j = 0; j < vecs; j++) acc[r][j] = vf_set1(0.0f);
    }
    for (uint32_t d = 0; d < dim; d++) {
        vf k[4];
        VF_UNROLL for (uint32_t j = 0; j < vecs; j++) k[j] = load_kv(dtype, t->k[vec + j], d * t->k_stride);
        VF_UNROLL for (uint32_t j = 0; j < vecs; j++) prefetch_kv(dtype, t->k_ahead[vec + j], d * t->k_stride);
        VF_UNROLL for (uint32_t r = 0; r < rows; r++) {
            vf x = vf_set1(q[(size_t)r * dim + d]);
            VF_UNROLL for (uint32_t j = 0; j < vecs; j++) acc[r][j] = vf_fma(x, k[j], acc[r][j]);
        }
    }
    VF_UNROLL for (uint32_t r = 0; r < rows; r++) {
        VF_UNROLL for (uint32_t j = 0; j < vecs; j++) vf_store(p + r * TILE + (vec + j) * VF_LANES, acc[r][j]);
    }
}

VF_INLINE void score_rows(uint32_t rows, vmt_dtype dtype, const struct tile *t, struct span vecs, const float *q,
                          uint32_t dim, float *p) {
    uint32_t v = vecs.lo;
    for (; v + WIDE_VECS(rows) <= vecs.hi; v += WIDE_VECS(rows)) {
        score_block(rows, WIDE_VECS(rows), dtype, t, v, q, dim, p);
    }
    for (; v < vecs.hi; v++) score_block(rows, 1, dtype, t, v, q, dim, p);
}

VF_INLINE void value_block(uint32_t rows, uint32_t vecs, vmt_dtype dtype, const struct tile *t, struct span keys,
                           const float *p, const float *shrink, uint32_t dim, float *out, uint32_t out_stride) {
    vf acc[MICRO_ROWS][4];
    VF_UNROLL for (uint32_t r = 0; r < rows; r++) {
        vf s = vf_set1(shrink[r]);
        VF_UNROLL for (uint32_t j = 0; j < vecs; j++) {
            acc[r][j] = vf_mul(vf_load(out + (size_t)r * out_stride + j * VF_LANES), s);
        }
    }
    for (uint32_t key = keys.lo; key < keys.hi;) {
        uint32_t seg = key / t->seg_keys, end = VMT_MIN((seg + 1) * t->seg_keys, keys.hi);
        const uint8_t *base = t->v[seg], *ahead = t->v_ahead[seg];
        for (size_t at = (size_t)(key % t->seg_keys) * dim; key < end; key++, at += dim) {
            vf v[4];
            VF_UNROLL for (uint32_t j = 0; j < vecs; j++) v[j] = load_kv(dtype, base, at + j * VF_LANES);
            VF_UNROLL for (uint32_t j = 0; j < vecs; j++) prefetch_kv(dtype, ahead, at + j * VF_LANES);
            VF_UNROLL for (uint32_t r = 0; r < rows; r++) {
                vf x = vf_set1(p[r * TILE + key]);
                VF_UNROLL for (uint32_t j = 0; j < vecs; j++) acc[r][j] = vf_fma(x, v[j], acc[r][j]);
            }
        }
    }
    VF_UNROLL for (uint32_t r = 0; r < rows; r++) {
        VF_UNROLL for (uint32_t j = 0; j < vecs; j++) {
            vf_store(out + (size_t)r * out_stride + j * VF_LANES, acc[r][j]);
        }
    }
}

/* Columns [d, d + 16 * vecs): the segments' bases are shifted instead of each index. */
VF_INLINE void value_columns(uint32_t rows, uint32_t vecs, vmt_dtype dtype, const struct tile *t, uint32_t d,
                             struct span keys, const float *p, const float *shrink, uint32_t dim, float *out,
                             uint32_t out_stride) {
    struct tile shifted = {.seg_keys = t->seg_keys};
    size_t shift = d * elem_bytes(dtype);
    for (uint32_t s = keys.lo / t->seg_keys; s * t->seg_keys < keys.hi; s++) {
        shifted.v[s] = t->v[s] + shift;
        shifted.v_ahead[s] = t->v_ahead[s] + shift;
    }
    value_block(rows, vecs, dtype, &shifted, keys, p, shrink, dim, out + d, out_stride);
}

VF_INLINE void value_rows(uint32_t rows, vmt_dtype dtype, const struct tile *t, struct span keys, const float *p,
                          const float *shrink, uint32_t dim, float *out, uint32_t out_stride) {
    uint32_t d = 0, wide = WIDE_VECS(rows) * VF_LANES;
    for (; d + wide <= out_stride; d += wide) {
        value_columns(rows, WIDE_VECS(rows), dtype, t, d, keys, p, shrink, dim, out, out_stride);
    }
    for (; d < out_stride; d += VF_LANES) {
        value_columns(rows, 1, dtype, t, d, keys, p, shrink, dim, out, out_stride);
    }
}

#if defined(VF_SMALL_CODE)
#define ROWS_SWITCH(rows, call) call(rows);
#else
#define ROWS_SWITCH(rows, call) \
    switch (rows) {             \
    case 1: call(1); break;     \
    case 2: call(2); break;     \
    case 3: call(3); break;     \
    case 4: call(4); break;     \
    case 5: call(5); break;     \
    default: call(6); break;    \
    }
#endif
#define SCORE_CALL(n) score_rows(n, dtype, t, vecs, q, dim, p)
#define VALUE_CALL(n) value_rows(n, dtype, t, keys, p, shrink, dim, out, out_stride)

#define MICRO_KERNELS(suffix, constant)                                                               \
    static void score_##suffix(uint32_t rows, const struct tile *t, struct span vecs, const float *q, \
                               uint32_t dim, float *p) {                                              \
        const vmt_dtype dtype = constant;                                                             \
        ROWS_SWITCH(rows, SCORE_CALL)                                                                 \
    }                                                                                                 \
    static void value_##suffix(uint32_t rows, const struct tile *t, struct span keys, const float *p, \
                               const float *shrink, uint32_t dim, float *out, uint32_t out_stride) {  \
        const vmt_dtype dtype = constant;                                                             \
        ROWS_SWITCH(rows, VALUE_CALL)                                                                 \
    }
MICRO_KERNELS(f32, VMT_F32)
MICRO_KERNELS(f16, VMT_F16)
MICRO_KERNELS(bf16, VMT_BF16)

static void scores(uint32_t rows, const struct tile *t, struct span vecs, const float *q, uint32_t dim, float *p) {
    if (t->dtype == VMT_F32)
        score_f32(rows, t, vecs, q, dim, p);
    else if (t->dtype == VMT_F16)
        score_f16(rows, t, vecs, q, dim, p);
    else
        score_bf16(rows, t, vecs, q, dim, p);
}

static void values(uint32_t rows, const struct tile *t, struct span keys, const float *p, const float *shrink,
                   uint32_t dim, float *out, uint32_t out_stride) {
    if (t->dtype == VMT_F32)
        value_f32(rows, t, keys, p, shrink, dim, out, out_stride);
    else if (t->dtype == VMT_F16)
        value_f16(rows, t, keys, p, shrink, dim, out, out_stride);
    else
        value_bf16(rows, t, keys, p, shrink, dim, out, out_stride);
}

/* ---- one tile ---- */

/* The keys of a tile that a row sees. */
static struct span visible(const struct work *w, uint32_t row, const struct tile *t) {
    uint32_t pos = w->pos[row], window = w->job->args->sliding_window;
    uint32_t first = window > 0 && pos + 1 > window ? pos + 1 - window : 0;
    if (pos < t->begin || first >= t->begin + TILE) return (struct span){0, 0};
    return (struct span){first > t->begin ? first - t->begin : 0, VMT_MIN(pos + 1 - t->begin, TILE)};
}

static const float lane_numbers[VF_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Lanes outside the span become -inf. */
VF_INLINE vf mask_lanes(vf s, uint32_t vec, struct span keys) {
    const vf lanes = vf_load(lane_numbers), none = vf_set1(-INFINITY);
    float base = (float)(vec * VF_LANES);
    s = vf_select_lt(lanes, vf_set1((float)keys.hi - base), s, none);
    return vf_select_lt(lanes, vf_set1((float)keys.lo - base), none, s);
}

static void soften_row(struct work *w, struct state *st, uint32_t row, struct span keys) {
    float *p = w->p + (size_t)row * TILE, cap = w->job->args->soft_cap;
    if (keys.hi <= keys.lo) {
        memset(p, 0, TILE * sizeof *p);
        w->shrink[row] = 1.0f;
        return;
    }
    uint32_t first = keys.lo / VF_LANES, end = (keys.hi + VF_LANES - 1) / VF_LANES;
    vf largest = vf_set1(-INFINITY);
    for (uint32_t v = first; v < end; v++) {
        vf s = vf_load(p + v * VF_LANES);
        if (cap > 0) s = vf_mul(vf_set1(cap), vf_tanh(vf_div(s, vf_set1(cap))));
        if (v * VF_LANES < keys.lo || (v + 1) * VF_LANES > keys.hi) s = mask_lanes(s, v, keys);
        vf_store(p + v * VF_LANES, s);
        largest = vf_max(largest, s);
    }
    float before = st->max[row], tile_max = vf_largest(largest), now = before > tile_max ? before : tile_max;
    vf max = vf_set1(now), shrink = vf_exp(vf_sub(vf_set1(before), max));
    vf sum = vf_mul(vf_load(st->sum + row * VF_LANES), shrink);
    for (uint32_t v = 0; v < TILE_VECS; v++) {
        vf e = vf_set1(0.0f);
        if (v >= first && v < end) e = vf_exp(vf_sub(vf_load(p + v * VF_LANES), max));
        vf_store(p + v * VF_LANES, e);
        sum = vf_add(sum, e);
    }
    vf_store(st->sum + row * VF_LANES, sum);
    st->max[row] = now;
    float lanes[VF_LANES];
    vf_store(lanes, shrink);
    w->shrink[row] = lanes[0];
}

static void run_tile(struct work *w, struct state *st, const struct tile *t) {
    uint32_t chunks = (w->rows + MICRO_ROWS - 1) / MICRO_ROWS;
    for (uint32_t c = 0; c < chunks; c++) {
        uint32_t row = w->rows * c / chunks, n = w->rows * (c + 1) / chunks - row;
        struct span all = {TILE, 0}, spans[MICRO_ROWS];
        for (uint32_t r = 0; r < n; r++) {
            spans[r] = visible(w, row + r, t);
            if (spans[r].hi <= spans[r].lo) continue;
            all.lo = VMT_MIN(all.lo, spans[r].lo);
            all.hi = VMT_MAX(all.hi, spans[r].hi);
        }
        if (all.hi <= all.lo) continue;
        struct span vecs = {all.lo / VF_LANES, (all.hi + VF_LANES - 1) / VF_LANES};
        scores(n, t, vecs, w->q + (size_t)row * w->dim, w->dim, w->p + (size_t)row * TILE);
        for (uint32_t r = 0; r < n; r++) soften_row(w, st, row + r, spans[r]);
        values(n, t, all, w->p + (size_t)row * TILE, w->shrink + row, w->dim,
               st->out + (size_t)row * w->dim_padded, w->dim_padded);
    }
}

/* K of one block, [dim][block_size] as stored, into its columns of the staged tile. */
static void stage_k(const struct work *w, const uint8_t *src, uint32_t column) {
    const vmt_kv_layout *l = &w->job->args->layout;
    float *dst = w->k + column;
    if (l->block_size >= VF_LANES) {
        for (uint32_t d = 0; d < w->dim; d++) {
            for (uint32_t key = 0; key < l->block_size; key += VF_LANES) {
                vf_store(dst + (size_t)d * TILE + key, load_kv(l->dtype, src, (size_t)d * l->block_size + key));
            }
        }
        return;
    }
    for (uint32_t d = 0; d < w->dim; d += 2) { /* blocks of 8: a vector holds two elements of head_dim */
        float both[VF_LANES];
        vf_store(both, load_kv(l->dtype, src, (size_t)d * 8));
        memcpy(dst + (size_t)d * TILE, both, 8 * sizeof *both);
        memcpy(dst + (size_t)(d + 1) * TILE, both + 8, 8 * sizeof *both);
    }
}

static void stage_v(const struct work *w, const uint8_t *src, uint32_t key) {
    const vmt_kv_layout *l = &w->job->args->layout;
    size_t elems = (size_t)l->block_size * w->dim; /* whole vectors: both are multiples of 8 */
    float *dst = w->v + (size_t)key * w->dim;
    for (size_t i = 0; i < elems; i += VF_LANES) vf_store(dst + i, load_kv(l->dtype, src, i));
}

/* Keys [begin, begin + num_keys) of a job whose last tile ends at key `end`. */
static void load_tile(const struct work *w, uint32_t begin, uint32_t num_keys, uint32_t end, struct tile *t) {
    const vmt_attention_args *a = w->job->args;
    const vmt_kv_layout *l = &a->layout;
    uint32_t bs = l->block_size, blocks = (num_keys + bs - 1) / bs;
    size_t head_bytes = (size_t)w->dim * bs * elem_bytes(l->dtype);
    const uint8_t *k_cache = vmt_tensor_data(&a->k_cache), *v_cache = vmt_tensor_data(&a->v_cache);
    const int32_t *ids = w->job->blocks;
    *t = (struct tile){.begin = begin, .num_keys = num_keys, .dtype = l->dtype, .k_stride = bs, .seg_keys = bs};
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t idx = begin / bs + b, next = (idx + TILE / bs) * bs < end ? idx + TILE / bs : idx;
        size_t at = ((size_t)ids[idx] * l->num_kv_heads + w->job->kv_head) * head_bytes;
        size_t ahead = ((size_t)ids[next] * l->num_kv_heads + w->job->kv_head) * head_bytes;
        if (w->is_staged) {
            stage_k(w, k_cache + at, b * bs);
            stage_v(w, v_cache + at, b * bs);
            continue;
        }
        t->v[b] = v_cache + at;
        t->v_ahead[b] = v_cache + ahead;
        for (uint32_t i = 0; i < bs / VF_LANES; i++) {
            size_t column = i * VF_LANES * elem_bytes(l->dtype);
            t->k[b * bs / VF_LANES + i] = k_cache + at + column;
            t->k_ahead[b * bs / VF_LANES + i] = k_cache + ahead + column;
        }
    }
    if (!w->is_staged) return;
    t->dtype = VMT_F32;
    t->k_stride = TILE;
    t->seg_keys = TILE;
    t->v[0] = (const uint8_t *)w->v;
    for (uint32_t i = 0; i < TILE_VECS; i++) t->k[i] = (const uint8_t *)(w->k + i * VF_LANES);
}

/* ---- partitions ---- */

static void clear_state(const struct work *w, struct state *st) {
    for (uint32_t r = 0; r < w->rows; r++) st->max[r] = -INFINITY;
    memset(st->sum, 0, (size_t)w->rows * VF_LANES * sizeof(float));
    memset(st->out, 0, (size_t)w->rows * w->dim_padded * sizeof(float));
}

static void run_partition(struct work *w, struct state *st, uint32_t part) {
    const vmt_attn_job *job = w->job;
    uint32_t end = job->pos_begin + job->num_tokens,
             window = job->args->sliding_window; /* end: past the last key */
    uint32_t first = window > 0 && job->pos_begin + 1 > window ? job->pos_begin + 1 - window : 0;
    uint32_t begin = VMT_MAX(part * VMT_ATTN_PARTITION, first / TILE * TILE);
    uint32_t job_end = VMT_MIN(end, job->part_end * VMT_ATTN_PARTITION);
    clear_state(w, st);
    end = VMT_MIN(end, (part + 1) * VMT_ATTN_PARTITION);
    for (; begin < end; begin += TILE) {
        struct tile t;
        load_tile(w, begin, VMT_MIN(TILE, end - begin), job_end, &t);
        run_tile(w, st, &t);
    }
}

/* One row of a later partition into the total so far. */
static void fold_row(float *max, float *sum, float *out, float part_max, const float *part_sum,
                     const float *part_out, uint32_t dim_padded) {
    if (part_max == -INFINITY) return;
    if (*max == -INFINITY) {
        *max = part_max;
        memcpy(sum, part_sum, VF_LANES * sizeof *sum);
        memcpy(out, part_out, dim_padded * sizeof *out);
        return;
    }
    float now = *max > part_max ? *max : part_max;
    vf a = vf_exp(vf_set1(*max - now)), b = vf_exp(vf_set1(part_max - now));
    vf_store(sum, vf_fma(vf_load(part_sum), b, vf_mul(vf_load(sum), a)));
    for (uint32_t d = 0; d < dim_padded; d += VF_LANES) {
        vf_store(out + d, vf_fma(vf_load(part_out + d), b, vf_mul(vf_load(out + d), a)));
    }
    *max = now;
}

static void write_row(const float *sum, const float *out, uint32_t dim, float *dst) {
    vf inv = vf_set1(1.0f / vf_sum(vf_load(sum)));
    uint32_t d = 0;
    for (; d + VF_LANES <= dim; d += VF_LANES) vf_store(dst + d, vf_mul(vf_load(out + d), inv));
    if (d < dim) vf_store_part(dst + d, vf_mul(vf_load(out + d), inv), dim - d);
}

static void fold(float *partials, size_t part_stride, uint32_t num_parts, uint32_t dim, float *out) {
    for (uint32_t i = 1; i < num_parts; i++) {
        const float *p = partials + i * part_stride;
        fold_row(partials, partials + 16, partials + 32, p[0], p + 16, p + 32, vmt_attn_dim_padded(dim));
    }
    write_row(partials + 16, partials + 32, dim, out);
}

static void write_partials(const struct work *w, const struct state *st, uint32_t part_idx) {
    const vmt_attn_job *job = w->job;
    uint32_t floats = vmt_attn_partial_floats(w->dim);
    for (uint32_t r = 0; r < w->rows; r++) {
        uint32_t head = job->kv_head * w->group + r % w->group;
        float *p = job->partials + part_idx * job->part_stride + r / w->group * job->token_stride + head * floats;
        p[0] = st->max[r];
        memcpy(p + 16, st->sum + r * VF_LANES, VF_LANES * sizeof *p);
        memcpy(p + 32, st->out + (size_t)r * w->dim_padded, w->dim_padded * sizeof *p);
    }
}

static float *carve(uint8_t **at, size_t floats) {
    float *p = (float *)(void *)*at;
    *at += (floats * sizeof(float) + 63) & ~(size_t)63;
    return p;
}

static void carve_state(struct state *st, uint8_t **at, uint32_t rows, uint32_t dim_padded) {
    st->max = carve(at, rows);
    st->sum = carve(at, (size_t)rows * VF_LANES);
    st->out = carve(at, (size_t)rows * dim_padded);
}

static void prepare(struct work *w, const vmt_attn_job *job, uint8_t *at) {
    const vmt_attention_args *a = job->args;
    w->job = job;
    w->dim = a->layout.head_dim;
    w->dim_padded = vmt_attn_dim_padded(w->dim);
    w->group = a->num_heads / a->layout.num_kv_heads;
    w->rows = job->num_tokens * w->group;
    w->is_staged = w->rows > MICRO_ROWS || a->layout.block_size < VF_LANES || w->dim % VF_LANES != 0;
    w->pos = (uint32_t *)(void *)carve(&at, w->rows);
    w->q = carve(&at, (size_t)w->rows * w->dim);
    w->p = carve(&at, (size_t)w->rows * TILE);
    w->shrink = carve(&at, w->rows);
    w->k = carve(&at, (size_t)w->dim * TILE);
    w->v = carve(&at, (size_t)w->dim * TILE + VF_LANES); /* the last row's padding is read */
    carve_state(&w->total, &at, w->rows, w->dim_padded);
    carve_state(&w->part, &at, w->rows, w->dim_padded);
    const float *q = vmt_tensor_data(&a->q);
    for (uint32_t r = 0; r < w->rows; r++) {
        uint32_t token = r / w->group, head = job->kv_head * w->group + r % w->group;
        const float *src = q + (size_t)(job->token_begin + token) * a->q_stride + head * w->dim;
        for (uint32_t d = 0; d < w->dim; d++) w->q[(size_t)r * w->dim + d] = src[d] * a->scale;
        w->pos[r] = job->pos_begin + token;
    }
}

static void run(const vmt_attn_job *job, void *scratch) {
    struct work w;
    prepare(&w, job, scratch);
    if (job->partials != NULL) {
        for (uint32_t part = job->part_begin; part < job->part_end; part++) {
            run_partition(&w, &w.total, part);
            write_partials(&w, &w.total, part - job->part_begin);
        }
        return;
    }
    run_partition(&w, &w.total, job->part_begin);
    for (uint32_t part = job->part_begin + 1; part < job->part_end; part++) {
        run_partition(&w, &w.part, part);
        for (uint32_t r = 0; r < w.rows; r++) {
            fold_row(&w.total.max[r], w.total.sum + r * VF_LANES, w.total.out + (size_t)r * w.dim_padded,
                     w.part.max[r], w.part.sum + r * VF_LANES, w.part.out + (size_t)r * w.dim_padded,
                     w.dim_padded);
        }
    }
    float *out = vmt_tensor_data(&job->args->out);
    for (uint32_t r = 0; r < w.rows; r++) {
        uint32_t token = job->token_begin + r / w.group, head = job->kv_head * w.group + r % w.group;
        write_row(w.total.sum + r * VF_LANES, w.total.out + (size_t)r * w.dim_padded, w.dim,
                  out + (size_t)token * job->args->out_stride + head * w.dim);
    }
}

#define VMT_ATTN_KERNELS_TABLE(isa) const vmt_attn_kernels vmt_attn_kernels_##isa = {.run = run, .fold = fold}

#endif
