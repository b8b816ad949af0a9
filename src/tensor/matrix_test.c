/* tensor/matrix_test.c: MLX's matrices against mx.dequantize, and the shapes that are none. */
#include "tensor/matrix.h"

#include <math.h>
#include <string.h>

#include "tensor/test_mlx.h"

static void rows_are_those_of_mlx(vmt_test *t) {
    static vmt_mlx_vector vectors[VMT_MLX_VECTORS_MAX];
    uint32_t count = vmt_test_mlx_vectors(t, vectors);
    vmt_expect_eq(t, count, 6 * 3 + 1);
    for (uint32_t i = 0; i < count; i++) {
        const vmt_mlx_vector *v = &vectors[i];
        float *row = VMT_ARENA_NEW(t->arena, float, v->matrix.cols);
        for (uint32_t r = 0; r < v->matrix.rows; r++) {
            vmt_matrix_row(&v->matrix, r, row);
            for (uint32_t k = 0; k < v->matrix.cols; k++) {
                double want = v->rows[r * v->matrix.cols + k];
                if (fabs(row[k] - want) <= 1e-6 * (1 + fabs(want))) continue; /* MLX may fuse the addition */
                vmt_test_fail(t, __FILE__, __LINE__, "%s: row %u column %u is %.9g, MLX has %.9g", v->name, r, k,
                              (double)row[k], want);
            }
        }
    }
}

static void refuses_what_is_no_matrix(vmt_test *t) {
    vmt_buffer b = {0};
    vmt_tensor data = {&b, 0, VMT_U32, 2, {4, 8}}, scales = {&b, 0, VMT_F16, 2, {4, 2}}, biases = scales;
    vmt_tensor short_biases = {&b, 0, VMT_F16, 2, {4, 1}}, other = {&b, 0, VMT_F32, 2, {4, 2}};
    vmt_tensor bytes = {&b, 0, VMT_U8, 2, {4, 2}}, halves = {&b, 0, VMT_F16, 2, {4, 8}};
    const struct {
        const vmt_tensor *data, *scales, *biases;
        uint32_t bits, group_size;
        const char *sentence;
    } cases[] = {
        {&data, &scales, &biases, 7, 32,
         "7-bit quants in groups of 32 with biases; supported are 2, 3, 4, 5, 6 and 8 "},
        {&data, &scales, &biases, 4, 16, "4-bit quants in groups of 16 with biases"},
        {&data, &bytes, NULL, 4, 16, "4-bit quants in groups of 16 without biases"},
        {&data, &bytes, NULL, 8, 32, "8-bit quants in groups of 32 without biases"},
        {&halves, &scales, &biases, 4, 32, "packed quants are [4, 8] F16, expected a matrix of U32"},
        {&data, &scales, &biases, 3, 32, "rows of 8 words are not whole groups of 32 3-bit quants"},
        {&data, &short_biases, &biases, 4, 32, "scales are [4, 1] F16, expected [4, 2]"},
        {&data, &scales, &short_biases, 4, 32, "biases are [4, 1] F16, expected [4, 2]"},
        {&data, &scales, &other, 4, 32, "scales of F16 and biases of F32"},
        {&data, &scales, NULL, 4, 32, "scales of F16; supported are F32, F16 and BF16, and U8 for mxfp4"},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_matrix m;
        vmt_err err = {0};
        vmt_expect(t, vmt_matrix_of_mlx(&m, cases[i].data, cases[i].scales, cases[i].biases, cases[i].bits,
                                        cases[i].group_size, &err) != VMT_OK);
        if (strncmp(err.msg, cases[i].sentence, strlen(cases[i].sentence)) != 0) {
            vmt_expect_str(t, err.msg, cases[i].sentence);
        }
    }
}

static const vmt_test_case cases[] = {
    {"rows_are_those_of_mlx", rows_are_those_of_mlx},
    {"refuses_what_is_no_matrix", refuses_what_is_no_matrix},
    {0},
};
VMT_TEST_MAIN(cases)
