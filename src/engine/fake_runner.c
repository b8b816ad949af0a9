#include "engine/fake_runner.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct vmt_fake_runner {
    vmt_fake_runner_config config;
    int32_t *slots;  /* [num_blocks * block_size] */
    int32_t *tokens; /* [max_model_len] one sequence, read back from the slots */
    float *noise;    /* [vocab] */
    float *logits;   /* [num_logits_max, vocab] */
    _Atomic uint32_t num_failures;
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

static vmt_status forward(void *self, const vmt_batch *batch, float **logits, vmt_err *err) {
    vmt_fake_runner *fake = self;
    const vmt_fake_runner_config *c = &fake->config;
    if (c->forward_ns > 0) {
        struct timespec pause = {(time_t)(c->forward_ns / 1000000000u), (long)(c->forward_ns % 1000000000u)};
        nanosleep(&pause, NULL);
    }
    if (atomic_load(&fake->num_failures) > 0) {
        atomic_fetch_sub(&fake->num_failures, 1);
        return vmt_fail(err, VMT_E_IO, "the fake model failed as it was told");
    }
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
            vmt_fake_row(fake, fake->tokens, len, fake->logits + (size_t)k * c->vocab);
        }
    }
    VMT_ASSERT(k == batch->num_logits);
    *logits = fake->logits;
    return VMT_OK;
}

vmt_runner vmt_fake_runner_face(vmt_fake_runner *fake) {
    return (vmt_runner){
        .self = fake,
        .vocab = fake->config.vocab,
        .max_model_len = fake->config.max_model_len,
        .forward = forward,
    };
}
