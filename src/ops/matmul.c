/* ops/matmul.c: checks, the cut into work items, and the reference.
 *
 * Quantized and BF16 weights take two launches: the rows of x are quantized or split into scratch that all workers
 * see, then the items run.  An item is a block of rows of x times a weight panel; consecutive items share the rows,
 * which stay in the second-level cache, and each item reads its panel once. */
#include "ops/matmul_kernel.h"

#include <stdlib.h>

#include "base/checked.h"

#define ROW_BLOCK_BYTES ((size_t)640 << 10) /* prepared rows of x that an item walks over for each weight panel */
#define CHUNK_BYTES     ((size_t)48 << 10)  /* weight a worker takes at a time: some microseconds of work */
#define CHUNKS_MIN      4u                  /* per worker; with fewer an even split is better than stealing */
#define QUANTIZE_BLOCKS 64u                 /* blocks along k per item of the first launch */
#define SERIAL_ELEMS    (1u << 14)          /* quantizing fewer than this costs less than waking anyone */
#define SLACK_BYTES     256u                /* kernels may read, not use, a little past a panel of fewer rows */

typedef struct run_args {
    vmt_mm_args mm;
    vmt_mm_kernel kernel;
    vmt_mm_quantizer quantizer;
    uint32_t num_panels, block_rows;
    uint32_t quantize_items; /* along k, per activation panel */
} run_args;

static void quantize_items(const vmt_cpu_task *task) {
    const run_args *args = task->args;
    for (uint32_t item = task->begin; item < task->end; item++) {
        uint32_t begin = item % args->quantize_items * QUANTIZE_BLOCKS;
        args->quantizer(&args->mm, item / args->quantize_items, begin,
                        VMT_MIN(begin + QUANTIZE_BLOCKS, args->mm.num_blocks));
    }
}

static void multiply_items(const vmt_cpu_task *task) {
    const run_args *args = task->args;
    for (uint32_t item = task->begin; item < task->end;) {
        uint32_t row_block = item / args->num_panels, panel = item % args->num_panels;
        uint32_t count = VMT_MIN(task->end - item, args->num_panels - panel);
        vmt_mm_range range = {
            .row_begin = row_block * args->block_rows,
            .row_end = VMT_MIN((row_block + 1) * args->block_rows, args->mm.num_rows),
            .panel_begin = panel,
            .panel_end = panel + count,
        };
        args->kernel(&args->mm, &range, task->scratch);
        item += count;
    }
}

/* Lays the quantized rows out in the backend's shared scratch. */
static vmt_status place_quantized(vmt_backend *be, vmt_mm_args *mm) {
    size_t rows = (size_t)(mm->num_rows + VMT_MM_PANEL - 1) / VMT_MM_PANEL * VMT_MM_PANEL;
    size_t block_bytes = mm->kind->class == VMT_MM_PAIRS ? VMT_MM_BLOCK * 2 * sizeof(uint16_t) : VMT_MM_BLOCK;
    size_t blocks, q_bytes, bytes;
    if (!vmt_mul_size(rows, mm->num_blocks, &blocks) || !vmt_mul_size(blocks, block_bytes, &q_bytes) ||
        !vmt_mul_size(blocks, block_bytes + 4 * sizeof(float), &bytes)) {
        return VMT_E_NO_MEMORY;
    }
    uint8_t *scratch = vmt_cpu_shared_scratch(be, bytes + 4 * SLACK_BYTES);
    if (scratch == NULL) return VMT_E_NO_MEMORY;
    mm->q = (int8_t *)scratch;
    mm->d = (float *)(scratch + q_bytes + SLACK_BYTES);
    mm->sum = (float *)((uint8_t *)(mm->d + blocks) + SLACK_BYTES);
    mm->init = (int32_t *)((uint8_t *)(mm->sum + blocks) + SLACK_BYTES);
    return VMT_OK;
}

static vmt_status quantize_rows(vmt_backend *be, run_args *args) {
    vmt_mm_args *mm = &args->mm;
    VMT_TRY(place_quantized(be, mm));
    args->quantizer = vmt_mm_quantizer_for(mm->kind->class, vmt_isa_best());
    args->quantize_items = (mm->num_blocks + QUANTIZE_BLOCKS - 1) / QUANTIZE_BLOCKS;
    uint32_t items = (mm->num_rows + VMT_MM_PANEL - 1) / VMT_MM_PANEL * args->quantize_items;
    bool is_serial = (uint64_t)mm->num_rows * mm->cols < SERIAL_ELEMS;
    return vmt_launch_run(be, &(vmt_launch){
                                  .name = "matmul_quantize",
                                  .args = args,
                                  .args_bytes = sizeof(*args),
                                  .cpu_fn = quantize_items,
                                  .cpu_items = items,
                                  .cpu_grain = is_serial ? items : 0,
                              });
}

