/* backend/cuda/gemm_test.c: launches as calls of a cuBLASLt that only takes notes: which matrices, what is left to the
 * kernel, what is asked again.  No card and no library. */
#include "backend/cuda/gemm.h"
#include "base/log.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX 4096u

/* ---- a library of notes: "?16 " it was asked with addresses on 16 bytes, and a product as
 * "w[70x256/256]@1000 x[256x33/264]@2000 out[70x33/72]@3000:14 0.5 +1 " with shapes column after column */

static struct notes {
    char text[NOTES_MAX];
    size_t len;
    int num_alive;
    uint32_t alignment;
    uint64_t workspace_bytes;
    uint32_t reduction;
    int transposed;
    bool refuses; /* to know a way */
    int fails_in; /* the product after so many fails; 0: none does */
    int create_result;
} notes;

struct cublasLtMatrixLayout {
    int type;
    uint64_t rows, cols;
    int64_t stride;
};

static void note(const char *fmt, ...) VMT_PRINTF(1, 2);
static void note(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    notes.len += (size_t)vsnprintf(notes.text + notes.len, sizeof notes.text - notes.len, fmt, args);
    va_end(args);
    VMT_ASSERT(notes.len < sizeof notes.text);
}

static const char *taken(void) {
    notes.len = 0;
    return notes.text;
}

static int fake_create(cublasLtHandle_t *out) {
    if (notes.create_result != 0) return notes.create_result;
    notes.num_alive++;
    *out = (cublasLtHandle_t)(uintptr_t)1;
    return 0;
}
static int fake_destroy(cublasLtHandle_t handle) {
    notes.num_alive--;
    return 0;
}
static int fake_desc_create(cublasLtMatmulDesc_t *out, int compute_type, int scale_type) {
    VMT_ASSERT(compute_type == 68 && scale_type == 0);
    notes.num_alive++;
    *out = (cublasLtMatmulDesc_t)(uintptr_t)2;
    return 0;
}
static int fake_desc_destroy(cublasLtMatmulDesc_t desc) {
    notes.num_alive--;
    return 0;
}
static int fake_desc_set(cublasLtMatmulDesc_t desc, int name, const void *value, size_t bytes) {
    VMT_ASSERT(name == 3 && bytes == 4); /* the first matrix is transposed */
    memcpy(&notes.transposed, value, bytes);
    return 0;
}
static int fake_layout_create(cublasLtMatrixLayout_t *out, int type, uint64_t rows, uint64_t cols,
                              int64_t stride) {
    *out = malloc(sizeof **out);
    VMT_ASSERT(*out != NULL);
    **out = (struct cublasLtMatrixLayout){type, rows, cols, stride};
    notes.num_alive++;
    return 0;
}
static int fake_layout_destroy(cublasLtMatrixLayout_t layout) {
    free(layout);
    notes.num_alive--;
    return 0;
}
static int fake_layout_set(cublasLtMatrixLayout_t layout, int name, const void *value, size_t bytes) {
    VMT_ASSERT(name == 3 && bytes == 8);
    memcpy(&layout->cols, value, bytes);
    return 0;
}
static int fake_preference_create(cublasLtMatmulPreference_t *out) {
    notes.num_alive++;
    *out = (cublasLtMatmulPreference_t)(uintptr_t)3;
    return 0;
}
static int fake_preference_destroy(cublasLtMatmulPreference_t preference) {
    notes.num_alive--;
    return 0;
}
static int fake_preference_set(cublasLtMatmulPreference_t preference, int name, const void *value, size_t bytes) {
    VMT_ASSERT(bytes == (name == 1 ? 8u : 4u));
    if (name == 1) memcpy(&notes.workspace_bytes, value, bytes);
    if (name == 3) memcpy(&notes.reduction, value, bytes);
    if (name >= 5 && name <= 8) memcpy(&notes.alignment, value, bytes);
    return 0;
}
static int fake_heuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                          cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                          cublasLtMatmulPreference_t preference, int num_max, cublasLtMatmulHeuristicResult_t *out,
                          int *num_results) {
    VMT_ASSERT(num_max == 1 && c == d && a->rows == b->rows && d->rows == a->cols && d->cols == b->cols);
    note("?%u ", notes.alignment);
    *num_results = !notes.refuses;
    out->algo.data[0] = b->cols;
    out->state = 0;
    return notes.refuses ? 15 : 0;
}
static int fake_matmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                       cublasLtMatrixLayout_t al, const void *b, cublasLtMatrixLayout_t bl, const void *beta,
                       const void *c, cublasLtMatrixLayout_t cl, void *d, cublasLtMatrixLayout_t dl,
                       const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                       CUstream stream) {
    VMT_ASSERT(c == d && cl == dl && workspace == (void *)(uintptr_t)0x777 && workspace_bytes == 32u << 20);
    VMT_ASSERT(al->type == bl->type && stream == (CUstream)(uintptr_t)9);
    if (notes.fails_in > 0 && --notes.fails_in == 0) return 13;
    note("w[%llux%llu/%lld]@%llx x[%llux%llu/%lld]@%llx out[%llux%llu/%lld]@%llx:%d %g +%g ",
         (unsigned long long)al->cols, (unsigned long long)al->rows, (long long)al->stride,
         (unsigned long long)(uintptr_t)a, (unsigned long long)bl->rows, (unsigned long long)bl->cols,
         (long long)bl->stride, (unsigned long long)(uintptr_t)b, (unsigned long long)dl->rows,
         (unsigned long long)dl->cols, (long long)dl->stride, (unsigned long long)(uintptr_t)d, dl->type,
         (double)*(const float *)alpha, (double)*(const float *)beta);
    return 0;
}
static int fake_mem_alloc(CUdeviceptr *at, size_t bytes) {
    VMT_ASSERT(bytes == 32u << 20);
    notes.num_alive++;
    *at = 0x777;
    return 0;
}
static int fake_mem_free(CUdeviceptr at) {
    notes.num_alive--;
    return 0;
}

