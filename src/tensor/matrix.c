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

void vmt_matrix_quants(const vmt_matrix *m, uint32_t row, uint8_t *out) {
    const uint8_t *words = row_at(&m->data, row);
    uint64_t have = 0;
    uint32_t num_have = 0, bits = m->bits, mask = (1u << bits) - 1;
    for (uint32_t i = 0; i < m->cols; i++) {
        if (num_have < bits) {
            uint32_t word;
            memcpy(&word, words, sizeof word);
            words += sizeof word;
            have |= (uint64_t)word << num_have;
            num_have += 32;
        }
        out[i] = (uint8_t)(have & mask);
        have >>= bits;
        num_have -= bits;
    }
}

static float float_at(const vmt_tensor *t, uint32_t row, uint32_t i) {
    const vmt_dtype_info *info = vmt_dtype_get(t->dtype);
    float value;
    info->dequantize(row_at(t, row) + (size_t)i * info->block_bytes, &value, 1);
    return value;
}

void vmt_matrix_affine(const vmt_matrix *m, uint32_t row, float *scales, float *biases) {
    bool is_affine = m->biases.buffer != NULL;
    for (uint32_t g = 0; g < m->cols / m->group_size; g++) {
        scales[g] = is_affine ? float_at(&m->scales, row, g) : vmt_e8m0_to_f32(row_at(&m->scales, row)[g]);
        biases[g] = is_affine ? float_at(&m->biases, row, g) : 0;
    }
}

/* A group at a time, so that no row has to be held. */
static void mlx_row(const vmt_matrix *m, uint32_t row, float *out) {
    bool is_affine = m->biases.buffer != NULL;
    for (uint32_t g = 0; g < m->cols / m->group_size; g++) {
        vmt_matrix group = *m;
        uint8_t quants[128];
        float scale, bias;
        group.data.offset += (size_t)row * m->data.shape[1] * 4 + (size_t)g * m->group_size / 8 * m->bits;
        group.cols = m->group_size;
        vmt_matrix_quants(&group, 0, quants);
        scale = is_affine ? float_at(&m->scales, row, g) : vmt_e8m0_to_f32(row_at(&m->scales, row)[g]);
        bias = is_affine ? float_at(&m->biases, row, g) : 0;
        for (uint32_t i = 0; i < m->group_size; i++) {
            out[g * m->group_size + i] =
                is_affine ? scale * (float)quants[i] + bias : scale * vmt_e2m1_values[quants[i]];
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
