/* kernels/mma.h: a product of matrices whose elements the lanes of a simdgroup hold as bits.
 *
 *   C [16 rows, 8 columns] float  +=  A [16 rows, 16 k] T  *  B [16 k, 8 columns] T          T: half, bfloat
 *
 * A word is two elements, the first in its low half.  Lane 4 * g + t holds
 *
 *   a[0], a[1]   rows g, g + 8, k 2t and 2t + 1         b[0]   k 2t and 2t + 1 of column g
 *   a[2], a[3]   the same rows, k 2t + 8 and 2t + 9     b[1]   k 2t + 8 and 2t + 9
 *   c[0], c[1]   row g, columns 2t and 2t + 1           c[2], c[3]   row g + 8
 *
 * which is NVIDIA's mma.m16n8k16 (backend/cuda/mma.h).  Elsewhere it goes through shuffles: right, and slow; for tests.
 * Reached by all 32 lanes. */
#ifndef VMT_KERNELS_MMA_H
#define VMT_KERNELS_MMA_H

#include "kernels/pack8.h"

template <typename T> struct mma_pair {};
template <> struct mma_pair<half> {
    static float2 of(uint word) { return halves_of(word); }
};
template <> struct mma_pair<bfloat> {
    static float2 of(uint word) { return bfloats_of(word); }
};

template <typename T>
METAL_FUNC void mma_16x8x16(thread float *c, const thread uint *a, const thread uint *b, uint lane) {
#pragma unroll
    for (uint t = 0; t < 4; t++) {
#pragma unroll
        for (uint h = 0; h < 2; h++) {
            float2 upper = mma_pair<T>::of(simd_shuffle(a[2 * h], ushort((lane & 28u) + t)));
            float2 lower = mma_pair<T>::of(simd_shuffle(a[2 * h + 1], ushort((lane & 28u) + t)));
#pragma unroll
            for (uint e = 0; e < 2; e++) {
                float2 x = mma_pair<T>::of(simd_shuffle(b[h], ushort((lane & 3u) * 8 + e * 4 + t)));
                c[e] += upper.x * x.x + upper.y * x.y;
                c[2 + e] += lower.x * x.x + lower.y * x.y;
            }
        }
    }
}

#endif
