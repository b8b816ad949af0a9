/* ops/gpu_rope_test.c: norm, turn and KV write on a GPU against the formulas in double: every head size, partial turns,
 * both pairings, layers that do not turn, int8 caches, rows that are not written. */
#include "ops/gpu_rope.h"

#include <math.h>
#include <stdio.h>

#include "backend/test_rig.h"

#define TOKENS     5u
#define BLOCK_SIZE 8u
#define NUM_BLOCKS 3u

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};
static const int32_t slots[TOKENS] = {17, 3, -1, 23, 0};

static const struct {
    uint32_t heads, kv_heads, head_dim, rotary_dim;
    vmt_rope_pairing pairing;
    bool has_norm;
} shapes[] = {
    {1, 1, 16, 16, VMT_ROPE_HALVES, false},       {2, 1, 32, 8, VMT_ROPE_INTERLEAVED, true},
    {9, 3, 64, 64, VMT_ROPE_HALVES, false},       {4, 2, 64, 64, VMT_ROPE_INTERLEAVED, false},
    {3, 1, 80, 32, VMT_ROPE_HALVES, false},       {3, 3, 96, 72, VMT_ROPE_HALVES, false},
    {2, 2, 112, 112, VMT_ROPE_INTERLEAVED, true}, {4, 2, 128, 128, VMT_ROPE_HALVES, true},
    {5, 1, 128, 0, VMT_ROPE_HALVES, true},        {2, 1, 128, 0, VMT_ROPE_HALVES, false},
    {2, 2, 192, 64, VMT_ROPE_HALVES, false},      {4, 1, 256, 256, VMT_ROPE_HALVES, true},
    {2, 1, 512, 512, VMT_ROPE_HALVES, true},      {2, 1, 512, 256, VMT_ROPE_INTERLEAVED, false},
};

/* One head after norm and turn. */
static void head_ref(const vmt_gpu_rope_args *a, const vmt_tensor *rows, uint64_t token, uint32_t head,
                     double *x) {
    uint32_t dim = a->kv.layout.head_dim, pairs = a->rotary_dim / 2, kv_heads = a->kv.layout.num_kv_heads;
    uint64_t begin = token * a->qkv.shape[1] + head * dim;
    bool is_v = head >= a->num_heads + kv_heads;
    const vmt_tensor *weight = head < a->num_heads ? &a->q_norm : &a->k_norm;
    double squares = 0;
    for (uint32_t i = 0; i < dim; i++) {
        x[i] = vmt_tensor_at(rows, begin + i);
        squares += x[i] * x[i];
    }
    if (is_v) return;
    for (uint32_t i = 0; i < dim && weight->buffer != NULL; i++) {
        x[i] *= vmt_tensor_at(weight, i) / sqrt(squares / dim + (double)a->norm_eps);
    }
    for (uint32_t i = 0; i < pairs; i++) {
        uint32_t first = a->pairing == VMT_ROPE_HALVES ? i : 2 * i;
        uint32_t second = a->pairing == VMT_ROPE_HALVES ? i + pairs : 2 * i + 1;
        double c = vmt_tensor_at(&a->angles, token * a->rotary_dim + i), p = x[first], q = x[second];
        double s = vmt_tensor_at(&a->angles, token * a->rotary_dim + pairs + i);
        x[first] = p * c - q * s;
        x[second] = q * c + p * s;
    }
}

static double tolerance(vmt_dtype dtype, double x) {
    double unit = dtype == VMT_F32 ? 2e-6 : dtype == VMT_F16 ? 6e-4 : 5e-3;
    return unit * (1 + fabs(x));
}

static void check_cached(vmt_test *t, const vmt_gpu_rope_args *a, uint64_t token, uint32_t head, const double *x) {
    const vmt_gpu_kv *kv = &a->kv;
    uint32_t dim = kv->layout.head_dim, kv_heads = kv->layout.num_kv_heads,
             kv_head = (head - a->num_heads) % kv_heads;
    bool is_v = head >= a->num_heads + kv_heads;
    uint64_t at = (uint64_t)slots[token] * kv_heads + kv_head;
    double scale = 1, max = 0, slack = 0;
    if (kv->layout.dtype == VMT_I8) {
        for (uint32_t i = 0; i < dim; i++) max = fmax(max, fabs(x[i]));
        scale = vmt_tensor_at(is_v ? &kv->v_scale : &kv->k_scale, at);
        vmt_expect_near(t, scale, max / 127, 1e-2 * max / 127);
        slack = scale * 0.51;
    }
    for (uint32_t i = 0; i < dim; i++) {
        double got = scale * vmt_tensor_at(is_v ? &kv->v : &kv->k, at * dim + i);
        vmt_expect_near(t, got, x[i], slack + tolerance(slack > 0 ? VMT_F32 : a->qkv.dtype, x[i]));
    }
}

