/* backend/cuda/copy.h: kernels/copy.h for NVIDIA: cp.async. */
#ifndef VMT_BACKEND_CUDA_COPY_H
#define VMT_BACKEND_CUDA_COPY_H

template <typename T> METAL_FUNC void copy_16(T *to, const T *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint)__cvta_generic_to_shared(to)), "l"(from)
                 : "memory");
}
template <typename T> METAL_FUNC void copy_16_cached(T *to, const T *from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"((uint)__cvta_generic_to_shared(to)), "l"(from)
                 : "memory");
}
METAL_FUNC void copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> METAL_FUNC void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
METAL_FUNC void wait_for_previous() {
    vmt_wait_for_previous();
    vmt_next_may_come();
}

#endif
