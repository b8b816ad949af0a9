/* ops/simd/matmul_avx2.c: all kernels for AVX2 with FMA and F16C.  A vector is half a panel: 8 output rows.
 *
 * vpmaddubsw adds pairs of products into 16 bits; how many of those fit before they must be widened depends on the bits
 * of a quant: 8 vectors of 4 bits, 4 of 5 bits, 2 of 6 bits, one of 8. */
#if defined(__x86_64__)
#include "ops/matmul_kernel.h"

#include <immintrin.h>
#include <string.h>

typedef enum quant_bits { BITS_4 = 4, BITS_5 = 5, BITS_6 = 6, BITS_8 = 8 } quant_bits;

VMT_INLINE __m256i load(const uint8_t *src) {
    return _mm256_load_si256((const __m256i *)src);
}

/* Eight vectors of unsigned quants of 8 output rows; src is at the block's first byte for them. */
VMT_INLINE void load_quants(const quant_bits bits, const uint8_t *src, __m256i q[8]) {
    if (bits == BITS_8) {
        VMT_UNROLL for (int j = 0; j < 8; j++) q[j] = load(src + 64 * j);
        return;
    }
    const __m256i nibble = _mm256_set1_epi8(15);
    VMT_UNROLL for (int j = 0; j < 4; j++) {
        __m256i both = load(src + 64 * j);
        q[j] = _mm256_and_si256(both, nibble);
        q[j + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
    }
    if (bits == BITS_5) {
        const __m256i bit = _mm256_set1_epi8(16);
        __m256i high = load(src + 256);
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            __m256i moved = j < 4 ? _mm256_slli_epi16(high, 4 - j) : _mm256_srli_epi16(high, j - 4);
            q[j] = _mm256_or_si256(q[j], _mm256_and_si256(moved, bit));
        }
    } else if (bits == BITS_6) {
        const __m256i pair = _mm256_set1_epi8(48);
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            __m256i high = load(src + 256 + 64 * (j / 4));
            int t = j % 4;
            __m256i moved = t < 2 ? _mm256_slli_epi16(high, 4 - 2 * t) : _mm256_srli_epi16(high, 2 * t - 4);
            q[j] = _mm256_or_si256(q[j], _mm256_and_si256(moved, pair));
        }
    }
}

VMT_INLINE __m256i broadcast4(const int8_t *src) {
    int32_t word;
    memcpy(&word, src, sizeof(word));
    return _mm256_set1_epi32(word);
}

/* Exact dot products of count vectors, from begin on; for 8 bits the quants' offset of 128 is taken off here. */
VMT_INLINE __m256i dot(const quant_bits bits, const __m256i q[8], const int8_t *x, const int begin,
                       const int count) {
    const int per_group = bits == BITS_4 ? 8 : bits == BITS_5 ? 4 : bits == BITS_6 ? 2 : 1;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256(), group = sum;
    VMT_UNROLL for (int j = begin; j < begin + count; j++) {
        __m256i xj = broadcast4(x + 4 * j), products;
        if (bits == BITS_8) {
            __m256i w = _mm256_xor_si256(q[j], _mm256_set1_epi8((char)0x80));
            products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(xj, w));
        } else {
            products = _mm256_maddubs_epi16(q[j], xj);
        }
        group = j % per_group == 0 ? products : _mm256_add_epi16(group, products);
        if (j % per_group == per_group - 1) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(group, ones));
    }
    return sum;
}

VMT_INLINE __m256 load_f16(const uint8_t *src) {
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)src));
}

VMT_INLINE __m256 load_u8(const uint8_t *src) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)src)));
}

VMT_INLINE __m256 load_i8(const uint8_t *src) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)src)));
}

typedef struct ymm_scales {
    __m256 d[2], m;
} ymm_scales;

VMT_INLINE ymm_scales load_scales(const vmt_mm_args *args, const uint8_t *panel, uint32_t block, uint32_t half) {
    const vmt_matmul_kind *kind = args->kind;
    const uint8_t *scales = panel + args->layout.scales + (size_t)block * kind->scale_bytes;
    const uint8_t *supers = panel + args->layout.supers + (size_t)(block / VMT_MM_SUPER) * kind->super_bytes;
    ymm_scales s = {.m = _mm256_setzero_ps()};
    switch (kind->format) {
    case VMT_MM_4KM:
    case VMT_MM_5KM: {
        s.d[0] = s.d[1] = _mm256_mul_ps(load_f16(supers + 16 * half), load_u8(scales + 8 * half));
        __m256 low = _mm256_mul_ps(load_f16(supers + 32 + 16 * half), load_u8(scales + 16 + 8 * half));
        s.m = _mm256_xor_ps(low, _mm256_set1_ps(-0.0f));
        break;
    }
    case VMT_MM_6K: {
        __m256 d = load_f16(supers + 16 * half);
        s.d[0] = _mm256_mul_ps(d, load_i8(scales + 8 * half));
        s.d[1] = _mm256_mul_ps(d, load_i8(scales + 16 + 8 * half));
        break;
    }
    default:
        s.d[0] = s.d[1] = load_f16(scales + 16 * half);
        if (kind->has_min) s.m = load_f16(scales + 32 + 16 * half);
        break;
    }
    return s;
}

