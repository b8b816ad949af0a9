/* ops/matmul_pack.c: from the file's blocks to panels of 16 rows (the picture is in matmul_kernel.h), and back. */
#include "ops/matmul_kernel.h"
#include "tensor/quant.h"

#include <string.h>

static uint32_t load32(const uint8_t *src) {
    uint32_t word;
    memcpy(&word, src, sizeof(word));
    return word;
}

static uint16_t load16(const uint8_t *src) {
    uint16_t half;
    memcpy(&half, src, sizeof(half));
    return half;
}

/* The quants of a block in 64-byte vectors of 16 words; word r belongs to row r. */
typedef uint32_t vector[VMT_MM_PANEL];

/* Bit 4j + i of high goes to bit j of byte i. */
static uint32_t spread_high_bits(uint32_t high) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t bits = high >> i & 0x11111111;
        bits = (bits | bits >> 3) & 0x03030303;
        bits = (bits | bits >> 6) & 0x000f000f;
        bits = (bits | bits >> 12) & 0xff;
        out |= bits << 8 * i;
    }
    return out;
}

/* Q4_0, Q4_1, Q5_0, Q5_1: the file pairs elements i and i + 16 in a byte as we do, so words move as they are. */
static inline void pack_plain(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                              uint32_t cols, bool has_high) {
    vmt_mm_layout layout = vmt_mm_layout_of(kind, cols);
    uint32_t block_bytes = vmt_dtype_get(kind->dtype)->block_bytes, num_blocks = cols / VMT_MM_BLOCK;
    for (uint32_t b = 0; b < num_blocks; b++) {
        vector *quants = (vector *)(panel + (size_t)b * kind->quant_bytes);
        uint16_t *scales = (uint16_t *)(panel + layout.scales + (size_t)b * kind->scale_bytes);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            const uint8_t *src = rows[r] + (size_t)b * block_bytes;
            scales[r] = load16(src);
            src += 2;
            if (kind->has_min) {
                scales[VMT_MM_PANEL + r] = load16(src);
                src += 2;
            }
            if (has_high) {
                quants[4][r] = spread_high_bits(load32(src));
                src += 4;
            }
            for (uint32_t j = 0; j < 4; j++) quants[j][r] = load32(src + 4 * j);
        }
    }
}

static void pack_4(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                   uint32_t cols) {
    pack_plain(kind, panel, rows, cols, false);
}

static void pack_5(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                   uint32_t cols) {
    pack_plain(kind, panel, rows, cols, true);
}

/* Q8_0 and, with a min, Q8_M. */
static void pack_8(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                   uint32_t cols) {
    vmt_mm_layout layout = vmt_mm_layout_of(kind, cols);
    uint32_t block_bytes = vmt_dtype_get(kind->dtype)->block_bytes, head_bytes = block_bytes - VMT_MM_BLOCK;
    for (uint32_t b = 0; b < cols / VMT_MM_BLOCK; b++) {
        vector *quants = (vector *)(panel + (size_t)b * kind->quant_bytes);
        uint16_t *scales = (uint16_t *)(panel + layout.scales + (size_t)b * kind->scale_bytes);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            const uint8_t *src = rows[r] + (size_t)b * block_bytes;
            scales[r] = load16(src);
            if (kind->has_min) scales[VMT_MM_PANEL + r] = load16(src + 2);
            for (uint32_t j = 0; j < 8; j++) quants[j][r] = load32(src + head_bytes + 4 * j) ^ 0x80808080;
        }
    }
}

