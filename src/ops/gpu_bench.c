/* ops/gpu_bench.c: the GPU's kernels at the sizes of an 8B model, timed on the device.
 *
 * usage: gpu_bench DRIVER[:CACHE] [part of a name] [DIVISOR]      prints name,us,GB/s,TFLOP/s
 * Weights are read from enough copies that no cache holds them.  Times are the device's own, of command buffers with
 * many dispatches; the graphs are warm.  Bytes count what must be read and written once, no more.  DIVISOR (16, say)
 * makes every size smaller, to see on a slow device that the program works. */
#include "base/rng.h"
#include "backend/cuda/cuda.h"
#include "ops/gpu_attention.h"
#include "ops/gpu_matmul.h"
#include "ops/gpu_norm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLD_BYTES   5e8 /* of weights that one command buffer reads */
#define COPIES_MAX   64u
#define BUFFERS_MAX  (COPIES_MAX * 3 + 32)
#define REPLAYS      8u
#define WARM_REPLAYS 3u
#define PAGE_BYTES   ((size_t)4096)
#define WAIT_NS      UINT64_C(60000000000)
#define BLOCK_SIZE   16u

struct bench {
    vmt_gpu *gpu;
    vmt_gpu_program *program;
    vmt_buffer buffers[BUFFERS_MAX];
    bool is_wrapped[BUFFERS_MAX];
    uint32_t num_buffers;
    uint32_t counts[VMT_NUM_STEP_COUNTS];
    const char *filter;
    uint32_t divisor; /* of sizes */
    uint64_t state;   /* of the random data */
};

static void must(vmt_status status, const vmt_err *err) {
    if (status == VMT_OK) return;
    fprintf(stderr, "gpu_bench: %s\n", err->msg);
    exit(1);
}

/* ---- memory */

static vmt_buffer *next_buffer(struct bench *b) {
    VMT_ASSERT(b->num_buffers < BUFFERS_MAX);
    return &b->buffers[b->num_buffers++];
}

static vmt_tensor tensor_of(vmt_buffer *buffer, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    return (vmt_tensor){.buffer = buffer, .dtype = dtype, .ndim = 2, .shape = {rows, cols}};
}

static vmt_tensor take(struct bench *b, vmt_gpu_memory memory, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_err err = {0};
    vmt_tensor t = tensor_of(next_buffer(b), dtype, rows, cols);
    must(vmt_gpu_alloc(b->gpu, t.buffer, vmt_tensor_bytes(&t), memory, &err), &err);
    return t;
}

/* Random bits whose halves are all finite floats below 2 in either 16-bit type. */
static void fill(struct bench *b, uint8_t *out, size_t bytes) {
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t v = vmt_splitmix64(&b->state) & UINT64_C(0xBF7FBF7FBF7FBF7F);
        memcpy(out + i, &v, sizeof v);
    }
}

