/* kernels/quant_gguf.h: GGUF's blocks of 32 in place.  quant_mlx.h says what a format is, tensor/quant.h has layouts.
 *
 * Blocks of 18, 22 and 34 bytes begin on 2 bytes only, so loads here are of 16 bits, and of 8 for MXFP4's 17. */
#ifndef VMT_KERNELS_QUANT_GGUF_H
#define VMT_KERNELS_QUANT_GGUF_H

#include "kernels/quant_mlx.h"

template <typename T> struct quant_q8_0 {
    enum { VALUES = 32, WORDS = 9, PARTS = 1, HAS_BIAS = 0, HAS_ZERO = 1, BLOCK = 34 };
    const device uchar *row; /* to the word below */
    uint begin, stride;      /* begin: of the row in its word */

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        ulong at = row_idx * row_bytes;
        row = data + (at & ~ulong(3));
        begin = uint(at & 3);
        stride = row_bytes;
    }
    static uint column(uint segment) { return segment * 32; }
    static uint at(uint i) { return i; }
    static float factor(uint i) { return power_down(i % 4 * 8); }
    static float zero(uint) { return 128.0f; }
    void load(uint r, uint segment, thread uint *w) const {
        uint block = begin + r * stride + segment * BLOCK;
        w[0] = *(const device ushort *)(row + block);
        load_words<8>(row, block + 2, w + 1);
    }
    static void decode(uint, uint2, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        scale[0] = half_of_bits(ushort(w[0]));
        bias[0] = 0.0f;
#pragma unroll
        for (uint i = 0; i < 32; i++) q[i] = float((w[1 + i / 4] ^ 0x80808080u) & 0xffu << i % 4 * 8);
    }
    void run(uint column, thread float *w) const {
        const device ushort *p = (const device ushort *)(row + (begin + column / 32 * BLOCK));
        float scale = half_of_bits(p[0]);
        p += 1 + column / 16 % 2 * 8;
#pragma unroll
        for (uint j = 0; j < 8; j++) {
            uint pair = p[j];
            w[2 * j] = scale * float(short(ushort(pair << 8)) >> 8);
            w[2 * j + 1] = scale * float(short(ushort(pair)) >> 8);
        }
    }
};

/* Nibbles with or without a fifth bit, with a min or a fixed zero.  Byte i of a block's quants has element i low and
 * i + 16 high. */
