/* tensor/matrix.c: see the header. */
#include "tensor/matrix.h"
#include "tensor/quant.h"

#include <stdio.h>
#include <string.h>

vmt_matrix vmt_matrix_of(const vmt_tensor *data) {
    VMT_ASSERT(data->ndim == 2 && data->shape[0] <= UINT32_MAX && data->shape[1] <= UINT32_MAX);
    return (vmt_matrix){.data = *data, .rows = (uint32_t)data->shape[0], .cols = (uint32_t)data->shape[1]};
}

static bool is_shape(const vmt_tensor *t, uint64_t rows, uint64_t cols) {
    return t->ndim == 2 && t->shape[0] == rows && t->shape[1] == cols;
}

static vmt_status wrong(const vmt_tensor *t, const char *what, uint64_t rows, uint64_t cols, vmt_err *err) {
    char text[96];
    return vmt_fail(err, VMT_E_INVALID, "%s are %s, expected [%llu, %llu]", what,
                    vmt_tensor_describe(t, text, sizeof text), (unsigned long long)rows, (unsigned long long)cols);
}

static bool is_float(vmt_dtype dtype) {
    return dtype == VMT_F32 || dtype == VMT_F16 || dtype == VMT_BF16;
}

vmt_status vmt_matrix_of_mlx(vmt_matrix *out, const vmt_tensor *data, const vmt_tensor *scales,
                             const vmt_tensor *biases, uint32_t bits, uint32_t group_size, vmt_err *err) {
    bool is_affine = biases != NULL;
    if (is_affine
            ? bits < 2 || bits > 8 || bits == 7 || (group_size != 32 && group_size != 64 && group_size != 128)
            : bits != 4 || group_size != 32) {
        return vmt_fail(
            err, VMT_E_UNSUPPORTED,
            "%u-bit quants in groups of %u %s biases; supported are 2, 3, 4, 5, 6 and 8 bits in groups of "
            "32, 64 and 128 with biases, and mxfp4",
            bits, group_size, is_affine ? "with" : "without");
    }
    if (data->ndim != 2 || data->dtype != VMT_U32 || data->shape[0] == 0 || data->shape[0] > UINT32_MAX ||
        data->shape[1] == 0 || data->shape[1] > UINT32_MAX / 32) {
        char text[96];
        return vmt_fail(err, VMT_E_INVALID, "packed quants are %s, expected a matrix of U32",
                        vmt_tensor_describe(data, text, sizeof text));
    }
    uint64_t rows = data->shape[0], cols = data->shape[1] * 32 / bits;
    if (data->shape[1] * 32 % bits != 0 || cols % group_size != 0) {
        return vmt_fail(err, VMT_E_INVALID, "rows of %llu words are not whole groups of %u %u-bit quants",
                        (unsigned long long)data->shape[1], group_size, bits);
    }
    if (!is_shape(scales, rows, cols / group_size)) return wrong(scales, "scales", rows, cols / group_size, err);
    if (is_affine && !is_shape(biases, rows, cols / group_size)) {
        return wrong(biases, "biases", rows, cols / group_size, err);
    }
    if (is_affine ? !is_float(scales->dtype) || biases->dtype != scales->dtype : scales->dtype != VMT_U8) {
        return vmt_fail(err, VMT_E_INVALID, "scales of %s%s%s; supported are F32, F16 and BF16, and U8 for mxfp4",
                        vmt_dtype_get(scales->dtype)->name, is_affine ? " and biases of " : "",
                        is_affine ? vmt_dtype_get(biases->dtype)->name : "");
    }
    *out = (vmt_matrix){
        .data = *data,
        .scales = *scales,
        .rows = (uint32_t)rows,
        .cols = (uint32_t)cols,
        .bits = bits,
        .group_size = group_size,
    };
    if (is_affine) out->biases = *biases;
    return VMT_OK;
}

uint64_t vmt_matrix_bytes(const vmt_matrix *m) {
    uint64_t bytes = vmt_tensor_bytes(&m->data);
    if (m->scales.buffer != NULL) bytes += vmt_tensor_bytes(&m->scales);
    if (m->biases.buffer != NULL) bytes += vmt_tensor_bytes(&m->biases);
    return bytes;
}

const char *vmt_matrix_describe(const vmt_matrix *m, char *out, size_t cap) {
    if (!vmt_matrix_is_mlx(m)) {
        snprintf(out, cap, "%s", vmt_dtype_get(m->data.dtype)->name);
    } else if (m->biases.buffer == NULL) {
        snprintf(out, cap, "mxfp4");
    } else {
        snprintf(out, cap, "affine %u-bit, groups of %u, %s scales", m->bits, m->group_size,
                 vmt_dtype_get(m->scales.dtype)->name);
    }
    return out;
}

static const uint8_t *row_at(const vmt_tensor *t, uint32_t row) {
    size_t row_bytes = 0;
    bool fits = vmt_dtype_row_bytes(t->dtype, t->shape[1], &row_bytes);
    VMT_ASSERT(fits);
    return (const uint8_t *)vmt_tensor_data(t) + row * row_bytes;
}

/* Quant i of a row: bits [i * bits, (i + 1) * bits) of the stream; one never spans three bytes. */
static uint32_t quant_at(const uint8_t *row, uint32_t i, uint32_t bits) {
    size_t at = (size_t)i * bits;
    uint32_t value = row[at / 8] >> at % 8;
    if (at % 8 + bits > 8) value |= (uint32_t)row[at / 8 + 1] << (8 - at % 8);
    return value & ((1u << bits) - 1);
}

static void mlx_row(const vmt_matrix *m, uint32_t row, float *out) {
    const uint8_t *quants = row_at(&m->data, row), *scales = row_at(&m->scales, row);
    const vmt_dtype_info *info = vmt_dtype_get(m->scales.dtype);
    for (uint32_t g = 0; g < m->cols / m->group_size; g++) {
        float scale, bias = 0;
        if (m->biases.buffer == NULL) {
            scale = vmt_e8m0_to_f32(scales[g]);
        } else {
            info->dequantize(scales + (size_t)g * info->block_bytes, &scale, 1);
            info->dequantize(row_at(&m->biases, row) + (size_t)g * info->block_bytes, &bias, 1);
        }
        for (uint32_t i = g * m->group_size; i < (g + 1) * m->group_size; i++) {
            uint32_t q = quant_at(quants, i, m->bits);
            out[i] = m->biases.buffer == NULL ? scale * vmt_e2m1_values[q] : scale * (float)q + bias;
        }
    }
}

void vmt_matrix_row(const vmt_matrix *m, uint32_t row, float *out) {
    VMT_ASSERT(row < m->rows);
    if (vmt_matrix_is_mlx(m)) {
        mlx_row(m, row, out);
    } else {
        vmt_dtype_get(m->data.dtype)->dequantize(row_at(&m->data, row), out, m->cols);
    }
}
