/* ops/simd/matmul_amx.c: quantized weights and many rows of x, with AMX int8 tiles.
 *
 * A panel is unpacked once into scratch and then meets every activation panel of the range.  Per block of 32 along k:
 *
 *      A  height x 32 bytes of x      B  8 x 64 bytes: the panel's quants, as they lie, made signed
 *         C = A B   height x 16 exact integer dot products, stored, then scaled into float accumulators
 *
 * The multiplication costs 16 cycles and the scaling about 32, so tiles of block b + 1 are under way while block b is
 * scaled.  Half-block formats do the same twice per block with 16 bytes of A and 4 rows of B. */
#if defined(__x86_64__)
#include "ops/simd/matmul_zmm.h"

/* Unpacked panel: quants of all blocks [num_blocks, 8, 64], then vectors of 16 floats per block: d, (d of the second
 * half), (m). */
VMT_INLINE uint32_t vectors_per_block(vmt_mm_format f) {
    return f == VMT_MM_6K || zmm_has_min(f) ? 2 : 1;
}

VMT_INLINE void unpack_panel(const vmt_mm_format f, const vmt_mm_args *args, uint32_t panel_idx, int8_t *quants,
                             float *scales) {
    const uint8_t *panel = args->panels + panel_idx * args->layout.bytes;
    const __m512i zero = _mm512_set1_epi8((char)args->kind->zero);
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        __m512i q[8];
        zmm_load_quants(f, panel + (size_t)b * zmm_quant_bytes(f), q);
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            _mm512_store_si512(quants + 64 * j, zmm_has_min(f) ? q[j] : _mm512_sub_epi8(q[j], zero));
        }
        zmm_scales s = zmm_load_scales(f, &args->layout, panel, b);
        _mm512_store_ps(scales, s.d[0]);
        if (f == VMT_MM_6K) _mm512_store_ps(scales + 16, s.d[1]);
        if (zmm_has_min(f)) _mm512_store_ps(scales + 16, s.m);
        quants += 512;
        scales += 16 * vectors_per_block(f);
    }
}

/* Tiles: 0 and 1 for C, 2 for A, 3 for B. */
static void configure(uint32_t height, uint32_t k_bytes) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t col_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    config.rows[0] = config.rows[1] = config.rows[2] = (uint8_t)height;
    config.col_bytes[0] = config.col_bytes[1] = 64;
    config.col_bytes[2] = (uint16_t)k_bytes;
    config.rows[3] = (uint8_t)(k_bytes / 4);
    config.col_bytes[3] = 64;
    _tile_loadconfig(&config);
}

enum { AHEAD = 3, RING = 4 }; /* blocks of dots under way before they are scaled, and buffers for them */

/* The compiler does not know that tile loads read memory. */
#define ORDER_MEMORY() __asm__ volatile("" ::: "memory")

VMT_INLINE void dots(const int8_t *x, const int8_t *quants, int32_t *c) {
    _tile_zero(0);
    _tile_loadd(2, x, 32);
    _tile_loadd(3, quants, 64);
    _tile_dpbssd(0, 2, 3);
    _tile_stored(0, c, 64);
}

VMT_INLINE void scale(const uint32_t height, __m512 acc[16], const int32_t *c, __m512 dw, const float *d) {
    VMT_UNROLL for (uint32_t i = 0; i < height; i++) {
        __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(c + 16 * i));
        acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(dw, _mm512_set1_ps(d[i])), dot, acc[i]);
    }
}

typedef struct unpacked {
    const int8_t *quants;
    const float *scales;
    int32_t *c; /* [RING][2][16][16] */
} unpacked;

VMT_INLINE void block_dots(const vmt_mm_format f, const uint32_t height, const int8_t *x, const unpacked *w,
                           uint32_t b) {
    const int8_t *xb = x + (size_t)b * VMT_MM_BLOCK * height, *quants = w->quants + (size_t)b * 512;
    int32_t *c = w->c + b % RING * 512;
    dots(xb, quants, c);
    if (f == VMT_MM_6K) dots(xb + 16, quants + 256, c + 256);
}