static const vmt_cublaslt_api library = {
    .create = fake_create,
    .destroy = fake_destroy,
    .desc_create = fake_desc_create,
    .desc_destroy = fake_desc_destroy,
    .desc_set = fake_desc_set,
    .layout_create = fake_layout_create,
    .layout_destroy = fake_layout_destroy,
    .layout_set = fake_layout_set,
    .preference_create = fake_preference_create,
    .preference_destroy = fake_preference_destroy,
    .preference_set = fake_preference_set,
    .get_heuristic = fake_heuristic,
    .matmul = fake_matmul,
};
static const vmt_cuda_api driver = {.mem_alloc = fake_mem_alloc, .mem_free = fake_mem_free};

/* ---- tests */

static const vmt_kernel bf16 = {.name = "matmul_tiled_bf16_bf16"}, f16 = {.name = "matmul_tiled_f16_f16"};

static vmt_cuda_gemm *start(vmt_test *t) {
    vmt_cuda_gemm *g;
    vmt_log_set_level(VMT_LOG_ERROR);
    notes = (struct notes){0};
    vmt_expect_eq(t, vmt_cuda_gemm_create(&g, &driver, &library, NULL), VMT_OK);
    vmt_expect_eq(t, notes.workspace_bytes, 32u << 20);
    vmt_expect_eq(t, notes.reduction, 2); /* in floats */
    vmt_expect_eq(t, notes.transposed, 1);
    return g;
}

static void end(vmt_test *t, vmt_cuda_gemm *g) {
    vmt_cuda_gemm_destroy(g);
    vmt_expect_eq(t, notes.num_alive, 0);
}

static vmt_matmul_kargs one_weight(uint32_t num_rows) {
    return (vmt_matmul_kargs){.num_rows = num_rows,
                              .cols = 256,
                              .row_bytes = 512,
                              .rows_0 = 70,
                              .x_stride = 264,
                              .out_stride = 80,
                              .scale = 0.5f};
}