/* The device's own memory with random content. */
static vmt_tensor take_random(struct bench *b, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_err err = {0};
    vmt_tensor t = tensor_of(next_buffer(b), dtype, rows, cols);
    size_t bytes = (vmt_tensor_bytes(&t) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    uint8_t *data = aligned_alloc(PAGE_BYTES, bytes);
    VMT_ASSERT(data != NULL);
    fill(b, data, bytes);
    must(vmt_gpu_wrap(b->gpu, t.buffer, data, bytes, &err), &err);
    b->is_wrapped[b->num_buffers - 1] = b->gpu->caps.is_unified;
    if (!b->gpu->caps.is_unified) free(data);
    return t;
}

/* ---- timing */

static bool begin(struct bench *b, const char *name) {
    vmt_err err = {0};
    if (b->filter != NULL && strstr(name, b->filter) == NULL) return false;
    memset(b->counts, 0, sizeof b->counts);
    must(vmt_gpu_program_create(&b->program, b->gpu, &err), &err);
    return true;
}

static uint64_t replay(struct bench *b) {
    vmt_err err = {0};
    uint64_t ticket, before_ns = b->gpu->counts.gpu_ns;
    must(vmt_gpu_begin(b->gpu, &err), &err);
    vmt_gpu_program_replay(b->program, b->counts);
    must(vmt_gpu_commit(b->gpu, &ticket, &err), &err);
    must(vmt_gpu_wait(b->gpu, ticket, WAIT_NS, &err), &err);
    return b->gpu->counts.gpu_ns - before_ns;
}

/* bytes and flops of one of the program's `times` repetitions. */
static void finish(struct bench *b, const char *name, uint32_t times, double bytes, double flops) {
    uint64_t best_ns = UINT64_MAX;
    for (uint32_t i = 0; i < WARM_REPLAYS; i++) replay(b);
    for (uint32_t i = 0; i < REPLAYS; i++) {
        uint64_t ns = replay(b);
        best_ns = VMT_MIN(best_ns, ns);
    }
    double ns = (double)best_ns / times;
    printf("%s,%.2f,%.0f,%.1f\n", name, ns / 1e3, bytes / ns, flops / ns / 1e3);
    fflush(stdout);
    vmt_gpu_program_destroy(b->program);
    for (uint32_t i = 0; i < b->num_buffers; i++) {
        /* Where memory is unified, what was wrapped is ours. */
        vmt_buffer *buffer = &b->buffers[i];
        uint8_t *wrapped = b->is_wrapped[i] ? buffer->host : NULL;
        vmt_gpu_release(b->gpu, buffer);
        free(wrapped);
        b->is_wrapped[i] = false;
    }
    b->num_buffers = 0;
}

/* ---- norm */

static void bench_norm(struct bench *b, uint32_t rows, uint32_t cols) {
    char name[64];
    vmt_err err = {0};
    rows /= b->divisor;
    cols /= b->divisor;
    snprintf(name, sizeof name, "rms_norm %ux%u bf16", rows, cols);
    if (!begin(b, name)) return;
    vmt_gpu_norm_args args = {
        .kind = VMT_GPU_NORM_RMS,
        .x = take_random(b, VMT_F32, rows, cols),
        .weight = take(b, VMT_GPU_PRIVATE, VMT_F32, 1, cols),
        .out = take(b, VMT_GPU_PRIVATE, VMT_BF16, rows, cols),
        .eps = 1e-5f,
    };
    args.weight.ndim = 1;
    args.weight.shape[0] = cols;
    for (uint32_t i = 0; i < 8; i++) must(vmt_gpu_norm(b->program, &args, &err), &err);
    finish(b, name, 8, (double)rows * cols * 6, 0);
}

/* ---- matmul */

struct format {
    const char *name;
    vmt_dtype dtype;
    uint32_t bits; /* MLX, groups of 64 */
};
static const struct format formats[] = {
    {"bf16", VMT_BF16, 0}, {"mlx4", VMT_U32, 4},  {"mlx8", VMT_U32, 8},
    {"q8_0", VMT_Q8_0, 0}, {"q4_0", VMT_Q4_0, 0}, {"q4_k", VMT_Q4_K, 0},
};

static vmt_gpu_weight make_weight(struct bench *b, const struct format *f, uint32_t rows, uint32_t cols) {
    vmt_err err = {0};
    vmt_tensor data = take_random(b, f->dtype, rows, f->bits ? (uint64_t)cols * f->bits / 32 : cols);
    if (f->bits == 0) return vmt_matrix_of(&data);
    vmt_tensor scales = take_random(b, VMT_BF16, rows, cols / 64),
               biases = take_random(b, VMT_BF16, rows, cols / 64);
    vmt_gpu_weight weight;
    must(vmt_matrix_of_mlx(&weight, &data, &scales, &biases, f->bits, 64, &err), &err);
    return weight;
}

static void bench_matmul(struct bench *b, const struct format *f, uint32_t num_rows, uint32_t rows,
                         uint32_t cols) {
    char name[64];
    vmt_err err = {0};
    rows /= b->divisor;
    cols = cols / b->divisor / 256 * 256;
    if (num_rows > 256) num_rows /= b->divisor;
    snprintf(name, sizeof name, "matmul %s %u x %ux%u", f->name, num_rows, rows, cols);
    if (!begin(b, name)) return;
    vmt_gpu_weight first = make_weight(b, f, rows, cols);
    double bytes = (double)vmt_matrix_bytes(&first);
    uint32_t num_copies = (uint32_t)VMT_MIN((double)COPIES_MAX, 1 + COLD_BYTES / b->divisor / b->divisor / bytes);
    if (num_rows > 256) num_copies = VMT_MIN(num_copies, 4);
    vmt_gpu_matmul_args args = {
        .weights = {first},
        .num_weights = 1,
        .type = VMT_BF16,
        .x = take_random(b, VMT_BF16, num_rows, cols),
        .kind = VMT_GPU_MATMUL_STORE,
        .scale = 1,
        .out = take(b, VMT_GPU_PRIVATE, VMT_BF16, num_rows, rows),
        .rows_max = num_rows,
    };
    for (uint32_t i = 0; i < num_copies; i++) {
        must(vmt_gpu_matmul(b->program, &args, &err), &err);
        if (i + 1 < num_copies) args.weights[0] = make_weight(b, f, rows, cols);
    }
    double traffic = bytes + 2.0 * num_rows * cols + 2.0 * num_rows * rows;
    finish(b, name, num_copies, traffic, 2.0 * num_rows * rows * cols);
}

/* ---- attention */

struct attention {
    uint32_t num_seqs, context, rows; /* rows of each sequence: 1 decodes */
    uint32_t heads, kv_heads, head_dim;
};

static void fill_tables(struct bench *b, vmt_tensor *tables, const struct attention *a, uint32_t num_blocks) {
    int32_t *at = vmt_tensor_data(tables);
    uint32_t per_seq = a->context / BLOCK_SIZE, count = a->num_seqs * per_seq;
    VMT_ASSERT(count < num_blocks);
    for (uint32_t i = 0; i < count; i++) at[i] = (int32_t)i + 1;
    for (uint32_t i = count; i-- > 1;) {
        uint32_t other = (uint32_t)(vmt_splitmix64(&b->state) % (i + 1));
        int32_t kept = at[i];
        at[i] = at[other];
        at[other] = kept;
    }
}

static void route(const struct attention *a, const vmt_gpu_attention_plan *plan, struct bench *b,
                  vmt_gpu_attention_args *args) {
    uint32_t *cu = calloc(a->num_seqs + 1, sizeof *cu), *lens = calloc(a->num_seqs, sizeof *lens);
    VMT_ASSERT(cu != NULL && lens != NULL);
    for (uint32_t i = 0; i < a->num_seqs; i++) {
        cu[i + 1] = cu[i] + a->rows;
        lens[i] = a->context;
    }
    vmt_gpu_attention_batch batch = {a->num_seqs, cu, lens};
    vmt_gpu_attention_lists lists = {.parts = vmt_tensor_data(&args->parts),
                                     .merges = vmt_tensor_data(&args->merges),
                                     .tiles = vmt_tensor_data(&args->tiles)};
    vmt_gpu_attention_route(plan, &batch, &lists);
    b->counts[VMT_COUNT_DECODE_SPLITS] = lists.num_parts;
    b->counts[VMT_COUNT_DECODE_MERGES] = lists.num_merges;
    b->counts[VMT_COUNT_PREFILL_TILES] = lists.num_tiles;
    b->counts[VMT_COUNT_TOKENS] = cu[a->num_seqs];
    b->counts[VMT_COUNT_DECODES] = a->rows == 1 ? a->num_seqs : 0;
    free(cu);
    free(lens);
}

static void bench_attention(struct bench *b, struct attention sizes) {
    char name[96];
    vmt_err err = {0};
    const struct attention *a = &sizes;
    sizes.context /= b->divisor;
    if (a->rows > 1) sizes.rows /= b->divisor;
    snprintf(name, sizeof name, "attention %s %u x %u, %u/%u heads of %u, bf16",
             a->rows == 1 ? "decode" : "prefill", a->num_seqs, a->context, a->heads, a->kv_heads, a->head_dim);
    if (!begin(b, name)) return;
    uint32_t num_tokens = a->num_seqs * a->rows, num_blocks = a->num_seqs * (a->context / BLOCK_SIZE) + 1;
    vmt_gpu_attention_shape shape = {a->heads,    a->kv_heads, a->head_dim, VMT_BF16,
                                     a->num_seqs, num_tokens,  a->context,  (uint64_t)num_blocks * BLOCK_SIZE};
    vmt_gpu_attention_plan plan = vmt_gpu_attention_plan_make(&shape);
    vmt_gpu_kv_layout layout = {num_blocks, BLOCK_SIZE, a->kv_heads, a->head_dim, VMT_BF16};
    size_t kv_bytes;
    must(vmt_gpu_kv_bytes(&layout, &kv_bytes, &err), &err);
    vmt_tensor kv = take_random(b, VMT_I8, 1, kv_bytes);
    vmt_gpu_attention_args args = {
        .plan = &plan,
        .num_heads = a->heads,
        .q = take_random(b, VMT_BF16, num_tokens, (uint64_t)a->heads * a->head_dim),
        .out = take(b, VMT_GPU_PRIVATE, VMT_BF16, num_tokens, (uint64_t)a->heads * a->head_dim),
        .kv = vmt_gpu_kv_at(&layout, kv.buffer, 0),
        .block_tables = take(b, VMT_GPU_SHARED, VMT_I32, a->num_seqs, a->context / BLOCK_SIZE),
        .parts = take(b, VMT_GPU_SHARED, VMT_I32, plan.parts_max, sizeof(vmt_attention_part) / 4),
        .merges = take(b, VMT_GPU_SHARED, VMT_I32, plan.merges_max, sizeof(vmt_attention_merge) / 4),
        .tiles = take(b, VMT_GPU_SHARED, VMT_I32, VMT_MAX(plan.tiles_max, 1), sizeof(vmt_attention_tile) / 4),
        .partials = take(b, VMT_GPU_PRIVATE, VMT_F32, 1, VMT_MAX(plan.partials_bytes / 4, 1)),
        .scale = 0.0883883476f,
    };
    fill_tables(b, &args.block_tables, a, num_blocks);
    route(a, &plan, b, &args);
    for (uint32_t i = 0; i < 4; i++) must(vmt_gpu_attention(b->program, &args, &err), &err);
    /* Causal: a query row of a prefill sees half of the keys. */
    double pairs = a->rows == 1 ? (double)a->context : (double)a->rows * a->context / 2;
    finish(b, name, 4, (double)kv_bytes, 4.0 * a->num_seqs * pairs * a->heads * a->head_dim);
}

/* ---- main */

int main(int argc, char **argv) {
    static const uint32_t shapes[][2] = {{4096, 4096}, {14336, 4096}, {4096, 14336}, {128256, 4096}};
    static const uint32_t row_counts[] = {1, 4, 16};
    static const struct attention attentions[] = {
        {64, 4096, 1, 32, 8, 128},   {1, 32768, 1, 32, 8, 128},     {8, 1024, 1, 16, 8, 128},
        {4, 4096, 4096, 32, 8, 128}, {1, 16384, 16384, 32, 8, 128},
    };
    struct bench *b = calloc(1, sizeof *b);
    char driver[16] = "host";
    const char *cache = NULL;
    vmt_err err = {0};
    VMT_ASSERT(b != NULL);
    if (argc > 1) {
        cache = strchr(argv[1], ':');
        snprintf(driver, sizeof driver, "%.*s", (int)strcspn(argv[1], ":"), argv[1]);
    }
    b->filter = argc > 2 ? argv[2] : NULL;
    b->divisor = argc > 3 ? VMT_MAX(1, (uint32_t)strtoul(argv[3], NULL, 10)) : 1;
    vmt_cuda_config config = {.cache_dir = cache != NULL ? cache + 1 : NULL};
    must(strcmp(driver, "cuda") == 0 ? vmt_cuda_gpu_open(&b->gpu, &config, &err)
                                     : vmt_gpu_open(&b->gpu, driver, &err),
         &err);
    printf("# %s\nname,us,GB/s,TFLOP/s\n", b->gpu->caps.name);
    bench_norm(b, 16384, 4096);
    for (size_t f = 0; f < VMT_COUNT(formats); f++) {
        for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
            for (size_t r = 0; r < VMT_COUNT(row_counts); r++) {
                bench_matmul(b, &formats[f], row_counts[r], shapes[s][0], shapes[s][1]);
            }
        }
        bench_matmul(b, &formats[f], 512, 14336, 4096);
        bench_matmul(b, &formats[f], 4096, 14336, 4096);
    }
    bench_matmul(b, &formats[0], 8192, 8192, 8192);
    for (size_t i = 0; i < VMT_COUNT(attentions); i++) bench_attention(b, attentions[i]);
    vmt_gpu_close(b->gpu);
    free(b);
    return 0;
}
