/* ops/simd/row_kernels.c: the table in plain C, and the choice. */
#include "ops/simd/row_kernels_impl.h"
#include "backend/cpu/cpu.h"

VMT_ROW_KERNELS_TABLE(scalar);

const vmt_row_kernels *vmt_row_kernels_get(void) {
    vmt_isa isa = vmt_isa_best();
#if defined(__x86_64__)
    if (isa >= VMT_ISA_AVX512 && isa <= VMT_ISA_AMX) return &vmt_row_kernels_avx512;
    if (isa == VMT_ISA_AVX2) return &vmt_row_kernels_avx2;
#elif defined(__aarch64__)
    if (isa >= VMT_ISA_NEON && isa <= VMT_ISA_NEONI8MM) return &vmt_row_kernels_neon;
#endif
    (void)isa;
    return &vmt_row_kernels_scalar;
}
