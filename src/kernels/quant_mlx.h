/* kernels/quant_mlx.h: MLX's quants in place: a row is a little-endian stream of bits, scales and biases lie apart.
 *
 * A format of the matmuls is a struct that knows one row of a weight:
 *
 *   VALUES             columns that a lane takes at a time: a segment
 *   PARTS, HAS_BIAS    a segment's first VALUES / PARTS values have scale[0] and bias[0], the next ones scale[1] ...
 *   open()             row row_idx of a matrix; row_bytes, num_cols and group_shift are the matrix's
 *   column(segment)    where its first value stands; at(i): where value i stands, from there.  Segments cover a row
 *   raw()              the segment's values, such that the weight is scale * factor(i) * q[i] + bias
 *   run()              16 neighbouring weights from a column that is a multiple of 16
 *
 * factor(i) is a power of two, known when the kernel is compiled: quants are masked where they lie in their word, not
 * shifted, and a matvec multiplies x by factor(i) once for all rows instead. */
#ifndef VMT_KERNELS_QUANT_MLX_H
#define VMT_KERNELS_QUANT_MLX_H

#include "kernels/load.h"

template <uint BITS, typename T> struct quant_mlx {
    enum { VALUES = 16, PARTS = 1, HAS_BIAS = 1, WORDS = (BITS + 1) / 2 };
    const device uchar *row;
    const device T *scales, *biases;
    uint group_shift;

    void open(const device uchar *data, const device uchar *scale_data, const device uchar *bias_data,
              ulong row_idx, uint row_bytes, uint num_cols, uint shift) {
        row = data + row_idx * row_bytes;
        scales = (const device T *)scale_data + row_idx * (num_cols >> shift);
        biases = (const device T *)bias_data + row_idx * (num_cols >> shift);
        group_shift = shift;
    }
    static uint column(uint segment) { return segment * 16; }
    static uint at(uint i) { return i; }
    /* Quants that lie in two words are put together, and then stand at bit 0. */
    static bool is_split(uint i) { return i * BITS % 32 + BITS > 32; }
    static float factor(uint i) { return is_split(i) ? 1.0f : power_down(i * BITS % 32); }

    /* Segments of an odd number of bits begin on 2 bytes, the others on 4 (4 and 8 bits: on 8). */
    void words(uint segment, thread uint *w) const {
        if (BITS % 4 == 0) {
            const device uint2 *p = (const device uint2 *)row + segment * (BITS / 4);
            for (uint i = 0; i < BITS / 4; i++) {
                uint2 v = p[i];
                w[2 * i] = v.x;
                w[2 * i + 1] = v.y;
            }
        } else if (BITS % 2 == 0) {
            const device uint *p = (const device uint *)row + segment * (BITS / 2);
            for (uint i = 0; i < BITS / 2; i++) w[i] = p[i];
        } else {
            const device ushort *p = (const device ushort *)row + segment * BITS;
            for (uint i = 0; i < WORDS; i++)
                w[i] = uint(p[2 * i]) | (2 * i + 1 < BITS ? uint(p[2 * i + 1]) << 16 : 0u);
        }
    }
    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        const uint mask = (1u << BITS) - 1;
        uint w[WORDS + 1];
        words(segment, w);
        w[WORDS] = 0;
        uint group = segment * 16 >> group_shift;
        scale[0] = float(scales[group]);
        bias[0] = float(biases[group]);
#pragma unroll
        for (uint i = 0; i < 16; i++) {
            uint word = i * BITS / 32, shift = i * BITS % 32;
            q[i] = is_split(i) ? float(((w[word] >> shift) | (w[word + 1] << ((32 - shift) & 31))) & mask)
                               : float(w[word] & (mask << shift));
        }
    }
    void run(uint column, thread float *w) const {
        float q[16], scale, bias;
        raw(column / 16, q, &scale, &bias);
#pragma unroll
        for (uint i = 0; i < 16; i++) w[i] = fma(scale * factor(i), q[i], bias);
    }
};

template <typename T> using quant_mlx2 = quant_mlx<2, T>;
template <typename T> using quant_mlx3 = quant_mlx<3, T>;
template <typename T> using quant_mlx4 = quant_mlx<4, T>;
template <typename T> using quant_mlx5 = quant_mlx<5, T>;
template <typename T> using quant_mlx6 = quant_mlx<6, T>;
template <typename T> using quant_mlx8 = quant_mlx<8, T>;

/* e2m1 in the low four bits, times 2^-14: the bits are those of a half, one exponent bias apart. */
METAL_FUNC float e2m1_small(uint code) {
    return half_of_bits(ushort((code & 7u) << 9 | (code & 8u) << 12));
}
/* 2^(e - 127) times 2^14: never subnormal. */
METAL_FUNC float e8m0_large(uint e) {
    return as_type<float>(min(e + 14u, 255u) << 23);
}

template <typename T> struct quant_mlxfp4 {
    enum { VALUES = 16, PARTS = 1, HAS_BIAS = 0 };
    const device uchar *row, *scales;

    void open(const device uchar *data, const device uchar *scale_data, const device uchar *, ulong row_idx,
              uint row_bytes, uint num_cols, uint) {
        row = data + row_idx * row_bytes;
        scales = scale_data + row_idx * (num_cols / 32);
    }
    static uint column(uint segment) { return segment * 16; }
    static uint at(uint i) { return i; }
    static float factor(uint) { return 1.0f; }
    void raw(uint segment, thread float *q, thread float *scale, thread float *bias) const {
        uint2 v = *((const device uint2 *)row + segment);
        scale[0] = e8m0_large(scales[segment / 2]);
        bias[0] = 0.0f;
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            q[i] = e2m1_small(v.x >> 4 * i);
            q[i + 8] = e2m1_small(v.y >> 4 * i);
        }
    }
    void run(uint column, thread float *w) const {
        float scale, bias;
        raw(column / 16, w, &scale, &bias);
        for (uint i = 0; i < 16; i++) w[i] *= scale;
    }
};

#endif
