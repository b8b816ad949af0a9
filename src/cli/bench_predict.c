/* vmetal bench predict: what a model's steps would do on a Mac with some chip, and how long published figures say that
 * takes.  Nothing runs and nothing is measured. */
#include "backend/plan/plan_gpu.h"
#include "cli/bundle.h"
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "model/predict.h"

#include <unistd.h>

#define WORKING_SET_SHARE 0.75 /* of a Mac's memory, that its GPU is advised to use at most */

typedef struct predict_options {
    vmt_flag_list model_args;
    vmt_str model, chip, dtype;
    int64_t context, batch_size, prompt_len, chunk;
} predict_options;

static const predict_options defaults = {.chip = {"M4-Max", 6},
                                         .dtype = {"auto", 4},
                                         .context = 1024,
                                         .batch_size = 1,
                                         .prompt_len = 2048,
                                         .chunk = 512};

#define ROW(n, k, v, f, d, h)                                                                         \
    .name = n, .kind = VMT_FLAG_##k, .group = "Prediction", .value = v, .default_text = d, .help = h, \
    .offset = offsetof(predict_options, f)

static const vmt_flag flags[] = {
    {.name = "model",
     .kind = VMT_FLAG_STR,
     .group = "Model",
     .value = "MODEL",
     .help = "the model, as in serve; a GGUF file needs no tokenizer here",
     .default_text = VMT_DEFAULT_MODEL,
     .offset = offsetof(predict_options, model)},
    {ROW("chip", STR, "NAME", chip, "M4-Max", "the Mac's chip: M1, M1-Pro, ... M5-Max")},
    {ROW("dtype", STR, "TYPE", dtype, "auto", "activations and KV cache: auto is what the file computes in"),
     .choices = "auto|float16|bfloat16|float32"},
    {ROW("context", INT, "N", context, "1024", "tokens that each decoding sequence has"), .min = 1,
     .max = 1 << 27},
    {ROW("batch-size", INT, "N", batch_size, "1", "sequences that decode side by side"), .min = 1, .max = 4096},
    {ROW("prompt-len", INT, "N", prompt_len, "2048", "tokens of the prompt"), .min = 1, .max = 1 << 27},
    {ROW("max-num-batched-tokens", INT, "N", chunk, "512", "of these, in one step"), .min = 1, .max = 65536},
};

/* ---- printing */

static void show_work(const vmt_gpu_predicted_work *w, uint32_t num_layers, double num_tokens) {
    const vmt_step_prediction *t = &w->time;
    printf("  dispatches      %u: %.4g per layer in %u layers, %u beside them", w->cost.num_dispatches,
           w->layer_dispatches, num_layers, w->other_dispatches);
    printf(w->num_steps > 1 ? "; in %u steps\n" : "\n", w->num_steps);
    printf("  barriers        %u\n", w->cost.num_barriers);
    printf("  bytes read      %.1f MB of weights, %.1f MB of KV cache\n",
           (double)(w->cost.bytes - w->kv_bytes) * 1e-6, (double)w->kv_bytes * 1e-6);
    if (w->cost.flops > 0) printf("  operations      %.4g GFLOP\n", (double)w->cost.flops * 1e-9);
    printf("  predicted time  %.3f ms: memory %.3f, arithmetic %.3f, gaps between dispatches %.3f\n",
           t->total_ns * 1e-6, t->memory_ns * 1e-6, t->compute_ns * 1e-6, t->gaps_ns * 1e-6);
    printf("  predicted speed %.1f tokens/s; the ceiling is %.1f: %.0f %%\n", num_tokens / t->total_ns * 1e9,
           num_tokens / t->ceiling_ns * 1e9, 100 * t->ceiling_ns / t->total_ns);
}