VMT_INLINE void tile(const vmt_mm_format f, const uint32_t height, const vmt_mm_args *args, const unpacked *w,
                     uint32_t panel_idx, uint32_t row, uint32_t num_rows) {
    const uint32_t num_blocks = args->num_blocks, vectors = vectors_per_block(f);
    size_t base = (size_t)row * num_blocks;
    const int8_t *x = args->q + base * VMT_MM_BLOCK;
    const float *d = args->d + base, *sum = args->sum + base, *scales = w->scales;
    __m512 acc[16];
    VMT_UNROLL for (uint32_t i = 0; i < height; i++) acc[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < VMT_MIN(AHEAD, num_blocks); b++) block_dots(f, height, x, w, b);
    for (uint32_t b = 0; b < num_blocks; b++) {
        const int32_t *c = w->c + b % RING * 512;
        if (b + AHEAD < num_blocks) block_dots(f, height, x, w, b + AHEAD);
        scale(height, acc, c, _mm512_load_ps(scales), d);
        if (f == VMT_MM_6K) scale(height, acc, c + 256, _mm512_load_ps(scales + 16), d);
        if (zmm_has_min(f)) {
            __m512 m = _mm512_load_ps(scales + 16);
            VMT_UNROLL for (uint32_t i = 0; i < height; i++) {
                acc[i] = _mm512_fmadd_ps(m, _mm512_set1_ps(sum[i]), acc[i]);
            }
        }
        scales += 16 * vectors;
        d += height;
        sum += height;
    }
    VMT_UNROLL for (uint32_t i = 0; i < height; i++) {
        if (i < num_rows) zmm_store(args, row + i, panel_idx, acc[i]);
    }
}

VMT_INLINE void walk(const vmt_mm_format f, const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    int32_t *c = scratch;
    int8_t *quants = (int8_t *)(c + RING * 512);
    float *scales = (float *)(quants + (size_t)args->num_blocks * 512);
    const uint32_t k_bytes = f == VMT_MM_6K ? 16 : 32;
    unpacked w = {.quants = quants, .scales = scales, .c = c};
    uint32_t configured = 0;
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        unpack_panel(f, args, panel, quants, scales);
        ORDER_MEMORY();
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            uint32_t n = VMT_MIN(range->row_end - row, VMT_MM_PANEL), height = VMT_MAX(vmt_mm_height(n), 1);
            if (configured != height) configure(configured = height, k_bytes);
            switch (height) {
            case 1: tile(f, 1, args, &w, panel, row, n); break;
            case 2: tile(f, 2, args, &w, panel, row, n); break;
            case 3: tile(f, 3, args, &w, panel, row, n); break;
            case 4: tile(f, 4, args, &w, panel, row, n); break;
            case 8: tile(f, 8, args, &w, panel, row, n); break;
            case 12: tile(f, 12, args, &w, panel, row, n); break;
            default: tile(f, 16, args, &w, panel, row, n); break;
            }
        }
    }
    _tile_release();
}

void vmt_mm_quant_amx(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_4D: walk(VMT_MM_4D, args, range, scratch); break;
    case VMT_MM_4DM: walk(VMT_MM_4DM, args, range, scratch); break;
    case VMT_MM_5D: walk(VMT_MM_5D, args, range, scratch); break;
    case VMT_MM_5DM: walk(VMT_MM_5DM, args, range, scratch); break;
    case VMT_MM_8D: walk(VMT_MM_8D, args, range, scratch); break;
    case VMT_MM_4KM: walk(VMT_MM_4KM, args, range, scratch); break;
    case VMT_MM_5KM: walk(VMT_MM_5KM, args, range, scratch); break;
    case VMT_MM_6K: walk(VMT_MM_6K, args, range, scratch); break;
    default: VMT_ASSERT(!"a quantized format");
    }
}
#else
typedef int vmt_mm_no_amx;
#endif
