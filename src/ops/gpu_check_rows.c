/* ops/gpu_check_rows.c: checks of what runs between the matmuls, and of sampling.  gpu_checks.h */
#include "ops/gpu_act.h"
#include "ops/gpu_check_rig.h"
#include "ops/gpu_norm.h"
#include "ops/gpu_rope.h"
#include "ops/gpu_sample.h"
#include "ops/gpu_type.h"
#include "ops/gpu_upload.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};
#define NUM_TYPES VMT_COUNT(types)

static const uint32_t fixed[VMT_NUM_STEP_COUNTS]; /* all rows there are */

/* ---- norms */

#define NORM_ROWS 3u
static const uint32_t norm_cols[] = {260, 5120}; /* the second: the kernel of wide rows */

static void compare_norm(vmt_gpu_check_rig *rig, const vmt_gpu_norm_args *a, uint32_t cols) {
    bool is_layer = a->kind == VMT_GPU_NORM_LAYER;
    for (uint32_t r = 0; r < NORM_ROWS; r++) {
        double mean = 0, square = 0;
        for (uint32_t c = 0; c < cols && is_layer; c++) mean += vmt_tensor_at(&a->x, r * cols + c) / cols;
        for (uint32_t c = 0; c < cols; c++) {
            double x = vmt_tensor_at(&a->x, r * cols + c) - mean;
            square += x * x / cols;
        }
        for (uint32_t c = 0; c < cols; c++) {
            double want = (vmt_tensor_at(&a->x, r * cols + c) - mean) / sqrt(square + (double)a->eps) *
                          vmt_tensor_at(&a->weight, c);
            if (is_layer) want += vmt_tensor_at(&a->bias, c);
            vmt_gpu_check_compare(rig, vmt_tensor_at(&a->out, r * cols + c), want);
        }
    }
}

