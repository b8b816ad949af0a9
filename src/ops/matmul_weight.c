/* ops/matmul_weight.c: loading a weight: checks, packing in parallel, rows back out. */
#include "ops/matmul_kernel.h"

#include <stdlib.h>

#include "base/checked.h"

#define WEIGHT_ROWS_MAX (1u << 24) /* no vocabulary or stacked projection comes near */
#define WEIGHT_COLS_MAX (1u << 20)
#define PACK_GRAIN      4u /* panels a worker packs at a time */

typedef struct pack_args {
    const vmt_matmul_kind *kind;
    const vmt_tensor *parts;
    uint32_t num_parts, rows, cols;
    size_t row_bytes, panel_bytes;
    const uint8_t *zero_row; /* fills the last panel */
    uint8_t *dst;
} pack_args;

static const uint8_t *find_row(const pack_args *args, uint32_t row) {
    if (row >= args->rows) return args->zero_row;
    uint32_t part = 0;
    while (row >= args->parts[part].shape[0]) row -= (uint32_t)args->parts[part++].shape[0];
    return (const uint8_t *)vmt_tensor_data(&args->parts[part]) + row * args->row_bytes;
}

static void pack_panels(const vmt_cpu_task *task) {
    const pack_args *args = task->args;
    for (uint32_t panel = task->begin; panel < task->end; panel++) {
        const uint8_t *rows[VMT_MM_PANEL];
        for (uint32_t r = 0; r < VMT_MM_PANEL; r++) rows[r] = find_row(args, panel * VMT_MM_PANEL + r);
        args->kind->pack(args->kind, args->dst + panel * args->panel_bytes, rows, args->cols);
    }
}

static vmt_status check_parts(const vmt_tensor *parts, uint32_t num_parts, uint64_t *rows, vmt_err *err) {
    *rows = 0;
    for (uint32_t i = 0; i < num_parts; i++) {
        const vmt_tensor *p = &parts[i];
        char text[64];
        vmt_tensor_describe(p, text, sizeof(text));
        if (p->ndim != 2 || p->shape[0] == 0 || p->shape[1] == 0 || p->shape[0] > WEIGHT_ROWS_MAX ||
            p->shape[1] > WEIGHT_COLS_MAX) {
            return vmt_fail(err, VMT_E_INVALID, "%s is no weight matrix of at most [%u, %u]", text,
                            WEIGHT_ROWS_MAX, WEIGHT_COLS_MAX);
        }
        if (vmt_mm_kind(p->dtype) == NULL) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "%s: this element type can't be a weight", text);
        }
        if (p->dtype != parts[0].dtype || p->shape[1] != parts[0].shape[1]) {
            return vmt_fail(err, VMT_E_INVALID, "%s can't be stacked with %s of %llu columns", text,
                            vmt_dtype_get(parts[0].dtype)->name, (unsigned long long)parts[0].shape[1]);
        }
        *rows += p->shape[0];
    }
    if (*rows > WEIGHT_ROWS_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "%llu stacked rows, at most %u", (unsigned long long)*rows,
                        WEIGHT_ROWS_MAX);
    }
    return VMT_OK;
}

vmt_status vmt_weight_init(vmt_weight *out, vmt_backend *be, const vmt_tensor *parts, uint32_t num_parts,
                           bool *packed_out, vmt_err *err) {
    VMT_ASSERT(num_parts >= 1);
    *out = (vmt_weight){0};
    *packed_out = false;
    if (!be->is_cpu) return vmt_fail(err, VMT_E_UNSUPPORTED, "matmul has no kernels for backend %s", be->vt->name);
    uint64_t rows;
    VMT_TRY(check_parts(parts, num_parts, &rows, err));
    const vmt_matmul_kind *kind = vmt_mm_kind(parts[0].dtype);
    uint32_t cols = (uint32_t)parts[0].shape[1], num_panels = (uint32_t)(rows + VMT_MM_PANEL - 1) / VMT_MM_PANEL;
    pack_args args = {
        .kind = kind,
        .parts = parts,
        .num_parts = num_parts,
        .rows = (uint32_t)rows,
        .cols = cols,
        .panel_bytes = vmt_mm_layout_of(kind, cols).bytes,
    };
    size_t bytes;
    if (!vmt_dtype_row_bytes(kind->dtype, cols, &args.row_bytes)) {
        return vmt_fail(err, VMT_E_INVALID, "%u columns are not whole %s blocks", cols,
                        vmt_dtype_get(kind->dtype)->name);
    }
    if (!vmt_mul_size(num_panels, args.panel_bytes, &bytes)) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "a weight of %u rows does not fit in memory", args.rows);
    }
    void *zero_row = calloc(1, args.row_bytes);
    if (zero_row == NULL)
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a row of %zu bytes", args.row_bytes);
    vmt_status status = vmt_buffer_create(be, &out->packed, bytes, err);
    if (status == VMT_OK) {
        args.zero_row = zero_row;
        args.dst = out->packed.host;
        status = vmt_launch_run(be, &(vmt_launch){
                                        .name = "matmul_pack",
                                        .args = &args,
                                        .args_bytes = sizeof(args),
                                        .cpu_fn = pack_panels,
                                        .cpu_items = num_panels,
                                        .cpu_grain = PACK_GRAIN,
                                    });
    }
    free(zero_row);
    if (status != VMT_OK) {
        vmt_weight_reset(out, be);
        return status;
    }
    out->src.data = (vmt_tensor){.dtype = kind->dtype, .ndim = 2, .shape = {rows, cols}};
    out->rows = (uint32_t)rows;
    out->cols = cols;
    out->kind = kind;
    *packed_out = true;
    return VMT_OK;
}

void vmt_weight_reset(vmt_weight *weight, vmt_backend *be) {
    vmt_buffer_destroy(be, &weight->packed);
    *weight = (vmt_weight){0};
}

static void float_row(const vmt_weight *weight, const uint8_t *panel, uint32_t r, float *out) {
    const uint16_t *halves = (const uint16_t *)panel + r, *pairs = (const uint16_t *)panel + 2 * r;
    const float *floats = (const float *)panel + r;
    for (size_t k = 0; k < weight->cols; k++) {
        switch (weight->kind->format) {
        case VMT_MM_F16: out[k] = vmt_f16_to_f32(halves[k * VMT_MM_PANEL]); break;
        case VMT_MM_BF16: out[k] = vmt_bf16_to_f32(pairs[k / 2 * 2 * VMT_MM_PANEL + k % 2]); break;
        default: out[k] = floats[k * VMT_MM_PANEL]; break;
        }
    }
}

void vmt_weight_row(const vmt_weight *weight, uint32_t row, float *out) {
    VMT_ASSERT(row < weight->rows);
    vmt_mm_layout layout = vmt_mm_layout_of(weight->kind, weight->cols);
    const uint8_t *panel = weight->packed.host + row / VMT_MM_PANEL * layout.bytes;
    if (weight->kind->class != VMT_MM_QUANTS) {
        float_row(weight, panel, row % VMT_MM_PANEL, out);
        return;
    }
    for (uint32_t b = 0; b < weight->cols / VMT_MM_BLOCK; b++, out += VMT_MM_BLOCK) {
        vmt_mm_block block;
        vmt_mm_unpack(weight->kind, &layout, panel, row % VMT_MM_PANEL, b, &block);
        for (uint32_t k = 0; k < VMT_MM_BLOCK; k++) {
            float value = block.d[k / 16] * (float)block.q[k];
            out[k] = weight->kind->has_min ? value + block.m : value;
        }
    }
}
