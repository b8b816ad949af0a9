/* backend/cuda/frag.h: kernels/frag.h for NVIDIA: ldmatrix and mma.m16n8k16.  That file tells what each function does.
 *
 * Lane = 4 * g + q holds, at i = 4 * h + 2 * r + e, row g + 8r and column (or k) 8h + 2q + e.  float has no such
 * instruction at full precision: its products go through shuffles, for tests. */
#ifndef VMT_BACKEND_CUDA_FRAG_H
#define VMT_BACKEND_CUDA_FRAG_H

template <typename T> struct frag_a {
    uint v[4]; /* [k half][row half], two elements each */
};
template <typename T> struct frag_b {
    uint v[4]; /* [column half][k half] */
};
template <> struct frag_a<float> {
    float v[8];
};
template <> struct frag_b<float> {
    float v[8]; /* as A: row is k */
};
struct frag_c {
    float v[8];
};

METAL_FUNC uint frag_row(uint lane, uint i) {
    return (lane >> 2) + (i >> 1 & 1u) * 8u;
}
METAL_FUNC uint frag_col(uint lane, uint i) {
    return (lane & 3u) * 2u + (i >> 2) * 8u + (i & 1u);
}

METAL_FUNC float frag_get(const frag_c &c, uint i) {
    return c.v[i];
}
METAL_FUNC void frag_set(frag_c &c, uint i, float value) {
    c.v[i] = value;
}
METAL_FUNC void frag_set(frag_a<float> &a, uint i, float value) {
    a.v[i] = value;
}
template <typename T> METAL_FUNC void frag_set(frag_a<T> &a, uint i, T value) {
    uint shift = (i & 1u) * 16u;
    a.v[i >> 1] = (a.v[i >> 1] & ~(0xFFFFu << shift)) | (uint)value.bits << shift;
}
METAL_FUNC void frag_set2(frag_a<float> &a, uint i, float x, float y) {
    a.v[i] = x;
    a.v[i + 1] = y;
}
METAL_FUNC void frag_set2(frag_a<half> &a, uint i, float x, float y) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(a.v[i >> 1]) : "f"(y), "f"(x));
}
METAL_FUNC void frag_set2(frag_a<bfloat> &a, uint i, float x, float y) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(a.v[i >> 1]) : "f"(y), "f"(x));
}
METAL_FUNC void frag_fill(frag_c &c, float value) {
#pragma unroll
    for (uint i = 0; i < 8; i++) c.v[i] = value;
}

template <bool IS_TRANSPOSED> METAL_FUNC void vmt_ldmatrix(uint (&v)[4], const void *row) {
    uint at = (uint)__cvta_generic_to_shared(row);
    if (IS_TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                     : "r"(at)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                     : "r"(at)
                     : "memory");
    }
}
template <typename T> METAL_FUNC void frag_load_a(frag_a<T> &a, const T *p, uint stride) {
    uint j = threadIdx.x >> 3 & 3u, row = threadIdx.x & 7u;
    vmt_ldmatrix<false>(a.v, p + ((j & 1u) * 8u + row) * stride + (j >> 1) * 8u);
}
template <typename T> METAL_FUNC void frag_load_b(frag_b<T> &b, const T *p, uint stride) {
    uint j = threadIdx.x >> 3 & 3u, row = threadIdx.x & 7u;
    vmt_ldmatrix<true>(b.v, p + ((j & 1u) * 8u + row) * stride + (j >> 1) * 8u);
}
template <typename T> METAL_FUNC void frag_load_bt(frag_b<T> &b, const T *p, uint stride) {
    uint j = threadIdx.x >> 3 & 3u, row = threadIdx.x & 7u;
    vmt_ldmatrix<false>(b.v, p + ((j >> 1) * 8u + row) * stride + (j & 1u) * 8u);
}
METAL_FUNC void frag_load_a(frag_a<float> &a, const float *p, uint stride) {
    uint lane = threadIdx.x & 31u;
#pragma unroll
    for (uint i = 0; i < 8; i++) a.v[i] = p[frag_row(lane, i) * stride + frag_col(lane, i)];
}
METAL_FUNC void frag_load_b(frag_b<float> &b, const float *p, uint stride) {
    uint lane = threadIdx.x & 31u;
#pragma unroll
    for (uint i = 0; i < 8; i++) b.v[i] = p[frag_row(lane, i) * stride + frag_col(lane, i)];
}
METAL_FUNC void frag_load_bt(frag_b<float> &b, const float *p, uint stride) {
    uint lane = threadIdx.x & 31u;
#pragma unroll
    for (uint i = 0; i < 8; i++) b.v[i] = p[frag_col(lane, i) * stride + frag_row(lane, i)];
}
METAL_FUNC void frag_store(const frag_c &c, float *p, uint stride, uint lane) {
#pragma unroll
    for (uint i = 0; i < 8; i++) p[frag_row(lane, i) * stride + frag_col(lane, i)] = c.v[i];
}

