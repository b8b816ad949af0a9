/* ops/matmul_plan.c: which kernel for which weight, instruction set and number of rows. */
#include "ops/matmul_kernel.h"

/* Within a class ascending by instruction set and num_rows_min; the last row that is allowed and present wins.  All
 * rows of a class give the same bits, so this table is about speed alone. */
static const struct {
    vmt_mm_class class;
    vmt_isa isa;
    uint32_t num_rows_min;
    vmt_mm_kernel kernel;
} kernels[] = {
    {VMT_MM_FLOATS, VMT_ISA_SCALAR, 1, vmt_mm_float_scalar},
    {VMT_MM_PAIRS, VMT_ISA_SCALAR, 1, vmt_mm_pairs_scalar},
    {VMT_MM_QUANTS, VMT_ISA_SCALAR, 1, vmt_mm_quant_scalar},
#if defined(__x86_64__)
    {VMT_MM_FLOATS, VMT_ISA_AVX2, 1, vmt_mm_float_avx2},
    {VMT_MM_FLOATS, VMT_ISA_AVX512, 1, vmt_mm_float_avx512},
    {VMT_MM_PAIRS, VMT_ISA_AVX2, 1, vmt_mm_pairs_avx2},
    {VMT_MM_PAIRS, VMT_ISA_AVX512, 1, vmt_mm_pairs_avx512},
    {VMT_MM_PAIRS, VMT_ISA_AMX, 1, vmt_mm_pairs_amx},
    {VMT_MM_QUANTS, VMT_ISA_AVX2, 1, vmt_mm_quant_avx2},
    {VMT_MM_QUANTS, VMT_ISA_AVX512VNNI, 1, vmt_mm_quant_avx512vnni},
    {VMT_MM_QUANTS, VMT_ISA_AMX, 5, vmt_mm_quant_amx},
#elif defined(__aarch64__)
    {VMT_MM_FLOATS, VMT_ISA_NEON, 1, vmt_mm_float_neon},
    {VMT_MM_PAIRS, VMT_ISA_NEON, 1, vmt_mm_pairs_neon},
    {VMT_MM_QUANTS, VMT_ISA_NEON, 1, vmt_mm_quant_neon},
    {VMT_MM_QUANTS, VMT_ISA_NEONDOT, 1, vmt_mm_quant_neondot},
    {VMT_MM_QUANTS, VMT_ISA_NEONI8MM, 2, vmt_mm_quant_neoni8mm},
#endif
};

vmt_mm_kernel vmt_mm_kernel_for(const vmt_matmul_kind *kind, vmt_isa isa, uint32_t num_rows) {
    vmt_mm_kernel best = NULL;
    for (size_t i = 0; i < VMT_COUNT(kernels); i++) {
        if (kernels[i].class == kind->class && kernels[i].isa <= isa && vmt_isa_present(kernels[i].isa) &&
            kernels[i].num_rows_min <= num_rows) {
            best = kernels[i].kernel;
        }
    }
    VMT_ASSERT(best != NULL);
    return best;
}

vmt_mm_quantizer vmt_mm_quantizer_for(vmt_mm_class class, vmt_isa isa) {
    static const struct {
        vmt_mm_class class;
        vmt_isa isa;
        vmt_mm_quantizer quantizer;
    } quantizers[] = {
        {VMT_MM_QUANTS, VMT_ISA_SCALAR, vmt_mm_quantize_scalar},
        {VMT_MM_PAIRS, VMT_ISA_SCALAR, vmt_mm_split_scalar},
#if defined(__x86_64__)
        {VMT_MM_QUANTS, VMT_ISA_AVX2, vmt_mm_quantize_avx2},
        {VMT_MM_PAIRS, VMT_ISA_AVX2, vmt_mm_split_avx2},
        {VMT_MM_QUANTS, VMT_ISA_AVX512, vmt_mm_quantize_avx512},
        {VMT_MM_PAIRS, VMT_ISA_AVX512, vmt_mm_split_avx512},
#elif defined(__aarch64__)
        {VMT_MM_QUANTS, VMT_ISA_NEON, vmt_mm_quantize_neon},
        {VMT_MM_PAIRS, VMT_ISA_NEON, vmt_mm_split_neon},
#endif
    };
    vmt_mm_quantizer best = NULL;
    for (size_t i = 0; i < VMT_COUNT(quantizers); i++) {
        if (quantizers[i].class == class && quantizers[i].isa <= isa && vmt_isa_present(quantizers[i].isa)) {
            best = quantizers[i].quantizer;
        }
    }
    return best;
}
