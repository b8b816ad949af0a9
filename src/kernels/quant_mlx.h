/* kernels/quant_mlx.h: MLX's quants in place: a row is a little-endian stream of bits, scales and biases lie apart.
 *
 * A format of the matmuls is a struct that knows one row of a weight:
 *
 *   VALUES             columns that a lane takes at a time: a segment; a divisor of 32
 *   WORDS              its registers while it is loaded
 *   PARTS, HAS_BIAS    a segment's first VALUES / PARTS values have scale[0] and bias[0], the next ones scale[1] ...
 *   open()             row row_idx of a matrix, and those after it; row_bytes, num_cols, group_shift are the matrix's
 *   column(segment)    where its first value stands; at(i): where value i stands, from there.  Segments cover a row
 *   load()             of row r from there the segment's words and scales, raw: many loads are in flight before the
 *                      first is used
 *   decode()           its values, such that the weight is scale * (factor(i) * q[i] - zero(i)) + bias; exponents is
 *                      nibble_exponents() of load.h
 *   run()              16 neighbouring weights of the first row from a column that is a multiple of 16
 *
 * factor(i) is a power of two and zero(i) a small number, known when the kernel is compiled: quants are masked where
 * they lie in their word, not shifted, and a matvec multiplies x by factor(i) once for all rows instead; it takes the
 * zeros (HAS_ZERO: there are any) off a segment's sum at once. */
#ifndef VMT_KERNELS_QUANT_MLX_H
#define VMT_KERNELS_QUANT_MLX_H

#include "kernels/load.h"

