/* backend/cuda/mma.h: kernels/mma.h for NVIDIA: one instruction. */
#ifndef VMT_BACKEND_CUDA_MMA_H
#define VMT_BACKEND_CUDA_MMA_H

template <typename T> struct mma_type {};
template <> struct mma_type<half> {
    static METAL_FUNC void run(float *c, const uint *a, const uint *b) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
};
template <> struct mma_type<bfloat> {
    static METAL_FUNC void run(float *c, const uint *a, const uint *b) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
};
template <typename T> METAL_FUNC void mma_16x8x16(float *c, const uint *a, const uint *b, uint) {
    mma_type<T>::run(c, a, b);
}

#endif
