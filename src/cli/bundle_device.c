#include "cli/bundle_device.h"

#include "backend/cpu/cpu.h"
#include "base/log.h"
#include "cli/environment.h"
#include "hub/storage.h"

#include <stdio.h>
#include <string.h>

/* Without an explicit figure the cache takes at most this much of a machine that others use too. */
#define CPU_KV_BYTES_DEFAULT ((uint64_t)4 << 30)
#define GPU_UTILIZATION      0.9 /* of what the system advises to use at most, unless told otherwise */
#define STEP_TIMEOUT_NS      UINT64_C(60000000000)
#define SLOW_STEP_TIMEOUT_NS UINT64_C(3600000000000) /* of the driver that runs kernels on the CPU */

static bool is_host(const vmt_bundle *bundle) {
    return bundle->gpu != NULL && strcmp(bundle->gpu->driver, "host") == 0;
}

/* ---- device */

static const char *auto_device(void) {
#if defined(__APPLE__)
    return "metal";
#else
    return "cpu";
#endif
}

/* CUDA's compiler takes a minute for a model's kernels: what it makes is kept. */
static const char *driver_of(const vmt_bundle *bundle, vmt_str name) {
    if (!vmt_str_eq_c(name, "cuda")) return vmt_arena_printf(bundle->arena, "%.*s", VMT_STR_ARG(name)).ptr;
    const char *folder = vmt_environment_cache(bundle->arena, "kernels");
    vmt_err err = {0};
    if (vmt_make_folders(folder, &err) == VMT_OK) return vmt_arena_printf(bundle->arena, "cuda:%s", folder).ptr;
    vmt_log_warn("event=no_kernel_cache reason=\"%s\" note=\"kernels are compiled at each start\"", err.msg);
    return "cuda";
}

vmt_status vmt_bundle_open_device(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    bool is_auto = options->device.len == 0 || vmt_str_eq_c(options->device, "auto");
    vmt_str name = is_auto ? vmt_str_from(auto_device()) : options->device;
    vmt_err why = {0};
    if (!vmt_str_eq_c(name, "cpu")) {
        if (vmt_gpu_open(&bundle->gpu, driver_of(bundle, name), &why) == VMT_OK) return VMT_OK;
        if (!is_auto) {
            return vmt_fail_param(err, VMT_E_UNSUPPORTED, "--device", "%.150s; --device cpu runs without a GPU",
                                  why.msg);
        }
        vmt_log_warn("event=no_gpu reason=\"%s\" note=\"the CPU is used\"", why.msg);
    }
    return vmt_cpu_backend_create(&bundle->backend, (uint32_t)options->threads, err);
}

uint64_t vmt_bundle_step_timeout_ns(const vmt_bundle *bundle, const vmt_bundle_options *options) {
    if (options->step_timeout_ms > 0) return (uint64_t)options->step_timeout_ms * 1000000u;
    return is_host(bundle) ? SLOW_STEP_TIMEOUT_NS : STEP_TIMEOUT_NS;
}

/* ---- types */

static const struct type_name {
    const char *name;
    vmt_dtype dtype;
} type_names[] = {
    {"float32", VMT_F32}, {"float", VMT_F32},     {"float16", VMT_F16},
    {"half", VMT_F16},    {"bfloat16", VMT_BF16}, {"int8", VMT_I8},
};

/* VMT_NUM_DTYPES for auto. */
static vmt_dtype type_named(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(type_names); i++) {
        if (vmt_str_eq_c(name, type_names[i].name)) return type_names[i].dtype;
    }
    return VMT_NUM_DTYPES;
}

vmt_status vmt_bundle_open_model(vmt_bundle *bundle, const vmt_bundle_options *options,
                                 vmt_model_progress progress, vmt_err *err) {
    if (bundle->gpu == NULL) {
        if (type_named(options->dtype) != VMT_NUM_DTYPES) {
            vmt_log_warn("event=flag_ignored flag=--dtype note=\"the CPU computes in float32\"");
        }
        return vmt_model_open(&bundle->model, bundle->config, bundle->weights, bundle->backend, progress, err);
    }
    VMT_TRY(vmt_model_open_gpu(&bundle->model, bundle->config, bundle->weights, bundle->gpu,
                               type_named(options->dtype), err));
    /* Where the system compiles the kernels, with a compiler that is not ours to choose. */
    bool may_differ = strcmp(bundle->gpu->driver, "metal") == 0;
    return may_differ ? vmt_model_check_gpu(bundle->model, err) : VMT_OK;
}

