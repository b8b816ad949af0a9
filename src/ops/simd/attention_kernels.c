/* ops/simd/attention_kernels.c: the kernels in plain C, and the choice. */
#include "ops/simd/attention_impl.h"
#include "backend/cpu/cpu.h"

VMT_ATTN_KERNELS_TABLE(scalar);

size_t vmt_attn_work_bytes(const vmt_kv_layout *layout, uint32_t rows) {
    size_t padded = vmt_attn_dim_padded(layout->head_dim), dim = layout->head_dim;
    size_t per_row = 4 + dim + TILE + 2 * (VF_LANES + padded), pieces = 12;
    return (rows * per_row + 2 * dim * TILE + VF_LANES) * sizeof(float) + pieces * 64;
}

const vmt_attn_kernels *vmt_attn_kernels_get(void) {
    vmt_isa isa = vmt_isa_best();
#if defined(__x86_64__)
    if (isa >= VMT_ISA_AVX512 && isa <= VMT_ISA_AMX) return &vmt_attn_kernels_avx512;
    if (isa == VMT_ISA_AVX2) return &vmt_attn_kernels_avx2;
#elif defined(__aarch64__)
    if (isa >= VMT_ISA_NEON && isa <= VMT_ISA_NEONI8MM) return &vmt_attn_kernels_neon;
#endif
    (void)isa;
    return &vmt_attn_kernels_scalar;
}