/* Weights at these addresses, x at 0x20000, out at 0x30000. */
static CUresult run(vmt_cuda_gemm *g, const vmt_kernel *kernel, const vmt_matmul_kargs *args,
                    const uint64_t weights[3], bool *is_done) {
    CUdeviceptr buffers[15] = {weights[0], weights[1], weights[2], [9] = 0x20000, [14] = 0x30000};
    return vmt_cuda_gemm_run(g, kernel, buffers, args, (CUstream)(uintptr_t)9, is_done);
}

static const uint64_t apart[3] = {0x10000, 0x40000, 0x50000};

static void a_launch_is_a_product(vmt_test *t) {
    vmt_cuda_gemm *g = start(t);
    bool is_done;
    vmt_matmul_kargs args = one_weight(33);
    vmt_expect_eq(t, run(g, &bf16, &args, apart, &is_done), 0);
    vmt_expect(t, is_done);
    vmt_expect_str(t, taken(), "?16 w[70x256/256]@10000 x[256x33/264]@20000 out[70x33/80]@30000:14 0.5 +0 ");
    args.kind = VMT_MATMUL_RESIDUAL; /* onto floats */
    args.out_column = 3;
    vmt_expect_eq(t, run(g, &f16, &args, apart, &is_done), 0);
    vmt_expect_str(t, taken(), "?4 w[70x256/256]@10000 x[256x33/264]@20000 out[70x33/80]@3000c:0 0.5 +1 ");
    args.kind = VMT_MATMUL_LOGITS;
    args.out_column = 0;
    vmt_expect_eq(t, run(g, &f16, &args, apart, &is_done), 0);
    vmt_expect_str(t, taken(), "?16 w[70x256/256]@10000 x[256x33/264]@20000 out[70x33/80]@30000:0 0.5 +0 ");
    end(t, g);
}

/* A product for each weight, in the columns that are its own; neighbours are one. */
static void weights_stand_side_by_side(vmt_test *t) {
    vmt_cuda_gemm *g = start(t);
    bool is_done;
    vmt_matmul_kargs args = one_weight(8);
    args.rows_1 = 8;
    args.rows_2 = 16;
    args.out_column = 8;
    vmt_expect_eq(t, run(g, &bf16, &args, apart, &is_done), 0);
    vmt_expect_str(t, taken(),
                   "?16 ?4 ?4 w[70x256/256]@10000 x[256x8/264]@20000 out[70x8/80]@30010:14 0.5 +0 "
                   "w[8x256/256]@40000 x[256x8/264]@20000 out[8x8/80]@3009c:14 0.5 +0 "
                   "w[16x256/256]@50000 x[256x8/264]@20000 out[16x8/80]@300ac:14 0.5 +0 ");
    uint64_t neighbours[3] = {0x10000, 0x10000 + 70 * 512, 0x10000 + 78 * 512};
    vmt_expect_eq(t, run(g, &bf16, &args, neighbours, &is_done), 0);
    vmt_expect_str(t, taken(), "?16 w[94x256/256]@10000 x[256x8/264]@20000 out[94x8/80]@30010:14 0.5 +0 ");
    end(t, g);
}