/* MXFP4's values are halves of integers up to 12: five bits with a zero of 16 hold them under half the scale. */
static void pack_mxfp4(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                       uint32_t cols) {
    vmt_mm_layout layout = vmt_mm_layout_of(kind, cols);
    for (uint32_t b = 0; b < cols / VMT_MM_BLOCK; b++) {
        uint8_t *quants = panel + (size_t)b * kind->quant_bytes;
        uint16_t *scales = (uint16_t *)(panel + layout.scales + (size_t)b * kind->scale_bytes);
        memset(quants, 0, kind->quant_bytes);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            const uint8_t *src = rows[r] + (size_t)b * sizeof(vmt_block_mxfp4);
            scales[r] = vmt_f32_to_f16(0.5f * vmt_e8m0_to_f32(src[0]));
            for (uint32_t k = 0; k < VMT_MM_BLOCK; k++) {
                uint32_t code = src[1 + k % 16] >> k / 16 * 4 & 15, j = k / 4, byte = 4 * r + k % 4;
                uint32_t q = (uint32_t)(2 * vmt_e2m1_values[code] + 16);
                quants[64 * (j % 4) + byte] |= (uint8_t)((q & 15) << k / 16 * 4);
                quants[256 + byte] |= (uint8_t)((q >> 4) << j);
            }
        }
    }
}

/* Q4_K and Q5_K.  Sub-blocks 2c and 2c + 1 share 32 bytes, one the low nibbles and one the high ones: elements l and
 * l + 16 of a sub-block are joined into one byte of ours. */
static void pack_km(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                    uint32_t cols) {
    vmt_mm_layout layout = vmt_mm_layout_of(kind, cols);
    bool has_high = kind->format == VMT_MM_5KM;
    uint32_t block_bytes = vmt_dtype_get(kind->dtype)->block_bytes, num_supers = cols / 256;
    for (uint32_t sb = 0; sb < num_supers; sb++) {
        uint16_t *supers = (uint16_t *)(panel + layout.supers + (size_t)sb * kind->super_bytes);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            const uint8_t *src = rows[r] + (size_t)sb * block_bytes;
            const uint8_t *packed_scales = src + 4, *high = src + 16, *q = has_high ? src + 48 : src + 16;
            supers[r] = load16(src);
            supers[VMT_MM_PANEL + r] = load16(src + 2);
            for (uint32_t s = 0; s < 8; s++) {
                size_t b = (size_t)sb * VMT_MM_SUPER + s;
                uint8_t *scales = panel + layout.scales + b * kind->scale_bytes;
                vector *quants = (vector *)(panel + b * kind->quant_bytes);
                vmt_k_scale_min(packed_scales, s, &scales[r], &scales[VMT_MM_PANEL + r]);
                for (uint32_t j = 0; j < 4; j++) {
                    uint32_t low = load32(q + s / 2 * 32 + 4 * j), up = load32(q + s / 2 * 32 + 16 + 4 * j);
                    quants[j][r] = s % 2 == 0 ? (low & 0x0f0f0f0f) | (up & 0x0f0f0f0f) << 4
                                              : (low >> 4 & 0x0f0f0f0f) | (up & 0xf0f0f0f0);
                }
                if (!has_high) continue;
                uint32_t bits = 0;
                for (uint32_t j = 0; j < 8; j++) bits |= (load32(high + 4 * j) >> s & 0x01010101) << j;
                quants[4][r] = bits;
            }
        }
    }
}

static void pack_6k(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                    uint32_t cols) {
    vmt_mm_layout layout = vmt_mm_layout_of(kind, cols);
    for (uint32_t sb = 0; sb < cols / 256; sb++) {
        uint16_t *supers = (uint16_t *)(panel + layout.supers + (size_t)sb * kind->super_bytes);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            const uint8_t *src = rows[r] + (size_t)sb * sizeof(vmt_block_q6_k);
            supers[r] = load16(src + 208);
            for (uint32_t s = 0; s < 8; s++) {
                size_t b = (size_t)sb * VMT_MM_SUPER + s;
                uint32_t quarter = s % 4;
                const uint8_t *q = src + s / 4 * 64 + quarter % 2 * 32, *high = src + 128 + s / 4 * 32;
                uint8_t *scales = panel + layout.scales + b * kind->scale_bytes;
                vector *quants = (vector *)(panel + b * kind->quant_bytes);
                scales[r] = src[192 + 2 * s];
                scales[VMT_MM_PANEL + r] = src[193 + 2 * s];
                for (uint32_t j = 0; j < 4; j++) {
                    uint32_t low = load32(q + 4 * j), up = load32(q + 16 + 4 * j);
                    quants[j][r] = quarter < 2 ? (low & 0x0f0f0f0f) | (up & 0x0f0f0f0f) << 4
                                               : (low >> 4 & 0x0f0f0f0f) | (up & 0xf0f0f0f0);
                }
                for (uint32_t h = 0; h < 2; h++) {
                    uint32_t bits = 0;
                    for (uint32_t j = 0; j < 4; j++) {
                        bits |= (load32(high + 16 * h + 4 * j) >> 2 * quarter & 0x03030303) << 2 * j;
                    }
                    quants[4 + h][r] = bits;
                }
            }
        }
    }
}

