/* kernels/frag.h: 16x16 matrix fragments, held by the 32 lanes of a simdgroup, 8 elements each.
 *
 *   C [16 rows, 16 columns] float  +=  A [16 rows, 16 k] T  *  B [16 k, 16 columns] T        T: half, bfloat, float
 *
 * Element i (0..7) of a lane in A and in C is at (frag_row(lane, i), frag_col(lane, i)): two rows a lane, the first at
 * i = 0, 1, 4, 5 and the second at i = 2, 3, 6, 7.  Where that is differs from device to device: ask, never assume.
 * Loops over i must unroll.  Every function is reached by all 32 lanes.
 *
 * Loads are from threadgroup memory; a row begins at a multiple of 16 bytes (its stride too), and a stride of 8
 * elements more than a power of two keeps the banks apart.
 *
 * This file is for Apple and the host: four 8x8 matrices, [2 * h + r] holding rows 8r.. and columns (or k) 8h..
 * CUDA has its own (backend/cuda/frag.h) with the same functions.  The place of a lane's elements in an 8x8 matrix is
 * not documented by Apple; the self-test probes it. */
#ifndef VMT_KERNELS_FRAG_H
#define VMT_KERNELS_FRAG_H

#include <metal_stdlib>
#include <metal_simdgroup_matrix>
using namespace metal;

template <typename T> struct frag_a {
    simdgroup_matrix<T, 8, 8> m[4]; /* [k half][row half] */
};
template <typename T> struct frag_b {
    simdgroup_matrix<T, 8, 8> m[4]; /* [k half][column half] */
};
struct frag_c {
    simdgroup_matrix<float, 8, 8> m[4]; /* [column half][row half] */
};

METAL_FUNC uint frag_row(uint lane, uint i) {
    return (lane >> 2 & 4u) + (lane >> 1 & 3u) + (i >> 1 & 1u) * 8u;
}
METAL_FUNC uint frag_col(uint lane, uint i) {
    return (lane >> 2 & 2u) * 2u + (lane & 1u) * 2u + (i >> 2) * 8u + (i & 1u);
}

METAL_FUNC float frag_get(const thread frag_c &c, uint i) {
    thread frag_c &f = const_cast<thread frag_c &>(c);
    return reinterpret_cast<thread vec<float, 2> &>(f.m[i >> 1].thread_elements())[i & 1];
}
METAL_FUNC void frag_set(thread frag_c &c, uint i, float value) {
    reinterpret_cast<thread vec<float, 2> &>(c.m[i >> 1].thread_elements())[i & 1] = value;
}
template <typename T> METAL_FUNC void frag_set(thread frag_a<T> &a, uint i, T value) {
    reinterpret_cast<thread vec<T, 2> &>(a.m[i >> 1].thread_elements())[i & 1] = value;
}
/* Elements i and i + 1, i even: neighbours in a row. */
template <typename T> METAL_FUNC void frag_set2(thread frag_a<T> &a, uint i, float x, float y) {
    thread vec<T, 2> &pair = reinterpret_cast<thread vec<T, 2> &>(a.m[i >> 1].thread_elements());
    pair.x = T(x);
    pair.y = T(y);
}
METAL_FUNC void frag_fill(thread frag_c &c, float value) {
#pragma unroll
    for (uint i = 0; i < 8; i++) frag_set(c, i, value);
}

/* p[row * stride + k] */
template <typename T> METAL_FUNC void frag_load_a(thread frag_a<T> &a, const threadgroup T *p, uint stride) {
#pragma unroll
    for (uint i = 0; i < 4; i++) simdgroup_load(a.m[i], p + (i & 1) * 8 * stride + (i >> 1) * 8, stride);
}
/* p[k * stride + column] */
template <typename T> METAL_FUNC void frag_load_b(thread frag_b<T> &b, const threadgroup T *p, uint stride) {
#pragma unroll
    for (uint i = 0; i < 4; i++) simdgroup_load(b.m[i], p + (i >> 1) * 8 * stride + (i & 1) * 8, stride);
}
/* p[column * stride + k] */
template <typename T> METAL_FUNC void frag_load_bt(thread frag_b<T> &b, const threadgroup T *p, uint stride) {
#pragma unroll
    for (uint i = 0; i < 4; i++) {
        simdgroup_load(b.m[i], p + (i & 1) * 8 * stride + (i >> 1) * 8, stride, ulong2(0, 0), true);
    }
}
/* p[row * stride + column] */
METAL_FUNC void frag_store(const thread frag_c &c, threadgroup float *p, uint stride, uint lane) {
#pragma unroll
    for (uint i = 0; i < 8; i++) p[frag_row(lane, i) * stride + frag_col(lane, i)] = frag_get(c, i);
}

/* c += a * b */
template <typename T>
METAL_FUNC void frag_mma(thread frag_c &c, const thread frag_a<T> &a, const thread frag_b<T> &b) {
#pragma unroll
    for (uint k = 0; k < 2; k++) {
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            simdgroup_multiply_accumulate(c.m[i], a.m[2 * k + (i & 1)], b.m[2 * k + (i >> 1)], c.m[i]);
        }
    }
}

/* Of the lane's two rows: .x of frag_row(lane, 0), .y of frag_row(lane, 2). */
METAL_FUNC float2 frag_row_max(const thread frag_c &c) {
    float2 v = float2(max(max(frag_get(c, 0), frag_get(c, 1)), max(frag_get(c, 4), frag_get(c, 5))),
                      max(max(frag_get(c, 2), frag_get(c, 3)), max(frag_get(c, 6), frag_get(c, 7))));
    v.x = max(v.x, simd_shuffle_xor(v.x, 1));
    v.y = max(v.y, simd_shuffle_xor(v.y, 1));
    v.x = max(v.x, simd_shuffle_xor(v.x, 8));
    v.y = max(v.y, simd_shuffle_xor(v.y, 8));
    return v;
}
METAL_FUNC float2 frag_row_sum(const thread frag_c &c) {
    float2 v = float2(frag_get(c, 0) + frag_get(c, 1) + frag_get(c, 4) + frag_get(c, 5),
                      frag_get(c, 2) + frag_get(c, 3) + frag_get(c, 6) + frag_get(c, 7));
    v.x += simd_shuffle_xor(v.x, 1);
    v.y += simd_shuffle_xor(v.y, 1);
    v.x += simd_shuffle_xor(v.x, 8);
    v.y += simd_shuffle_xor(v.y, 8);
    return v;
}
METAL_FUNC void frag_scale_rows(thread frag_c &c, float2 scale) {
#pragma unroll
    for (uint i = 0; i < 8; i++) frag_set(c, i, frag_get(c, i) * ((i >> 1 & 1) ? scale.y : scale.x));
}
/* The same elements, rounded to T: a product becomes the left side of the next. */
template <typename T> METAL_FUNC void frag_from_c(thread frag_a<T> &a, const thread frag_c &c) {
#pragma unroll
    for (uint i = 0; i < 8; i++) frag_set(a, i, T(frag_get(c, i)));
}

#endif