static vmt_status run_norm(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    vmt_dtype type = types[variant % NUM_TYPES];
    uint32_t cols = norm_cols[variant / NUM_TYPES % 2];
    bool is_layer = variant / NUM_TYPES / 2;
    vmt_gpu_check_name(rig, "%s_norm %u %s", is_layer ? "layer" : "rms", cols, vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type);
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_norm_args args = {
        .kind = is_layer ? VMT_GPU_NORM_LAYER : VMT_GPU_NORM_RMS,
        .x = vmt_gpu_check_random(rig, VMT_F32, NORM_ROWS, cols, -3, 4),
        .weight = vmt_gpu_check_random(rig, VMT_F32, 1, cols, 0.5, 1.5),
        .out = vmt_gpu_check_zeros(rig, type, NORM_ROWS, cols),
        .eps = 1e-5f,
    };
    if (is_layer) args.bias = vmt_gpu_check_random(rig, VMT_F32, 1, cols, -1, 1);
    VMT_TRY(vmt_gpu_norm(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, fixed, err));
    vmt_gpu_check_tolerate(rig, type);
    compare_norm(rig, &args, cols);
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_norm = {NUM_TYPES * 2 * 2, run_norm};

/* ---- activations, gather */

#define ACT_COLS 136u

static double activate(vmt_activation act, double x) {
    if (act == VMT_ACT_SILU) return x / (1 + exp(-x));
    if (act == VMT_ACT_GELU) return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static vmt_status run_act(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    static const char *const names[] = {"silu", "gelu_tanh", "gelu"};
    vmt_dtype type = types[variant % NUM_TYPES];
    vmt_activation act = (vmt_activation)(variant / NUM_TYPES);
    vmt_gpu_check_name(rig, "act_mul %s %s", names[act], vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type);
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_act_mul_args args = {
        .gate_up = vmt_gpu_check_random(rig, type, 3, 2 * ACT_COLS, -6, 6),
        .out = vmt_gpu_check_zeros(rig, type, 3, ACT_COLS),
        .act = act,
    };
    VMT_TRY(vmt_gpu_act_mul(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, fixed, err));
    vmt_gpu_check_tolerate(rig, type);
    for (uint32_t i = 0; i < 3 * ACT_COLS; i++) {
        uint32_t at = i / ACT_COLS * 2 * ACT_COLS + i % ACT_COLS;
        double want =
            activate(act, vmt_tensor_at(&args.gate_up, at)) * vmt_tensor_at(&args.gate_up, at + ACT_COLS);
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i), want);
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_act = {NUM_TYPES * 3, run_act};

static vmt_status run_bias(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    vmt_dtype type = types[variant];
    vmt_gpu_check_name(rig, "add_bias %s", vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type);
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_add_bias_args args = {
        .bias = vmt_gpu_check_random(rig, VMT_F32, 1, ACT_COLS, -1, 1),
        .out = vmt_gpu_check_random(rig, type, 3, ACT_COLS, -1, 1),
        .scale = 0.5f,
    };
    double *want = VMT_ARENA_NEW(rig->arena, double, 3 * ACT_COLS);
    for (uint32_t i = 0; i < 3 * ACT_COLS; i++) {
        want[i] = vmt_tensor_at(&args.out, i) + 0.5 * vmt_tensor_at(&args.bias, i % ACT_COLS);
    }
    VMT_TRY(vmt_gpu_add_bias(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, fixed, err));
    vmt_gpu_check_tolerate(rig, type);
    for (uint32_t i = 0; i < 3 * ACT_COLS; i++) vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i), want[i]);
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_bias = {NUM_TYPES, run_bias};

static vmt_status run_gather(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    static const int32_t ids[] = {4, 0, 4};
    (void)variant, (void)is_wanted;
    vmt_gpu_check_name(rig, "gather_rows");
    vmt_gpu_gather_args args = {
        .x = vmt_gpu_check_random(rig, VMT_F32, 5, 1028, -1, 1),
        .row_ids = vmt_gpu_check_zeros(rig, VMT_I32, VMT_COUNT(ids), 1),
        .out = vmt_gpu_check_zeros(rig, VMT_F32, VMT_COUNT(ids), 1028),
    };
    memcpy(vmt_tensor_data(&args.row_ids), ids, sizeof ids);
    VMT_TRY(vmt_gpu_gather(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, fixed, err));
    rig->tolerance = 0; /* a copy */
    for (uint32_t i = 0; i < VMT_COUNT(ids) * 1028; i++) {
        double want = vmt_tensor_at(&args.x, (uint64_t)ids[i / 1028] * 1028 + i % 1028);
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i), want);
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_gather = {1, run_gather};

/* ---- RoPE and the KV write */

#define TOKENS       4u
#define HEADS        3u /* of q; one of k, one of v */
#define HEAD_DIM_MAX 512u
#define ROTARY_DIM   32u
static const uint32_t head_dims[] = {64, HEAD_DIM_MAX}; /* the second: the kernel of wide heads */
static const int32_t slots[TOKENS] = {9, 2, -1, 15};

/* A head after norm and turn. */
static void turn_head(const vmt_gpu_rope_args *a, const double *rows, uint32_t token, uint32_t head, double *x) {
    uint32_t dim = a->kv.layout.head_dim;
    const vmt_tensor *weight = head < HEADS ? &a->q_norm : &a->k_norm;
    double squares = 0;
    memcpy(x, rows + (token * (HEADS + 2) + head) * dim, dim * sizeof *x);
    if (head > HEADS) return; /* v */
    for (uint32_t i = 0; i < dim; i++) squares += x[i] * x[i];
    for (uint32_t i = 0; i < dim; i++) {
        x[i] *= vmt_tensor_at(weight, i) / sqrt(squares / dim + (double)a->norm_eps);
    }
    for (uint32_t i = 0; i < ROTARY_DIM / 2; i++) {
        uint32_t first = a->pairing == VMT_ROPE_HALVES ? i : 2 * i;
        uint32_t second = a->pairing == VMT_ROPE_HALVES ? i + ROTARY_DIM / 2 : 2 * i + 1;
        double c = vmt_tensor_at(&a->angles, token * ROTARY_DIM + i), p = x[first], q = x[second];
        double s = vmt_tensor_at(&a->angles, token * ROTARY_DIM + ROTARY_DIM / 2 + i);
        x[first] = p * c - q * s;
        x[second] = q * c + p * s;
    }
}

static void compare_rope(vmt_gpu_check_rig *rig, const vmt_gpu_rope_args *a, const double *rows) {
    double x[HEAD_DIM_MAX];
    const vmt_gpu_kv *kv = &a->kv;
    uint32_t dim = kv->layout.head_dim;
    bool is_i8 = kv->layout.dtype == VMT_I8;
    for (uint32_t token = 0; token < TOKENS; token++) {
        for (uint32_t h = 0; h < HEADS + 2; h++) {
            turn_head(a, rows, token, h, x);
            const vmt_tensor *cache = h == HEADS ? &kv->k : &kv->v,
                             *scales = h == HEADS ? &kv->k_scale : &kv->v_scale;
            if (h >= HEADS && slots[token] < 0) continue;
            double scale = h >= HEADS && is_i8 ? vmt_tensor_at(scales, (uint64_t)slots[token]) : 1;
            for (uint32_t i = 0; i < dim; i++) {
                double got = h < HEADS ? vmt_tensor_at(&a->qkv, (token * (HEADS + 2) + h) * dim + i)
                                       : scale * vmt_tensor_at(cache, (uint64_t)slots[token] * dim + i);
                vmt_gpu_check_compare(rig, got, x[i]);
            }
        }
    }
}

static vmt_status run_rope(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    vmt_dtype type = types[variant % NUM_TYPES];
    bool is_i8 = variant / NUM_TYPES % 2, is_interleaved = variant / NUM_TYPES / 2 % 2;
    uint32_t dim = head_dims[variant / NUM_TYPES / 4];
    vmt_gpu_check_name(rig, "rope %s d%u%s %s", is_interleaved ? "interleaved" : "halves", dim, is_i8 ? " i8" : "",
                       vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type);
    if (!*is_wanted) return VMT_OK;
    uint32_t cols = (HEADS + 2) * dim;
    vmt_gpu_kv_layout layout = {2, 8, 1, dim, is_i8 ? VMT_I8 : type};
    size_t bytes;
    VMT_TRY(vmt_gpu_kv_bytes(&layout, &bytes, err));
    vmt_tensor cache = vmt_gpu_check_zeros(rig, VMT_I8, 1, bytes);
    vmt_gpu_rope_args args = {
        .qkv = vmt_gpu_check_random(rig, type, TOKENS, cols, -1, 1),
        .num_heads = HEADS,
        .rotary_dim = ROTARY_DIM,
        .pairing = is_interleaved ? VMT_ROPE_INTERLEAVED : VMT_ROPE_HALVES,
        .angles = vmt_gpu_check_random(rig, VMT_F32, TOKENS, ROTARY_DIM, -1, 1),
        .q_norm = vmt_gpu_check_random(rig, VMT_F32, 1, dim, 0.5, 1.5),
        .k_norm = vmt_gpu_check_random(rig, VMT_F32, 1, dim, 0.5, 1.5),
        .norm_eps = 1e-6f,
        .slot_mapping = vmt_gpu_check_zeros(rig, VMT_I32, 1, TOKENS),
        .kv = vmt_gpu_kv_at(&layout, &rig->memory, cache.offset),
    };
    memcpy(vmt_tensor_data(&args.slot_mapping), slots, sizeof slots);
    double *rows = VMT_ARENA_NEW(rig->arena, double, TOKENS *cols);
    for (uint32_t i = 0; i < TOKENS * cols; i++) rows[i] = vmt_tensor_at(&args.qkv, i);
    VMT_TRY(vmt_gpu_rope(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){[VMT_COUNT_TOKENS] = TOKENS}, err));
    vmt_gpu_check_tolerate(rig, is_i8 ? VMT_BF16 : type); /* half a step of 1/127 of the greatest */
    compare_rope(rig, &args, rows);
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_rope = {NUM_TYPES * 2 * 2 * 2, run_rope};

#define ANGLES_DIM 64u

static vmt_status run_angles(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    static const int32_t positions[] = {0, 1, 4095, 131071, 1000003};
    (void)variant, (void)is_wanted;
    vmt_gpu_check_name(rig, "rope_angles");
    float inv_freq[ANGLES_DIM / 2];
    for (uint32_t i = 0; i < ANGLES_DIM / 2; i++) inv_freq[i] = (float)pow(1e6, -2.0 * i / ANGLES_DIM);
    vmt_gpu_rope_angles_args args = {
        .turns = vmt_gpu_check_zeros(rig, VMT_I32, ANGLES_DIM / 2, 2),
        .positions = vmt_gpu_check_zeros(rig, VMT_I32, 1, VMT_COUNT(positions)),
        .out = vmt_gpu_check_zeros(rig, VMT_F32, VMT_COUNT(positions), ANGLES_DIM),
        .attention_factor = 1,
    };
    vmt_gpu_rope_turns(inv_freq, ANGLES_DIM / 2, vmt_tensor_data(&args.turns));
    memcpy(vmt_tensor_data(&args.positions), positions, sizeof positions);
    VMT_TRY(vmt_gpu_rope_angles(rig->program, &args, err));
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = VMT_COUNT(positions)};
    VMT_TRY(vmt_gpu_check_replay(rig, counts, err));
    rig->tolerance = 1e-5; /* at any position */
    for (uint32_t i = 0; i < VMT_COUNT(positions) * ANGLES_DIM; i++) {
        double angle = (double)positions[i / ANGLES_DIM] * (double)inv_freq[i % (ANGLES_DIM / 2)];
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i),
                              i % ANGLES_DIM < ANGLES_DIM / 2 ? cos(angle) : sin(angle));
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_angles = {1, run_angles};