static void pack_f32(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                     uint32_t cols) {
    for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
        uint32_t *dst = (uint32_t *)panel + r;
        for (uint32_t k = 0; k < cols; k++) dst[(size_t)k * VMT_MM_PANEL] = load32(rows[r] + 4 * (size_t)k);
    }
}

/* Sixteen rows at a time in stretches of k short enough that the stores of a stretch stay in the first cache. */
static void pack_16(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                    uint32_t cols) {
    enum { STRETCH = 256 };
    uint16_t *dst = (uint16_t *)panel;
    for (uint32_t begin = 0; begin < cols; begin += STRETCH) {
        uint32_t end = VMT_MIN(begin + STRETCH, cols);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            for (uint32_t k = begin; k < end; k++) {
                dst[(size_t)k * VMT_MM_PANEL + r] = load16(rows[r] + 2 * (size_t)k);
            }
        }
    }
}

static uint16_t flush_tiny(uint16_t bf16) {
    return (bf16 >> 7 & 255) < VMT_MM_TINY_EXPONENT ? 0 : bf16;
}

static void pack_pairs(const vmt_matmul_kind *kind, uint8_t *panel, const uint8_t *const rows[VMT_MM_PANEL],
                       uint32_t cols) {
    uint16_t(*dst)[VMT_MM_PANEL][2] = (uint16_t(*)[VMT_MM_PANEL][2])(void *)panel;
    uint32_t padded = vmt_mm_num_blocks(cols) * VMT_MM_BLOCK;
    for (uint32_t begin = 0; begin < padded; begin += VMT_MM_BLOCK) {
        uint32_t end = VMT_MIN(begin + VMT_MM_BLOCK, padded);
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) {
            for (uint32_t k = begin; k < end; k++) {
                dst[k / 2][r][k % 2] = k < cols ? flush_tiny(load16(rows[r] + 2 * (size_t)k)) : 0;
            }
        }
    }
}

static const vmt_matmul_kind kinds[] = {
    /* dtype  format      class   min   halves zero quant scale super */
    {VMT_Q4_0, VMT_MM_4D, VMT_MM_QUANTS, false, false, 8, 256, 32, 0, pack_4},
    {VMT_Q4_1, VMT_MM_4DM, VMT_MM_QUANTS, true, false, 0, 256, 64, 0, pack_4},
    {VMT_Q5_0, VMT_MM_5D, VMT_MM_QUANTS, false, false, 16, 320, 32, 0, pack_5},
    {VMT_Q5_1, VMT_MM_5DM, VMT_MM_QUANTS, true, false, 0, 320, 64, 0, pack_5},
    {VMT_Q8_0, VMT_MM_8D, VMT_MM_QUANTS, false, false, 128, 512, 32, 0, pack_8},
    {VMT_Q8_M, VMT_MM_8DM, VMT_MM_QUANTS, true, false, 128, 512, 64, 0, pack_8},
    {VMT_MXFP4, VMT_MM_5D, VMT_MM_QUANTS, false, false, 16, 320, 32, 0, pack_mxfp4},
    {VMT_Q4_K, VMT_MM_4KM, VMT_MM_QUANTS, true, false, 0, 256, 32, 64, pack_km},
    {VMT_Q5_K, VMT_MM_5KM, VMT_MM_QUANTS, true, false, 0, 320, 32, 64, pack_km},
    {VMT_Q6_K, VMT_MM_6K, VMT_MM_QUANTS, false, true, 32, 384, 32, 32, pack_6k},
    {VMT_F32, VMT_MM_F32, VMT_MM_FLOATS, false, false, 0, 64, 0, 0, pack_f32},
    {VMT_F16, VMT_MM_F16, VMT_MM_FLOATS, false, false, 0, 32, 0, 0, pack_16},
    {VMT_BF16, VMT_MM_BF16, VMT_MM_PAIRS, false, false, 0, 1024, 0, 0, pack_pairs},
};

