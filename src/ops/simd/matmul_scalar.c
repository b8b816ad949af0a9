/* ops/simd/matmul_scalar.c: the kernels for any machine.  They define the arithmetic; the vector ones must match it bit
 * for bit on finite input. */
#include "ops/matmul_kernel.h"

#include <math.h>

/* acc: the 16 lanes of weight panel `panel` for row `row` of x. */
static void store(const vmt_mm_args *args, uint32_t row, uint32_t panel, const float acc[VMT_MM_PANEL]) {
    uint32_t begin = panel * VMT_MM_PANEL, count = VMT_MIN(args->rows - begin, VMT_MM_PANEL);
    float *out = args->out + args->out_stride * row + begin;
    for (uint32_t r = 0; r < count; r++) {
        float v = acc[r];
        if (args->bias) v += args->bias[begin + r];
        v *= args->out_scale;
        out[r] = args->accumulate ? out[r] + v : v;
    }
}

static int32_t dot(const int32_t *w, const int8_t *x, uint32_t count) {
    int32_t sum = 0;
    for (uint32_t k = 0; k < count; k++) sum += w[k] * x[k];
    return sum;
}

/* One weight row against the rows of one activation panel: acc[i] for each of them. */
static void multiply_row(const vmt_mm_args *args, const uint8_t *panel, uint32_t r, uint32_t row_begin,
                         uint32_t num_rows, float acc[VMT_MM_PANEL]) {
    const vmt_matmul_kind *kind = args->kind;
    uint32_t height = vmt_mm_height(num_rows);
    size_t base = (size_t)row_begin * args->num_blocks;
    for (uint32_t i = 0; i < num_rows; i++) acc[i] = 0;
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        vmt_mm_block block;
        vmt_mm_unpack(kind, &args->layout, panel, r, b, &block);
        for (uint32_t i = 0; i < num_rows; i++) {
            size_t at = base + (size_t)b * height + i;
            const int8_t *q = args->q + at * VMT_MM_BLOCK;
            if (kind->has_halves) {
                acc[i] = fmaf(block.d[0] * args->d[at], (float)dot(block.q, q, 16), acc[i]);
                acc[i] = fmaf(block.d[1] * args->d[at], (float)dot(block.q + 16, q + 16, 16), acc[i]);
            } else {
                acc[i] = fmaf(block.d[0] * args->d[at], (float)dot(block.q, q, 32), acc[i]);
            }
            if (kind->has_min) acc[i] = fmaf(block.m, args->sum[at], acc[i]);
        }
    }
}

void vmt_mm_quant_scalar(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        const uint8_t *weights = args->panels + panel * args->layout.bytes;
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            uint32_t num_rows = VMT_MIN(range->row_end - row, VMT_MM_PANEL);
            float acc[VMT_MM_PANEL][VMT_MM_PANEL], lanes[VMT_MM_PANEL];
            for (uint32_t r = 0; r < VMT_MM_PANEL; r++) multiply_row(args, weights, r, row, num_rows, acc[r]);
            for (uint32_t i = 0; i < num_rows; i++) {
                for (uint32_t r = 0; r < VMT_MM_PANEL; r++) lanes[r] = acc[r][i];
                store(args, row + i, panel, lanes);
            }
        }
    }
}

static void widen(vmt_mm_format format, const uint8_t *src, float dst[VMT_MM_PANEL]) {
    const uint16_t *halves = (const uint16_t *)src;
    const float *floats = (const float *)src;
    for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
        dst[r] = format == VMT_MM_F16 ? vmt_f16_to_f32(halves[r]) : floats[r];
    }
}

void vmt_mm_float_scalar(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        const uint8_t *weights = args->panels + panel * args->layout.bytes;
        for (uint32_t row_begin = range->row_begin; row_begin < range->row_end; row_begin += VMT_MM_PANEL) {
            uint32_t num_rows = VMT_MIN(range->row_end - row_begin, VMT_MM_PANEL);
            float acc[VMT_MM_PANEL][VMT_MM_PANEL] = {{0}}, w[VMT_MM_PANEL];
            for (uint32_t k = 0; k < args->cols; k++) {
                widen(args->kind->format, weights + (size_t)k * args->kind->quant_bytes, w);
                for (uint32_t i = 0; i < num_rows; i++) {
                    float x = vmt_mm_x_row(args, row_begin + i)[k];
                    for (uint32_t r = 0; r < VMT_MM_PANEL; r++) acc[i][r] = fmaf(w[r], x, acc[i][r]);
                }
            }
            for (uint32_t i = 0; i < num_rows; i++) store(args, row_begin + i, panel, acc[i]);
        }
    }
}

/* One block of one row into q; returns its scale, and the sums of q over the two halves. */
static float quantize_block(const float x[VMT_MM_BLOCK], int8_t q[VMT_MM_BLOCK], int32_t sums[2]) {
    float largest = 0;
    for (uint32_t k = 0; k < VMT_MM_BLOCK; k++) {
        float magnitude = fabsf(x[k]);
        largest = magnitude > largest ? magnitude : largest;
    }
    sums[0] = sums[1] = 0;
    if (largest < VMT_MM_TINY) {
        memset(q, 0, VMT_MM_BLOCK);
        return 0;
    }
    float inverse = 127.0f / largest;
    for (uint32_t k = 0; k < VMT_MM_BLOCK; k++) {
        float scaled = rintf(x[k] * inverse);
        /* NaN must not reach an integer conversion. */
        q[k] = (int8_t)(fabsf(scaled) <= 127.0f ? (int32_t)scaled : 0);
        sums[k / 16] += q[k];
    }
    return largest * VMT_MM_STEP;
}

void vmt_mm_quantize_scalar(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin,
                            uint32_t block_end) {
    static const float zeros[VMT_MM_BLOCK];
    uint32_t row_begin = panel_idx * VMT_MM_PANEL, num_rows = VMT_MIN(args->num_rows - row_begin, VMT_MM_PANEL);
    uint32_t height = vmt_mm_height(num_rows);
    size_t base = (size_t)row_begin * args->num_blocks;
    for (uint32_t i = 0; i < height; i++) {
        const float *x = i < num_rows ? vmt_mm_x_row(args, row_begin + i) : NULL;
        for (uint32_t b = block_begin; b < block_end; b++) {
            size_t block_at = base + (size_t)b * height;
            int32_t sums[2];
            float d = quantize_block(x ? x + (size_t)b * VMT_MM_BLOCK : zeros,
                                     args->q + (block_at + i) * VMT_MM_BLOCK, sums);
            vmt_mm_put_scales(args, block_at, height, i, d, sums);
        }
    }
}