METAL_FUNC void vmt_mma(float *c, const frag_a<half> &a, uint b0, uint b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b0), "r"(b1));
}
METAL_FUNC void vmt_mma(float *c, const frag_a<bfloat> &a, uint b0, uint b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b0), "r"(b1));
}
template <typename T> METAL_FUNC void frag_mma(frag_c &c, const frag_a<T> &a, const frag_b<T> &b) {
    vmt_mma(c.v, a, b.v[0], b.v[1]);
    vmt_mma(c.v + 4, a, b.v[2], b.v[3]);
}
METAL_FUNC void frag_mma(frag_c &c, const frag_a<float> &a, const frag_b<float> &b) {
    uint lane = threadIdx.x & 31u, g = lane >> 2, q = lane & 3u;
#pragma unroll
    for (uint k = 0; k < 16; k++) {
        float left[2];
#pragma unroll
        for (uint r = 0; r < 2; r++)
            left[r] = simd_shuffle(a.v[k / 8 * 4 + r * 2 + k % 2], (ushort)(g * 4 + k % 8 / 2));
#pragma unroll
        for (uint n = 0; n < 4; n++) {
            uint h = n / 2, e = n % 2;
            float right = simd_shuffle(b.v[h * 4 + k / 8 * 2 + e], (ushort)(k % 8 * 4 + q));
            c.v[h * 4 + e] += left[0] * right;
            c.v[h * 4 + 2 + e] += left[1] * right;
        }
    }
}

METAL_FUNC float2 frag_row_max(const frag_c &c) {
    float2 v =
        float2(max(max(c.v[0], c.v[1]), max(c.v[4], c.v[5])), max(max(c.v[2], c.v[3]), max(c.v[6], c.v[7])));
    v = max(v, simd_shuffle_xor(v, 1));
    return max(v, simd_shuffle_xor(v, 2));
}
METAL_FUNC float2 frag_row_sum(const frag_c &c) {
    float2 v = float2(c.v[0] + c.v[1] + c.v[4] + c.v[5], c.v[2] + c.v[3] + c.v[6] + c.v[7]);
    v += simd_shuffle_xor(v, 1);
    return v + simd_shuffle_xor(v, 2);
}
METAL_FUNC void frag_scale_rows(frag_c &c, float2 scale) {
#pragma unroll
    for (uint i = 0; i < 8; i++) c.v[i] *= (i >> 1 & 1) ? scale.y : scale.x;
}
template <typename T> METAL_FUNC void frag_from_c(frag_a<T> &a, const frag_c &c) {
#pragma unroll
    for (uint i = 0; i < 4; i++) a.v[i] = (uint)T(c.v[2 * i]).bits | (uint)T(c.v[2 * i + 1]).bits << 16;
}
METAL_FUNC void frag_from_c(frag_a<float> &a, const frag_c &c) {
#pragma unroll
    for (uint i = 0; i < 8; i++) a.v[i] = c.v[i];
}

#endif
