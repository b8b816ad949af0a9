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
#include "ops/simd/amx.h"
#include "ops/simd/matmul_zmm.h"

/* How a panel's blocks are scaled; all formats of one shape share their tiles. */
typedef enum block_shape { SHAPE_D, SHAPE_DM, SHAPE_HALVES } block_shape;

static block_shape shape_of(const vmt_matmul_kind *kind) {
    return kind->has_halves ? SHAPE_HALVES : kind->has_min ? SHAPE_DM : SHAPE_D;
}

/* Unpacked panel: signed quants of all blocks [num_blocks, 8, 64], then per block one or two vectors of 16 floats: d,
 * and m or the second half's d. */
VMT_BODY void unpack_panel(const quant_bits bits, const vmt_mm_args *args, uint32_t panel_idx, int8_t *quants,
                           float *scales) {
    const uint8_t *panel = args->panels + panel_idx * args->layout.bytes;
    const __m512i zero = _mm512_set1_epi8((char)args->kind->zero);
    const block_shape shape = shape_of(args->kind);
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        __m512i q[8];
        zmm_load_quants(bits, panel + (size_t)b * args->kind->quant_bytes, q);
        VMT_UNROLL for (int j = 0; j < 8; j++) _mm512_store_si512(quants + 64 * j, _mm512_sub_epi8(q[j], zero));
        zmm_scales s = zmm_load_scales(args, panel, b);
        _mm512_store_ps(scales, s.d[0]);
        if (shape != SHAPE_D) _mm512_store_ps(scales + 16, shape == SHAPE_DM ? s.m : s.d[1]);
        quants += 512;
        scales += shape == SHAPE_D ? 16 : 32;
    }
}

/* Tiles: 0 for C, 2 for A, 3 for B. */
static void configure(uint32_t height, uint32_t k_bytes) {
    amx_config config = {0};
    amx_shape(&config, 0, height, 64);
    amx_shape(&config, 2, height, k_bytes);
    amx_shape(&config, 3, k_bytes / 4, 64);
    amx_load_config(&config);
}

enum { AHEAD = 3, RING = 4 }; /* blocks of dots under way before they are scaled, and buffers for them */

_Static_assert(RING * 2 * 16 * 16 * sizeof(int32_t) <= VMT_MM_RING_BYTES, "scratch");

VMT_INLINE void dots(const int8_t *x, const int8_t *quants, int32_t *c) {
    _tile_zero(0);
    _tile_loadd(2, x, 32);
    _tile_loadd(3, quants, 64);
    _tile_dpbssd(0, 2, 3);
    _tile_stored(0, c, 64);
}

VMT_INLINE void scale(const uint32_t height, __m512 acc[16], const int32_t *c, __m512 dw, const float *d) {
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
        __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(c + 16 * i));
        acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(dw, _mm512_set1_ps(d[i])), dot, acc[i]);
    }
}

typedef struct unpacked {
    const int8_t *quants;
    const float *scales;
    int32_t *c; /* [RING, 2, 16, 16] */
} unpacked;

VMT_INLINE void block_dots(const block_shape shape, const uint32_t height, const int8_t *x, const unpacked *w,
                           uint32_t b) {
    const int8_t *xb = x + (size_t)b * VMT_MM_BLOCK * height, *quants = w->quants + (size_t)b * 512;
    int32_t *c = w->c + b % RING * 512;
    dots(xb, quants, c);
    if (shape == SHAPE_HALVES) dots(xb + 16, quants + 256, c + 256);
}