/* Numbers of rows share an answer with those near them; each shape is asked for once, and again when it was dropped. */
static void answers_are_kept(vmt_test *t) {
    vmt_cuda_gemm *g = start(t);
    bool is_done;
    static const struct {
        uint32_t num_rows;
        bool is_asked;
    } steps[] = {{1793, true},  {1920, false}, {1921, true}, {2048, false},
                 {1800, false}, {2049, true},  {33, true},   {40, false}};
    for (size_t i = 0; i < VMT_COUNT(steps); i++) {
        vmt_matmul_kargs args = one_weight(steps[i].num_rows);
        char want[128];
        vmt_expect_eq(t, run(g, &bf16, &args, apart, &is_done), 0);
        snprintf(want, sizeof want, "%sw[70x256/256]@10000 x[256x%u/264]@20000 out[70x%u/80]@30000:14 0.5 +0 ",
                 steps[i].is_asked ? "?16 " : "", args.num_rows, args.num_rows);
        vmt_expect_str(t, taken(), want);
    }
    vmt_matmul_kargs args = one_weight(1800);
    for (uint32_t i = 0; i < 300; i++) {
        args.rows_0 = 100 + i;
        run(g, &bf16, &args, apart, &is_done);
        taken();
    }
    run(g, &bf16, &args, apart, &is_done);
    vmt_expect(t, strstr(taken(), "?") == NULL);
    args.rows_0 = 70;
    run(g, &bf16, &args, apart, &is_done);
    vmt_expect(t, strstr(taken(), "?") != NULL);
    end(t, g);
}

static void the_rest_is_the_kernels(vmt_test *t) {
    vmt_cuda_gemm *g = start(t);
    bool is_done = true;
    vmt_matmul_kargs args = one_weight(33);
    args.kind = VMT_MATMUL_GATED;
    vmt_expect_eq(t, run(g, &bf16, &args, apart, &is_done), 0);
    vmt_expect(t, !is_done);
    for (uint32_t flag = 1; flag <= 4; flag *= 2) {
        args = one_weight(33);
        args.flags = flag;
        vmt_expect_eq(t, run(g, &bf16, &args, apart, &is_done), 0);
        vmt_expect(t, !is_done);
    }
    vmt_expect_eq(t, notes.len, 0);
    vmt_kernel others[] = {
        {.name = "matmul_tiled_q4_0_bf16"}, {.name = "matmul_tiled_f32_f32"}, {.name = "matvec"}};
    for (size_t i = 0; i < VMT_COUNT(others); i++) vmt_expect(t, !vmt_cuda_gemm_knows(&others[i]));
    vmt_expect(t, vmt_cuda_gemm_knows(&bf16) && vmt_cuda_gemm_knows(&f16));
    end(t, g);
}

/* A way that is not known, or fails before anything was done, is the kernel's; a half that is done is an error. */
static void failures_do_nothing_twice(vmt_test *t) {
    vmt_cuda_gemm *g = start(t);
    bool is_done = true;
    vmt_matmul_kargs args = one_weight(33);
    notes.refuses = true;
    for (int i = 0; i < 2; i++) vmt_expect_eq(t, run(g, &bf16, &args, apart, &is_done), 0);
    vmt_expect(t, !is_done);
    vmt_expect_str(t, taken(), "?16 "); /* and is not asked again */
    notes.refuses = false;
    notes.fails_in = 1;
    vmt_expect_eq(t, run(g, &f16, &args, apart, &is_done), 0);
    vmt_expect(t, !is_done);
    vmt_expect_eq(t, run(g, &f16, &args, apart, &is_done), 0);
    vmt_expect(t, !is_done);
    vmt_expect_str(t, taken(), "?16 ");
    args.rows_1 = 8;
    args.num_rows = 90;
    notes.fails_in = 2;
    vmt_expect_eq(t, run(g, &f16, &args, apart, &is_done), CUDA_ERROR_LAUNCH_FAILED);
    end(t, g);

    notes = (struct notes){.create_result = 1};
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_cuda_gemm_create(&g, &driver, &library, &err), VMT_E_UNSUPPORTED);
    vmt_expect_str(t, err.msg, "cuBLASLt fails: 1");
    vmt_expect_eq(t, notes.num_alive, 0);
}

static const vmt_test_case cases[] = {
    {"a_launch_is_a_product", a_launch_is_a_product},
    {"weights_stand_side_by_side", weights_stand_side_by_side},
    {"answers_are_kept", answers_are_kept},
    {"the_rest_is_the_kernels", the_rest_is_the_kernels},
    {"failures_do_nothing_twice", failures_do_nothing_twice},
    {0},
};
VMT_TEST_MAIN(cases)
