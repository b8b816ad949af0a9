/* ops/gpu_attention_bench.c: paged attention on a GPU: GB/s of cache in decode beside a copy, TFLOP/s in prefill.
 *
 *   gpu_attention_bench [metal|cuda|host]       blocks of 16 in random order; 4 flops per visible key and element
 *
 * Every value is 0.5, so that each output must be: checked before the clock runs. */
#include "ops/gpu_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/gpu_bench_rig.h"

#define BLOCK_SIZE  16u
#define SOURCE_ROWS 1024u
#define HALF_F16    0x3800u /* 0.5 */
#define HALF_BF16   0x3F00u

struct shape {
    const char *name;
    uint32_t heads, kv_heads, dim;
    vmt_dtype dtype, kv_dtype;
    uint32_t num_seqs, q_len, context;
};
static const struct shape shapes[] = {
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 64, 1, 4096},
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 1, 1, 512},
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 1, 1, 4096},
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 1, 1, 32768},
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 8, 1, 131072},
    {"32/8 of 128, I8", 32, 8, 128, VMT_BF16, VMT_I8, 64, 1, 4096},
    {"64/8 of 64", 64, 8, 64, VMT_F16, VMT_F16, 64, 1, 4096},
    {"16/8 of 128", 16, 8, 128, VMT_BF16, VMT_BF16, 64, 1, 4096},
    {"28/4 of 128", 28, 4, 128, VMT_BF16, VMT_BF16, 64, 1, 4096},
    {"32/32 of 96", 32, 32, 96, VMT_F16, VMT_F16, 16, 1, 4096},
    {"8/4 of 256", 8, 4, 256, VMT_BF16, VMT_BF16, 64, 1, 4096},
    {"16/1 of 512", 16, 1, 512, VMT_BF16, VMT_BF16, 64, 1, 4096},
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 4, 4096, 4096},
    {"32/8 of 128", 32, 8, 128, VMT_BF16, VMT_BF16, 1, 16384, 16384},
    {"32/8 of 128, chunk", 32, 8, 128, VMT_BF16, VMT_BF16, 1, 2048, 16384},
    {"32/8 of 128, I8", 32, 8, 128, VMT_BF16, VMT_I8, 4, 4096, 4096},
    {"64/8 of 64", 64, 8, 64, VMT_F16, VMT_F16, 4, 4096, 4096},
    {"8/4 of 256", 8, 4, 256, VMT_BF16, VMT_BF16, 4, 4096, 4096},
    {"16/1 of 512", 16, 1, 512, VMT_BF16, VMT_BF16, 4, 2048, 2048},
};

/* Rows of `out` [rows, cols] are copies of one pattern's rows, cols at a time. */
static bool fill(vmt_bench *b, vmt_tensor out, uint64_t cols, bool is_constant) {
    uint64_t rows = vmt_tensor_elems(&out) / cols;
    out.ndim = 2;
    out.shape[0] = rows;
    out.shape[1] = cols;
    vmt_tensor source = vmt_bench_shared(b, out.dtype, SOURCE_ROWS, cols);
    vmt_tensor ids = vmt_bench_shared(b, VMT_I32, 1, rows);
    uint8_t *bytes = vmt_tensor_data(&source);
    uint32_t half = out.dtype == VMT_BF16 ? HALF_BF16 : HALF_F16;
    for (uint64_t i = 0; i < SOURCE_ROWS * cols; i++) {
        float x = is_constant ? 0.5f : (float)(i * 2654435761u % 1000) / 500.0f - 1.0f;
        uint16_t narrow = is_constant             ? (uint16_t)half
                          : out.dtype == VMT_BF16 ? vmt_f32_to_bf16(x)
                                                  : vmt_f32_to_f16(x);
        if (out.dtype == VMT_F32) memcpy(bytes + 4 * i, &x, 4);
        if (out.dtype == VMT_F16 || out.dtype == VMT_BF16) memcpy(bytes + 2 * i, &narrow, 2);
        if (out.dtype == VMT_I8) bytes[i] = is_constant ? 1 : (uint8_t)(i * 2654435761u >> 13);
    }
    for (uint64_t i = 0; i < rows; i++) ((int32_t *)vmt_tensor_data(&ids))[i] = (int32_t)(i * 7 % SOURCE_ROWS);
    vmt_bench_begin(b);
    vmt_gpu_gather_args args = {.x = source, .row_ids = ids, .out = out};
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {0};
    return vmt_gpu_gather(b->program, &args, &b->err) == VMT_OK && vmt_bench_run(b, counts, 1);
}

