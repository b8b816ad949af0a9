/* ops/matmul_kernel.h: what the matmul's plan, packers and kernels share.  Inside ops/ only.
 *
 * Weights are packed into panels of 16 output rows, so that a vector lane is an output row and k is the outer loop.
 * A panel is contiguous: its quants for all of k, then its scales, then its super-block scales, each part starting on
 * a 64-byte border.  With r the row in the panel (0..15), per block of 32 along k:
 *
 *   quants  4 bits   4 x 64 bytes: vector j (0..3), byte 4r + i: low nibble element 4j + i, high element 16 + 4j + i
 *           5 bits   the same, then 64 bytes: byte 4r + i, bit j (0..7): bit 4 of element 4j + i
 *           6 bits   the same as 4, then 2 x 64 bytes: vector h, byte 4r + i, bits 2t, 2t + 1: bits 4 and 5 of element
 *                    16h + 4t + i
 *           8 bits   8 x 64 bytes: vector j (0..7), byte 4r + i: element 4j + i, plus 128 (with a min too)
 *   scales  D        d f16[16]                              value = d * (q - zero)
 *           DM       d f16[16], m f16[16]                   value = d * q + m
 *           KM       scale u8[16], min u8[16];  super-block of 8 blocks: d f16[16], dmin f16[16]
 *           K6       scale i8[16] of elements 0..15, i8[16] of 16..31;  super-block of 8 blocks: d f16[16]
 *   floats           for each k the 16 rows' elements, in the weight's own type
 *   pairs   BF16     for each two k the 16 rows' (even, odd) elements: 64 bytes, and 16 of them are a block of 32; k is
 *                    padded to whole blocks with zeros
 *
 * For quants, rows of x are quantized to 8 bits per block of 32: d = max|x| * (1 / 127), q = round-to-even(x * (127 /
 * max|x|)).  For pairs, x = high + low, both BF16 rounded to even, which keeps 16 bits of it.  Both lie in panels of at
 * most 16 rows; a panel of m rows is laid out with height vmt_mm_height(m), and the surplus rows are zero.
 *
 * One output element is this sequence and no other, on every instruction set (FMA is one rounding):
 *   acc = 0;  for each block in order:  acc = fma(dw * dx, (float)idot, acc);  if the format has a min:
 *   acc = fma(mw, dx * (float)isum, acc)        K6 has two such steps per block, one per 16 elements
 *   floats: acc = fma(w[k], x[k], acc) for each k in order
 *   pairs: for each block of 32, for part = high, low:  e = o = 0;  for each pair j of the block:
 *   e = fma(w[2j], part[2j], e), o = fma(w[2j+1], part[2j+1], o);  acc = acc + (e + o)      (what an AMX tile does)
 *   then  v = acc;  v = v + bias;  v = v * out_scale;  v = out + v
 * where idot is the exact integer dot product of q - zero and the row's q. */
#ifndef VMT_OPS_MATMUL_KERNEL_H
#define VMT_OPS_MATMUL_KERNEL_H

#include "backend/cpu/cpu.h"
#include "ops/matmul.h"

#define VMT_MM_PANEL 16u            /* output rows of a weight panel; rows of x in an activation panel */
#define VMT_MM_BLOCK 32u            /* elements along k with one scale */
#define VMT_MM_SUPER 8u             /* blocks of a K super-block */
#define VMT_MM_TINY  0x1p-100f      /* a block of x whose largest magnitude is below counts as zero */
#define VMT_MM_STEP  0x1.020408p-7f /* 1 / 127 */
/* Pairs: elements and weights whose BF16 exponent is less than this (2^-50) count as zero.  Products of others, and
 * sums of those, are never denormal, which AMX flushes and vector instructions do not. */
#define VMT_MM_TINY_EXPONENT 77u

typedef enum vmt_mm_format { /* bits and scales */
                             VMT_MM_4D,
                             VMT_MM_4DM,
                             VMT_MM_5D,
                             VMT_MM_5DM,
                             VMT_MM_8D,
                             VMT_MM_8DM,
                             VMT_MM_4KM,
                             VMT_MM_5KM,
                             VMT_MM_6K,
                             VMT_MM_F32,
                             VMT_MM_F16,
                             VMT_MM_BF16,
} vmt_mm_format;

typedef enum vmt_mm_class { VMT_MM_FLOATS, VMT_MM_QUANTS, VMT_MM_PAIRS } vmt_mm_class;