static void show(const predict_options *o, const vmt_chip *chip, const vmt_bundle *bundle,
                 const vmt_gpu_weights *weights, const vmt_gpu_predicted_work *decode,
                 const vmt_gpu_predicted_work *prefill) {
    uint32_t num_layers = bundle->config->num_layers;
    printf("PREDICTION, nothing ran: %s\n", bundle->path);
    printf("on %s (published: %u GPU cores, %u GB/s, %.3g TFLOPS; costs of dispatches as others report them)\n",
           chip->name, chip->num_cores, chip->gb_per_s, chip->tflops);
    printf("weights %.1f MB, activations and KV cache %s\n\n", (double)weights->bytes * 1e-6,
           vmt_dtype_get(weights->type)->name);
    printf("decode, predicted: a step of %lld sequence%s of %lld tokens\n", (long long)o->batch_size,
           o->batch_size == 1 ? "" : "s", (long long)o->context);
    show_work(decode, num_layers, (double)o->batch_size);
    printf("\nprefill, predicted: a prompt of %lld tokens\n", (long long)o->prompt_len);
    show_work(prefill, num_layers, (double)o->prompt_len);
    printf("\nThe ceiling is the chip's bandwidth or arithmetic rate alone, whichever takes longer.\n");
    double used = (double)weights->bytes, room = chip->memory_gib * 1073741824.0 * WORKING_SET_SHARE;
    if (used > room) {
        printf("! %.1f GB of weights do not fit: the largest such Mac has %u GiB, and its GPU may use about %.1f "
               "GB\n",
               used * 1e-9, chip->memory_gib, room * 1e-9);
    }
}

/* ---- running */

static vmt_dtype type_named(vmt_str name) {
    if (vmt_str_eq_c(name, "float32")) return VMT_F32;
    if (vmt_str_eq_c(name, "float16")) return VMT_F16;
    return vmt_str_eq_c(name, "bfloat16") ? VMT_BF16 : VMT_NUM_DTYPES;
}

/* Weights that are too large for the chip are still planned: what does not fit is said. */
static vmt_gpu_caps caps_of(const vmt_chip *chip) {
    long page = sysconf(_SC_PAGESIZE);
    vmt_gpu_caps caps = {
        .generation = chip->generation,
        .num_cores = chip->num_cores,
        .is_unified = true,
        .buffer_bytes_max = SIZE_MAX / 2 + 1,
        .working_set_bytes = (size_t)((double)chip->memory_gib * 1073741824.0 * WORKING_SET_SHARE),
        .page_bytes = page > 0 ? (size_t)page : 16384,
    };
    snprintf(caps.name, sizeof caps.name, "%s", chip->name);
    return caps;
}

static vmt_status predict(const predict_options *o, const vmt_chip *chip, vmt_bundle *bundle,
                          vmt_gpu_weights *weights, vmt_err *err) {
    vmt_bundle_options options = VMT_BUNDLE_DEFAULTS;
    options.model = vmt_model_argument(o->model_args, o->model);
    VMT_TRY(vmt_bundle_open_shape(bundle, &options, err));
    vmt_gpu_caps caps = caps_of(chip);
    VMT_TRY(vmt_plan_gpu_open(&bundle->gpu, &caps, err));
    VMT_TRY(
        vmt_gpu_weights_load(weights, bundle->config, bundle->weights, bundle->gpu, type_named(o->dtype), err));
    vmt_gpu_predict_options what = {
        .batch_size = (uint32_t)o->batch_size,
        .context = (uint32_t)o->context,
        .prompt_len = (uint32_t)o->prompt_len,
        .chunk = (uint32_t)o->chunk,
    };
    vmt_gpu_predicted_work decode, prefill;
    VMT_TRY(vmt_gpu_predict(bundle->config, weights, chip, &what, &decode, &prefill, err));
    show(o, chip, bundle, weights, &decode, &prefill);
    return VMT_OK;
}

static int run_predict(const void *opts) {
    const predict_options *o = opts;
    const vmt_chip *chip = vmt_chip_find(o->chip);
    char names[256];
    if (chip == NULL) {
        fprintf(stderr, "vmetal bench predict: --chip %.*s is unknown; known are %s\n", VMT_STR_ARG(o->chip),
                vmt_chip_list(names, sizeof names));
        return VMT_EXIT_USAGE;
    }
    vmt_bundle bundle = {0};
    vmt_gpu_weights weights = {0};
    vmt_err err = {0};
    vmt_status status = predict(o, chip, &bundle, &weights, &err);
    if (weights.gpu != NULL) vmt_gpu_weights_reset(&weights);
    vmt_bundle_close(&bundle);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("bench predict", status, &err);
}

const vmt_command vmt_bench_predict_command = {
    .name = "bench predict",
    .summary = "predicts, from its recorded steps, what a model would do on a Mac's GPU",
    .usage = "vmetal bench predict [MODEL] [flags]",
    .positional = "MODEL",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(predict_options, model_args),
    .positionals_max = 1,
    .example = "vmetal bench predict --chip M4-Max --context 8192",
    .run = run_predict,
    .defaults = &defaults,
    .options_bytes = sizeof(predict_options),
};