static bool fill_cache(vmt_bench *b, const vmt_gpu_kv *kv) {
    uint64_t cols = (uint64_t)kv->layout.num_kv_heads * kv->layout.head_dim;
    if (!fill(b, kv->k, cols, false) || !fill(b, kv->v, cols, true)) return false;
    /* scales of 0.5: values of 1 are 0.5 */
    return kv->layout.dtype != VMT_I8 || (fill(b, kv->k_scale, 4, true) && fill(b, kv->v_scale, 4, true));
}

/* Blocks of all sequences, shuffled. */
static vmt_tensor block_tables(vmt_bench *b, uint32_t num_seqs, uint32_t blocks) {
    vmt_tensor tables = vmt_bench_shared(b, VMT_I32, num_seqs, blocks); /* a multiple of 4 */
    int32_t *ids = vmt_tensor_data(&tables);
    uint32_t n = (uint32_t)vmt_tensor_elems(&tables), state = 1;
    for (uint32_t i = 0; i < n; i++) ids[i] = (int32_t)i;
    for (uint32_t i = n - 1; i > 0; i--) {
        state = state * 1664525u + 1013904223u;
        uint32_t j = state % (i + 1);
        int32_t id = ids[i];
        ids[i] = ids[j];
        ids[j] = id;
    }
    return tables;
}

static bool is_half(const vmt_tensor *out) {
    for (uint64_t i = 0; i < vmt_tensor_elems(out); i++) {
        uint16_t x = ((const uint16_t *)vmt_tensor_data(out))[i];
        float value = out->dtype == VMT_BF16 ? vmt_bf16_to_f32(x) : vmt_f16_to_f32(x);
        if (!(fabsf(value - 0.5f) < 4e-3f)) return false;
    }
    return true;
}

/* Rows whose words fill vectors of 16 bytes, one or more. */
static uint64_t whole(uint32_t rows) {
    return ((uint64_t)rows + 4) / 4 * 4;
}

static void route(vmt_bench *b, const struct shape *s, vmt_gpu_attention_args *args, vmt_gpu_attention_plan *plan,
                  uint32_t *counts) {
    vmt_gpu_attention_shape limits = {
        .num_heads = s->heads,
        .num_kv_heads = s->kv_heads,
        .head_dim = s->dim,
        .dtype = s->dtype,
        .seqs_max = s->num_seqs,
        .tokens_max = s->num_seqs * s->q_len,
        .context_max = s->context,
        .kv_tokens_max = (uint64_t)s->num_seqs * s->context,
    };
    *plan = vmt_gpu_attention_plan_make(&limits);
    args->plan = plan;
    args->parts = vmt_bench_shared(b, VMT_I32, whole(plan->parts_max), sizeof(vmt_attention_part) / 4);
    args->merges = vmt_bench_shared(b, VMT_I32, whole(plan->merges_max), sizeof(vmt_attention_merge) / 4);
    args->tiles = vmt_bench_shared(b, VMT_I32, whole(plan->tiles_max), sizeof(vmt_attention_tile) / 4);
    args->partials = vmt_bench_private(b, VMT_F32, 1, plan->partials_bytes / 4);
    uint32_t *cu = calloc(2 * s->num_seqs + 1, sizeof *cu), *lens = cu + s->num_seqs + 1;
    for (uint32_t i = 0; i < s->num_seqs; i++) {
        cu[i + 1] = cu[i] + s->q_len;
        lens[i] = s->context;
    }
    vmt_gpu_attention_batch batch = {s->num_seqs, cu, lens};
    vmt_gpu_attention_lists lists = {
        vmt_tensor_data(&args->parts), vmt_tensor_data(&args->merges), vmt_tensor_data(&args->tiles), 0, 0, 0};
    vmt_gpu_attention_route(plan, &batch, &lists);
    free(cu);
    args->parts = vmt_bench_upload(b, args->parts);
    args->merges = vmt_bench_upload(b, args->merges);
    args->tiles = vmt_bench_upload(b, args->tiles);
    args->block_tables = vmt_bench_upload(b, args->block_tables);
    counts[VMT_COUNT_DECODE_SPLITS] = lists.num_parts;
    counts[VMT_COUNT_DECODE_MERGES] = lists.num_merges;
    counts[VMT_COUNT_PREFILL_TILES] = lists.num_tiles;
}

