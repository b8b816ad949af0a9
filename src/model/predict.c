#include "model/predict.h"

#include "model/gpu_decoder.h"

#define BLOCK_SIZE 16u
/* Products of fewer rows wait for memory on every chip there is. */
#define COMPUTE_ROWS_MIN 17u

struct forecast {
    const vmt_model_config *config;
    const vmt_gpu_weights *weights;
    const vmt_chip *chip;
    const vmt_gpu_predict_options *options;
    vmt_gpu_decoder *whole, *single;  /* of all layers, and of the first alone */
    uint64_t layer_elems, head_elems; /* of weights: all layers', the head's */
};

/* ---- bytes and operations */

static uint64_t linear_elems(const vmt_gpu_linear *linear) {
    uint64_t elems = 0;
    for (uint32_t i = 0; i < linear->num_parts; i++) {
        elems += (uint64_t)linear->parts[i].rows * linear->parts[i].cols;
    }
    return elems;
}

static void count_weights(struct forecast *f) {
    for (uint32_t i = 0; i < f->config->num_layers; i++) {
        const vmt_gpu_layer *l = &f->weights->layers[i];
        f->layer_elems +=
            linear_elems(&l->qkv) + linear_elems(&l->o) + linear_elems(&l->gate_up) + linear_elems(&l->down);
    }
    f->head_elems = linear_elems(&f->weights->head);
}

/* Keys that one query row sees in a layer when the sequence has so many. */
static uint64_t seen_keys(const vmt_model_config *c, uint32_t layer, uint64_t num_keys) {
    return c->layer_is_sliding[layer] && c->sliding_window > 0 ? VMT_MIN(num_keys, c->sliding_window) : num_keys;
}

/* Bytes of keys and values that num_rows rows at the end of num_keys keys read, each once. */
static uint64_t kv_bytes(const struct forecast *f, uint64_t num_rows, uint64_t num_keys) {
    const vmt_model_config *c = f->config;
    uint64_t key_bytes =
        2 * (uint64_t)c->num_kv_heads * c->head_dim * vmt_dtype_get(f->weights->type)->block_bytes;
    uint64_t keys = 0;
    for (uint32_t i = 0; i < c->num_layers; i++) {
        keys += VMT_MIN(seen_keys(c, i, num_keys) + num_rows - 1, num_keys);
    }
    return keys * key_bytes;
}

/* Of the products of weights and, in a prefill, of queries with keys and weights with values. */
static uint64_t step_flops(const struct forecast *f, uint64_t num_rows, uint64_t num_keys) {
    const vmt_model_config *c = f->config;
    uint64_t flops = 2 * f->layer_elems * num_rows, pairs = 0;
    for (uint32_t i = 0; i < c->num_layers; i++) {
        pairs += num_rows * seen_keys(c, i, num_keys - num_rows / 2);
    }
    return flops + 4 * (uint64_t)c->num_heads * c->head_dim * pairs + 2 * f->head_elems;
}

/* ---- steps */

static void add_step(const struct forecast *f, const vmt_step_cost *cost, vmt_gpu_predicted_work *out) {
    vmt_step_prediction p = vmt_chip_predict(f->chip, cost);
    out->cost.bytes += cost->bytes;
    out->cost.flops += cost->flops;
    out->cost.num_dispatches += cost->num_dispatches;
    out->cost.num_barriers += cost->num_barriers;
    out->time.ceiling_ns += p.ceiling_ns;
    out->time.memory_ns += p.memory_ns;
    out->time.compute_ns += p.compute_ns;
    out->time.gaps_ns += p.gaps_ns;
    out->time.total_ns += p.total_ns;
    out->num_steps++;
}

/* What is counted in the whole and not in the first layer alone belongs to the other layers. */
static void count_layers(const struct forecast *f, const uint32_t *counts, vmt_gpu_predicted_work *out) {
    uint32_t whole = vmt_gpu_decoder_stats(f->whole, counts).num_dispatches;
    uint32_t single = vmt_gpu_decoder_stats(f->single, counts).num_dispatches;
    uint32_t num_more = f->config->num_layers - 1;
    if (num_more == 0) {
        out->layer_dispatches = whole;
        return;
    }
    out->layer_dispatches = (double)(whole - single) / num_more;
    out->other_dispatches = (uint32_t)((double)single - out->layer_dispatches + 0.5);
}