VMT_INLINE void store(const vmt_mm_args *args, uint32_t row, uint32_t begin, __m256 acc) {
    if (begin >= args->rows) return;
    uint32_t count = VMT_MIN(args->rows - begin, 8);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
    float *out = args->out + args->out_stride * row + begin;
    if (args->bias) acc = _mm256_add_ps(acc, _mm256_maskload_ps(args->bias + begin, lanes));
    acc = _mm256_mul_ps(acc, _mm256_set1_ps(args->out_scale));
    if (args->accumulate) acc = _mm256_add_ps(_mm256_maskload_ps(out, lanes), acc);
    _mm256_maskstore_ps(out, lanes, acc);
}

/* One panel times one activation panel, a block at a time; the accumulators live in the first cache. */
VMT_BODY void tile(const quant_bits bits, const bool has_min, const vmt_mm_args *args, uint32_t panel_idx,
                   uint32_t row, uint32_t num_rows) {
    const uint8_t *panel = args->panels + panel_idx * args->layout.bytes;
    const uint32_t height = vmt_mm_height(num_rows);
    const bool has_init = !has_min && bits != BITS_8;
    __m256 acc[VMT_MM_PANEL][2];
    for (uint32_t i = 0; i < num_rows; i++) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        const size_t at = (size_t)row * args->num_blocks + (size_t)b * height;
        const int8_t *x = args->q + at * VMT_MM_BLOCK;
        for (uint32_t half = 0; half < 2; half++) {
            __m256i q[8];
            load_quants(bits, panel + (size_t)b * args->kind->quant_bytes + 32 * half, q);
            const ymm_scales s = load_scales(args, panel, b, half);
            for (uint32_t i = 0; i < num_rows; i++) {
                const __m256 dx = _mm256_set1_ps(args->d[at + i]);
                const int8_t *xi = x + (size_t)VMT_MM_BLOCK * i;
                __m256 sum = acc[i][half];
                if (bits == BITS_6) {
                    const int32_t *init = args->init + 2 * at + i;
                    __m256i low = _mm256_add_epi32(_mm256_set1_epi32(init[0]), dot(bits, q, xi, 0, 4));
                    __m256i high = _mm256_add_epi32(_mm256_set1_epi32(init[height]), dot(bits, q, xi, 4, 4));
                    sum = _mm256_fmadd_ps(_mm256_mul_ps(s.d[0], dx), _mm256_cvtepi32_ps(low), sum);
                    sum = _mm256_fmadd_ps(_mm256_mul_ps(s.d[1], dx), _mm256_cvtepi32_ps(high), sum);
                } else {
                    __m256i idot = dot(bits, q, xi, 0, 8);
                    if (has_init) idot = _mm256_add_epi32(idot, _mm256_set1_epi32(args->init[at + i]));
                    sum = _mm256_fmadd_ps(_mm256_mul_ps(s.d[0], dx), _mm256_cvtepi32_ps(idot), sum);
                    if (has_min) sum = _mm256_fmadd_ps(s.m, _mm256_set1_ps(args->sum[at + i]), sum);
                }
                acc[i][half] = sum;
            }
        }
    }
    for (uint32_t i = 0; i < num_rows; i++) {
        store(args, row + i, panel_idx * VMT_MM_PANEL, acc[i][0]);
        store(args, row + i, panel_idx * VMT_MM_PANEL + 8, acc[i][1]);
    }
}

VMT_BODY void walk(const quant_bits bits, const bool has_min, const vmt_mm_args *args, const vmt_mm_range *range) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            tile(bits, has_min, args, panel, row, VMT_MIN(range->row_end - row, VMT_MM_PANEL));
        }
    }
}

void vmt_mm_quant_avx2(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_4D: walk(BITS_4, false, args, range); break;
    case VMT_MM_4DM:
    case VMT_MM_4KM: walk(BITS_4, true, args, range); break;
    case VMT_MM_5D: walk(BITS_5, false, args, range); break;
    case VMT_MM_5DM:
    case VMT_MM_5KM: walk(BITS_5, true, args, range); break;
    case VMT_MM_6K: walk(BITS_6, false, args, range); break;
    case VMT_MM_8D: walk(BITS_8, false, args, range); break;
    case VMT_MM_8DM: walk(BITS_8, true, args, range); break;
    default: VMT_ASSERT(!"a quantized format");
    }
}

VMT_INLINE __m256 load_weights(const vmt_mm_format f, const uint8_t *src) {
    return f == VMT_MM_F32 ? _mm256_load_ps((const float *)src) : load_f16(src);
}

