/* ops/gpu_matmul_bench.c: matmuls of an 8B model's layers on a GPU, in every regime, beside a copy.
 *
 *   gpu_matmul_bench [metal|cuda|cuda-kernels|host] [part of a format's name]
 *
 * A few elements of each product are checked first.  Weights come from several copies, more bytes than caches hold, as
 * in a step; GB/s counts the weights alone. */
#include "ops/gpu_dequantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "ops/gpu_bench_rig.h"

#define COLD_BYTES  (UINT64_C(400) << 20)
#define COPIES_MAX  12u
#define CHECK_ELEMS 24u

static const struct format {
    const char *name;
    vmt_dtype dtype;
    uint32_t bits; /* MLX, groups of 64 */
} formats[] = {
    {"bf16", VMT_BF16, 0}, {"mlx3", VMT_U32, 3},  {"mlx4", VMT_U32, 4},  {"mlx6", VMT_U32, 6},
    {"mlx8", VMT_U32, 8},  {"q8_0", VMT_Q8_0, 0}, {"q4_0", VMT_Q4_0, 0}, {"q5_1", VMT_Q5_1, 0},
    {"q4_k", VMT_Q4_K, 0}, {"q5_k", VMT_Q5_K, 0}, {"q6_k", VMT_Q6_K, 0}, {"mxfp4", VMT_MXFP4, 0},
};
static const uint32_t shapes[][2] = {{4096, 4096}, {14336, 4096}, {128256, 4096}},
                      batches[] = {1, 8, 64, 512, 2048};

/* ---- data */

/* In whole pages: numbers in [-1, 1), or random bytes whose halves are finite floats. */
static vmt_tensor new_source(vmt_bench *b, vmt_buffer *buffer, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_tensor t = {buffer, 0, dtype, 2, {rows, cols}};
    size_t page = b->gpu->caps.page_bytes, bytes = (vmt_tensor_bytes(&t) + page - 1) / page * page;
    uint64_t state = rows + cols;
    *buffer = (vmt_buffer){.host = aligned_alloc(page, bytes), .bytes = bytes};
    VMT_ASSERT(buffer->host != NULL);
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t v = vmt_splitmix64(&state) & UINT64_C(0xbf7fbf7fbf7fbf7f);
        uint16_t *halves = (uint16_t *)(void *)(buffer->host + i);
        memcpy(halves, &v, sizeof v);
        if (dtype != VMT_BF16) continue;
        for (uint32_t k = 0; k < 4; k++) halves[k] = vmt_f32_to_bf16((float)(int16_t)(v >> 16 * k) * 0x1p-15f);
    }
    return t;
}

typedef struct source {
    vmt_buffer buffers[3];
    vmt_matrix matrix;
} source;

static void make_source(vmt_bench *b, source *s, const struct format *f, uint32_t rows, uint32_t cols) {
    *s = (source){0};
    vmt_tensor data =
        new_source(b, &s->buffers[0], f->dtype, rows, f->bits ? (uint64_t)cols * f->bits / 32 : cols);
    if (f->bits == 0) {
        s->matrix = vmt_matrix_of(&data);
        return;
    }
    vmt_tensor scales = new_source(b, &s->buffers[1], VMT_BF16, rows, cols / 64);
    vmt_tensor biases = new_source(b, &s->buffers[2], VMT_BF16, rows, cols / 64);
    VMT_ASSERT(vmt_matrix_of_mlx(&s->matrix, &data, &scales, &biases, f->bits, 64, &b->err) == VMT_OK);
}

static void drop_source(source *s) {
    for (uint32_t i = 0; i < 3; i++) free(s->buffers[i].host);
}

static vmt_tensor wrapped(vmt_bench *b, const vmt_tensor *t) {
    if (t->buffer == NULL) return *t;
    VMT_ASSERT(b->num_buffers < VMT_BENCH_BUFFERS_MAX);
    vmt_tensor to = *t;
    to.buffer = &b->buffers[b->num_buffers++];
    VMT_ASSERT(vmt_gpu_wrap(b->gpu, to.buffer, t->buffer->host, t->buffer->bytes, &b->err) == VMT_OK);
    return to;
}

static vmt_gpu_weight to_device(vmt_bench *b, const vmt_matrix *m) {
    vmt_gpu_weight w = *m;
    w.data = wrapped(b, &m->data);
    w.scales = wrapped(b, &m->scales);
    w.biases = wrapped(b, &m->biases);
    return w;
}

/* ---- one product */

static bool is_right(const vmt_matrix *m, const vmt_tensor *x, const vmt_tensor *out, uint32_t num_rows) {
    uint64_t state = 5;
    const uint16_t *in = vmt_tensor_data(x);
    const float *got = vmt_tensor_data(out);
    float *w = malloc(m->cols * sizeof *w);
    bool right = w != NULL;
    for (uint32_t i = 0; i < CHECK_ELEMS && right; i++) {
        uint32_t row = (uint32_t)(vmt_splitmix64(&state) % num_rows),
                 n = (uint32_t)(vmt_splitmix64(&state) % m->rows);
        double want = 0, size = 0;
        vmt_matrix_row(m, n, w);
        for (uint32_t k = 0; k < m->cols; k++) {
            double product = (double)w[k] * vmt_bf16_to_f32(in[(size_t)row * m->cols + k]);
            want += product;
            size += fabs(product);
        }
        right = fabs((double)got[(size_t)row * m->rows + n] - want) <= 2e-3 * size; /* tiles round W to T */
    }
    free(w);
    return right;
}

