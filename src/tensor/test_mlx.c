#include "tensor/test_mlx.h"

#include <string.h>

#include "base/buf.h"
#include "base/file.h"

struct reader {
    vmt_test *t;
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct reader *r, size_t bytes) {
    vmt_expect(r->t, bytes <= r->left);
    const uint8_t *at = r->at;
    r->at += bytes;
    r->left -= bytes;
    return at;
}

static vmt_tensor take_tensor(struct reader *r, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_tensor t = {.dtype = dtype, .ndim = 2, .shape = {rows, cols}, .offset = 1};
    size_t bytes = vmt_tensor_bytes(&t);
    t.buffer = VMT_ARENA_NEW(r->t->arena, vmt_buffer, 1);
    t.buffer->bytes = bytes + 1;
    t.buffer->host = vmt_arena_alloc(r->t->arena, bytes + 1);
    memcpy(t.buffer->host + 1, take(r, bytes), bytes);
    return t;
}

static const float *take_floats(struct reader *r, size_t count) {
    float *to = VMT_ARENA_NEW(r->t->arena, float, count);
    memcpy(to, take(r, count * sizeof(float)), count * sizeof(float));
    return to;
}

static void read_vector(struct reader *r, vmt_mlx_vector *v) {
    static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};
    struct {
        uint32_t mode, bits, group_size, type, rows, cols, num_x;
    } head;
    char text[96];
    vmt_err err = {0};
    memcpy(&head, take(r, sizeof head), sizeof head);
    vmt_expect(r->t, head.mode <= 1 && head.type < 3);
    vmt_dtype type = types[head.type];
    uint32_t num_groups = head.cols / head.group_size;
    vmt_tensor biases = {0}, data = take_tensor(r, VMT_U32, head.rows, (uint64_t)head.cols * head.bits / 32);
    vmt_tensor scales = take_tensor(r, head.mode ? VMT_U8 : type, head.rows, num_groups);
    if (head.mode == 0) biases = take_tensor(r, type, head.rows, num_groups);
    vmt_status status = vmt_matrix_of_mlx(&v->matrix, &data, &scales, head.mode ? NULL : &biases, head.bits,
                                          head.group_size, &err);
    if (status != VMT_OK) vmt_test_fail(r->t, __FILE__, __LINE__, "%s", err.msg);
    vmt_expect(r->t, v->matrix.rows == head.rows && v->matrix.cols == head.cols);
    v->x = take_tensor(r, type, head.num_x, head.cols);
    v->rows = take_floats(r, (size_t)head.rows * head.cols);
    v->y = take_floats(r, (size_t)head.num_x * head.rows);
    v->num_x = head.num_x;
    v->name = vmt_arena_printf(r->t->arena, "%s", vmt_matrix_describe(&v->matrix, text, sizeof text)).ptr;
}

uint32_t vmt_test_mlx_vectors(vmt_test *t, vmt_mlx_vector *out) {
    vmt_buf file;
    vmt_err err = {0};
    vmt_buf_init(&file, 0);
    if (vmt_file_read(&file, "tests/golden/mlx_vectors.bin", 1 << 22, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    struct reader r = {t, (const uint8_t *)file.ptr, file.len};
    uint32_t count = 0;
    for (; r.left > 0; count++) {
        vmt_expect(t, count < VMT_MLX_VECTORS_MAX);
        read_vector(&r, &out[count]);
    }
    vmt_buf_free(&file);
    return count;
}