template <bool IS_FIVE, bool HAS_MIN, typename T> struct quant_nibbles {
    enum {
        VALUES = 32,
        WORDS = 5 + (IS_FIVE ? 1 : 0),
        PARTS = 1,
        HAS_BIAS = HAS_MIN,
        HAS_ZERO = 1,
        QUANTS = 1 + (HAS_MIN ? 1 : 0) + (IS_FIVE ? 2 : 0), /* ushorts before the nibbles */
        BLOCK = 2 * QUANTS + 16,
        ZERO = HAS_MIN   ? 0
               : IS_FIVE ? 16
                         : 8,
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
    static uint column(uint segment) { return segment * 32; }
    static uint at(uint i) { return i; }
    static uint nibble(uint i) { return i % 4 * 2 + i / 16; }
    static float factor(uint i) { return IS_FIVE ? power_down(i % 4 * 8) : nibbles<T>::factor(nibble(i)); }
    static float zero(uint i) { return float(ZERO) + (IS_FIVE ? 0.0f : nibbles<T>::zero(nibble(i))); }

    /* w: scale and min, then fifth bits, then quants. */
    void load(uint r, uint segment, thread uint *w) const {
        uint block = begin + r * stride + segment * BLOCK;
        w[0] = *(const device ushort *)(row + block);
        if (HAS_MIN) w[0] |= uint(*(const device ushort *)(row + block + 2)) << 16;
        load_words<WORDS - 1>(row, block + (HAS_MIN ? 4 : 2), w + 1);
    }
    static void decode(uint, uint2 exponents, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        scale[0] = half_of_bits(ushort(w[0]));
        bias[0] = HAS_MIN ? half_of_bits(ushort(w[0] >> 16)) : 0.0f;
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            uint word = w[WORDS - 4 + j];
            if (IS_FIVE) {
                uint low = (word & 0x0f0f0f0fu) | spread(w[1] >> 4 * j);
                uint high = (word >> 4 & 0x0f0f0f0fu) | spread(w[1] >> (4 * j + 16));
#pragma unroll
                for (uint b = 0; b < 4; b++) {
                    q[4 * j + b] = float(low & 0xffu << 8 * b);
                    q[4 * j + b + 16] = float(high & 0xffu << 8 * b);
                }
            } else {
                float both[8];
                nibbles<T>::decode(word, exponents, both);
#pragma unroll
                for (uint b = 0; b < 4; b++) {
                    q[4 * j + b] = both[2 * b];
                    q[4 * j + b + 16] = both[2 * b + 1];
                }
            }
        }
    }
    /* Bits 0 .. 3 to bit 4 of the four bytes. */
    static uint spread(uint bits) { return ((bits & 15u) * 0x00204081u & 0x01010101u) << 4; }

    static void affine(const device ushort *block, thread float *scale, thread float *bias) {
        *scale = half_of_bits(block[0]);
        *bias = HAS_MIN ? half_of_bits(block[1]) : -float(ZERO) * *scale;
    }
    /* Bit i: the fifth of element i. */
    static uint high_bits(const device ushort *block) {
        return IS_FIVE ? uint(block[QUANTS - 2]) | uint(block[QUANTS - 1]) << 16 : 0u;
    }
    void run(uint column, thread float *w) const {
        const device ushort *block = (const device ushort *)(row + (begin + column / 32 * BLOCK));
        uint half_idx = column / 16 % 2;
        float scale, bias;
        affine(block, &scale, &bias);
        uint high = high_bits(block) >> half_idx * 16;
#pragma unroll
        for (uint j = 0; j < 8; j++) {
            uint pair = uint(block[QUANTS + j]) >> half_idx * 4;
            w[2 * j] = fma(scale, float((pair & 15u) | (high >> (2 * j) & 1u) << 4), bias);
            w[2 * j + 1] = fma(scale, float((pair >> 8 & 15u) | (high >> (2 * j + 1) & 1u) << 4), bias);
        }
    }
};

template <typename T> using quant_q4_0 = quant_nibbles<false, false, T>;
template <typename T> using quant_q4_1 = quant_nibbles<false, true, T>;
template <typename T> using quant_q5_0 = quant_nibbles<true, false, T>;
template <typename T> using quant_q5_1 = quant_nibbles<true, true, T>;

template <typename T> struct quant_mxfp4 {
    enum { VALUES = 32, WORDS = 5, PARTS = 1, HAS_BIAS = 0, HAS_ZERO = 0, BLOCK = 17 };
    const device uchar *row;
    uint stride;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
        stride = row_bytes;
    }
    static uint column(uint segment) { return segment * 32; }
    static uint at(uint i) { return i; }
    static float factor(uint) { return 1.0f; }
    static float zero(uint) { return 0.0f; }
    void load(uint r, uint segment, thread uint *w) const {
        const device uchar *block = row + (r * stride + segment * BLOCK);
        w[0] = block[0];
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const device uchar *p = block + 1 + 4 * i;
            w[1 + i] = uint(p[0]) | uint(p[1]) << 8 | uint(p[2]) << 16 | uint(p[3]) << 24;
        }
    }
    static void decode(uint, uint2, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        scale[0] = e8m0_large(w[0]);
        bias[0] = 0.0f;
#pragma unroll
        for (uint i = 0; i < 32; i++) q[i] = e2m1_small(w[1 + i % 16 / 4] >> (i % 4 * 8 + i / 16 * 4));
    }
    void run(uint column, thread float *w) const {
        const device uchar *block = row + column / 32 * BLOCK;
        float scale = e8m0_large(block[0]);
        for (uint i = 0; i < 16; i++) w[i] = scale * e2m1_small(uint(block[1 + i]) >> column / 16 % 2 * 4);
    }
};

#endif
