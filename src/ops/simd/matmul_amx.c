/* ops/simd/matmul_amx.c: quantized weights and many rows of x, with AMX int8 tiles.
 *
 * A panel is unpacked once into scratch and then meets every activation panel of the range.  Many rows of x: whole
 * panels, a group of them.  Few rows, for which unpacking is half the work: one panel, RUN blocks of it at a time, that
 * stay in the first cache, while the packed blocks after them are on their way.  Per block of 32 along k:
 *
 *      A  height x 32 bytes of x      B  8 x 64 bytes: the panel's quants, as they lie, made signed
 *         C = A B   height x 16 exact integer dot products, stored, then scaled into float accumulators
 *
 * Tiles of block b + AHEAD are under way while block b is scaled.  Half-block formats do the same twice per block with
 * 16 bytes of A and 4 rows of B. */
#if defined(__x86_64__)
#include "ops/simd/amx.h"
#include "ops/simd/matmul_zmm.h"

/* How a panel's blocks are scaled; all formats of one shape share their tiles. */
typedef enum block_shape { SHAPE_D, SHAPE_DM, SHAPE_HALVES } block_shape;

static block_shape shape_of(const vmt_matmul_kind *kind) {
    return kind->has_halves ? SHAPE_HALVES : kind->has_min ? SHAPE_DM : SHAPE_D;
}

/* Blocks [begin, end) of a panel: signed quants [end - begin, 8, 64], and per block one or two vectors of 16 floats: d,
 * and m or the second half's d. */
typedef struct unpacked {
    uint32_t panel, begin, end;
    bool asks_ahead; /* for the packed blocks that come as far behind these as these are long */
    int8_t *quants;
    float *scales;
} unpacked;

VMT_BODY void unpack(const quant_bits bits, const vmt_mm_args *args, const unpacked *w) {
    const uint8_t *panel = args->panels + w->panel * args->layout.bytes;
    int8_t *quants = w->quants;
    float *scales = w->scales;
    const __m512i zero = _mm512_set1_epi8((char)args->kind->zero);
    const block_shape shape = shape_of(args->kind);
    for (uint32_t b = w->begin; b < w->end; b++) {
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

enum {
    AHEAD = 3, /* blocks of dots under way before they are scaled */
    RING = 4,  /* buffers for them */
    RUN = 16,  /* blocks unpacked at a time for few rows of x: 9 or 10 KiB; 8 and 32 are slower */
};

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

/* b: a block of w. */
VMT_INLINE void prefetch_after(const vmt_mm_args *args, const unpacked *w, uint32_t b) {
    const uint32_t quant_bytes = args->kind->quant_bytes;
    const uint8_t *panel = args->panels + w->panel * args->layout.bytes;
    vmt_mm_packed at = vmt_mm_packed_after(args, panel, w->begin + b, w->end - w->begin);
    for (uint32_t i = 0; i < quant_bytes; i += 64) __builtin_prefetch(at.quants + i);
    __builtin_prefetch(at.scales);
    __builtin_prefetch(at.supers);
}

typedef struct place { /* in scratch */
    int32_t *ring;     /* [RING, 2, 16, 16] */
    float *sums;       /* [VMT_MM_FEW_ROWS, 16] from one run of blocks to the next */
} place;

VMT_INLINE int32_t *ring_slot(const block_shape shape, int32_t *ring, uint32_t b) {
    return ring + b % RING * (shape == SHAPE_HALVES ? 512 : 256);
}

/* x and quants: of the first block. */
VMT_INLINE void block_dots(const block_shape shape, const uint32_t height, const int8_t *x, const int8_t *quants,
                           int32_t *ring, uint32_t b) {
    int32_t *c = ring_slot(shape, ring, b);
    x += (size_t)b * VMT_MM_BLOCK * height;
    quants += (size_t)b * VMT_MM_BLOCK * VMT_MM_PANEL;
    dots(x, quants, c);
    if (shape == SHAPE_HALVES) dots(x + 16, quants + 256, c + 256);
}

/* Rows [row, row + num_rows) of x, the blocks of w: the last ones end in the output, others in place->sums. */
VMT_BODY void tile(const block_shape shape, const uint32_t height, const vmt_mm_args *args, const unpacked *w,
                   const place *place, uint32_t row, uint32_t num_rows) {
    const uint32_t num_blocks = w->end - w->begin;
    const bool asks_ahead = w->asks_ahead;
    const size_t first = (size_t)row * args->num_blocks + (size_t)w->begin * height;
    const int8_t *x = args->q + first * VMT_MM_BLOCK, *quants = w->quants;
    const float *d = args->d + first, *sum = args->sum + first, *scales = w->scales;
    int32_t *ring = place->ring;
    __m512 acc[16];
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) acc[i] = _mm512_setzero_ps();
    if (w->begin > 0) {
        const float *sums = place->sums + row * VMT_MM_PANEL;
        VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) acc[i] = _mm512_load_ps(sums + VMT_MM_PANEL * i);
    }
    for (uint32_t b = 0; b < VMT_MIN(AHEAD, num_blocks); b++) block_dots(shape, height, x, quants, ring, b);
    for (uint32_t b = 0; b < num_blocks; b++) {
        const int32_t *c = ring_slot(shape, ring, b);
        if (b + AHEAD < num_blocks) block_dots(shape, height, x, quants, ring, b + AHEAD);
        if (asks_ahead) prefetch_after(args, w, b);
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
    if (w->end < args->num_blocks) {
        float *sums = place->sums + row * VMT_MM_PANEL;
        VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) _mm512_store_ps(sums + VMT_MM_PANEL * i, acc[i]);
        return;
    }
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
        if (i < num_rows) zmm_store(args, row + i, w->panel, acc[i]);
    }
}

