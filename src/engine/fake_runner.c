#include "engine/fake_runner.h"
#include "base/clock.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A step of a device: what it will bring back. */
struct flight {
    int32_t *sampled;  /* [num_logits_max] */
    vmt_score *scores; /* [num_logits_max] */
    vmt_top *tops;     /* [num_logits_max * VMT_SCORE_TOPS_MAX] */
    float *logits;     /* [num_logits_max, vocab] */
    bool needs_logits;
    uint64_t done_ns;
    vmt_status status;
};

struct vmt_fake_runner {
    vmt_fake_runner_config config;
    int32_t *slots;  /* [num_blocks * block_size] */
    int32_t *tokens; /* [max_model_len] one sequence, read back from the slots */
    float *noise;    /* [vocab] */
    float *logits;   /* [num_logits_max, vocab] */
    _Atomic uint32_t num_failures;

    /* as a device */
    struct flight flights[VMT_FLIGHTS_MAX];
    uint64_t num_launched, num_collected, num_ahead;
    int32_t *token_ids; /* [num_tokens_max] of the step, sources resolved */
    uint32_t num_tokens_max;
    uint64_t done_ns; /* the newest step */
};

vmt_status vmt_fake_runner_create(vmt_fake_runner **out, const vmt_fake_runner_config *config, vmt_err *err) {
    *out = NULL;
    vmt_fake_runner *fake = calloc(1, sizeof *fake);
    if (!fake) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the fake model");
    fake->config = *config;
    fake->slots = calloc((size_t)config->num_blocks * config->block_size, sizeof *fake->slots);
    fake->tokens = calloc(config->max_model_len, sizeof *fake->tokens);
    fake->noise = calloc(config->vocab, sizeof *fake->noise);
    fake->logits = calloc((size_t)config->num_logits_max * config->vocab, sizeof *fake->logits);
    if (!fake->slots || !fake->tokens || !fake->noise || !fake->logits) {
        vmt_fake_runner_destroy(fake);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the fake model");
    }
    for (uint32_t i = 0; config->is_device && i < VMT_FLIGHTS_MAX; i++) {
        struct flight *f = &fake->flights[i];
        size_t n = config->num_logits_max;
        f->sampled = calloc(n, sizeof *f->sampled);
        f->scores = calloc(n, sizeof *f->scores);
        f->tops = calloc(n * VMT_SCORE_TOPS_MAX, sizeof *f->tops);
        f->logits = calloc(n * config->vocab, sizeof *f->logits);
        if (f->sampled && f->scores && f->tops && f->logits) continue;
        vmt_fake_runner_destroy(fake);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the fake device");
    }
    uint64_t rng = 7;
    for (uint32_t i = 0; i < config->vocab; i++) fake->noise[i] = (float)(vmt_splitmix64(&rng) >> 40) * 0x1p-24f;
    *out = fake;
    return VMT_OK;
}

void vmt_fake_runner_destroy(vmt_fake_runner *fake) {
    if (!fake) return;
    free(fake->slots);
    free(fake->tokens);
    free(fake->noise);
    free(fake->logits);
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX; i++) {
        free(fake->flights[i].sampled);
        free(fake->flights[i].scores);
        free(fake->flights[i].tops);
        free(fake->flights[i].logits);
    }
    free(fake->token_ids);
    free(fake);
}

void vmt_fake_runner_fail(vmt_fake_runner *fake, uint32_t num_steps) {
    atomic_store(&fake->num_failures, num_steps);
}

static uint64_t digest(const vmt_fake_runner_config *c, const int32_t *tokens, uint32_t num_tokens) {
    uint64_t word = 0;
    uint32_t first = c->window > 0 && num_tokens > c->window ? num_tokens - c->window : 0;
    for (uint32_t i = first; i < num_tokens; i++) {
        uint64_t state = word * 31 + (uint64_t)tokens[i];
        word = vmt_splitmix64(&state);
    }
    return word >> 1;
}

int32_t vmt_fake_next(const vmt_fake_runner_config *config, const int32_t *tokens, uint32_t num_tokens) {
    return (int32_t)(digest(config, tokens, num_tokens) % config->vocab);
}

void vmt_fake_row(const vmt_fake_runner *fake, const int32_t *tokens, uint32_t num_tokens, float *row) {
    uint32_t vocab = fake->config.vocab;
    uint64_t word = digest(&fake->config, tokens, num_tokens);
    uint32_t shift = (uint32_t)(word / vocab % vocab); /* the noise, turned by so much */
    memcpy(row, fake->noise + shift, (vocab - shift) * sizeof *row);
    memcpy(row + (vocab - shift), fake->noise, shift * sizeof *row);
    row[word % vocab] += fake->config.peak;
}

/* Reads [first, end) of sequence i back through its block table. */
static void read_slots(vmt_fake_runner *fake, const vmt_batch *batch, uint32_t i, uint32_t first, uint32_t end) {
    const int32_t *table = batch->block_tables + (size_t)i * batch->block_table_stride;
    uint32_t size = fake->config.block_size;
    for (uint32_t p = first; p < end; p++) {
        fake->tokens[p] = fake->slots[(size_t)table[p / size] * size + p % size];
    }
}

static void pause_for(uint64_t ns) {
    struct timespec pause = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    if (ns > 0) nanosleep(&pause, NULL);
}

static bool must_fail(vmt_fake_runner *fake) {
    if (atomic_load(&fake->num_failures) == 0) return false;
    atomic_fetch_sub(&fake->num_failures, 1);
    return true;
}

