#include "backend/cuda/gemm.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define WORKSPACE_BYTES ((size_t)32 << 20) /* what the library asks for on cards of compute capability 9 */
#define PLANS_MAX       256u               /* kept; the one unused for longest goes */
#define ALIGNMENT_MAX   16u                /* bytes; no algorithm wants more */
#define WEIGHTS_MAX     3u

/* Of matmul_tiled's buffers (kernels/matmul.h). */
enum { BUFFER_X = 9, BUFFER_OUT = 14 };

/* What an answer of the library depends on.  The library's matrices are column after column: out^T = W x^T, in which W
 * is transposed. */
struct problem {
    uint32_t type, out_type;
    uint32_t w_rows, cols, num_rows;         /* num_rows: of x, rounded up */
    uint32_t w_stride, x_stride, out_stride; /* elements */
    uint32_t alignment;                      /* bytes, of all addresses */
};

struct plan {
    struct problem problem;
    cublasLtMatrixLayout_t w, x, out;
    cublasLtMatmulAlgo_t algo;
    bool works;
    uint64_t last_used; /* 0: never */
};

struct vmt_cuda_gemm {
    const vmt_cuda_api *api;
    const vmt_cublaslt_api *lt;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatmulPreference_t preference;
    CUdeviceptr workspace;
    struct plan plans[PLANS_MAX];
    uint64_t num_uses;
};

/* One call of the library. */
struct product {
    struct problem problem;
    CUdeviceptr w, x, out;
    struct plan *plan;
};

static const struct {
    const char *kernel;
    int type;
} kernels[] = {
    {"matmul_tiled_f16_f16", CUDA_R_16F},
    {"matmul_tiled_bf16_bf16", CUDA_R_16BF},
};

static int type_of(const vmt_kernel *kernel) {
    for (size_t i = 0; i < VMT_COUNT(kernels); i++) {
        if (strcmp(kernel->name, kernels[i].kernel) == 0) return kernels[i].type;
    }
    return CUDA_R_32F;
}

bool vmt_cuda_gemm_knows(const vmt_kernel *kernel) {
    return type_of(kernel) != CUDA_R_32F;
}

/* ---- plans */

static void forget(vmt_cuda_gemm *g, struct plan *plan) {
    if (plan->w != NULL) g->lt->layout_destroy(plan->w);
    if (plan->x != NULL) g->lt->layout_destroy(plan->x);
    if (plan->out != NULL) g->lt->layout_destroy(plan->out);
    *plan = (struct plan){0};
}

static bool ask(vmt_cuda_gemm *g, struct plan *plan) {
    const struct problem *p = &plan->problem;
    const vmt_cublaslt_api *lt = g->lt;
    cublasLtMatmulHeuristicResult_t result = {0};
    int num_results = 0, status = CUBLAS_STATUS_SUCCESS;
    for (int name = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
         name <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES && status == CUBLAS_STATUS_SUCCESS; name++) {
        status = lt->preference_set(g->preference, name, &p->alignment, sizeof p->alignment);
    }
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->layout_create(&plan->w, (int)p->type, p->cols, p->w_rows, p->w_stride);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->layout_create(&plan->x, (int)p->type, p->cols, p->num_rows, p->x_stride);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->layout_create(&plan->out, (int)p->out_type, p->w_rows, p->num_rows, p->out_stride);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = lt->get_heuristic(g->handle, g->desc, plan->w, plan->x, plan->out, plan->out, g->preference, 1,
                                   &result, &num_results);
    }
    plan->algo = result.algo;
    bool works = status == CUBLAS_STATUS_SUCCESS && num_results == 1 && result.state == CUBLAS_STATUS_SUCCESS;
    if (!works) {
        vmt_log_info("event=gemm_refused rows=%u cols=%u batch=%u alignment=%u status=%d", p->w_rows, p->cols,
                     p->num_rows, p->alignment, status);
    }
    return works;
}

/* NULL: the library has no way to do it. */
static struct plan *find_plan(vmt_cuda_gemm *g, const struct problem *problem) {
    struct plan *plan = &g->plans[0];
    for (uint32_t i = 0; i < PLANS_MAX; i++) {
        struct plan *p = &g->plans[i];
        if (p->last_used > 0 && memcmp(&p->problem, problem, sizeof *problem) == 0) {
            p->last_used = ++g->num_uses;
            return p->works ? p : NULL;
        }
        if (p->last_used < plan->last_used) plan = p;
    }
    forget(g, plan);
    plan->problem = *problem;
    plan->works = ask(g, plan);
    plan->last_used = ++g->num_uses;
    return plan->works ? plan : NULL;
}

/* ---- products */

/* Up to an eighth more: numbers of rows that the same algorithm suits.  Few rows have their own each. */
static uint32_t rounded(uint32_t num_rows) {
    uint32_t step = num_rows <= 16 ? 1 : num_rows < 64 ? 8 : (1u << (31 - __builtin_clz(num_rows))) / 8;
    return (num_rows + step - 1) / step * step;
}

static uint32_t alignment_of(CUdeviceptr a, CUdeviceptr b, CUdeviceptr c) {
    return 1u << __builtin_ctzll(a | b | c | ALIGNMENT_MAX);
}