VMT_BODY void tile_of_height(const block_shape shape, uint32_t height, const vmt_mm_args *args, const unpacked *w,
                             const place *place, uint32_t row, uint32_t num_rows) {
    switch (height) {
    case 1: tile(shape, 1, args, w, place, row, num_rows); break;
    case 2: tile(shape, 2, args, w, place, row, num_rows); break;
    case 4: tile(shape, 4, args, w, place, row, num_rows); break;
    case 8: tile(shape, 8, args, w, place, row, num_rows); break;
    case 12: tile(shape, 12, args, w, place, row, num_rows); break;
    default: tile(shape, 16, args, w, place, row, num_rows); break;
    }
}

VMT_BODY void unpack_any(const vmt_mm_args *args, const unpacked *w) {
    switch (args->kind->format) {
    case VMT_MM_5D:
    case VMT_MM_5DM:
    case VMT_MM_5KM: unpack(BITS_5, args, w); break;
    case VMT_MM_6K: unpack(BITS_6, args, w); break;
    case VMT_MM_8D:
    case VMT_MM_8DM: unpack(BITS_8, args, w); break;
    default: unpack(BITS_4, args, w); break;
    }
}

/* All rows of the range times count panels, as far as they are unpacked.  A group of panels gives a row of the output
 * several lines next to each other, and the rows of x stay in the first cache meanwhile. */
VMT_BODY void multiply(const block_shape shape, const vmt_mm_args *args, const vmt_mm_range *range, unpacked *w,
                       uint32_t count, const place *place, uint32_t *configured) {
    for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
        uint32_t n = VMT_MIN(range->row_end - row, VMT_MM_PANEL), height = vmt_mm_height(n);
        if (*configured != height) configure(*configured = height, shape == SHAPE_HALVES ? 16 : 32);
        for (uint32_t g = 0; g < count; g++) {
            w[g].asks_ahead = args->num_rows <= VMT_MM_FEW_ROWS && row == range->row_begin;
            tile_of_height(shape, height, args, &w[g], place, row, n);
        }
    }
}

void vmt_mm_quant_amx(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    const block_shape shape = shape_of(args->kind);
    const uint32_t group = vmt_mm_amx_group(args), num_blocks = args->num_blocks;
    const uint32_t run = args->num_rows <= VMT_MM_FEW_ROWS ? VMT_MIN(RUN, num_blocks) : num_blocks;
    const place place = {scratch, (float *)((uint8_t *)scratch + VMT_MM_RING_BYTES)};
    int8_t *room = (int8_t *)(place.sums + VMT_MM_FEW_ROWS * VMT_MM_PANEL);
    unpacked w[VMT_MM_GROUP_MAX];
    uint32_t configured = 0;
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel += group) {
        uint32_t count = VMT_MIN(group, range->panel_end - panel);
        for (uint32_t begin = 0; begin < num_blocks; begin += run) {
            for (uint32_t g = 0; g < count; g++) {
                int8_t *quants = room + g * vmt_mm_unpacked_bytes(args);
                float *scales = (float *)(quants + (size_t)run * VMT_MM_BLOCK * VMT_MM_PANEL);
                w[g] = (unpacked){panel + g, begin, VMT_MIN(begin + run, num_blocks), false, quants, scales};
                unpack_any(args, &w[g]);
            }
            AMX_ORDER_MEMORY();
            switch (shape) {
            case SHAPE_D: multiply(SHAPE_D, args, range, w, count, &place, &configured); break;
            case SHAPE_DM: multiply(SHAPE_DM, args, range, w, count, &place, &configured); break;
            case SHAPE_HALVES: multiply(SHAPE_HALVES, args, range, w, count, &place, &configured); break;
            }
        }
    }
    _tile_release();
}
#else
typedef int vmt_mm_no_amx;
#endif