/* height rows of x times width panels: 2 * height * width accumulators, at most 8. */
VMT_BODY void float_tile(const vmt_mm_format f, const uint32_t height, const uint32_t width,
                         const vmt_mm_args *args, uint32_t panel_idx, uint32_t row) {
    const uint32_t lane_bytes = f == VMT_MM_F32 ? 4 : 2;
    const float *x[4];
    __m256 acc[8];
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) x[i] = vmt_mm_x_row(args, row + i);
    VMT_UNROLL_ROWS for (uint32_t a = 0; a < 2 * height * width; a++) acc[a] = _mm256_setzero_ps();
    const uint8_t *w = args->panels + panel_idx * args->layout.bytes;
    for (size_t k = 0; k < args->cols; k++, w += 16 * lane_bytes) {
        VMT_UNROLL_ROWS for (uint32_t p = 0; p < 2 * width; p++) {
            const uint8_t *src = w + p / 2 * args->layout.bytes + 8 * lane_bytes * (p % 2);
            __m256 wk = load_weights(f, src);
            VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
                acc[p * height + i] = _mm256_fmadd_ps(wk, _mm256_set1_ps(x[i][k]), acc[p * height + i]);
            }
        }
    }
    VMT_UNROLL_ROWS for (uint32_t p = 0; p < 2 * width; p++) {
        VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
            store(args, row + i, panel_idx * VMT_MM_PANEL + 8 * p, acc[p * height + i]);
        }
    }
}

VMT_BODY void float_walk(const vmt_mm_format f, const vmt_mm_args *args, const vmt_mm_range *range) {
    uint32_t single = range->row_begin + (range->row_end - range->row_begin) / 4 * 4;
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < single; row += 4) float_tile(f, 4, 1, args, panel, row);
    }
    uint32_t panel = range->panel_begin;
    for (; panel + 4 <= range->panel_end; panel += 4) {
        for (uint32_t row = single; row < range->row_end; row++) float_tile(f, 1, 4, args, panel, row);
    }
    for (; panel < range->panel_end; panel++) {
        for (uint32_t row = single; row < range->row_end; row++) float_tile(f, 1, 1, args, panel, row);
    }
}

void vmt_mm_float_avx2(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_F32: float_walk(VMT_MM_F32, args, range); break;
    case VMT_MM_F16: float_walk(VMT_MM_F16, args, range); break;
    default: VMT_ASSERT(!"a float format");
    }
}

VMT_INLINE float reduce_max(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

VMT_INLINE int32_t reduce_add(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* One block of one row into q; returns its scale, and the sums of q over the two halves. */
VMT_INLINE float quantize_block(const float *x, int8_t *q, int32_t sums[2]) {
    __m256 v[4], largest = _mm256_setzero_ps();
    __m256i i32[4];
    const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (int j = 0; j < 4; j++) {
        v[j] = _mm256_loadu_ps(x + 8 * j);
        largest = _mm256_max_ps(largest, _mm256_and_ps(v[j], no_sign));
    }
    float top = reduce_max(largest);
    bool is_zero = top < VMT_MM_TINY;
    __m256 inverse = _mm256_set1_ps(is_zero ? 0 : 127.0f / top);
    for (int j = 0; j < 4; j++) i32[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], inverse));
    sums[0] = reduce_add(_mm256_add_epi32(i32[0], i32[1]));
    sums[1] = reduce_add(_mm256_add_epi32(i32[2], i32[3]));
    __m256i low = _mm256_packs_epi32(i32[0], i32[1]), high = _mm256_packs_epi32(i32[2], i32[3]);
    /* Packing works within 128-bit halves: put the eight groups of four bytes back in order. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i *)q, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
    return is_zero ? 0 : top * VMT_MM_STEP;
}

void vmt_mm_quantize_avx2(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end) {
    static const float zeros[VMT_MM_BLOCK];
    const uint32_t row_begin = panel_idx * VMT_MM_PANEL,
                   num_rows = VMT_MIN(args->num_rows - row_begin, VMT_MM_PANEL);
    const uint32_t height = vmt_mm_height(num_rows);
    for (uint32_t i = 0; i < height; i++) {
        const float *x = i < num_rows ? vmt_mm_x_row(args, row_begin + i) : NULL;
        for (uint32_t b = block_begin; b < block_end; b++) {
            const size_t block_at = (size_t)row_begin * args->num_blocks + (size_t)b * height, at = block_at + i;
            int32_t sums[2];
            float d = quantize_block(x ? x + (size_t)b * VMT_MM_BLOCK : zeros, args->q + at * VMT_MM_BLOCK, sums);
            vmt_mm_put_scales(args, block_at, height, i, d, sums);
        }
    }
}
#else
typedef int vmt_mm_no_avx2;
#endif