VMT_BODY void tile(const block_shape shape, const uint32_t height, const vmt_mm_args *args, const unpacked *w,
                   uint32_t panel_idx, uint32_t row, uint32_t num_rows) {
    const uint32_t num_blocks = args->num_blocks;
    size_t base = (size_t)row * num_blocks;
    const int8_t *x = args->q + base * VMT_MM_BLOCK;
    const float *d = args->d + base, *sum = args->sum + base, *scales = w->scales;
    __m512 acc[16];
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) acc[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < VMT_MIN(AHEAD, num_blocks); b++) block_dots(shape, height, x, w, b);
    for (uint32_t b = 0; b < num_blocks; b++) {
        const int32_t *c = w->c + b % RING * 512;
        if (b + AHEAD < num_blocks) block_dots(shape, height, x, w, b + AHEAD);
        scale(height, acc, c, _mm512_load_ps(scales), d);
        if (shape == SHAPE_HALVES) scale(height, acc, c + 256, _mm512_load_ps(scales + 16), d);
        if (shape == SHAPE_DM) {
            __m512 m = _mm512_load_ps(scales + 16);
            VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
                acc[i] = _mm512_fmadd_ps(m, _mm512_set1_ps(sum[i]), acc[i]);
            }
        }
        scales += shape == SHAPE_D ? 16 : 32;
        d += height;
        sum += height;
    }
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
        if (i < num_rows) zmm_store(args, row + i, panel_idx, acc[i]);
    }
}

VMT_BODY void tile_of_height(const block_shape shape, uint32_t height, const vmt_mm_args *args, const unpacked *w,
                             uint32_t panel, uint32_t row, uint32_t num_rows) {
    switch (height) {
    case 1: tile(shape, 1, args, w, panel, row, num_rows); break;
    case 2: tile(shape, 2, args, w, panel, row, num_rows); break;
    case 4: tile(shape, 4, args, w, panel, row, num_rows); break;
    case 8: tile(shape, 8, args, w, panel, row, num_rows); break;
    case 12: tile(shape, 12, args, w, panel, row, num_rows); break;
    default: tile(shape, 16, args, w, panel, row, num_rows); break;
    }
}

VMT_BODY void unpack_any(const vmt_mm_args *args, uint32_t panel, const unpacked *w) {
    int8_t *quants = (int8_t *)w->quants;
    float *scales = (float *)w->scales;
    switch (args->kind->format) {
    case VMT_MM_5D:
    case VMT_MM_5DM:
    case VMT_MM_5KM: unpack_panel(BITS_5, args, panel, quants, scales); break;
    case VMT_MM_6K: unpack_panel(BITS_6, args, panel, quants, scales); break;
    case VMT_MM_8D:
    case VMT_MM_8DM: unpack_panel(BITS_8, args, panel, quants, scales); break;
    default: unpack_panel(BITS_4, args, panel, quants, scales); break;
    }
}

/* A group of panels is unpacked at once, so that a row of the output gets several lines next to each other and the rows
 * of x stay in the first cache meanwhile. */
void vmt_mm_quant_amx(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    const block_shape shape = shape_of(args->kind);
    const uint32_t group = vmt_mm_amx_group(args);
    const size_t unpacked_bytes = vmt_mm_unpacked_bytes(args);
    unpacked w[VMT_MM_GROUP_MAX];
    for (uint32_t g = 0; g < group; g++) {
        int8_t *quants = (int8_t *)scratch + VMT_MM_RING_BYTES + g * unpacked_bytes;
        w[g] = (unpacked){quants, (float *)(quants + (size_t)args->num_blocks * 512), scratch};
    }
    uint32_t configured = 0;
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel += group) {
        uint32_t count = VMT_MIN(group, range->panel_end - panel);
        for (uint32_t g = 0; g < count; g++) unpack_any(args, panel + g, &w[g]);
        AMX_ORDER_MEMORY();
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            uint32_t n = VMT_MIN(range->row_end - row, VMT_MM_PANEL), height = vmt_mm_height(n);
            if (configured != height) configure(configured = height, shape == SHAPE_HALVES ? 16 : 32);
            for (uint32_t g = 0; g < count; g++) {
                switch (shape) {
                case SHAPE_D: tile_of_height(SHAPE_D, height, args, &w[g], panel + g, row, n); break;
                case SHAPE_DM: tile_of_height(SHAPE_DM, height, args, &w[g], panel + g, row, n); break;
                case SHAPE_HALVES: tile_of_height(SHAPE_HALVES, height, args, &w[g], panel + g, row, n); break;
                }
            }
        }
    }
    _tile_release();
}
#else
typedef int vmt_mm_no_amx;
#endif