static void predict_decode(const struct forecast *f, vmt_gpu_predicted_work *out) {
    uint32_t batch = f->options->batch_size, context = f->options->context;
    uint32_t num_parts = vmt_gpu_attention_num_parts(context);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {
        [VMT_COUNT_TOKENS] = batch,
        [VMT_COUNT_LOGITS] = batch,
        [VMT_COUNT_DECODES] = batch,
        [VMT_COUNT_DECODE_SPLITS] = batch * num_parts,
        [VMT_COUNT_DECODE_MERGES] = num_parts > 1 ? batch : 0,
        [VMT_COUNT_SAMPLES] = batch,
    };
    vmt_gpu_program_stats stats = vmt_gpu_decoder_stats(f->whole, counts);
    out->kv_bytes = batch * kv_bytes(f, 1, context);
    vmt_step_cost cost = {
        .bytes = stats.bytes_read + out->kv_bytes,
        .num_dispatches = stats.num_dispatches,
        .num_barriers = stats.num_barriers,
    };
    if (batch >= COMPUTE_ROWS_MIN) cost.flops = 2 * (f->layer_elems + f->head_elems) * batch;
    add_step(f, &cost, out);
    count_layers(f, counts, out);
}

static void predict_prefill(const struct forecast *f, vmt_gpu_predicted_work *out) {
    uint32_t prompt_len = f->options->prompt_len;
    for (uint32_t begin = 0; begin < prompt_len; begin += f->options->chunk) {
        uint32_t rows = VMT_MIN(prompt_len - begin, f->options->chunk);
        bool is_last = begin + rows == prompt_len;
        uint32_t counts[VMT_NUM_STEP_COUNTS] = {
            [VMT_COUNT_TOKENS] = rows,
            [VMT_COUNT_LOGITS] = is_last,
            [VMT_COUNT_PREFILL_TILES] = rows, /* how many does not matter, that there are some does */
            [VMT_COUNT_SAMPLES] = is_last,
        };
        vmt_gpu_program_stats stats = vmt_gpu_decoder_stats(f->whole, counts);
        uint64_t read = kv_bytes(f, rows, begin + rows);
        vmt_step_cost cost = {
            .bytes = stats.bytes_read + read,
            .num_dispatches = stats.num_dispatches,
            .num_barriers = stats.num_barriers,
        };
        if (rows >= COMPUTE_ROWS_MIN) cost.flops = step_flops(f, rows, begin + rows);
        out->kv_bytes += read;
        add_step(f, &cost, out);
        if (is_last) count_layers(f, counts, out);
    }
}

/* ---- programs */

static vmt_status check(const struct forecast *f, vmt_err *err) {
    const vmt_gpu_predict_options *o = f->options;
    const struct {
        const char *name;
        uint32_t value, max;
    } limits[] = {
        {"batch size", o->batch_size, 4096},
        {"context", o->context, f->config->context_max},
        {"prompt", o->prompt_len, f->config->context_max},
        {"chunk", o->chunk, 65536},
    };
    for (size_t i = 0; i < VMT_COUNT(limits); i++) {
        if (limits[i].value >= 1 && limits[i].value <= limits[i].max) continue;
        return vmt_fail(err, VMT_E_INVALID, "a %s of %u; it can be 1 to %u here", limits[i].name, limits[i].value,
                        limits[i].max);
    }
    return VMT_OK;
}

static vmt_status record(struct forecast *f, const vmt_model_config *first_layer, vmt_err *err) {
    const vmt_gpu_predict_options *o = f->options;
    uint64_t num_blocks = o->batch_size * ((uint64_t)o->context / BLOCK_SIZE + 1) + o->prompt_len / BLOCK_SIZE + 2;
    vmt_model_kv_options kv = {
        .block_size = BLOCK_SIZE,
        .dtype = f->weights->type,
        .num_blocks = (uint32_t)VMT_MIN(num_blocks, UINT32_MAX / (2 * BLOCK_SIZE)),
        .tokens_max = VMT_MAX(VMT_MIN(o->chunk, o->prompt_len), o->batch_size),
        .logits_max = o->batch_size,
        .context_max = VMT_MAX(o->context, o->prompt_len),
        .seqs_max = o->batch_size,
    };
    VMT_TRY(vmt_gpu_decoder_create(&f->whole, f->config, f->weights, &kv, err));
    return vmt_gpu_decoder_create(&f->single, first_layer, f->weights, &kv, err);
}

vmt_status vmt_gpu_predict(const vmt_model_config *config, const vmt_gpu_weights *weights, const vmt_chip *chip,
                           const vmt_gpu_predict_options *options, vmt_gpu_predicted_work *decode,
                           vmt_gpu_predicted_work *prefill, vmt_err *err) {
    struct forecast f = {.config = config, .weights = weights, .chip = chip, .options = options};
    vmt_model_config first_layer = *config;
    first_layer.num_layers = 1;
    *decode = *prefill = (vmt_gpu_predicted_work){0};
    VMT_TRY(check(&f, err));
    vmt_status status = record(&f, &first_layer, err);
    if (status == VMT_OK) {
        count_weights(&f);
        predict_decode(&f, decode);
        predict_prefill(&f, prefill);
    }
    (void)vmt_gpu_decoder_destroy(f.whole);
    (void)vmt_gpu_decoder_destroy(f.single);
    return status;
}
