/* ops/simd/matmul_pairs_amx.c: BF16 weights with AMX tiles, for any number of rows of x.
 *
 * A block of a packed panel is a B tile as it lies, and so are the high and the low part of x (A).  Accumulators stay
 * in tiles along all of k, so that nothing but loads and products happens per block:
 *
 *      many rows    C0 C1    two activation panels (4, 5)      few rows    C0 C1 C2 C3    one activation panel,
 *                   C2 C3    times two weight panels (6, 7)                               high (4) and low (5)
 *
 * The few-row form reads four panels side by side, each asked for ahead, and waits for memory alone. */
#if defined(__x86_64__)
#include "ops/simd/amx.h"
#include "ops/simd/matmul_zmm.h"

#define TILE_ELEMS  (VMT_MM_BLOCK * VMT_MM_PANEL)
#define AHEAD_ELEMS (2 * TILE_ELEMS) /* of a panel; 1 KiB to 4 KiB are alike */

typedef struct operands {
    const uint16_t *w[4]; /* weight panels; absent ones repeat the first */
    const uint16_t *x[2]; /* activation panels */
    uint32_t height[2];   /* of those; the second 0: absent */
    uint32_t row, num_rows, panel, num_panels;
} operands;

static void configure(uint32_t first, uint32_t second) {
    amx_config config = {0};
    amx_shape(&config, 0, first, 64);
    amx_shape(&config, 1, first, 64);
    amx_shape(&config, 2, second, 64);
    amx_shape(&config, 3, second, 64);
    amx_shape(&config, 4, first, 64);
    amx_shape(&config, 5, second, 64);
    amx_shape(&config, 6, VMT_MM_PANEL, 64);
    amx_shape(&config, 7, VMT_MM_PANEL, 64);
    amx_load_config(&config);
}

static void store_tile(const vmt_mm_args *args, const float *c, uint32_t row, uint32_t num_rows, uint32_t panel) {
    for (uint32_t i = 0; i < num_rows; i++) zmm_store(args, row + i, panel, _mm512_load_ps(c + VMT_MM_PANEL * i));
}

/* Two activation panels times one or two weight panels. */
static void multiply_many(const vmt_mm_args *args, const operands *o, float *c) {
    const uint16_t *w0 = o->w[0], *w1 = o->w[1], *x0 = o->x[0], *x1 = o->x[1];
    const size_t part0 = (size_t)o->height[0] * VMT_MM_BLOCK, part1 = (size_t)o->height[1] * VMT_MM_BLOCK;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        _tile_loadd(6, w0, 64);
        _tile_loadd(7, w1, 64);
        for (int part = 0; part < 2; part++) {
            _tile_loadd(4, x0, 64);
            _tile_loadd(5, x1, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
            x0 += part0;
            x1 += part1;
        }
        w0 += TILE_ELEMS;
        w1 += TILE_ELEMS;
    }
    _tile_stored(0, c, 64);
    _tile_stored(1, c + 256, 64);
    _tile_stored(2, c + 512, 64);
    _tile_stored(3, c + 768, 64);
    AMX_ORDER_MEMORY();
    for (uint32_t p = 0; p < o->num_panels; p++) {
        store_tile(args, c + 256 * p, o->row, VMT_MM_PANEL, o->panel + p);
        store_tile(args, c + 512 + 256 * p, o->row + VMT_MM_PANEL, o->num_rows - VMT_MM_PANEL, o->panel + p);
    }
}

static void prefetch_tile(const uint16_t *w) {
    VMT_UNROLL for (int i = 0; i < 16; i++) __builtin_prefetch(w + AHEAD_ELEMS + 32 * i);
}

/* One activation panel times up to four weight panels. */
static void multiply_few(const vmt_mm_args *args, const operands *o, float *c) {
    const uint16_t *x = o->x[0];
    const size_t part = (size_t)o->height[0] * VMT_MM_BLOCK;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        const size_t at = (size_t)b * TILE_ELEMS;
        for (uint32_t p = 0; p < o->num_panels; p++) prefetch_tile(o->w[p] + at);
        _tile_loadd(4, x, 64);
        _tile_loadd(5, x + part, 64);
        _tile_loadd(6, o->w[0] + at, 64);
        _tile_loadd(7, o->w[1] + at, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(0, 5, 6);
        _tile_dpbf16ps(1, 5, 7);
        _tile_loadd(6, o->w[2] + at, 64);
        _tile_loadd(7, o->w[3] + at, 64);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        x += 2 * part;
    }
    _tile_stored(0, c, 64);
    _tile_stored(1, c + 256, 64);
    _tile_stored(2, c + 512, 64);
    _tile_stored(3, c + 768, 64);
    AMX_ORDER_MEMORY();
    for (uint32_t p = 0; p < o->num_panels; p++) store_tile(args, c + 256 * p, o->row, o->num_rows, o->panel + p);
}

void vmt_mm_pairs_amx(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    const uint16_t *x = (const uint16_t *)(const void *)args->q;
    uint32_t configured = 0;
    AMX_ORDER_MEMORY();
    for (uint32_t row = range->row_begin, step; row < range->row_end; row += step) {
        operands o = {.row = row, .num_rows = VMT_MIN(range->row_end - row, 2 * VMT_MM_PANEL)};
        step = o.num_rows;
        const bool is_many = o.num_rows > VMT_MM_PANEL;
        o.x[0] = x + (size_t)row * args->num_blocks * 2 * VMT_MM_BLOCK;
        o.x[1] = x + ((size_t)row + VMT_MM_PANEL) * args->num_blocks * 2 * VMT_MM_BLOCK;
        o.height[0] = is_many ? VMT_MM_PANEL : vmt_mm_height(o.num_rows);
        o.height[1] = is_many ? vmt_mm_height(o.num_rows - VMT_MM_PANEL) : o.height[0];
        if (configured != 256 * o.height[0] + o.height[1]) configure(o.height[0], o.height[1]);
        configured = 256 * o.height[0] + o.height[1];
        for (o.panel = range->panel_begin; o.panel < range->panel_end; o.panel += o.num_panels) {
            o.num_panels = VMT_MIN(range->panel_end - o.panel, is_many ? 2 : 4);
            for (uint32_t p = 0; p < 4; p++) {
                const uint8_t *w = args->panels + (o.panel + (p < o.num_panels ? p : 0)) * args->layout.bytes;
                o.w[p] = (const uint16_t *)(const void *)w;
            }
            (is_many ? multiply_many : multiply_few)(args, &o, scratch);
        }
    }
    _tile_release();
}
#else
typedef int vmt_mm_no_pairs_amx;
#endif
