/* ops/gpu_rope.c: see the header. */
#include "ops/gpu_rope.h"
#include "kernels/rope_kargs.h"
#include "ops/gpu_type.h"

#include <math.h>
#include <stdio.h>

#define HEADS_PER_GROUP 4u
#define NARROW_DIM      128u /* a simdgroup's lanes hold 4 elements each; wider heads 16 */
#define TURNS_PER_RAD   0.15915494309189533576888376337251436

/* ---- angles */

void vmt_gpu_rope_turns(const float *inv_freq, uint32_t num_pairs, uint32_t *out) {
    for (uint32_t i = 0; i < num_pairs; i++) {
        double turns = (double)inv_freq[i] * TURNS_PER_RAD;
        double high = floor((turns - floor(turns)) * 0x1p32);
        double low = ((turns - floor(turns)) * 0x1p32 - high) * 0x1p32; /* exact: a double has 53 bits */
        out[2 * i] = (uint32_t)low;
        out[2 * i + 1] = (uint32_t)high;
    }
}

vmt_status vmt_gpu_rope_angles(vmt_gpu_program *program, const vmt_gpu_rope_angles_args *a, vmt_err *err) {
    uint64_t rows = a->out.shape[0], dim = a->out.shape[1];
    if (a->out.ndim != 2 || a->out.dtype != VMT_F32 || dim == 0 || dim % 2 != 0 || dim > UINT32_MAX ||
        a->turns.dtype != VMT_I32 || vmt_tensor_elems(&a->turns) != dim || a->positions.dtype != VMT_I32 ||
        vmt_tensor_elems(&a->positions) < rows) {
        return vmt_fail(
            err, VMT_E_INVALID, "rope_angles: out is F32 [%llu, %llu]; turns has %llu words, positions %llu",
            (unsigned long long)rows, (unsigned long long)dim, (unsigned long long)vmt_tensor_elems(&a->turns),
            (unsigned long long)vmt_tensor_elems(&a->positions));
    }
    vmt_rope_angles_kargs kargs = {(uint32_t)rows, (uint32_t)(dim / 2), a->attention_factor};
    vmt_gpu_op op = {
        .kernel = "rope_angles",
        .buffers = {a->turns, a->positions, a->out},
        .num_buffers = 3,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {(uint32_t)rows, 1, 1},
        .count = VMT_COUNT_TOKENS,
        .axis = 0,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}

/* ---- heads */

static vmt_status check_tables(const vmt_gpu_rope_args *a, vmt_err *err) {
    uint64_t rows = a->qkv.shape[0], dim = a->kv.layout.head_dim;
    if (a->rotary_dim > dim || a->rotary_dim % 4 != 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "rope: %u elements of a head of %llu turn; a multiple of 4 can",
                        a->rotary_dim, (unsigned long long)dim);
    }
    if (a->rotary_dim > 0 && (a->angles.dtype != VMT_F32 || vmt_tensor_elems(&a->angles) < rows * a->rotary_dim)) {
        return vmt_fail(err, VMT_E_INVALID, "rope: %llu angles for %llu rows of %u",
                        (unsigned long long)vmt_tensor_elems(&a->angles), (unsigned long long)rows, a->rotary_dim);
    }
    const vmt_tensor *norms[] = {&a->q_norm, &a->k_norm};
    for (size_t i = 0; i < VMT_COUNT(norms); i++) {
        if ((norms[i]->buffer != NULL) != (a->q_norm.buffer != NULL) ||
            (norms[i]->buffer != NULL && (norms[i]->dtype != VMT_F32 || vmt_tensor_elems(norms[i]) != dim))) {
            return vmt_fail(err, VMT_E_INVALID, "rope: the norm of %s has %llu elements, a head %llu",
                            i == 0 ? "q" : "k", (unsigned long long)vmt_tensor_elems(norms[i]),
                            (unsigned long long)dim);
        }
    }
    if (a->slot_mapping.dtype != VMT_I32 || vmt_tensor_elems(&a->slot_mapping) < rows) {
        return vmt_fail(err, VMT_E_INVALID, "rope: %llu slots for %llu rows",
                        (unsigned long long)vmt_tensor_elems(&a->slot_mapping), (unsigned long long)rows);
    }
    return VMT_OK;
}

vmt_status vmt_gpu_rope_check(const vmt_gpu_rope_args *a, vmt_err *err) {
    const vmt_gpu_kv_layout *l = &a->kv.layout;
    VMT_TRY(vmt_gpu_kv_check(l, err));
    if (a->qkv.ndim != 2 || vmt_gpu_type_name(a->qkv.dtype) == NULL ||
        (l->dtype != a->qkv.dtype && l->dtype != VMT_I8)) {
        return vmt_fail(err, VMT_E_INVALID,
                        "rope: qkv is of type %s, the KV cache of %s; the cache has the same or I8",
                        vmt_dtype_get(a->qkv.dtype)->name, vmt_dtype_get(l->dtype)->name);
    }
    uint64_t heads = (uint64_t)a->num_heads + 2 * (uint64_t)l->num_kv_heads, stride = a->qkv.shape[1];
    if (a->num_heads == 0 || heads * l->head_dim > stride || stride % 4 != 0 || stride > UINT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "rope: %llu heads of %u in rows of %llu", (unsigned long long)heads,
                        l->head_dim, (unsigned long long)stride);
    }
    return check_tables(a, err);
}

/* Stands in for scales that are not written: an element of the cache, and not its first, because two buffers of which
 * one is written must not begin at the same place. */
static vmt_tensor stand_in(vmt_tensor cache) {
    return (vmt_tensor){cache.buffer, cache.offset + 4, cache.dtype, 1, {1}};
}

vmt_status vmt_gpu_rope(vmt_gpu_program *program, const vmt_gpu_rope_args *a, vmt_err *err) {
    VMT_TRY(vmt_gpu_rope_check(a, err));
    const vmt_gpu_kv *kv = &a->kv;
    const vmt_gpu_kv_layout *l = &kv->layout;
    bool has_norm = a->q_norm.buffer != NULL, is_i8 = l->dtype == VMT_I8;
    char name[32];
    snprintf(name, sizeof name, "rope%s%s_%s", l->head_dim > NARROW_DIM ? "_wide" : "", is_i8 ? "_i8" : "",
             vmt_gpu_type_name(a->qkv.dtype));
    vmt_rope_kargs kargs = {
        .num_rows = (uint32_t)a->qkv.shape[0],
        .num_heads = a->num_heads,
        .num_kv_heads = l->num_kv_heads,
        .head_dim = l->head_dim,
        .stride = (uint32_t)a->qkv.shape[1],
        .rotary_dim = a->rotary_dim,
        .is_interleaved = a->pairing == VMT_ROPE_INTERLEAVED,
        .has_norm = has_norm,
        .norm_eps = a->norm_eps,
    };
    uint32_t heads = a->num_heads + 2 * l->num_kv_heads;
    vmt_tensor unused =
        a->slot_mapping; /* stands in for what is not read; for what is not written the caches do */
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->qkv, a->rotary_dim > 0 ? a->angles : unused, has_norm ? a->q_norm : unused,
                    has_norm ? a->k_norm : unused, a->slot_mapping, kv->k, kv->v,
                    is_i8 ? kv->k_scale : stand_in(kv->k), is_i8 ? kv->v_scale : stand_in(kv->v)},
        .num_buffers = 9,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {(uint32_t)a->qkv.shape[0], (heads + HEADS_PER_GROUP - 1) / HEADS_PER_GROUP, 1},
        .count = VMT_COUNT_TOKENS,
        .axis = 0,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}