/* ---- sampling */

#define VOCAB       9000u /* three chunks */
#define SAMPLE_ROWS 4u
#define EDITS       3u
#define TOPS        5u

static void put_rows(const vmt_tensor *t, const void *data, size_t bytes) {
    VMT_ASSERT(bytes <= vmt_tensor_bytes(t));
    memcpy(vmt_tensor_data(t), data, bytes);
}

static vmt_gpu_sample_args sample_args(vmt_gpu_check_rig *rig) {
    return (vmt_gpu_sample_args){
        .logits = vmt_gpu_check_random(rig, VMT_F32, SAMPLE_ROWS, VOCAB, -12, 12),
        .samples = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS, sizeof(vmt_row_sample) / 4),
        .edited = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS, sizeof(vmt_row_edits) / 4),
        .edits = vmt_gpu_check_zeros(rig, VMT_I32, EDITS, sizeof(vmt_edit) / 4),
        .masks = vmt_gpu_check_zeros(rig, VMT_I32, 1, (VOCAB + 31) / 32),
        .scored = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS, sizeof(vmt_row_score) / 4),
        .previous = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS, 1),
        .saved = vmt_gpu_check_zeros(rig, VMT_I32, EDITS + SAMPLE_ROWS, 1),
        .best = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS * vmt_gpu_sample_chunks(VOCAB), 2),
        .sampled = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS, 1),
        .scores = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS, sizeof(vmt_score) / 4),
        .tops = vmt_gpu_check_zeros(rig, VMT_I32, SAMPLE_ROWS * TOPS, sizeof(vmt_top) / 4),
    };
}

