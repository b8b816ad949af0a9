/* kernels/quant_gguf.h: GGUF's blocks of 32 in place.  quant_mlx.h says what a format is, tensor/quant.h has layouts.
 *
 * Blocks of 18, 22 and 34 bytes begin on 2 bytes only, so loads here are of 16 bits, and of 8 for MXFP4's 17. */
#ifndef VMT_KERNELS_QUANT_GGUF_H
#define VMT_KERNELS_QUANT_GGUF_H

#include "kernels/quant_mlx.h"

template <typename T> struct quant_q8_0 {
    enum { VALUES = 16, PARTS = 1, HAS_BIAS = 0, BLOCK = 34 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
    }
    static uint column(uint segment) { return segment * 16; }
    static uint at(uint i) { return i; }
    static float factor(uint) { return 1.0f; }
    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        const device ushort *p = (const device ushort *)(row + segment / 2 * BLOCK);
        scale[0] = half_of_bits(p[0]);
        bias[0] = 0.0f;
        p += 1 + segment % 2 * 8;
#pragma unroll
        for (uint j = 0; j < 8; j++) {
            uint pair = p[j];
            q[2 * j] = float(short(ushort(pair << 8)) >> 8);
            q[2 * j + 1] = float(short(ushort(pair)) >> 8);
        }
    }
    void run(uint column, thread float *w) const {
        float scale, bias;
        raw(column / 16, w, &scale, &bias);
        for (uint i = 0; i < 16; i++) w[i] *= scale;
    }
};

/* Nibbles with or without a fifth bit, with a min or a fixed zero.  Byte i of a block's quants has element i low and
 * i + 16 high; a segment is 8 bytes. */
template <bool IS_FIVE, bool HAS_MIN> struct quant_nibbles {
    enum {
        VALUES = 16,
        PARTS = 1,
        HAS_BIAS = 1,
        QUANTS = 1 + (HAS_MIN ? 1 : 0) + (IS_FIVE ? 2 : 0), /* ushorts before the nibbles */
        BLOCK = 2 * QUANTS + 16,
        ZERO = IS_FIVE ? 16 : 8,
    };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
    }
    static uint column(uint segment) { return segment / 2 * 32 + segment % 2 * 8; }
    static uint at(uint i) { return i < 8 ? i : i + 8; }
    static float factor(uint i) { return IS_FIVE ? 1.0f : power_down(i % 2 * 8 + (i < 8 ? 0 : 4)); }

    static void affine(const device ushort *block, thread float *scale, thread float *bias) {
        *scale = half_of_bits(block[0]);
        *bias = HAS_MIN ? half_of_bits(block[1]) : -float(ZERO) * *scale;
    }
    /* Bit i: the fifth of element i. */
    static uint high_bits(const device ushort *block) {
        return IS_FIVE ? uint(block[QUANTS - 2]) | uint(block[QUANTS - 1]) << 16 : 0u;
    }
    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        const device ushort *block = (const device ushort *)(row + segment / 2 * BLOCK);
        affine(block, scale, bias);
        uint high = high_bits(block) >> segment % 2 * 8;
        const device ushort *p = block + QUANTS + segment % 2 * 4;
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            uint pair = p[j];
            if (IS_FIVE) {
                q[2 * j] = float((pair & 15u) | (high >> (2 * j) & 1u) << 4);
                q[2 * j + 1] = float((pair >> 8 & 15u) | (high >> (2 * j + 1) & 1u) << 4);
                q[2 * j + 8] = float((pair >> 4 & 15u) | (high >> (2 * j + 16) & 1u) << 4);
                q[2 * j + 9] = float((pair >> 12) | (high >> (2 * j + 17) & 1u) << 4);
            } else {
                q[2 * j] = float(pair & 0x000fu);
                q[2 * j + 1] = float(pair & 0x0f00u);
                q[2 * j + 8] = float(pair & 0x00f0u);
                q[2 * j + 9] = float(pair & 0xf000u);
            }
        }
    }
    void run(uint column, thread float *w) const {
        const device ushort *block = (const device ushort *)(row + column / 32 * BLOCK);
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

template <typename T> using quant_q4_0 = quant_nibbles<false, false>;
template <typename T> using quant_q4_1 = quant_nibbles<false, true>;
template <typename T> using quant_q5_0 = quant_nibbles<true, false>;
template <typename T> using quant_q5_1 = quant_nibbles<true, true>;

template <typename T> struct quant_mxfp4 {
    enum { VALUES = 16, PARTS = 1, HAS_BIAS = 0, BLOCK = 17 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint, uint) {
        row = data + row_idx * row_bytes;
    }
    static uint column(uint segment) { return segment / 2 * 32 + segment % 2 * 8; }
    static uint at(uint i) { return i < 8 ? i : i + 8; }
    static float factor(uint) { return 1.0f; }
    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        const device uchar *block = row + segment / 2 * BLOCK;
        scale[0] = e8m0_large(block[0]);
        bias[0] = 0.0f;
        block += 1 + segment % 2 * 8;
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            uint pair = block[i];
            q[i] = e2m1_small(pair);
            q[i + 8] = e2m1_small(pair >> 4);
        }
    }
    void run(uint column, thread float *w) const {
        const device uchar *block = row + column / 32 * BLOCK;
        float scale = e8m0_large(block[0]);
        for (uint i = 0; i < 16; i++) w[i] = scale * e2m1_small(uint(block[1 + i]) >> column / 16 % 2 * 4);
    }
};

#endif
