/* kernels/quant_dense.h: plain matrices as a format of the matmuls.  quant_mlx.h says what a format is. */
#ifndef VMT_KERNELS_QUANT_DENSE_H
#define VMT_KERNELS_QUANT_DENSE_H

#include "kernels/load.h"

template <typename W> struct quant_dense {
    enum { VALUES = 8, WORDS = 2 * sizeof(W), PARTS = 1, HAS_BIAS = 0, HAS_ZERO = 0 };
    const device W *row;
    uint cols, stride;

    void open(const device uchar *data, const device uchar *, const device uchar *, ulong row_idx, uint row_bytes,
              uint num_cols, uint) {
        row = (const device W *)(data + row_idx * row_bytes);
        cols = num_cols;
        stride = row_bytes / uint(sizeof(W));
    }
    static uint column(uint segment) { return segment * 8; }
    static uint at(uint i) { return i; }
    static float factor(uint) { return 1.0f; }
    static float zero(uint) { return 0.0f; }
    void load(uint r, uint segment, thread uint *w) const {
        const device uint2 *p = (const device uint2 *)(row + (r * stride + segment * 8));
#pragma unroll
        for (uint i = 0; i < WORDS / 2; i++) {
            uint2 v = p[i];
            w[2 * i] = v.x;
            w[2 * i + 1] = v.y;
        }
    }
    static void decode(uint, uint2, const thread uint *w, thread float *q, thread float *scale,
                       thread float *bias) {
#pragma unroll
        for (uint i = 0; i < 8; i++)
            q[i] = element<W>::of_bits(sizeof(W) == 4 ? w[i] : i % 2 == 0 ? w[i / 2] & 0xffffu : w[i / 2] >> 16);
        scale[0] = 1.0f;
        bias[0] = 0.0f;
    }
    /* A tail of 8 columns is filled with zeros. */
    void run(uint column, thread float *w) const {
        for (uint half_run = 0; half_run < 2; half_run++) {
            bool is_inside = column + half_run * 8 < cols;
            uint at = is_inside ? column + half_run * 8 : 0;
            float4 a = load4(row + at), b = load4(row + at + 4);
            for (uint i = 0; i < 4; i++) {
                w[half_run * 8 + i] = is_inside ? a[i] : 0.0f;
                w[half_run * 8 + i + 4] = is_inside ? b[i] : 0.0f;
            }
        }
    }
};

template <typename T> using quant_f32 = quant_dense<float>;
template <typename T> using quant_f16 = quant_dense<half>;
template <typename T> using quant_bf16 = quant_dense<bfloat>;

#endif