static void time_shape(vmt_bench *b, const struct shape *s, double copy_rate) {
    uint32_t blocks = (s->context + BLOCK_SIZE * 4 - 1) / (BLOCK_SIZE * 4) * 4, counts[VMT_NUM_STEP_COUNTS] = {0};
    vmt_gpu_kv_layout layout = {s->num_seqs * blocks, BLOCK_SIZE, s->kv_heads, s->dim, s->kv_dtype};
    size_t bytes;
    if (vmt_gpu_kv_bytes(&layout, &bytes, &b->err) != VMT_OK) return;
    vmt_tensor cache = vmt_bench_private(b, VMT_I8, 1, bytes);
    vmt_gpu_attention_plan plan;
    vmt_gpu_attention_args args = {
        .num_heads = s->heads,
        .q = vmt_bench_private(b, s->dtype, s->num_seqs * s->q_len, s->heads * s->dim),
        .out = vmt_bench_private(b, s->dtype, s->num_seqs * s->q_len, s->heads * s->dim),
        .kv = vmt_gpu_kv_at(&layout, cache.buffer, 0),
        .block_tables = block_tables(b, s->num_seqs, blocks),
        .scale = 1.0f / sqrtf((float)s->dim),
    };
    if (!fill_cache(b, &args.kv) || !fill(b, args.q, args.q.shape[1], false)) return;
    route(b, s, &args, &plan, counts);
    vmt_bench_begin(b);
    vmt_tensor seen = vmt_bench_shared(b, s->dtype, args.out.shape[0], args.out.shape[1]);
    vmt_gpu_gather_args look = {.x = args.out, .out = seen};
    if (vmt_gpu_attention(b->program, &args, &b->err) != VMT_OK ||
        vmt_gpu_gather(b->program, &look, &b->err) != VMT_OK || !vmt_bench_run(b, counts, 1)) {
        return;
    }
    bool is_right = is_half(&seen);
    vmt_bench_begin(b);
    if (vmt_gpu_attention(b->program, &args, &b->err) != VMT_OK) return;
    double seconds = vmt_bench_seconds(b, counts), keys = (double)s->q_len * (s->context - (s->q_len - 1) / 2.0);
    double rate = (double)bytes / seconds * 1e-9, flops = 4 * keys * s->num_seqs * s->heads * s->dim / seconds;
    if (b->err.code != VMT_OK) return;
    printf("%-20s %3u x %5u rows of %6u  %10.2f us  ", s->name, s->num_seqs, s->q_len, s->context, seconds * 1e6);
    if (s->q_len == 1)
        printf("%8.1f GB/s  %5.1f %% of a copy%s\n", rate, 100 * rate / copy_rate, is_right ? "" : "  WRONG");
    else
        printf("%8.2f TFLOP/s%s\n", flops * 1e-12, is_right ? "" : "  WRONG");
}

static void run(vmt_bench *b) {
    double copy_rate = vmt_bench_copy_rate(b);
    printf("%-20s %55.1f GB/s\n", "copy", copy_rate);
    for (size_t i = 0; i < VMT_COUNT(shapes) && b->err.code == VMT_OK; i++) {
        struct shape s = shapes[i];
        if (b->is_small) {
            s.num_seqs = 2;
            s.context = s.q_len > 1 ? 64 : 300;
            s.q_len = VMT_MIN(s.q_len, 64);
        }
        time_shape(b, &s, copy_rate);
        vmt_bench_end(b);
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
