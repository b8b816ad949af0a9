/* kernels/quant_k.h: GGUF's super-blocks of 256 in place.  quant_mlx.h says what a format is, tensor/quant_k.c has the
 * layouts.  Q4_K and Q5_K blocks are multiples of 16 bytes; Q6_K's 210 begin on 2. */
#ifndef VMT_KERNELS_QUANT_K_H
#define VMT_KERNELS_QUANT_K_H

#include "kernels/load.h"

/* The 6-bit scales and mins of sub-blocks 2 * pair (low byte) and 2 * pair + 1 (second byte) out of 12 bytes. */
METAL_FUNC void k_scales(const thread uint *packed, uint pair, thread uint *scales, thread uint *mins) {
    uint shift = pair % 2 * 16;
    uint a = packed[0] >> shift, b = packed[1] >> shift, c = packed[2] >> shift;
    bool is_low = pair < 2;
    *scales = is_low ? a & 0x3f3fu : (c & 0x0f0fu) | (a >> 2 & 0x3030u);
    *mins = is_low ? b & 0x3f3fu : (c >> 4 & 0x0f0fu) | (b >> 2 & 0x3030u);
}

/* Q4_K, Q5_K.  A segment is 16 bytes of quants: 16 elements of an even sub-block and the same 16 of the next. */
template <bool IS_FIVE, typename T> struct quant_km {
    enum {
        VALUES = 32,
        WORDS = IS_FIVE ? 12 : 8,
        PARTS = 2,
        HAS_BIAS = 1,
        HAS_ZERO = !IS_FIVE,
        HIGH = 16,
        QUANTS = IS_FIVE ? 48 : 16,
        BLOCK = QUANTS + 128
    };
    const device uchar *row;
    uint stride;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
        stride = row_bytes;
    }
    static uint column(uint segment) { return segment / 8 * 256 + segment % 8 / 2 * 64 + segment % 2 * 16; }
    static uint at(uint i) { return i < 16 ? i : i + 16; }
    static uint nibble(uint i) { return i % 4 * 2 + i / 16; }
    static float factor(uint i) { return IS_FIVE ? power_down(i % 4 * 8) : nibbles<T>::factor(nibble(i)); }
    static float zero(uint i) { return IS_FIVE ? 0.0f : nibbles<T>::zero(nibble(i)); }

    static void put(thread uint *w, uint4 v) {
        w[0] = v.x;
        w[1] = v.y;
        w[2] = v.z;
        w[3] = v.w;
    }
    /* w: the head, 16 bytes of quants, and of fifth bits. */
    void load(uint r, uint segment, thread uint *w) const {
        const device uchar *block = row + (r * stride + segment / 8 * BLOCK);
        put(w, *(const device uint4 *)block);
        put(w + 4, *(const device uint4 *)(block + QUANTS + segment % 8 * 16));
        if (IS_FIVE) put(w + (IS_FIVE ? 8 : 0), *(const device uint4 *)(block + HIGH + segment % 2 * 16));
    }
    static void decode(uint segment, uint2 exponents, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        uint pair = segment / 2 % 4, scales, mins;
        uint packed[3] = {w[1], w[2], w[3]};
        k_scales(packed, pair, &scales, &mins);
        float d = half_of_bits(ushort(w[0])), dmin = -half_of_bits(ushort(w[0] >> 16));
        scale[0] = d * float(scales & 63u);
        scale[1] = d * float(scales >> 8 & 63u);
        bias[0] = dmin * float(mins & 63u);
        bias[1] = dmin * float(mins >> 8 & 63u);
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            if (IS_FIVE) {
                uint high_bits = w[(IS_FIVE ? 8 : 0) + j] >> pair * 2;
                uint low = (w[4 + j] & 0x0f0f0f0fu) | (high_bits & 0x01010101u) << 4;
                uint high = (w[4 + j] >> 4 & 0x0f0f0f0fu) | (high_bits >> 1 & 0x01010101u) << 4;
#pragma unroll
                for (uint b = 0; b < 4; b++) {
                    q[4 * j + b] = float(low & 0xffu << 8 * b);
                    q[4 * j + b + 16] = float(high & 0xffu << 8 * b);
                }
            } else {
                float both[8];
                nibbles<T>::decode(w[4 + j], exponents, both);
#pragma unroll
                for (uint b = 0; b < 4; b++) {
                    q[4 * j + b] = both[2 * b];
                    q[4 * j + b + 16] = both[2 * b + 1];
                }
            }
        }
    }
    void run(uint column, thread float *w) const {
        const device uchar *block = row + column / 256 * BLOCK;
        const device uint *head = (const device uint *)block;
        uint sub = column / 32 % 8, offset = column % 32, scales, mins;
        uint packed[3] = {head[1], head[2], head[3]};
        k_scales(packed, sub / 2, &scales, &mins);
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

template <typename T> using quant_q4_k = quant_km<false, T>;
template <typename T> using quant_q5_k = quant_km<true, T>;

/* A segment is the 8 elements at one offset of each of a half's 4 quarters: every byte is read once. */
template <typename T> struct quant_q6_k {
    enum {
        VALUES = 32,
        WORDS = 9,
        PARTS = 4,
        HAS_BIAS = 0,
        HAS_ZERO = 1,
        HIGH = 128,
        SCALES = 192,
        D = 208,
        BLOCK = 210
    };
    const device uchar *row; /* to the word below */
    uint begin, stride;      /* begin: of the row in its word */

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        ulong at = row_idx * row_bytes;
        row = data + (at & ~ulong(3));
        begin = uint(at & 3);
        stride = row_bytes;
    }
    static uint column(uint segment) { return segment / 4 * 128 + segment % 4 * 8; }
    static uint at(uint i) { return i / 8 * 32 + i % 8; }
    static float factor(uint i) { return power_down(i % 4 * 8); }
    static float zero(uint) { return 32.0f; }

    static uint word_at(const device uchar *p) {
        const device ushort *halves = (const device ushort *)p;
        return uint(halves[0]) | uint(halves[1]) << 16;
    }
    /* w: d, the half's 8 scales, 8 bytes of the first quarter and the third, 8 of the second and the fourth, their
     * high bits. */
    void load(uint r, uint segment, thread uint *w) const {
        uint block = begin + r * stride + segment / 8 * BLOCK, half_idx = segment / 4 % 2,
             offset = segment % 4 * 8;
        w[0] = *(const device ushort *)(row + block + D);
        load_words<2>(row, block + SCALES + half_idx * 8, w + 1);
        load_words<2>(row, block + half_idx * 64 + offset, w + 3);
        load_words<2>(row, block + half_idx * 64 + 32 + offset, w + 5);
        load_words<2>(row, block + HIGH + half_idx * 32 + offset, w + 7);
    }
    static void decode(uint segment, uint2, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        float d = half_of_bits(ushort(w[0]));
        uint shift = segment % 4 / 2 * 8; /* scales are of 16 elements, the odd ones of every second 8 bytes */
#pragma unroll
        for (uint t = 0; t < 4; t++) {
            uint scales = w[1 + t / 2] >> (t % 2 * 16) >> shift;
            scale[t] = d * float(int(scales << 24) >> 24);
            bias[t] = 0.0f;
#pragma unroll
            for (uint j = 0; j < 2; j++) {
                uint low = w[(t % 2 == 0 ? 3 : 5) + j] >> t / 2 * 4 & 0x0f0f0f0fu, high = w[7 + j] >> 2 * t;
                uint word = low | (high & 0x03030303u) << 4;
#pragma unroll
                for (uint i = 0; i < 4; i++) q[8 * t + 4 * j + i] = float(word & 0xffu << 8 * i);
            }
        }
    }
    void run(uint column, thread float *w) const {
        const device uchar *block = row + (begin + column / 256 * BLOCK);
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