/* q turned in place, k and v in the cache; their rows and slots of nobody as they were. */
static void check_results(vmt_test *t, const vmt_gpu_rope_args *a, const vmt_tensor *before) {
    uint32_t dim = a->kv.layout.head_dim, kv_heads = a->kv.layout.num_kv_heads,
             heads = a->num_heads + 2 * kv_heads;
    double *x = VMT_ARENA_NEW(t->arena, double, dim);
    for (uint64_t token = 0; token < TOKENS; token++) {
        for (uint32_t h = 0; h < heads; h++) {
            head_ref(a, before, token, h, x);
            if (h >= a->num_heads && slots[token] >= 0) check_cached(t, a, token, h, x);
            for (uint32_t i = 0; i < dim; i++) {
                uint64_t at = token * a->qkv.shape[1] + h * dim + i;
                double want = h < a->num_heads ? x[i] : vmt_tensor_at(before, at);
                vmt_expect_near(t, vmt_tensor_at(&a->qkv, at), want, tolerance(a->qkv.dtype, want));
            }
        }
    }
    for (int32_t slot = 0; slot < (int32_t)(BLOCK_SIZE * NUM_BLOCKS); slot++) {
        bool is_written = false;
        for (uint32_t token = 0; token < TOKENS; token++) is_written = is_written || slots[token] == slot;
        for (uint32_t i = 0; i < kv_heads * dim && !is_written; i++) {
            vmt_expect_eq(t, vmt_tensor_at(&a->kv.k, (uint64_t)slot * kv_heads * dim + i), 0);
            vmt_expect_eq(t, vmt_tensor_at(&a->kv.v, (uint64_t)slot * kv_heads * dim + i), 0);
        }
    }
}

static void check_shape(vmt_test *t, size_t shape, vmt_dtype dtype, bool is_i8) {
    if (!vmt_test_gpu_takes()) return;
    uint32_t heads = shapes[shape].heads, kv_heads = shapes[shape].kv_heads, dim = shapes[shape].head_dim;
    uint32_t stride = (heads + 2 * kv_heads) * dim + 8, rotary = shapes[shape].rotary_dim;
    vmt_gpu_kv_layout layout = {NUM_BLOCKS, BLOCK_SIZE, kv_heads, dim, is_i8 ? VMT_I8 : dtype};
    size_t bytes;
    vmt_expect_eq(t, vmt_gpu_kv_check(&layout, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_kv_bytes(&layout, &bytes, NULL), VMT_OK);
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    vmt_tensor cache = vmt_test_rig_zeros(&rig, VMT_I8, 1, bytes), before;
    vmt_gpu_rope_args args = {
        .qkv = vmt_test_rig_random(&rig, dtype, TOKENS, stride),
        .num_heads = heads,
        .rotary_dim = rotary,
        .pairing = shapes[shape].pairing,
        .norm_eps = 1e-6f,
        .slot_mapping = vmt_test_rig_ints(&rig, slots, 1, TOKENS),
        .kv = vmt_gpu_kv_at(&layout, cache.buffer, 0),
    };
    if (rotary > 0) args.angles = vmt_test_rig_random(&rig, VMT_F32, TOKENS, rotary);
    if (shapes[shape].has_norm) {
        args.q_norm = vmt_test_rig_random(&rig, VMT_F32, 1, dim);
        args.k_norm = vmt_test_rig_random(&rig, VMT_F32, 1, dim);
    }
    before = vmt_test_rig_zeros(&rig, dtype, TOKENS, stride);
    memcpy(vmt_tensor_data(&before), vmt_tensor_data(&args.qkv), vmt_tensor_bytes(&before));
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_rope(rig.program, &args, &err), &err);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = TOKENS};
    vmt_test_rig_run(&rig, counts);
    check_results(t, &args, &before);
    vmt_test_rig_close(&rig);
}

static void agrees_with_the_formula(vmt_test *t) {
    for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
        for (size_t d = 0; d < VMT_COUNT(types); d++) check_shape(t, s, types[d], false);
    }
}

static void writes_an_int8_cache(vmt_test *t) {
    for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
        for (size_t d = 0; d < VMT_COUNT(types); d++) check_shape(t, s, types[d], true);
    }
}