const vmt_matmul_kind *vmt_mm_kind(vmt_dtype dtype) {
    for (size_t i = 0; i < VMT_COUNT(kinds); i++) {
        if (kinds[i].dtype == dtype) return &kinds[i];
    }
    return NULL;
}

static size_t round64(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

vmt_mm_layout vmt_mm_layout_of(const vmt_matmul_kind *kind, uint32_t cols) {
    size_t num_blocks = kind->class == VMT_MM_FLOATS ? cols : vmt_mm_num_blocks(cols);
    vmt_mm_layout layout;
    layout.scales = round64(num_blocks * kind->quant_bytes);
    layout.supers = layout.scales + round64(num_blocks * kind->scale_bytes);
    layout.bytes = layout.supers + round64(num_blocks / VMT_MM_SUPER * kind->super_bytes);
    return layout;
}

/* Element k of row r in a quantized block of a panel, not yet less its zero. */
static int32_t unpack_quant(vmt_mm_format format, const uint8_t *quants, uint32_t r, uint32_t k) {
    uint32_t j = k / 4, byte = 4 * r + k % 4;
    if (format == VMT_MM_8D || format == VMT_MM_8DM) return quants[64 * j + byte];
    int32_t q = quants[64 * (j % 4) + byte] >> (k < 16 ? 0 : 4) & 15;
    if (format == VMT_MM_5D || format == VMT_MM_5DM || format == VMT_MM_5KM)
        q |= (quants[256 + byte] >> j & 1) << 4;
    if (format == VMT_MM_6K) q |= (quants[256 + 64 * (j / 4) + byte] >> 2 * (j % 4) & 3) << 4;
    return q;
}

void vmt_mm_unpack(const vmt_matmul_kind *kind, const vmt_mm_layout *layout, const uint8_t *panel, uint32_t row,
                   uint32_t block_idx, vmt_mm_block *out) {
    const uint8_t *quants = panel + (size_t)block_idx * kind->quant_bytes;
    const uint8_t *scales = panel + layout->scales + (size_t)block_idx * kind->scale_bytes;
    const uint8_t *supers = panel + layout->supers + (size_t)(block_idx / VMT_MM_SUPER) * kind->super_bytes;
    for (uint32_t k = 0; k < VMT_MM_BLOCK; k++)
        out->q[k] = unpack_quant(kind->format, quants, row, k) - kind->zero;
    out->m = 0;
    if (kind->format == VMT_MM_4KM || kind->format == VMT_MM_5KM) {
        float d = vmt_f16_to_f32(load16(supers + 2 * row)), dmin = vmt_f16_to_f32(load16(supers + 32 + 2 * row));
        out->d[0] = out->d[1] = d * (float)scales[row];
        out->m = -(dmin * (float)scales[VMT_MM_PANEL + row]);
    } else if (kind->format == VMT_MM_6K) {
        float d = vmt_f16_to_f32(load16(supers + 2 * row));
        out->d[0] = d * (float)(int8_t)scales[row];
        out->d[1] = d * (float)(int8_t)scales[VMT_MM_PANEL + row];
    } else {
        out->d[0] = out->d[1] = vmt_f16_to_f32(load16(scales + 2 * row));
        if (kind->has_min) out->m = vmt_f16_to_f32(load16(scales + 32 + 2 * row));
    }
}
