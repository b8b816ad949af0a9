/* ops/matmul_bench.c: rates of the matmul over the layers of two small models.
 *
 * usage: matmul_bench [dtype|all [isa|best [threads [smollm2|qwen3]]]]
 *
 * machine_bench prints what the machine gives.  Each shape is checked against a few reference elements before it is
 * timed; times are medians.  A layer's weights come from a set larger than the caches, as in decoding, except where the
 * rows of x hide that. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "base/rng.h"
#include "ops/matmul.h"

#define RUN_NS      60000000u
#define RUNS_MAX    400u
#define SET_BYTES   ((size_t)96 << 20)
#define COPIES_MAX  64u
#define CHECK_ELEMS 32u

typedef struct shape {
    const char *model, *layer;
    uint32_t rows, cols;
} shape;

static const shape shapes[] = {
    {"smollm2", "o", 576, 576},      {"smollm2", "qkv", 960, 576},     {"smollm2", "gate+up", 3072, 576},
    {"smollm2", "down", 576, 1536},  {"smollm2", "head", 49152, 576},  {"qwen3", "qkv", 4096, 1024},
    {"qwen3", "o", 1024, 2048},      {"qwen3", "gate+up", 6144, 1024}, {"qwen3", "down", 1024, 3072},
    {"qwen3", "head", 151936, 1024},
};
static const uint32_t batches[] = {1, 2, 4, 8, 16, 32, 128, 512};

/* Elements of about 1 / sqrt(cols): random bits, with f16 fields set to something small. */
static void fill(vmt_dtype dtype, uint8_t *dst, size_t bytes) {
    const vmt_dtype_info *info = vmt_dtype_get(dtype);
    uint64_t state = 1;
    if (!info->is_quantized) {
        for (size_t at = 0; at < bytes; at += info->block_bytes) {
            float value = (float)((double)(vmt_splitmix64(&state) >> 11) * 0x1p-53 - 0.5) * 0.1f;
            uint16_t half = dtype == VMT_F16 ? vmt_f32_to_f16(value) : vmt_f32_to_bf16(value);
            memcpy(dst + at, dtype == VMT_F32 ? (void *)&value : (void *)&half, info->block_bytes);
        }
        return;
    }
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = vmt_splitmix64(&state);
        memcpy(dst + i, &word, 8);
    }
    uint16_t d = vmt_f32_to_f16(0.005f), m = vmt_f32_to_f16(0.01f);
    for (size_t at = 0; at < bytes; at += info->block_bytes) {
        memcpy(dst + at + (dtype == VMT_Q6_K ? 208 : 0), &d, 2);
        if (dtype == VMT_Q4_1 || dtype == VMT_Q5_1 || dtype == VMT_Q4_K || dtype == VMT_Q5_K)
            memcpy(dst + at + 2, &m, 2);
    }
}