/* Rows of x per item: as few blocks as keep one within ROW_BLOCK_BYTES, equal in size, whole panels. */
static uint32_t plan_block_rows(const vmt_mm_args *mm) {
    bool is_quantized = mm->kind->class == VMT_MM_QUANTS;
    size_t row_bytes = is_quantized ? mm->cols + mm->num_blocks * 4 * sizeof(float) : mm->cols * sizeof(float);
    size_t rows_max = VMT_MAX(ROW_BLOCK_BYTES / row_bytes, VMT_MM_PANEL);
    size_t num_blocks = (mm->num_rows + rows_max - 1) / rows_max;
    size_t rows = (mm->num_rows + num_blocks - 1) / num_blocks;
    return (uint32_t)((rows + VMT_MM_PANEL - 1) / VMT_MM_PANEL * VMT_MM_PANEL);
}

static void check(const vmt_matmul_args *args) {
    const vmt_weight *w = args->weight;
    VMT_ASSERT(w->kind != NULL && args->x.dtype == VMT_F32 && args->out.dtype == VMT_F32);
    VMT_ASSERT(args->x_stride >= w->cols && args->out_stride >= w->rows);
}

vmt_status vmt_matmul(vmt_backend *be, const vmt_matmul_args *args) {
    check(args);
    const vmt_weight *w = args->weight;
    if (args->num_rows == 0) return VMT_OK;
    run_args run = {
        .mm =
            {
                .kind = w->kind,
                .layout = vmt_mm_layout_of(w->kind, w->cols),
                .panels = w->packed.host,
                .rows = w->rows,
                .cols = w->cols,
                .num_blocks = vmt_mm_num_blocks(w->cols),
                .x = vmt_tensor_data(&args->x),
                .x_stride = args->x_stride,
                .row_ids = args->row_ids,
                .num_rows = args->num_rows,
                .out = vmt_tensor_data(&args->out),
                .out_stride = args->out_stride,
                .bias = args->bias,
                .out_scale = args->out_scale,
                .accumulate = args->accumulate,
            },
        .kernel = vmt_mm_kernel_for(w->kind, vmt_isa_best(), args->num_rows),
        .num_panels = (w->rows + VMT_MM_PANEL - 1) / VMT_MM_PANEL,
    };
    if (w->kind->class != VMT_MM_FLOATS) VMT_TRY(quantize_rows(be, &run));
    run.block_rows = plan_block_rows(&run.mm);
    uint32_t num_row_blocks = (args->num_rows + run.block_rows - 1) / run.block_rows;
    uint32_t items = num_row_blocks * run.num_panels;
    /* Many rows make an item long, so that its weight bytes count for more. */
    size_t item_bytes = run.mm.layout.bytes * VMT_MAX(run.block_rows / VMT_MM_PANEL, 1);
    /* Kernels of plain floats and pairs take up to four panels at once, that of many quantized rows a group.  Few rows
     * wait for weights: long runs of them are read faster, and what comes next is asked for. */
    uint32_t group = args->num_rows > VMT_MM_STREAM_ROWS ? vmt_mm_amx_group(&run.mm) : 1,
             grain_min = w->kind->class == VMT_MM_QUANTS ? group : 4,
             grain = (uint32_t)VMT_MAX(CHUNK_BYTES / item_bytes, grain_min);
    bool is_even = items / grain < CHUNKS_MIN * be->num_workers;
    return vmt_launch_run(be, &(vmt_launch){
                                  .name = "matmul",
                                  .args = &run,
                                  .args_bytes = sizeof(run),
                                  .cpu_fn = multiply_items,
                                  .cpu_items = items,
                                  .cpu_grain = is_even ? 0 : grain,
                                  .cpu_is_guided = !is_even && args->num_rows <= VMT_MM_FEW_ROWS,
                                  .scratch_bytes = vmt_mm_scratch_bytes(&run.mm),
                              });
}

size_t vmt_mm_scratch_bytes(const vmt_mm_args *args) {
    if (args->kind->class == VMT_MM_FLOATS) return 0;
    if (args->kind->class == VMT_MM_PAIRS) return VMT_MM_RING_BYTES;
    return VMT_MM_RING_BYTES + VMT_MM_FEW_ROWS * VMT_MM_PANEL * sizeof(float) +
           vmt_mm_amx_group(args) * vmt_mm_unpacked_bytes(args);
}

void vmt_matmul_ref(const vmt_matmul_args *args) {
    check(args);
    const vmt_weight *w = args->weight;
    const float *x = vmt_tensor_data(&args->x);
    float *out = vmt_tensor_data(&args->out), *row = malloc(w->cols * sizeof(float));
    VMT_ASSERT(row != NULL);
    for (uint32_t n = 0; n < w->rows; n++) {
        vmt_weight_row(w, n, row);
        for (uint32_t i = 0; i < args->num_rows; i++) {
            const float *in = x + (size_t)args->x_stride * (args->row_ids ? args->row_ids[i] : i);
            double sum = args->bias ? args->bias[n] : 0;
            for (uint32_t k = 0; k < w->cols; k++) sum += (double)row[k] * (double)in[k];
            float *o = out + (size_t)args->out_stride * i + n;
            *o = (float)(args->out_scale * sum + (args->accumulate ? *o : 0));
        }
    }
    free(row);
}