vmt_status vmt_bundle_create_kv(vmt_bundle *bundle, const vmt_model_kv_options *kv, vmt_err *err) {
    vmt_err why = {0};
    vmt_status status = vmt_model_kv_create(bundle->model, kv, &why);
    if (status == VMT_OK) return VMT_OK;
    bool can_not = bundle->gpu != NULL && status == VMT_E_UNSUPPORTED;
    return vmt_fail(err, status, "%s%s", why.msg, can_not ? "; --device cpu runs without a GPU" : "");
}

vmt_status vmt_bundle_choose_kv_dtype(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    vmt_str name = options->kv_cache_dtype;
    vmt_dtype asked = type_named(name);
    bool is_auto = name.len == 0 || vmt_str_eq_c(name, "auto");
    if (bundle->gpu != NULL) {
        vmt_dtype type = vmt_model_type(bundle->model);
        bundle->kv_dtype = is_auto ? type : asked;
        if (is_auto || asked == type || asked == VMT_I8) return VMT_OK;
        return vmt_fail_param(
            err, VMT_E_UNSUPPORTED, "--kv-cache-dtype",
            "--kv-cache-dtype %.32s is not supported for this model on a GPU; choose auto or int8", name.ptr);
    }
    /* As exact as the weights: a float32 checkpoint keeps float32 keys, so that answers equal the reference's. */
    vmt_dtype weights = bundle->config->dtype;
    bundle->kv_dtype = is_auto ? (weights == VMT_F32 || weights == VMT_BF16 ? weights : VMT_F16) : asked;
    if (bundle->kv_dtype != VMT_NUM_DTYPES && bundle->kv_dtype != VMT_I8) return VMT_OK;
    return vmt_fail_param(err, VMT_E_UNSUPPORTED, "--kv-cache-dtype",
                          "--kv-cache-dtype %.32s is not supported on the CPU; choose auto, float32, float16 or "
                          "bfloat16",
                          name.ptr);
}

/* ---- memory */

static vmt_status gpu_kv_budget(const vmt_bundle *bundle, const vmt_bundle_options *options, uint64_t least,
                                uint64_t *out, vmt_err *err) {
    double share = options->memory_utilization > 0 ? options->memory_utilization : GPU_UTILIZATION;
    double offered = (double)bundle->gpu->caps.working_set_bytes * share;
    double fixed = (double)bundle->scratch_bytes, weights = (double)bundle->weight_bytes;
    double needed = weights + fixed + (double)least;
    if (needed > offered) {
        double fits = offered - fixed - (double)least;
        return vmt_fail(
            err, VMT_E_EXHAUSTED,
            "the model takes %.2f GB (weights %.2f, scratch %.2f, smallest KV cache %.2f) and %s offers "
            "%.2f GB, %.2f GB too little; weights of %.2f GB would fit",
            needed * 1e-9, weights * 1e-9, fixed * 1e-9, (double)least * 1e-9, bundle->gpu->caps.name,
            offered * 1e-9, (needed - offered) * 1e-9, fits > 0 ? fits * 1e-9 : 0.0);
    }
    *out = (uint64_t)(offered - weights - fixed);
    return VMT_OK;
}

static uint64_t cpu_kv_budget(const vmt_bundle *bundle, const vmt_bundle_options *options) {
    uint64_t free_bytes = vmt_cpu_memory_available_bytes();
    uint64_t half = free_bytes / 2 > bundle->scratch_bytes ? free_bytes / 2 - bundle->scratch_bytes : 0;
    if (options->memory_utilization <= 0) return VMT_MIN(half, CPU_KV_BYTES_DEFAULT);
    double share = (double)vmt_cpu_memory_bytes() * options->memory_utilization;
    double used = (double)bundle->weight_bytes + (double)bundle->scratch_bytes;
    uint64_t asked = share > used ? (uint64_t)(share - used) : 0;
    return VMT_MIN(asked, free_bytes);
}

vmt_status vmt_bundle_kv_budget(const vmt_bundle *bundle, const vmt_bundle_options *options, uint64_t least,
                                uint64_t *out, vmt_err *err) {
    *out = 0;
    if (bundle->gpu != NULL && !is_host(bundle))
        VMT_TRY(gpu_kv_budget(bundle, options, least, out, err));
    else
        *out = cpu_kv_budget(bundle, options); /* the host driver's memory is the machine's */
    if (options->kv_cache_memory_bytes > 0) *out = (uint64_t)options->kv_cache_memory_bytes;
    return VMT_OK;
}