typedef struct vmt_matmul_kind {
    vmt_dtype dtype;
    vmt_mm_format format;
    vmt_mm_class class;
    bool has_min, has_halves;          /* has_halves: a scale per 16 elements */
    int32_t zero;                      /* what packed quants are offset by */
    uint32_t quant_bytes;              /* per panel and block (pairs too); floats: per panel and k */
    uint32_t scale_bytes, super_bytes; /* per panel and block, per panel and super-block */
    /* rows: the 16 source rows. */
    void (*pack)(const struct vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                 uint32_t cols);
} vmt_matmul_kind;

/* NULL if this dtype can't be a weight. */
const vmt_matmul_kind *vmt_mm_kind(vmt_dtype dtype);

typedef struct vmt_mm_layout { /* of one panel, in bytes from its start */
    size_t scales, supers, bytes;
} vmt_mm_layout;
vmt_mm_layout vmt_mm_layout_of(const vmt_matmul_kind *kind, uint32_t cols);
static inline uint32_t vmt_mm_num_blocks(uint32_t cols) { /* along k; quantized rows are whole blocks */
    return (cols + VMT_MM_BLOCK - 1) / VMT_MM_BLOCK;
}

/* VMT_BODY functions are specialised by constant arguments wherever they are called, and VMT_UNROLL_ROWS loops then
 * have constant trip counts, which turns their arrays into registers.  A sanitized build would compile for minutes:
 * there each body is one plain function, the same code with its arguments at run time. */
#define VMT_INLINE static inline __attribute__((always_inline))
#define VMT_UNROLL _Pragma("GCC unroll 24")
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VMT_BODY static __attribute__((noinline))
#define VMT_UNROLL_ROWS
#else
#define VMT_BODY        VMT_INLINE
#define VMT_UNROLL_ROWS VMT_UNROLL
#endif

static inline uint32_t vmt_mm_height(uint32_t num_rows) {
    return num_rows <= 2 ? num_rows : (num_rows + 3) / 4 * 4;
}

/* Everything a kernel sees. */
typedef struct vmt_mm_args {
    const vmt_matmul_kind *kind;
    vmt_mm_layout layout;
    const uint8_t *panels;
    uint32_t rows, cols, num_blocks; /* of the weight; num_blocks along k */

    const float *x; /* the rows as given */
    size_t x_stride;
    const uint32_t *row_ids;
    uint32_t num_rows;

    /* Quantized rows.  Activation panel p begins at element p * 16 * num_blocks * (32, 1, 1, 1 or 2); in a panel:
     * q [num_blocks, height, 32], d and sum [num_blocks, height], init [num_blocks, halves, height]. */
    int8_t *q; /* pairs: BF16 [num_blocks, 2, height, 32] instead: high, low */
    float *d;
    float *sum; /* d * (sum of q) */
    int32_t
        *init; /* -zero * (sum of q), per half if has_halves: where a dot product over unsigned quants starts */

    float *out;
    size_t out_stride;
    const float *bias;
    float out_scale;
    bool accumulate;
} vmt_mm_args;

typedef struct vmt_mm_range { /* of output: rows of x (begin a multiple of 16), panels of the weight */
    uint32_t row_begin, row_end, panel_begin, panel_end;
} vmt_mm_range;

