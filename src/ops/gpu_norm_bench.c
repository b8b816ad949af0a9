/* ops/gpu_norm_bench.c: row ops on a GPU in GB/s, beside a copy.
 *
 *   gpu_norm_bench [metal|cuda|host]        rows of a prefill of an 8B model, and one row of its decode */
#include "ops/gpu_norm.h"

#include <stdio.h>

#include "ops/gpu_act.h"
#include "ops/gpu_bench_rig.h"
#include "ops/gpu_rope.h"

#define HIDDEN       4096u
#define INTERMEDIATE 14336u
#define HEADS        32u
#define KV_HEADS     8u
#define HEAD_DIM     128u
#define BLOCK_SIZE   16u

static void report(vmt_bench *b, const char *name, uint32_t rows, double bytes, double copy_rate) {
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = rows};
    double seconds = vmt_bench_seconds(b, counts), rate = bytes / seconds * 1e-9;
    if (b->err.code != VMT_OK) return;
    printf("%-28s %6u rows  %9.2f us  %8.1f GB/s  %5.1f %% of a copy\n", name, rows, seconds * 1e6, rate,
           100 * rate / copy_rate);
}

static void norm(vmt_bench *b, vmt_gpu_norm_kind kind, uint32_t rows, double copy_rate) {
    vmt_bench_begin(b);
    vmt_gpu_norm_args args = {
        .kind = kind,
        .x = vmt_bench_private(b, VMT_F32, rows, HIDDEN),
        .weight = vmt_bench_private(b, VMT_F32, 1, HIDDEN),
        .out = vmt_bench_private(b, VMT_BF16, rows, HIDDEN),
        .count = VMT_COUNT_TOKENS,
        .eps = 1e-6f,
    };
    if (vmt_gpu_norm(b->program, &args, &b->err) != VMT_OK) return;
    report(b, kind == VMT_GPU_NORM_RMS ? "rms_norm 4096 to BF16" : "layer_norm 4096 to BF16", rows,
           6.0 * rows * HIDDEN, copy_rate);
    vmt_bench_end(b);
}

static void act(vmt_bench *b, uint32_t rows, double copy_rate) {
    vmt_bench_begin(b);
    vmt_gpu_act_mul_args args = {
        .gate_up = vmt_bench_private(b, VMT_BF16, rows, 2 * INTERMEDIATE),
        .out = vmt_bench_private(b, VMT_BF16, rows, INTERMEDIATE),
        .act = VMT_ACT_SILU,
        .count = VMT_COUNT_TOKENS,
    };
    if (vmt_gpu_act_mul(b->program, &args, &b->err) != VMT_OK) return;
    report(b, "act_mul 14336 BF16", rows, 6.0 * rows * INTERMEDIATE, copy_rate);
    vmt_bench_end(b);
}

static void rope(vmt_bench *b, vmt_dtype kv_dtype, uint32_t rows, double copy_rate) {
    vmt_gpu_kv_layout layout = {(rows + BLOCK_SIZE - 1) / BLOCK_SIZE, BLOCK_SIZE, KV_HEADS, HEAD_DIM, kv_dtype};
    size_t bytes;
    if (vmt_gpu_kv_bytes(&layout, &bytes, &b->err) != VMT_OK) return;
    vmt_tensor cache = vmt_bench_private(b, VMT_I8, 1, bytes);
    vmt_gpu_rope_args args = {
        .qkv = vmt_bench_private(b, VMT_BF16, rows, (HEADS + 2 * KV_HEADS) * HEAD_DIM),
        .num_heads = HEADS,
        .rotary_dim = HEAD_DIM,
        .angles = vmt_bench_private(b, VMT_F32, rows, HEAD_DIM),
        .q_norm = vmt_bench_private(b, VMT_F32, 1, HEAD_DIM),
        .k_norm = vmt_bench_private(b, VMT_F32, 1, HEAD_DIM),
        .norm_eps = 1e-6f,
        .slot_mapping = vmt_bench_shared(b, VMT_I32, 1, (rows + 3) / 4 * 4),
        .kv = vmt_gpu_kv_at(&layout, cache.buffer, 0),
    };
    for (uint32_t i = 0; i < rows; i++) ((int32_t *)vmt_tensor_data(&args.slot_mapping))[i] = (int32_t)i;
    args.slot_mapping = vmt_bench_upload(b, args.slot_mapping);
    vmt_bench_begin(b);
    if (vmt_gpu_rope(b->program, &args, &b->err) != VMT_OK) return;
    double elem = kv_dtype == VMT_I8 ? 1 : 2;
    double row_bytes = HEAD_DIM * (4.0 * HEADS + 2 * KV_HEADS * (2 + elem) + 4);
    report(b, kv_dtype == VMT_I8 ? "norm, rope, KV in I8" : "norm, rope, KV in BF16", rows, rows * row_bytes,
           copy_rate);
    vmt_bench_end(b);
}

static void run(vmt_bench *b) {
    double copy_rate = vmt_bench_copy_rate(b);
    printf("%-28s %40.1f GB/s\n", "copy", copy_rate);
    uint32_t rows[] = {1, b->is_small ? 4 : 64, b->is_small ? 8 : 2048, b->is_small ? 16 : 16384};
    for (size_t i = 0; i < VMT_COUNT(rows) && b->err.code == VMT_OK; i++) {
        norm(b, VMT_GPU_NORM_RMS, rows[i], copy_rate);
        norm(b, VMT_GPU_NORM_LAYER, rows[i], copy_rate);
        act(b, rows[i], copy_rate);
        rope(b, VMT_BF16, rows[i], copy_rate);
        rope(b, VMT_I8, rows[i], copy_rate);
    }
}

int main(int argc, char **argv) {
    vmt_bench bench;
    if (vmt_bench_open(&bench, argc > 1 ? argv[1] : "host")) {
        printf("%s\n", bench.gpu->caps.name);
        run(&bench);
        vmt_bench_close(&bench);
    }
    if (bench.err.code != VMT_OK) fprintf(stderr, "%s\n", bench.err.msg);
    return bench.err.code != VMT_OK;
}