static bool check(const vmt_matmul_args *args) {
    const float *x = vmt_tensor_data(&args->x), *out = vmt_tensor_data(&args->out);
    const vmt_weight *w = args->weight;
    float *row = malloc(w->cols * sizeof(float));
    bool ok = row != NULL;
    for (uint32_t c = 0; ok && c < CHECK_ELEMS; c++) {
        uint32_t n = (uint32_t)((uint64_t)w->rows * c / CHECK_ELEMS), i = args->num_rows * c / CHECK_ELEMS;
        vmt_weight_row(w, n, row);
        double sum = 0, norm = 0;
        for (uint32_t k = 0; k < w->cols; k++) {
            sum += (double)row[k] * x[(size_t)i * args->x_stride + k];
            norm += (double)row[k] * row[k];
        }
        ok = fabs(sum - out[(size_t)i * args->out_stride + n]) <= 0.02 * sqrt(norm) + 1e-5;
    }
    free(row);
    return ok;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double median_ns(vmt_backend *be, vmt_matmul_args *args, const vmt_weight *copies, uint32_t num_copies) {
    static uint64_t times[RUNS_MAX];
    uint32_t num_runs = 0;
    uint64_t begin = vmt_clock_ns();
    while (num_runs < RUNS_MAX && (num_runs < 5 || vmt_clock_ns() - begin < RUN_NS)) {
        args->weight = &copies[num_runs % num_copies];
        uint64_t start = vmt_clock_ns();
        (void)vmt_matmul(be, args);
        times[num_runs++] = vmt_clock_ns() - start;
    }
    qsort(times, num_runs, sizeof(times[0]), compare);
    return (double)times[num_runs / 2];
}

static bool bench_shape(vmt_backend *be, vmt_dtype dtype, const shape *s) {
    static vmt_weight copies[COPIES_MAX];
    enum { BATCH_MAX = 512 };
    vmt_buffer src, x, out;
    size_t row_bytes;
    if (!vmt_dtype_row_bytes(dtype, s->cols, &row_bytes)) return true; /* 576 is not whole K blocks */
    if (vmt_buffer_create(be, &src, row_bytes * s->rows, NULL) != VMT_OK ||
        vmt_buffer_create(be, &x, sizeof(float) * BATCH_MAX * s->cols, NULL) != VMT_OK ||
        vmt_buffer_create(be, &out, sizeof(float) * BATCH_MAX * s->rows, NULL) != VMT_OK) {
        return false;
    }
    fill(dtype, src.host, src.bytes);
    for (size_t i = 0; i < (size_t)BATCH_MAX * s->cols; i++) {
        ((float *)x.host)[i] = (float)vmt_rng_uniform(1, 0, i) - 0.5f;
    }
    vmt_tensor part = {.buffer = &src, .dtype = dtype, .ndim = 2, .shape = {s->rows, s->cols}};
    uint32_t num_copies = (uint32_t)VMT_MAX(VMT_MIN(SET_BYTES / src.bytes, COPIES_MAX), 1);
    uint64_t begin = vmt_clock_ns();
    bool packed, ok = true;
    for (uint32_t i = 0; i < num_copies; i++) {
        if (vmt_weight_init(&copies[i], be, &part, 1, &packed, NULL) != VMT_OK) return false;
    }
    double pack_rate = (double)src.bytes * num_copies / (double)(vmt_clock_ns() - begin);
    vmt_matmul_args args = {
        .weight = &copies[0],
        .x = {.buffer = &x, .dtype = VMT_F32, .ndim = 2, .shape = {BATCH_MAX, s->cols}},
        .out = {.buffer = &out, .dtype = VMT_F32, .ndim = 2, .shape = {BATCH_MAX, s->rows}},
        .x_stride = s->cols,
        .out_stride = s->rows,
        .out_scale = 1,
    };
    printf("%-5s %-8s %-8s %6ux%-5u pack %5.1f GB/s |", vmt_dtype_get(dtype)->name, s->model, s->layer, s->rows,
           s->cols, pack_rate);
    for (size_t i = 0; i < VMT_COUNT(batches); i++) {
        args.num_rows = batches[i];
        if (s->rows > 10000 && args.num_rows > 32) continue; /* logits are of last rows only */
        (void)vmt_matmul(be, &args);
        ok = ok && check(&args);
        double ns = median_ns(be, &args, copies, num_copies);
        double gflops = 2.0 * s->rows * s->cols * args.num_rows / ns;
        if (args.num_rows == 1) {
            printf(" 1: %5.1f GB/s %.1f us;", (double)src.bytes / ns, ns / 1e3);
        } else {
            printf(" %u: %.0f", args.num_rows, gflops);
        }
    }
    printf(" GFLOP/s%s\n", ok ? "" : "  WRONG");
    (void)fflush(stdout);
    for (uint32_t i = 0; i < num_copies; i++) vmt_weight_reset(&copies[i], be);
    vmt_buffer_destroy(be, &src);
    vmt_buffer_destroy(be, &x);
    vmt_buffer_destroy(be, &out);
    return ok;
}

static void empty(const vmt_cpu_task *task) {}

static double launch_ns(vmt_backend *be) {
    enum { LAUNCHES = 20000 };
    vmt_launch launch = {.name = "empty", .cpu_fn = empty, .cpu_items = be->num_workers};
    uint64_t begin = vmt_clock_ns();
    for (int i = 0; i < LAUNCHES; i++) (void)vmt_launch_run(be, &launch);
    return (double)(vmt_clock_ns() - begin) / LAUNCHES;
}

int main(int argc, char **argv) {
    const char *dtype = argc > 1 ? argv[1] : "all", *isa = argc > 2 ? argv[2] : "best";
    for (int i = 0; i < VMT_NUM_ISAS; i++) {
        if (strcmp(isa, vmt_isa_name((vmt_isa)i)) == 0) vmt_isa_limit((vmt_isa)i);
    }
    vmt_backend *be;
    vmt_err err = {0};
    if (vmt_cpu_backend_create(&be, argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0, &err) != VMT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("isa %s, %u threads; an empty launch takes %.0f ns\n", vmt_isa_name(vmt_isa_best()), be->num_workers,
           launch_ns(be));
    bool ok = true;
    for (int d = 0; d < VMT_NUM_DTYPES; d++) {
        const vmt_dtype_info *info = vmt_dtype_get((vmt_dtype)d);
        if (info->dequantize == NULL || (strcmp(dtype, "all") != 0 && strcmp(dtype, info->name) != 0)) continue;
        for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
            if (argc > 4 && strcmp(argv[4], shapes[s].model) != 0) continue;
            ok = bench_shape(be, (vmt_dtype)d, &shapes[s]) && ok;
        }
    }
    vmt_backend_destroy(be);
    return ok ? 0 : 1;
}