static bool bench(vmt_bench *b, const struct format *f, uint32_t rows, uint32_t cols, uint32_t num_rows,
                  double copy_rate) {
    source s;
    vmt_buffer x_buffer;
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = num_rows};
    make_source(b, &s, f, rows, cols);
    vmt_tensor x = new_source(b, &x_buffer, VMT_BF16, num_rows, cols);
    vmt_gpu_matmul_args args = {
        .weights = {to_device(b, &s.matrix)},
        .num_weights = 1,
        .type = VMT_BF16,
        .x = wrapped(b, &x),
        .kind = VMT_GPU_MATMUL_LOGITS,
        .scale = 1,
        .out = vmt_bench_shared(b, VMT_F32, num_rows, rows),
        .scratch = vmt_bench_private(b, VMT_BF16, rows, cols),
        .count = VMT_COUNT_TOKENS,
        .rows_max = num_rows,
    };
    vmt_bench_begin(b);
    bool right = vmt_gpu_matmul(b->program, &args, &b->err) == VMT_OK && vmt_bench_run(b, counts, 1);
    if (right && !is_right(&s.matrix, &x, &args.out, num_rows)) {
        right = vmt_fail(&b->err, VMT_E_INTERNAL, "%s [%u, %u] x %u: wrong sums", f->name, rows, cols, num_rows) ==
                VMT_OK;
    }
    if (right) {
        uint64_t bytes = vmt_matrix_bytes(&s.matrix);
        uint32_t num_copies = b->is_small ? 1 : (uint32_t)VMT_MIN(COPIES_MAX, 1 + COLD_BYTES / bytes);
        args.out = vmt_bench_private(b, VMT_F32, num_rows, rows);
        vmt_bench_begin(b);
        for (uint32_t i = 0; i < num_copies && right; i++) {
            if (i > 0) args.weights[0] = to_device(b, &s.matrix);
            right = vmt_gpu_matmul(b->program, &args, &b->err) == VMT_OK;
        }
        double seconds = right ? vmt_bench_seconds(b, counts) / num_copies : 0;
        right = seconds > 0;
        double rate = (double)bytes / seconds * 1e-9, flops = 2.0 * num_rows * rows * cols / seconds * 1e-12;
        if (right) {
            printf("%-6s [%6u, %u] x %4u  %9.2f us  %7.1f GB/s  %5.1f %% of a copy  %6.1f TFLOP/s\n", f->name,
                   rows, cols, num_rows, seconds * 1e6, rate, 100 * rate / copy_rate, flops);
            fflush(stdout);
        }
    }
    vmt_bench_end(b);
    drop_source(&s);
    free(x_buffer.host);
    return right;
}

/* A weight made plain for a library: its bytes and the plain ones, beside a copy's. */
static bool bench_dequantize(vmt_bench *b, const struct format *f, uint32_t rows, uint32_t cols,
                             double copy_rate) {
    source s;
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {0};
    make_source(b, &s, f, rows, cols);
    uint64_t plain_bytes = (uint64_t)rows * cols * 2, bytes = vmt_matrix_bytes(&s.matrix) + plain_bytes;
    uint32_t num_copies = b->is_small ? 1 : (uint32_t)VMT_MIN(COPIES_MAX, 1 + COLD_BYTES / plain_bytes);
    bool right = true;
    vmt_bench_begin(b);
    for (uint32_t i = 0; i < num_copies && right; i++) {
        vmt_gpu_dequantize_args args = {
            .weight = to_device(b, &s.matrix),
            .out = vmt_bench_private(b, VMT_BF16, rows, cols),
        };
        right = vmt_gpu_dequantize(b->program, &args, &b->err) == VMT_OK;
    }
    double seconds = right ? vmt_bench_seconds(b, counts) / num_copies : 0;
    double rate = (double)bytes / seconds * 1e-9;
    if (seconds > 0) {
        printf("%-6s [%6u, %u] plain   %9.2f us  %7.1f GB/s  %5.1f %% of a copy\n", f->name, rows, cols,
               seconds * 1e6, rate, 100 * rate / copy_rate);
    }
    vmt_bench_end(b);
    drop_source(&s);
    return seconds > 0;
}

int main(int argc, char **argv) {
    static vmt_bench b;
    if (!vmt_bench_open(&b, argc > 1 ? argv[1] : "host")) {
        fprintf(stderr, "%s\n", b.err.msg);
        return 1;
    }
    double copy_rate = vmt_bench_copy_rate(&b);
    bool right = b.err.code == VMT_OK;
    printf("%s: a copy moves %.1f GB/s\n", b.gpu->caps.name, copy_rate);
    for (size_t f = 0; f < VMT_COUNT(formats) && right; f++) {
        if (argc > 2 && strstr(formats[f].name, argv[2]) == NULL) continue;
        for (size_t i = 0; i < VMT_COUNT(shapes) * VMT_COUNT(batches) && right; i++) {
            const uint32_t *shape = shapes[i / VMT_COUNT(batches)];
            uint32_t scale = b.is_small ? 32 : 1, num_rows = batches[i % VMT_COUNT(batches)];
            if (num_rows > 512 && shape[0] > 14336) continue; /* logits of so many rows are never wanted */
            right =
                bench(&b, &formats[f], VMT_MIN(shape[0], b.is_small ? 14336 : UINT32_MAX) / scale,
                      shape[1] / (b.is_small ? 8 : 1), b.is_small ? VMT_MIN(num_rows, 20) : num_rows, copy_rate);
        }
        for (size_t i = 0; i < VMT_COUNT(shapes) - 1 && right && b.gpu->caps.has_gemm; i++) {
            if (formats[f].dtype != VMT_BF16)
                right = bench_dequantize(&b, &formats[f], shapes[i][0], shapes[i][1], copy_rate);
        }
    }
    if (!right) fprintf(stderr, "%s\n", b.err.msg);
    vmt_bench_close(&b);
    return right ? 0 : 1;
}
