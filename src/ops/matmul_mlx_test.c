/* ops/matmul_mlx_test.c: MLX's matrices on the CPU against mx.dequantize and mx.quantized_matmul. */
#include "ops/matmul.h"

#include <math.h>

#include "backend/cpu/cpu.h"
#include "tensor/test_mlx.h"

/* Scales and biases become F16, and 6 and 8 bits move their bias by half the range: both within 2^-11 of the largest
 * weight. */
static void expect_rows(vmt_test *t, const vmt_mlx_vector *v, const vmt_weight *w) {
    uint32_t rows = v->matrix.rows, cols = v->matrix.cols;
    float *row = VMT_ARENA_NEW(t->arena, float, cols);
    double largest = 0;
    for (uint32_t i = 0; i < rows * cols; i++) largest = fmax(largest, fabs((double)v->rows[i]));
    for (uint32_t r = 0; r < rows; r++) {
        vmt_weight_row(w, r, row);
        for (uint32_t k = 0; k < cols; k++) {
            double want = v->rows[r * cols + k];
            if (fabs(row[k] - want) <= largest * 0x1p-11) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "%s: row %u column %u is %.9g, MLX has %.9g", v->name, r, k,
                          (double)row[k], want);
        }
    }
}

/* Sums over 256 products whose x is rounded to 8 bits: noise of max|x| / 254 / sqrt(3) * |w|, six deviations; and the
 * scales of 16 bits. */
static void expect_product(vmt_test *t, const vmt_mlx_vector *v, const vmt_matmul_args *args) {
    const vmt_weight *w = args->weight;
    const float *x = vmt_tensor_data(&args->x), *out = vmt_tensor_data(&args->out);
    for (uint32_t i = 0; i < v->num_x; i++) {
        double x_max = 0;
        for (uint32_t k = 0; k < w->cols; k++) x_max = fmax(x_max, fabs((double)x[i * w->cols + k]));
        for (uint32_t n = 0; n < w->rows; n++) {
            double w2 = 0, want = v->y[i * w->rows + n], got = out[i * w->rows + n];
            for (uint32_t k = 0; k < w->cols; k++) w2 += pow((double)v->rows[n * w->cols + k], 2);
            double tolerance = 6 * x_max / 254 / sqrt(3) * sqrt(w2) + 1e-3 * fabs(want);
            if (fabs(got - want) <= tolerance) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "%s: row %u column %u is %g, MLX has %g", v->name, i, n, got,
                          want);
        }
    }
}

static vmt_tensor new_floats(vmt_test *t, uint32_t rows, uint32_t cols) {
    vmt_tensor tensor = {VMT_ARENA_NEW(t->arena, vmt_buffer, 1), 0, VMT_F32, 2, {rows, cols}};
    tensor.buffer->bytes = sizeof(float) * rows * cols;
    tensor.buffer->host = (uint8_t *)VMT_ARENA_NEW(t->arena, float, (size_t)rows *cols);
    return tensor;
}

static void products_are_those_of_mlx(vmt_test *t) {
    static vmt_mlx_vector vectors[VMT_MLX_VECTORS_MAX];
    uint32_t count = vmt_test_mlx_vectors(t, vectors);
    vmt_backend *be;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, 2, &err), VMT_OK);
    for (uint32_t i = 0; i < count; i++) {
        const vmt_mlx_vector *v = &vectors[i];
        vmt_weight w;
        bool packed;
        if (vmt_weight_init_matrices(&w, be, &v->matrix, 1, &packed, &err) != VMT_OK) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", v->name, err.msg);
        }
        expect_rows(t, v, &w);
        vmt_matmul_args args = {
            .weight = &w,
            .x = new_floats(t, v->num_x, w.cols),
            .out = new_floats(t, v->num_x, w.rows),
            .num_rows = v->num_x,
            .x_stride = w.cols,
            .out_stride = w.rows,
            .out_scale = 1,
        };
        vmt_dtype_get(v->x.dtype)->dequantize(vmt_tensor_data(&v->x), vmt_tensor_data(&args.x), v->num_x * w.cols);
        vmt_expect_eq(t, vmt_matmul(be, &args), VMT_OK);
        expect_product(t, v, &args);
        vmt_weight_reset(&w, be);
    }
    vmt_backend_destroy(be);
}

static void matrices_of_one_repacked_type_are_stacked(vmt_test *t) {
    static vmt_mlx_vector vectors[VMT_MLX_VECTORS_MAX];
    vmt_test_mlx_vectors(t, vectors);
    vmt_backend *be;
    vmt_weight w;
    bool packed;
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, 2, NULL), VMT_OK);
    const vmt_mlx_vector *two = NULL, *four = NULL; /* 2 and 4 bits under 16-bit scales both become Q4_1 */
    for (uint32_t i = 0; i < 18; i++) {
        if (vectors[i].matrix.scales.dtype == VMT_F32) continue;
        if (vectors[i].matrix.bits == 2) two = &vectors[i];
        if (vectors[i].matrix.bits == 4) four = &vectors[i];
    }
    vmt_expect(t, two != NULL && four != NULL);
    vmt_matrix parts[] = {two->matrix, four->matrix};
    vmt_expect_eq(t, vmt_weight_dtype(&parts[0]), VMT_Q4_1);
    vmt_expect_eq(t, vmt_weight_dtype(&parts[1]), VMT_Q4_1);
    vmt_expect_eq(t, vmt_weight_init_matrices(&w, be, parts, 2, &packed, NULL), VMT_OK);
    vmt_expect_eq(t, w.rows, two->matrix.rows + four->matrix.rows);
    float *row = VMT_ARENA_NEW(t->arena, float, w.cols);
    vmt_weight_row(&w, two->matrix.rows, row);
    for (uint32_t k = 0; k < w.cols; k++) vmt_expect_near(t, row[k], four->rows[k], 4e-3);
    vmt_weight_reset(&w, be);
    vmt_backend_destroy(be);
}

static const vmt_test_case cases[] = {
    {"products_are_those_of_mlx", products_are_those_of_mlx},
    {"matrices_of_one_repacked_type_are_stacked", matrices_of_one_repacked_type_are_stacked},
    {0},
};
VMT_TEST_MAIN(cases)