/* The launch as calls; weights that follow one another in memory, as their rows of out do, are one. */
static uint32_t make_products(const vmt_kernel *kernel, const CUdeviceptr *buffers, const vmt_matmul_kargs *args,
                              struct product out[WEIGHTS_MAX]) {
    bool is_float = args->kind != VMT_MATMUL_STORE;
    uint32_t rows[WEIGHTS_MAX] = {args->rows_0, args->rows_1, args->rows_2}, count = 0, column = args->out_column;
    for (uint32_t i = 0; i < WEIGHTS_MAX; column += rows[i++]) {
        struct product *last = count > 0 ? &out[count - 1] : NULL;
        if (rows[i] == 0) continue;
        if (last != NULL && last->w + (CUdeviceptr)last->problem.w_rows * args->row_bytes == buffers[i]) {
            last->problem.w_rows += rows[i];
            continue;
        }
        out[count++] = (struct product){
            .problem = {.type = (uint32_t)type_of(kernel),
                        .out_type = is_float ? CUDA_R_32F : (uint32_t)type_of(kernel),
                        .w_rows = rows[i],
                        .cols = args->cols,
                        .num_rows = rounded(args->num_rows),
                        .w_stride = args->row_bytes / 2,
                        .x_stride = args->x_stride,
                        .out_stride = args->out_stride},
            .w = buffers[i],
            .x = buffers[BUFFER_X],
            .out = buffers[BUFFER_OUT] + (CUdeviceptr)column * (is_float ? 4 : 2),
        };
        out[count - 1].problem.alignment = alignment_of(out[count - 1].w, out[count - 1].x, out[count - 1].out);
    }
    return count;
}

static int multiply(vmt_cuda_gemm *g, const struct product *p, const vmt_matmul_kargs *args, CUstream stream) {
    const vmt_cublaslt_api *lt = g->lt;
    const struct plan *plan = p->plan;
    uint64_t num_rows = args->num_rows;
    float beta = args->kind == VMT_MATMUL_RESIDUAL ? 1.0f : 0.0f;
    void *out = (void *)(uintptr_t)p->out;
    int status = lt->layout_set(plan->x, CUBLASLT_MATRIX_LAYOUT_COLS, &num_rows, sizeof num_rows);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->layout_set(plan->out, CUBLASLT_MATRIX_LAYOUT_COLS, &num_rows, sizeof num_rows);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    return lt->matmul(g->handle, g->desc, &args->scale, (const void *)(uintptr_t)p->w, plan->w,
                      (const void *)(uintptr_t)p->x, plan->x, &beta, out, plan->out, out, plan->out, &plan->algo,
                      (void *)(uintptr_t)g->workspace, WORKSPACE_BYTES, stream);
}

CUresult vmt_cuda_gemm_run(vmt_cuda_gemm *g, const vmt_kernel *kernel, const CUdeviceptr *buffers,
                           const vmt_matmul_kargs *args, CUstream stream, bool *is_done) {
    struct product products[WEIGHTS_MAX];
    *is_done = false;
    if (args->kind == VMT_MATMUL_GATED || args->flags != 0) return CUDA_SUCCESS;
    uint32_t count = make_products(kernel, buffers, args, products);
    for (uint32_t i = 0; i < count; i++) {
        products[i].plan = find_plan(g, &products[i].problem);
        if (products[i].plan == NULL) return CUDA_SUCCESS;
    }
    for (uint32_t i = 0; i < count; i++) {
        int status = multiply(g, &products[i], args, stream);
        if (status == CUBLAS_STATUS_SUCCESS) continue;
        vmt_log_warn("event=gemm_failed rows=%u cols=%u batch=%u status=%d", products[i].problem.w_rows,
                     args->cols, args->num_rows, status);
        products[i].plan->works = false;
        return i == 0 ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED; /* a part is done, and may not be done twice */
    }
    *is_done = true;
    return CUDA_SUCCESS;
}

/* ---- life */

static int prepare(vmt_cuda_gemm *g) {
    const vmt_cublaslt_api *lt = g->lt;
    int transposed = CUBLAS_OP_T;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* parts of a sum are floats */
    uint64_t workspace_bytes = WORKSPACE_BYTES;
    int status = lt->create(&g->handle);
    if (status == CUBLAS_STATUS_SUCCESS) status = lt->desc_create(&g->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = lt->desc_set(g->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (status == CUBLAS_STATUS_SUCCESS) status = lt->preference_create(&g->preference);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = lt->preference_set(g->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                    sizeof workspace_bytes);
    }
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = lt->preference_set(g->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction,
                                    sizeof reduction);
    }
    return status;
}

vmt_status vmt_cuda_gemm_create(vmt_cuda_gemm **out, const vmt_cuda_api *api, const vmt_cublaslt_api *cublaslt,
                                vmt_err *err) {
    vmt_cuda_gemm *g = calloc(1, sizeof *g);
    *out = NULL;
    if (g == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for cuBLASLt");
    g->api = api;
    g->lt = cublaslt;
    int status = prepare(g);
    if (status == CUBLAS_STATUS_SUCCESS && api->mem_alloc(&g->workspace, WORKSPACE_BYTES) == CUDA_SUCCESS) {
        *out = g;
        return VMT_OK;
    }
    vmt_cuda_gemm_destroy(g);
    if (status != CUBLAS_STATUS_SUCCESS) return vmt_fail(err, VMT_E_UNSUPPORTED, "cuBLASLt fails: %d", status);
    return vmt_fail(err, VMT_E_NO_MEMORY, "no %zu bytes of the card for cuBLASLt", WORKSPACE_BYTES);
}

void vmt_cuda_gemm_destroy(vmt_cuda_gemm *g) {
    if (g == NULL) return;
    for (uint32_t i = 0; i < PLANS_MAX; i++) forget(g, &g->plans[i]);
    if (g->preference != NULL) g->lt->preference_destroy(g->preference);
    if (g->desc != NULL) g->lt->desc_destroy(g->desc);
    if (g->handle != NULL) g->lt->destroy(g->handle);
    if (g->workspace != 0) g->api->mem_free(g->workspace);
    free(g);
}
