/* ops/matmul_mlx.c: MLX's matrices on a CPU: each row is repacked into blocks of 32 that the packer of matmul_pack.c
 * knows, and the blocks are dropped when the weight is packed.
 *
 *   affine 2, 3, 4 bits   Q4_1   w = d * q + m, the scale and bias of the element's group in every block
 *   affine 5 bits         Q5_1   the same
 *   affine 6, 8 bits      Q8_M   w = d * (q - zero) + (bias + d * zero): the bytes of Q8_M are signed
 *   affine, F32 scales    F32    no block has scales of 32 bits
 *   mxfp4                 MXFP4  the same bits in GGUF's order */
#include "ops/matmul_kernel.h"
#include "tensor/quant.h"

#include <string.h>

#include "base/checked.h"

#define REPACK_GRAIN 16u /* rows a worker takes at a time */

vmt_dtype vmt_weight_dtype(const vmt_matrix *matrix) {
    if (!vmt_matrix_is_mlx(matrix)) return matrix->data.dtype;
    if (matrix->biases.buffer == NULL) return VMT_MXFP4;
    if (matrix->scales.dtype == VMT_F32) return VMT_F32;
    return matrix->bits <= 4 ? VMT_Q4_1 : matrix->bits == 5 ? VMT_Q5_1 : VMT_Q8_M;
}

/* One block: 32 quants of one group. */
typedef struct group_block {
    const uint8_t *q;
    float scale, bias;
    uint8_t exponent; /* mxfp4's scale as it is */
} group_block;

static void put_nibbles(uint8_t to[16], const uint8_t *q) {
    for (uint32_t i = 0; i < 16; i++) to[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void put_q4_1(uint8_t *at, const group_block *g) {
    vmt_block_q4_1 block = {.d = vmt_f32_to_f16(g->scale), .m = vmt_f32_to_f16(g->bias)};
    put_nibbles(block.q, g->q);
    memcpy(at, &block, sizeof block);
}

static void put_q5_1(uint8_t *at, const group_block *g) {
    vmt_block_q5_1 block = {.d = vmt_f32_to_f16(g->scale), .m = vmt_f32_to_f16(g->bias)};
    for (uint32_t i = 0; i < 32; i++) block.high[i / 8] |= (uint8_t)((g->q[i] >> 4 & 1) << i % 8);
    put_nibbles(block.q, g->q);
    memcpy(at, &block, sizeof block);
}

static void put_q8_m(uint8_t *at, const group_block *g, int32_t zero) {
    vmt_block_q8_m block = {.d = vmt_f32_to_f16(g->scale), .m = vmt_f32_to_f16(g->bias + g->scale * (float)zero)};
    for (uint32_t i = 0; i < 32; i++) block.q[i] = (int8_t)(g->q[i] - zero);
    memcpy(at, &block, sizeof block);
}

static void put_mxfp4(uint8_t *at, const group_block *g) {
    vmt_block_mxfp4 block = {.e = g->exponent};
    put_nibbles(block.q, g->q);
    memcpy(at, &block, sizeof block);
}

typedef struct repack_args {
    const vmt_matrix *matrix;
    vmt_dtype dtype;
    size_t row_bytes;
    uint8_t *dst;
} repack_args;

static size_t scratch_bytes(const vmt_matrix *m) {
    return m->cols + 2 * sizeof(float) * (m->cols / m->group_size);
}

static void repack_row(const repack_args *args, uint32_t row, uint8_t *scratch) {
    const vmt_matrix *m = args->matrix;
    uint32_t block_bytes = vmt_dtype_get(args->dtype)->block_bytes, num_groups = m->cols / m->group_size;
    float *scales = (float *)(void *)scratch, *biases = scales + num_groups;
    uint8_t *quants = (uint8_t *)(biases + num_groups), *at = args->dst + row * args->row_bytes;
    vmt_matrix_quants(m, row, quants);
    vmt_matrix_affine(m, row, scales, biases);
    const uint8_t *exponents = (const uint8_t *)vmt_tensor_data(&m->scales) + (size_t)row * num_groups;
    for (uint32_t i = 0; i < m->cols; i += 32, at += block_bytes) {
        uint32_t group = i / m->group_size;
        group_block g = {quants + i, scales[group], biases[group], 0};
        switch (args->dtype) {
        case VMT_Q4_1: put_q4_1(at, &g); break;
        case VMT_Q5_1: put_q5_1(at, &g); break;
        case VMT_MXFP4:
            g.exponent = exponents[group];
            put_mxfp4(at, &g);
            break;
        default: put_q8_m(at, &g, 1 << (m->bits - 1)); break;
        }
    }
}

static void repack_rows(const vmt_cpu_task *task) {
    const repack_args *args = task->args;
    for (uint32_t row = task->begin; row < task->end; row++) {
        if (args->dtype == VMT_F32) {
            vmt_matrix_row(args->matrix, row, (float *)(void *)(args->dst + row * args->row_bytes));
        } else {
            repack_row(args, row, task->scratch);
        }
    }
}

/* out is a view of *blocks, which the caller destroys. */
static vmt_status repack(vmt_backend *be, const vmt_matrix *m, vmt_buffer *blocks, vmt_tensor *out, vmt_err *err) {
    repack_args args = {.matrix = m, .dtype = vmt_weight_dtype(m)};
    size_t bytes;
    if (!vmt_dtype_row_bytes(args.dtype, m->cols, &args.row_bytes) ||
        !vmt_mul_size(m->rows, args.row_bytes, &bytes)) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "a weight of %u rows does not fit in memory", m->rows);
    }
    VMT_TRY(vmt_buffer_create(be, blocks, bytes, err));
    args.dst = blocks->host;
    *out = (vmt_tensor){blocks, 0, args.dtype, 2, {m->rows, m->cols}};
    return vmt_launch_run(be, &(vmt_launch){
                                  .name = "matmul_repack",
                                  .args = &args,
                                  .args_bytes = sizeof args,
                                  .cpu_fn = repack_rows,
                                  .cpu_items = m->rows,
                                  .cpu_grain = REPACK_GRAIN,
                                  .scratch_bytes = scratch_bytes(m),
                              });
}

vmt_status vmt_weight_init_matrices(vmt_weight *out, vmt_backend *be, const vmt_matrix *parts, uint32_t num_parts,
                                    bool *packed_out, vmt_err *err) {
    enum { PARTS_MAX = 8 };
    VMT_ASSERT(num_parts <= PARTS_MAX);
    *out = (vmt_weight){0};
    if (!be->is_cpu) return vmt_fail(err, VMT_E_UNSUPPORTED, "matmul has no kernels for backend %s", be->vt->name);
    vmt_tensor tensors[PARTS_MAX];
    vmt_buffer blocks[PARTS_MAX] = {{0}};
    vmt_status status = VMT_OK;
    for (uint32_t i = 0; i < num_parts && status == VMT_OK; i++) {
        tensors[i] = parts[i].data;
        if (vmt_matrix_is_mlx(&parts[i])) status = repack(be, &parts[i], &blocks[i], &tensors[i], err);
    }
    if (status == VMT_OK) status = vmt_weight_init(out, be, tensors, num_parts, packed_out, err);
    for (uint32_t i = 0; i < num_parts; i++) vmt_buffer_destroy(be, &blocks[i]);
    return status;
}