typedef void (*vmt_mm_kernel)(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
/* Quantizes or splits blocks [block_begin, block_end) of the rows of activation panel panel_idx. */
typedef void (*vmt_mm_quantizer)(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin,
                                 uint32_t block_end);

/* Few rows of x leave a kernel waiting for its weights.  The hardware's prefetchers alone reach three quarters of the
 * memory's rate: they stop at each page and run behind.  So kernels of few rows ask for the block that lies
 * VMT_MM_AHEAD_BYTES of quants further on, in the next panel when this one ends.  A sweep of 512 to 8,192 bytes is flat
 * from 3,072 to 6,144 (2 cores, 2026-11). */
#define VMT_MM_AHEAD_BYTES 2048u
#define VMT_MM_STREAM_ROWS 4u

typedef struct vmt_mm_packed { /* a packed block */
    const uint8_t *quants, *scales, *supers;
} vmt_mm_packed;
/* The block that lies `ahead` blocks behind this one of the panel, at most as many as a panel has. */
VMT_INLINE vmt_mm_packed vmt_mm_packed_after(const vmt_mm_args *args, const uint8_t *panel, uint32_t block,
                                             uint32_t ahead) {
    uint32_t at = block + VMT_MIN(ahead, args->num_blocks);
    if (at >= args->num_blocks) {
        at -= args->num_blocks;
        panel += args->layout.bytes;
    }
    return (vmt_mm_packed){panel + (size_t)at * args->kind->quant_bytes,
                           panel + args->layout.scales + (size_t)at * args->kind->scale_bytes,
                           panel + args->layout.supers + (size_t)(at / VMT_MM_SUPER) * args->kind->super_bytes};
}
VMT_INLINE void vmt_mm_prefetch(const vmt_mm_args *args, const uint8_t *panel, uint32_t block,
                                const uint32_t quant_bytes) {
    vmt_mm_packed at = vmt_mm_packed_after(args, panel, block, VMT_MM_AHEAD_BYTES / quant_bytes);
    VMT_UNROLL for (uint32_t i = 0; i < quant_bytes; i += 64) __builtin_prefetch(at.quants + i);
    __builtin_prefetch(at.scales);
    __builtin_prefetch(at.supers);
}

/* The kernel for num_rows rows of x when isa is the best one allowed: pure functions over a table. */
vmt_mm_kernel vmt_mm_kernel_for(const vmt_matmul_kind *kind, vmt_isa isa, uint32_t num_rows);
vmt_mm_quantizer vmt_mm_quantizer_for(vmt_mm_class class, vmt_isa isa);

/* The AMX kernel's scratch: a ring of tiles, sums of few rows, then one unpacked panel, or as many as fit beside many
 * rows of x in the second cache. */
#define VMT_MM_RING_BYTES  ((size_t)8192)
#define VMT_MM_FEW_ROWS    64u
#define VMT_MM_GROUP_BYTES ((size_t)128 << 10)
#define VMT_MM_GROUP_MAX   8u
static inline size_t vmt_mm_unpacked_bytes(const vmt_mm_args *args) {
    return (size_t)args->num_blocks * (VMT_MM_BLOCK * VMT_MM_PANEL + 2 * VMT_MM_PANEL * sizeof(float));
}
static inline uint32_t vmt_mm_amx_group(const vmt_mm_args *args) {
    size_t fit = args->num_rows <= VMT_MM_FEW_ROWS ? 1 : VMT_MM_GROUP_BYTES / vmt_mm_unpacked_bytes(args);
    return (uint32_t)VMT_MAX(VMT_MIN(fit, VMT_MM_GROUP_MAX), 1);
}

/* Per-worker scratch that any kernel may need for these arguments. */
size_t vmt_mm_scratch_bytes(const vmt_mm_args *args);

/* One block of one packed row: 32 quants less their zero, the two half-block scales, and the min. */
typedef struct vmt_mm_block {
    int32_t q[VMT_MM_BLOCK];
    float d[2], m;
} vmt_mm_block;
void vmt_mm_unpack(const vmt_matmul_kind *kind, const vmt_mm_layout *layout, const uint8_t *panel, uint32_t row,
                   uint32_t block_idx, vmt_mm_block *out);

static inline const float *vmt_mm_x_row(const vmt_mm_args *args, uint32_t row) {
    return args->x + args->x_stride * (args->row_ids ? args->row_ids[row] : row);
}

/* The scale and sums of block_at + row_idx, where block_at is the element index of the block's first row. */
static inline void vmt_mm_put_scales(const vmt_mm_args *args, size_t block_at, uint32_t height, uint32_t row_idx,
                                     float d, const int32_t sums[2]) {
    args->d[block_at + row_idx] = d;
    args->sum[block_at + row_idx] = d * (float)(sums[0] + sums[1]);
    if (args->kind->has_halves) {
        int32_t *init = args->init + 2 * block_at;
        init[row_idx] = -args->kind->zero * sums[0];
        init[height + row_idx] = -args->kind->zero * sums[1];
    } else {
        args->init[block_at + row_idx] = -args->kind->zero * (sums[0] + sums[1]);
    }
}

/* Kernels: ops/simd/matmul_<isa>.c.  Those of another architecture do not exist. */
void vmt_mm_quant_scalar(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_float_scalar(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quantize_scalar(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_pairs_scalar(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_split_scalar(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
#if defined(__x86_64__)
void vmt_mm_quant_avx2(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_float_avx2(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quantize_avx2(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_pairs_avx2(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_split_avx2(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_pairs_avx512(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_split_avx512(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_pairs_amx(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_float_avx512(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quantize_avx512(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_quant_avx512vnni(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quant_amx(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
#elif defined(__aarch64__)
void vmt_mm_float_neon(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quantize_neon(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_pairs_neon(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_split_neon(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end);
void vmt_mm_quant_neon(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quant_neondot(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
void vmt_mm_quant_neoni8mm(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch);
#endif

#endif