/* Greedy, temperature alone, all limits with a mask, and greedy behind a ban, a bias and a penalty; each scored. */
static vmt_status run_sample(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    (void)variant, (void)is_wanted;
    vmt_gpu_check_name(rig, "sampling");
    vmt_gpu_sample_args args = sample_args(rig);
    float *logits = VMT_ARENA_NEW(rig->arena, float, SAMPLE_ROWS *VOCAB);
    memcpy(logits, vmt_tensor_data(&args.logits), SAMPLE_ROWS * VOCAB * sizeof *logits);
    uint32_t *mask = vmt_tensor_data(&args.masks);
    for (uint32_t i = 0; i < (VOCAB + 31) / 32; i++) mask[i] = (uint32_t)vmt_splitmix64(&rig->rng);
    int32_t best = 0;
    for (int32_t i = 0; i < (int32_t)VOCAB; i++)
        best = logits[3 * VOCAB + i] > logits[3 * VOCAB + best] ? i : best;
    const vmt_row_sample samples[SAMPLE_ROWS] = {
        {0, -1, -1, 1, 0, VMT_SAMPLE_NO_FLOOR, 1, 0, 0.5f},
        {1, -1, -1, 1, 1, VMT_SAMPLE_NO_FLOOR, 1, 0, 0.3f},
        {2, 0, -1, 1, 0.25f, -3, 0.9f, 40, 0.7f},
        {3, -1, -1, 1, 0, VMT_SAMPLE_NO_FLOOR, 1, 0, 0.5f},
    };
    const vmt_row_edits edited[] = {{3, -1, 0, 1, 1, 1, 1.2f, 0.5f, 0.25f}};
    const vmt_edit edits[EDITS] = {{best, {.condition = -1}}, {77, {.bias = 3}}, {78, {.count = 2}}};
    vmt_row_score scored[SAMPLE_ROWS];
    for (uint32_t i = 0; i < SAMPLE_ROWS; i++) scored[i] = (vmt_row_score){i, (int32_t)i, 0, TOPS, i * TOPS};
    put_rows(&args.samples, samples, sizeof samples);
    put_rows(&args.edited, edited, sizeof edited);
    put_rows(&args.edits, edits, sizeof edits);
    put_rows(&args.scored, scored, sizeof scored);
    VMT_TRY(vmt_gpu_sample(rig->program, &args, err));
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {
        [VMT_COUNT_SAMPLES] = SAMPLE_ROWS, [VMT_COUNT_EDITED] = 1, [VMT_COUNT_SCORED] = SAMPLE_ROWS};
    VMT_TRY(vmt_gpu_check_replay(rig, counts, err));
    const uint32_t *const masks[] = {mask};
    vmt_sample_batch batch = {SAMPLE_ROWS, 1,      EDITS, 1,     SAMPLE_ROWS, SAMPLE_ROWS * TOPS,
                              samples,     edited, edits, masks, scored,      false,
                              NULL,        NULL};
    int32_t previous[SAMPLE_ROWS] = {0}, sampled[SAMPLE_ROWS];
    vmt_score scores[SAMPLE_ROWS];
    vmt_top tops[SAMPLE_ROWS * TOPS];
    VMT_TRY(vmt_sample_reference(&batch, VOCAB, logits, previous, sampled, scores, tops));
    const vmt_score *got = vmt_tensor_data(&args.scores);
    const vmt_top *got_tops = vmt_tensor_data(&args.tops);
    rig->tolerance = 1e-4; /* of sums; all else is exact */
    for (uint32_t i = 0; i < SAMPLE_ROWS; i++) {
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.sampled, i), sampled[i]);
        vmt_gpu_check_compare(rig, (double)got[i].logit, (double)scores[i].logit);
        vmt_gpu_check_compare(rig, (double)got[i].sum, (double)scores[i].sum);
        vmt_gpu_check_compare(rig, got[i].rank, scores[i].rank);
    }
    for (uint32_t i = 0; i < SAMPLE_ROWS * TOPS; i++) {
        vmt_gpu_check_compare(rig, got_tops[i].token_id, tops[i].token_id);
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_sample = {1, run_sample};

static vmt_status run_tokens(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    static const int32_t ids[] = {5, 6, 7}, sources[] = {-1, 1, -1}, previous[] = {70, 71};
    (void)variant, (void)is_wanted;
    vmt_gpu_check_name(rig, "resolve_tokens");
    vmt_gpu_resolve_tokens_args args = {
        .token_ids = vmt_gpu_check_zeros(rig, VMT_I32, 3, 1),
        .sources = vmt_gpu_check_zeros(rig, VMT_I32, 3, 1),
        .previous = vmt_gpu_check_zeros(rig, VMT_I32, 2, 1),
        .out = vmt_gpu_check_zeros(rig, VMT_I32, 3, 1),
    };
    put_rows(&args.token_ids, ids, sizeof ids);
    put_rows(&args.sources, sources, sizeof sources);
    put_rows(&args.previous, previous, sizeof previous);
    VMT_TRY(vmt_gpu_resolve_tokens(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){[VMT_COUNT_TOKENS] = 3}, err));
    rig->tolerance = 0;
    for (uint32_t i = 0; i < 3; i++) {
        double want = sources[i] < 0 ? ids[i] : previous[sources[i]];
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i), want);
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_tokens = {1, run_tokens};

static vmt_status run_upload(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    enum { HEADER = sizeof(vmt_upload_header) / sizeof(int32_t), ROWS = 3, COLS = 5, STRIDE = 8 };
    (void)variant, (void)is_wanted;
    vmt_gpu_check_name(rig, "upload");
    vmt_gpu_upload_args args = {vmt_gpu_check_zeros(rig, VMT_I32, HEADER + ROWS * STRIDE, 1),
                                vmt_gpu_check_zeros(rig, VMT_I32, HEADER + ROWS * STRIDE, 1)};
    int32_t *from = vmt_tensor_data(&args.from);
    for (int32_t i = 0; i < ROWS * STRIDE; i++) from[HEADER + i] = i + 1;
    vmt_upload_add((vmt_upload_header *)from, (vmt_upload_list){HEADER, ROWS, COLS, STRIDE});
    VMT_TRY(vmt_gpu_upload(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, fixed, err));
    rig->tolerance = 0; /* a copy */
    for (uint32_t i = 0; i < ROWS * STRIDE; i++) {
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.to, HEADER + i), i % STRIDE < COLS ? i + 1 : 0);
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_upload = {1, run_upload};
