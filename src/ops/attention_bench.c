/* ops/attention_bench.c: attention by instruction set, in GFLOP/s of one worker's processor time.
 *
 *   attention_bench [context]        shapes of SmolLM2-135M and of an 8B model; 4 flops per key and element */
#include "ops/attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backend/cpu/cpu.h"

#define BLOCK_SIZE 16u

static const struct {
    const char *name;
    uint32_t heads, kv_heads, dim;
} shapes[] = {{"9 heads of 64, 3 kv", 9, 3, 64}, {"32 heads of 128, 8 kv", 32, 8, 128}};

static const vmt_isa isas[] = {VMT_ISA_SCALAR, VMT_ISA_AVX2, VMT_ISA_AVX512, VMT_ISA_NEON};

static vmt_tensor make(vmt_backend *be, vmt_dtype dtype, uint64_t elems) {
    vmt_buffer *buffer = calloc(1, sizeof *buffer);
    size_t bytes = elems * (dtype == VMT_F32 ? 4 : 2);
    if (vmt_buffer_create(be, buffer, bytes, NULL) != VMT_OK) abort();
    for (uint64_t i = 0; i < elems; i++) {
        float x = (float)(i * 2654435761u % 1000) / 500.0f - 1.0f;
        uint16_t h = vmt_f32_to_f16(x);
        if (dtype == VMT_F32)
            memcpy(buffer->host + 4 * i, &x, 4);
        else
            memcpy(buffer->host + 2 * i, &h, 2);
    }
    return (vmt_tensor){buffer, 0, dtype, 1, {elems}};
}

static void time_shape(vmt_backend *be, size_t shape, uint32_t context, uint32_t q_len) {
    uint32_t heads = shapes[shape].heads, dim = shapes[shape].dim, stride = heads * dim;
    uint32_t blocks = (context + BLOCK_SIZE - 1) / BLOCK_SIZE, cu[2] = {0, q_len}, len = context;
    vmt_kv_layout layout = {BLOCK_SIZE, shapes[shape].kv_heads, dim, VMT_F16};
    uint64_t cache = (uint64_t)blocks * layout.num_kv_heads * dim * BLOCK_SIZE;
    int32_t *table = calloc(blocks, sizeof *table);
    for (uint32_t i = 0; i < blocks; i++) table[i] = (int32_t)i;
    vmt_attention_args args = {
        .layout = layout,
        .num_heads = heads,
        .q = make(be, VMT_F32, (uint64_t)q_len * stride),
        .out = make(be, VMT_F32, (uint64_t)q_len * stride),
        .q_stride = stride,
        .out_stride = stride,
        .k_cache = make(be, VMT_F16, cache),
        .v_cache = make(be, VMT_F16, cache),
        .cu_seqlens_q = cu,
        .seq_lens = &len,
        .block_tables = table,
        .num_seqs = 1,
        .block_table_stride = blocks,
        .scale = 0.1f,
        .scratch = make(be, VMT_F32, vmt_attention_scratch_bytes(&layout, heads, context, q_len, 1) / 4 + 1),
    };
    uint32_t rounds = 0;
    (void)vmt_attention(be, &args);
    clock_t begin = clock(), end = begin;
    for (; end - begin < CLOCKS_PER_SEC / 5; end = clock(), rounds++) (void)vmt_attention(be, &args);
    double seconds = (double)(end - begin) / CLOCKS_PER_SEC / rounds;
    double keys = (double)q_len * (context - (q_len - 1) / 2.0);
    printf("%-10s %-22s %5u queries of %5u: %9.3f ms %7.1f GFLOP/s %6.2f GB/s of cache\n",
           vmt_isa_name(vmt_isa_best()), shapes[shape].name, q_len, context, seconds * 1e3,
           4 * keys * heads * dim / seconds / 1e9, (double)cache * 4 / seconds / 1e9);
    free(table);
}

int main(int argc, char **argv) {
    uint64_t wanted = 4096;
    if (argc > 1 && (!vmt_str_to_u64(vmt_str_from(argv[1]), &wanted) || wanted > 1u << 20)) return 2;
    uint32_t context = (uint32_t)wanted;
    for (size_t k = 0; k < VMT_COUNT(isas); k++) {
        if (!vmt_isa_present(isas[k])) continue;
        vmt_isa_limit(isas[k]);
        for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
            uint32_t q_max = isas[k] == VMT_ISA_SCALAR ? 1 : 512; /* plain C takes seconds */
            for (uint32_t q_len = 1; q_len <= q_max; q_len *= 512) {
                vmt_backend *be;
                if (context < q_len || vmt_cpu_backend_create(&be, 1, NULL) != VMT_OK) return 1;
                time_shape(be, s, context, q_len);
                vmt_backend_destroy(be);
            }
        }
    }
    return 0;
}
