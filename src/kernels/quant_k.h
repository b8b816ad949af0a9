/* kernels/quant_k.h: GGUF's super-blocks of 256 in place.  quant_mlx.h says what a format is, tensor/quant_k.c has the
 * layouts.  Q4_K and Q5_K blocks are multiples of 16 bytes; Q6_K's 210 begin on 2. */
#ifndef VMT_KERNELS_QUANT_K_H
#define VMT_KERNELS_QUANT_K_H

#include "kernels/load.h"

/* The 6-bit scales and mins of sub-blocks 2 * pair (low byte) and 2 * pair + 1 (second byte) out of 12 bytes. */
METAL_FUNC void k_scales(const device uint *packed, uint pair, thread uint *scales, thread uint *mins) {
    uint shift = pair % 2 * 16;
    uint a = packed[0] >> shift, b = packed[1] >> shift, c = packed[2] >> shift;
    bool is_low = pair < 2;
    *scales = is_low ? a & 0x3f3fu : (c & 0x0f0fu) | (a >> 2 & 0x3030u);
    *mins = is_low ? b & 0x3f3fu : (c >> 4 & 0x0f0fu) | (b >> 2 & 0x3030u);
}

/* Q4_K, Q5_K.  A segment is 8 bytes of quants: 8 elements of an even sub-block and the same 8 of the next. */
template <bool IS_FIVE> struct quant_km {
    enum { VALUES = 16, PARTS = 2, HAS_BIAS = 1, HIGH = 16, QUANTS = IS_FIVE ? 48 : 16, BLOCK = QUANTS + 128 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
    }
    static uint column(uint segment) { return segment / 4 * 64 + segment % 4 * 8; }
    static uint at(uint i) { return i < 8 ? i : i + 24; }
    static float factor(uint i) { return power_down(i % 4 * 8 + (i < 8 || IS_FIVE ? 0 : 4)); }

    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        const device uchar *block = row + segment / 16 * BLOCK;
        const device uint *head = (const device uint *)block;
        uint pair = segment / 4 % 4, offset = segment % 4 * 8, scales, mins;
        k_scales(head + 1, pair, &scales, &mins);
        float d = half_of_bits(ushort(head[0])), dmin = half_of_bits(ushort(head[0] >> 16));
        scale[0] = d * float(scales & 63u);
        scale[1] = d * float(scales >> 8 & 63u);
        bias[0] = -dmin * float(mins & 63u);
        bias[1] = -dmin * float(mins >> 8 & 63u);
        uint2 quants = *(const device uint2 *)(block + QUANTS + pair * 32 + offset);
        uint2 high = IS_FIVE ? *(const device uint2 *)(block + HIGH + offset) : quants;
#pragma unroll
        for (uint j = 0; j < 2; j++) {
            uint w = j == 0 ? quants.x : quants.y, h = (j == 0 ? high.x : high.y) >> pair * 2;
            uint low_word = IS_FIVE ? (w & 0x0f0f0f0fu) | (h & 0x01010101u) << 4 : w & 0x0f0f0f0fu;
            uint high_word = IS_FIVE ? (w >> 4 & 0x0f0f0f0fu) | (h >> 1 & 0x01010101u) << 4 : w & 0xf0f0f0f0u;
#pragma unroll
            for (uint b = 0; b < 4; b++) {
                q[4 * j + b] = float(low_word & 0xffu << 8 * b);
                q[4 * j + b + 8] = float(high_word & 0xffu << 8 * b);
            }
        }
    }
    void run(uint column, thread float *w) const {
        const device uchar *block = row + column / 256 * BLOCK;
        const device uint *head = (const device uint *)block;
        uint sub = column / 32 % 8, offset = column % 32, scales, mins;
        k_scales(head + 1, sub / 2, &scales, &mins);
        float scale = half_of_bits(ushort(head[0])) * float(scales >> sub % 2 * 8 & 63u);
        float bias = -half_of_bits(ushort(head[0] >> 16)) * float(mins >> sub % 2 * 8 & 63u);
        const device uint *quants = (const device uint *)(block + QUANTS + sub / 2 * 32 + offset);
        const device uint *high = (const device uint *)(block + (IS_FIVE ? HIGH + offset : 0));
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            uint word = quants[j] >> sub % 2 * 4 & 0x0f0f0f0fu;
            if (IS_FIVE) word |= (high[j] >> sub & 0x01010101u) << 4;
            for (uint b = 0; b < 4; b++) w[4 * j + b] = fma(scale, float(word >> 8 * b & 0xffu), bias);
        }
    }
};

template <typename T> using quant_q4_k = quant_km<false>;
template <typename T> using quant_q5_k = quant_km<true>;

/* A segment is the 4 elements at one offset of each of a half's 4 quarters: every byte is read once. */
template <typename T> struct quant_q6_k {
    enum { VALUES = 16, PARTS = 4, HAS_BIAS = 1, HIGH = 128, SCALES = 192, D = 208, BLOCK = 210 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
    }
    static uint column(uint segment) { return segment / 8 * 128 + segment % 8 * 4; }
    static uint at(uint i) { return i / 4 * 32 + i % 4; }
    static float factor(uint i) { return power_down(i % 4 * 8); }

    static uint word_at(const device uchar *p) {
        const device ushort *halves = (const device ushort *)p;
        return uint(halves[0]) | uint(halves[1]) << 16;
    }
    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        const device uchar *block = row + segment / 16 * BLOCK;
        uint half_idx = segment / 8 % 2, offset = segment % 8 * 4;
        uint a = word_at(block + half_idx * 64 + offset), b = word_at(block + half_idx * 64 + 32 + offset);
        uint high = word_at(block + HIGH + half_idx * 32 + offset);
        const device char *scales = (const device char *)(block + SCALES + half_idx * 8 + offset / 16);
        float d = half_of_bits(*(const device ushort *)(block + D));
#pragma unroll
        for (uint t = 0; t < 4; t++) {
            uint low = (t % 2 == 0 ? a : b) >> t / 2 * 4 & 0x0f0f0f0fu;
            uint word = low | (high >> 2 * t & 0x03030303u) << 4;
            scale[t] = d * float(scales[2 * t]);
            bias[t] = -32.0f * scale[t];
            for (uint i = 0; i < 4; i++) q[4 * t + i] = float(word & 0xffu << 8 * i);
        }
    }
    void run(uint column, thread float *w) const {
        const device uchar *block = row + column / 256 * BLOCK;
        uint half_idx = column / 128 % 2, quarter = column / 32 % 4, offset = column % 32;
        const device uchar *low = block + half_idx * 64 + quarter % 2 * 32 + offset;
        const device uchar *high = block + HIGH + half_idx * 32 + offset;
        float d = half_of_bits(*(const device ushort *)(block + D));
        float scale = d * float(*(const device char *)(block + SCALES + column % 256 / 16));
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            uint word = (word_at(low + 4 * j) >> quarter / 2 * 4 & 0x0f0f0f0fu) |
                        (word_at(high + 4 * j) >> 2 * quarter & 0x03030303u) << 4;
            for (uint i = 0; i < 4; i++) w[4 * j + i] = scale * (float(word >> 8 * i & 0xffu) - 32.0f);
        }
    }
};

#endif