static vmt_status told_to_fail(vmt_err *err) {
    return vmt_fail(err, VMT_E_IO, "the fake model failed as it was told");
}

static void run_batch(vmt_fake_runner *fake, const vmt_batch *batch, float *logits) {
    const vmt_fake_runner_config *c = &fake->config;
    VMT_ASSERT(batch->num_logits <= c->num_logits_max);
    for (uint32_t i = 0; i < batch->num_tokens; i++) fake->slots[batch->slot_mapping[i]] = batch->token_ids[i];
    uint32_t k = 0;
    for (uint32_t i = 0; i < batch->num_seqs; i++) {
        uint32_t begin = batch->cu_seqlens_q[i], end = batch->cu_seqlens_q[i + 1];
        for (; k < batch->num_logits && batch->logit_rows[k] < end; k++) {
            VMT_ASSERT(batch->logit_rows[k] >= begin && batch->seq_lens[i] <= c->max_model_len);
            uint32_t len = batch->seq_lens[i] - (end - 1 - batch->logit_rows[k]);
            uint32_t first = c->window > 0 && len > c->window ? len - c->window : 0;
            read_slots(fake, batch, i, first, len);
            vmt_fake_row(fake, fake->tokens, len, logits + (size_t)k * c->vocab);
        }
    }
    VMT_ASSERT(k == batch->num_logits);
}

static vmt_status forward(void *self, const vmt_batch *batch, float **logits, vmt_err *err) {
    vmt_fake_runner *fake = self;
    pause_for(fake->config.forward_ns);
    if (must_fail(fake)) return told_to_fail(err);
    run_batch(fake, batch, fake->logits);
    *logits = fake->logits;
    return VMT_OK;
}

/* ---- as a device */

uint64_t vmt_fake_runner_num_ahead(const vmt_fake_runner *fake) {
    return fake->num_ahead;
}

static struct flight *flight_of(vmt_fake_runner *fake, uint64_t step) {
    return &fake->flights[step % VMT_FLIGHTS_MAX];
}

/* The batch with each token in its place; what is not known must come from the step launched before. */
static vmt_status resolve_tokens(vmt_fake_runner *fake, vmt_batch *batch) {
    if (batch->num_tokens > fake->num_tokens_max) {
        free(fake->token_ids);
        fake->num_tokens_max = batch->num_tokens;
        fake->token_ids = malloc(batch->num_tokens * sizeof *fake->token_ids);
        if (!fake->token_ids) return VMT_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < batch->num_tokens; i++) {
        int32_t source = batch->token_sources[i];
        VMT_ASSERT(source < 0 || fake->num_launched > fake->num_collected);
        fake->token_ids[i] =
            source < 0 ? batch->token_ids[i] : flight_of(fake, fake->num_launched - 1)->sampled[source];
    }
    batch->token_ids = fake->token_ids;
    return VMT_OK;
}

static vmt_status launch(void *self, const vmt_batch *batch, const vmt_sample_batch *samples, vmt_err *err) {
    vmt_fake_runner *fake = self;
    VMT_ASSERT(fake->num_launched - fake->num_collected < VMT_FLIGHTS_MAX);
    struct flight *f = flight_of(fake, fake->num_launched), *before = flight_of(fake, fake->num_launched - 1);
    bool is_lost = fake->num_launched > fake->num_collected && before->status != VMT_OK;
    vmt_batch resolved = *batch;
    if (resolve_tokens(fake, &resolved) != VMT_OK) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a step");
    if (samples->wait_for_masks) samples->wait_for_masks(samples->wait_ctx);
    fake->num_ahead += fake->num_launched > fake->num_collected;
    fake->num_launched++;
    fake->done_ns = VMT_MAX(fake->done_ns, vmt_clock_ns()) + fake->config.forward_ns;
    f->done_ns = fake->done_ns;
    f->needs_logits = samples->needs_logits;
    f->status = is_lost || must_fail(fake) ? VMT_E_IO : VMT_OK;
    if (f->status != VMT_OK) {
        memset(f->sampled, 0, fake->config.num_logits_max * sizeof *f->sampled);
        return VMT_OK;
    }
    run_batch(fake, &resolved, f->logits);
    return vmt_sample_reference(samples, fake->config.vocab, f->logits, before->sampled, f->sampled, f->scores,
                                f->tops);
}

static vmt_status collect(void *self, vmt_sample_outcome *out, vmt_err *err) {
    vmt_fake_runner *fake = self;
    VMT_ASSERT(fake->num_collected < fake->num_launched);
    struct flight *f = flight_of(fake, fake->num_collected++);
    uint64_t now_ns = vmt_clock_ns();
    pause_for(f->done_ns > now_ns ? f->done_ns - now_ns : 0);
    if (f->status != VMT_OK) return told_to_fail(err);
    *out = (vmt_sample_outcome){f->sampled, f->scores, f->tops, f->needs_logits ? f->logits : NULL};
    return VMT_OK;
}

vmt_runner vmt_fake_runner_face(vmt_fake_runner *fake) {
    return (vmt_runner){
        .self = fake,
        .vocab = fake->config.vocab,
        .max_model_len = fake->config.max_model_len,
        .forward = fake->config.is_device ? NULL : forward,
        .launch = fake->config.is_device ? launch : NULL,
        .collect = fake->config.is_device ? collect : NULL,
    };
}