static void finds_angles_at_any_position(vmt_test *t) {
    static const int32_t positions[] = {0, 1, 17, 4095, 131071, 1000003, (1 << 27) - 1};
    static const uint32_t dims[] = {4, 20, 64, 128, 256};
    for (size_t d = 0; d < VMT_COUNT(dims); d++) {
        if (!vmt_test_gpu_takes()) continue;
        uint32_t pairs = dims[d] / 2, turns[256];
        float inv_freq[128];
        for (uint32_t i = 0; i < pairs; i++) inv_freq[i] = (float)(1.25 * pow(1e6, -2.0 * i / dims[d]));
        vmt_gpu_rope_turns(inv_freq, pairs, turns);
        vmt_test_rig rig;
        vmt_test_rig_open(&rig, t);
        vmt_gpu_rope_angles_args args = {
            .turns = vmt_test_rig_ints(&rig, turns, pairs, 2),
            .positions = vmt_test_rig_ints(&rig, positions, 1, VMT_COUNT(positions)),
            .out = vmt_test_rig_zeros(&rig, VMT_F32, VMT_COUNT(positions), dims[d]),
            .attention_factor = 1.25f,
        };
        vmt_err err = {0};
        vmt_test_rig_recorded(&rig, vmt_gpu_rope_angles(rig.program, &args, &err), &err);
        uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = VMT_COUNT(positions)};
        vmt_test_rig_run(&rig, counts);
        for (uint32_t p = 0; p < VMT_COUNT(positions); p++) {
            for (uint32_t i = 0; i < pairs; i++) {
                double angle = (double)positions[p] * (double)inv_freq[i];
                vmt_expect_near(t, vmt_tensor_at(&args.out, p * dims[d] + i), 1.25 * cos(angle), 1e-6);
                vmt_expect_near(t, vmt_tensor_at(&args.out, p * dims[d] + pairs + i), 1.25 * sin(angle), 1e-6);
            }
        }
        vmt_test_rig_close(&rig);
    }
}

static void refuses_what_does_not_fit(vmt_test *t) {
    vmt_buffer memory = {.bytes = 1 << 24};
    vmt_gpu_kv_layout layout = {4, 16, 2, 64, VMT_F16};
    vmt_gpu_rope_args good =
                          {
                              .qkv = {&memory, 0, VMT_F16, 2, {4, 512}},
                              .num_heads = 4,
                              .rotary_dim = 64,
                              .angles = {&memory, 0, VMT_F32, 2, {4, 64}},
                              .slot_mapping = {&memory, 0, VMT_I32, 1, {4}},
                              .kv = vmt_gpu_kv_at(&layout, &memory, 0),
                          },
                      args = good;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_rope_check(&args, &err), VMT_OK);
    args.num_heads = 5; /* 9 heads of 64 in rows of 512 */
    vmt_expect_eq(t, vmt_gpu_rope_check(&args, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "rope: 9 heads of 64 in rows of 512");
    args = good;
    args.rotary_dim = 66;
    vmt_expect_eq(t, vmt_gpu_rope_check(&args, NULL), VMT_E_UNSUPPORTED);
    args = good;
    args.kv.layout.dtype = VMT_BF16;
    vmt_expect_eq(t, vmt_gpu_rope_check(&args, NULL), VMT_E_INVALID);
    args = good;
    args.q_norm = (vmt_tensor){&memory, 0, VMT_F32, 1, {64}}; /* k has none */
    vmt_expect_eq(t, vmt_gpu_rope_check(&args, NULL), VMT_E_INVALID);
    args = good;
    args.slot_mapping.shape[0] = 3;
    vmt_expect_eq(t, vmt_gpu_rope_check(&args, NULL), VMT_E_INVALID);
    layout.head_dim = 68;
    vmt_expect_eq(t, vmt_gpu_kv_check(&layout, NULL), VMT_E_UNSUPPORTED);
    layout.head_dim = 64;
    layout.block_size = 12;
    vmt_expect_eq(t, vmt_gpu_kv_check(&layout, NULL), VMT_E_INVALID);
    layout.block_size = 32;
    layout.num_blocks = 1u << 27;
    vmt_expect_eq(t, vmt_gpu_kv_check(&layout, NULL), VMT_E_INVALID);
}

static const vmt_test_case cases[] = {
    {"agrees_with_the_formula", agrees_with_the_formula},
    {"writes_an_int8_cache", writes_an_int8_cache},
    {"finds_angles_at_any_position", finds_angles_at_any_position},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
