/* ops/simd/matmul_pairs_impl.h: BF16 weights, two k at a time: the body, compiled once per instruction set.
 *
 * A vector load of a panel holds 16 output rows' (even, odd) elements; shifted, and masked, it is two vectors of
 * floats.  The order of operations is that of an AMX tile, which matmul_kernel.h states: a chain for even and one for
 * odd elements of a block of 32, begun at zero, summed, and added to the row's accumulator, for the high part of x and
 * for the low. */
#ifndef VMT_OPS_SIMD_MATMUL_PAIRS_IMPL_H
#define VMT_OPS_SIMD_MATMUL_PAIRS_IMPL_H

#include "ops/matmul_kernel.h"
#include "ops/simd/vec16.h"

#define PAIRS (VMT_MM_BLOCK / 2)

/* acc += one block (64 bytes a pair) times `rows` rows of one part of x, [rows][32]. */
VF_INLINE void pairs_block(const uint32_t rows, vf *acc, const uint16_t *w, const uint16_t *x) {
    vf even[4], odd[4];
    VF_UNROLL for (uint32_t i = 0; i < rows; i++) even[i] = odd[i] = vf_set1(0.0f);
    for (uint32_t j = 0; j < PAIRS; j++) {
        const vf we = vf_load_even(w + 2 * VMT_MM_PANEL * j), wo = vf_load_odd(w + 2 * VMT_MM_PANEL * j);
        VF_UNROLL for (uint32_t i = 0; i < rows; i++) {
            const uint16_t *pair = x + VMT_MM_BLOCK * i + 2 * j;
            even[i] = vf_fma(we, vf_set1(vmt_bf16_to_f32(pair[0])), even[i]);
            odd[i] = vf_fma(wo, vf_set1(vmt_bf16_to_f32(pair[1])), odd[i]);
        }
    }
    VF_UNROLL for (uint32_t i = 0; i < rows; i++) acc[i] = vf_add(acc[i], vf_add(even[i], odd[i]));
}

static void pairs_store(const vmt_mm_args *args, uint32_t row, uint32_t panel, vf acc) {
    uint32_t begin = panel * VMT_MM_PANEL, count = VMT_MIN(args->rows - begin, VMT_MM_PANEL);
    float *out = args->out + args->out_stride * row + begin;
    if (args->bias) acc = vf_add(acc, vf_load_part(args->bias + begin, count));
    acc = vf_mul(acc, vf_set1(args->out_scale));
    if (args->accumulate) acc = vf_add(vf_load_part(out, count), acc);
    vf_store_part(out, acc, count);
}

/* Rows [first, first + rows) of the activation panel that begins at row `row` and is `height` high. */
VF_INLINE void pairs_tile(const uint32_t rows, const vmt_mm_args *args, uint32_t panel, uint32_t row,
                          uint32_t height, uint32_t first) {
    const uint16_t *w = (const uint16_t *)(const void *)(args->panels + panel * args->layout.bytes);
    const uint16_t *x =
        (const uint16_t *)(const void *)args->q + (size_t)row * args->num_blocks * 2 * VMT_MM_BLOCK;
    const size_t part = (size_t)height * VMT_MM_BLOCK;
    vf acc[4];
    VF_UNROLL for (uint32_t i = 0; i < rows; i++) acc[i] = vf_set1(0.0f);
    x += (size_t)first * VMT_MM_BLOCK;
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        pairs_block(rows, acc, w, x);
        pairs_block(rows, acc, w, x + part);
        w += VMT_MM_BLOCK * VMT_MM_PANEL;
        x += 2 * part;
    }
    const uint32_t end = VMT_MIN(args->num_rows - row, VMT_MM_PANEL); /* beyond lies padding */
    VF_UNROLL for (uint32_t i = 0; i < rows; i++) {
        if (first + i < end) pairs_store(args, row + first + i, panel, acc[i]);
    }
}

static void pairs_walk(const vmt_mm_args *args, const vmt_mm_range *range) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            uint32_t height = vmt_mm_height(VMT_MIN(range->row_end - row, VMT_MM_PANEL)), first = 0;
            for (; height - first >= 4; first += 4) pairs_tile(4, args, panel, row, height, first);
            for (; height - first >= 1; first += 1) pairs_tile(1, args, panel, row, height, first);
        }
    }
}

/* To BF16, to even; what is tiny becomes zero. */
static inline uint16_t round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((rounded >> 7 & 255) < VMT_MM_TINY_EXPONENT ? 0 : rounded);
}

static void pairs_split(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end) {
    const uint32_t row_begin = panel_idx * VMT_MM_PANEL,
                   num_rows = VMT_MIN(args->num_rows - row_begin, VMT_MM_PANEL), height = vmt_mm_height(num_rows);
    uint16_t *panel = (uint16_t *)(void *)args->q + (size_t)row_begin * args->num_blocks * 2 * VMT_MM_BLOCK;
    for (uint32_t i = 0; i < height; i++) {
        const float *x = i < num_rows ? vmt_mm_x_row(args, row_begin + i) : NULL;
        for (uint32_t b = block_begin; b < block_end; b++) {
            uint16_t *high = panel + ((size_t)b * 2 * height + i) * VMT_MM_BLOCK,
                     *low = high + height * VMT_MM_BLOCK;
            float block[VMT_MM_BLOCK] = {0};
            uint32_t begin = b * VMT_MM_BLOCK, count = VMT_MIN(args->cols - begin, VMT_MM_BLOCK);
            if (x) memcpy(block, x + begin, count * sizeof(float));
            for (uint32_t k = 0; k < VMT_MM_BLOCK; k++) {
                high[k] = round_bf16(block[k]);
                low[k] = round_bf16(block[k] - vmt_bf16_to_f32(high[k]));
            }
        }
    }
}

#define VMT_MM_PAIRS_KERNELS(isa)                                                                        \
    void vmt_mm_pairs_##isa(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {         \
        pairs_walk(args, range);                                                                         \
    }                                                                                                    \
    void vmt_mm_split_##isa(const vmt_mm_args *args, uint32_t panel_idx, uint32_t begin, uint32_t end) { \
        pairs_split(args, panel_idx, begin, end);                                                        \
    }                                                                                                    \
    typedef int vmt_mm_pairs_##isa##_end /* takes the semicolon */

#endif