template <uint BITS, typename T> struct quant_mlx {
    enum { VALUES = 32, WORDS = BITS + 2, PARTS = 1, HAS_BIAS = 1, HAS_ZERO = BITS == 4 };
    const device uchar *row;
    const device T *scales, *biases;
    uint group_shift, stride, num_groups;

    void open(const device uchar *data, const device uchar *scale_data, const device uchar *bias_data,
              ulong row_idx, uint row_bytes, uint num_cols, uint shift) {
        row = data + row_idx * row_bytes;
        scales = (const device T *)scale_data + row_idx * (num_cols >> shift);
        biases = (const device T *)bias_data + row_idx * (num_cols >> shift);
        group_shift = shift;
        stride = row_bytes;
        num_groups = num_cols >> shift;
    }
    static uint column(uint segment) { return segment * 32; }
    static uint at(uint i) { return i; }
    /* Quants that lie in two words are put together, and then stand at bit 0. */
    static bool is_split(uint i) { return i * BITS % 32 + BITS > 32; }
    static float factor(uint i) {
        return BITS == 4 ? nibbles<T>::factor(i % 8) : is_split(i) ? 1.0f : power_down(i * BITS % 32);
    }
    static float zero(uint i) { return BITS == 4 ? nibbles<T>::zero(i % 8) : 0.0f; }

    /* Segments begin on 8 bytes for an even number of bits, else on 4. */
    void load(uint r, uint segment, thread uint *w) const {
        if (BITS % 2 == 0) {
            const device uint2 *p = (const device uint2 *)(row + (r * stride + segment * (BITS * 4)));
#pragma unroll
            for (uint i = 0; i < BITS / 2; i++) {
                uint2 v = p[i];
                w[2 * i] = v.x;
                w[2 * i + 1] = v.y;
            }
        } else {
            const device uint *p = (const device uint *)(row + (r * stride + segment * (BITS * 4)));
#pragma unroll
            for (uint i = 0; i < BITS; i++) w[i] = p[i];
        }
        uint group = r * num_groups + (segment * 32 >> group_shift);
        w[BITS] = load_bits(scales + group);
        w[BITS + 1] = load_bits(biases + group);
    }
    /* num quants from the first word on. */
    static void quants(const thread uint *w, uint num, thread float *q) {
        const uint mask = (1u << BITS) - 1;
#pragma unroll
        for (uint i = 0; i < num; i++) {
            uint word = i * BITS / 32, shift = i * BITS % 32;
            q[i] = is_split(i) ? float(((w[word] >> shift) | (w[word + 1] << ((32 - shift) & 31))) & mask)
                               : float(w[word] & (mask << shift));
        }
    }
    static void decode(uint, uint2 exponents, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        scale[0] = element<T>::of_bits(w[BITS]);
        bias[0] = element<T>::of_bits(w[BITS + 1]);
        if (BITS == 4) {
#pragma unroll
            for (uint i = 0; i < BITS; i++) nibbles<T>::decode(w[i], exponents, q + 8 * i);
        } else {
            quants(w, 32, q);
        }
    }
    /* Segments of an odd number of bits begin on 2 bytes, the others on 4 (4 and 8 bits: on 8). */
    void words(uint run_idx, thread uint *w) const {
        if (BITS % 4 == 0) {
            const device uint2 *p = (const device uint2 *)row + run_idx * (BITS / 4);
            for (uint i = 0; i < BITS / 4; i++) {
                uint2 v = p[i];
                w[2 * i] = v.x;
                w[2 * i + 1] = v.y;
            }
        } else if (BITS % 2 == 0) {
            const device uint *p = (const device uint *)row + run_idx * (BITS / 2);
            for (uint i = 0; i < BITS / 2; i++) w[i] = p[i];
        } else {
            const device ushort *p = (const device ushort *)row + run_idx * BITS;
            for (uint i = 0; i < (BITS + 1) / 2; i++)
                w[i] = uint(p[2 * i]) | (2 * i + 1 < BITS ? uint(p[2 * i + 1]) << 16 : 0u);
        }
    }
    void run(uint column, thread float *w) const {
        float q[16];
        uint raw[(BITS + 1) / 2 + 1], group = column >> group_shift;
        words(column / 16, raw);
        raw[(BITS + 1) / 2] = 0;
        quants(raw, 16, q);
        float scale = float(scales[group]), bias = float(biases[group]);
#pragma unroll
        for (uint i = 0; i < 16; i++)
            w[i] = fma(scale * (is_split(i) ? 1.0f : power_down(i * BITS % 32)), q[i], bias);
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
    enum { VALUES = 32, WORDS = 5, PARTS = 1, HAS_BIAS = 0, HAS_ZERO = 0 };
    const device uchar *row, *scales;
    uint stride, num_groups;

    void open(const device uchar *data, const device uchar *scale_data, const device uchar *, ulong row_idx,
              uint row_bytes, uint num_cols, uint) {
        row = data + row_idx * row_bytes;
        scales = scale_data + row_idx * (num_cols / 32);
        stride = row_bytes;
        num_groups = num_cols / 32;
    }
    static uint column(uint segment) { return segment * 32; }
    static uint at(uint i) { return i; }
    static float factor(uint) { return 1.0f; }
    static float zero(uint) { return 0.0f; }
    void load(uint r, uint segment, thread uint *w) const {
        const device uint2 *p = (const device uint2 *)(row + (r * stride + segment * 16));
        uint2 a = p[0], b = p[1];
        w[0] = a.x;
        w[1] = a.y;
        w[2] = b.x;
        w[3] = b.y;
        w[4] = scales[r * num_groups + segment];
    }
    static void decode(uint, uint2, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
        scale[0] = e8m0_large(w[4]);
        bias[0] = 0.0f;
#pragma unroll
        for (uint i = 0; i < 32; i++) q[i] = e2m1_small(w[i / 8] >> 4 * (i % 8));
    }
    void run(uint column, thread float *w) const {
        uint2 v = *((const device uint2 *)row + column / 16);
        float scale = e8m0_large(scales[column / 32]);
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            w[i] = scale * e2m1_small(v.x >> 4 * i);
            w[i + 8] = scale * e2m1_small(v.y >> 4 * i);
        }
    }
};

#endif
