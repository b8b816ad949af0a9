#include "engine/generation.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define RING_BYTES_MAX \
    ((size_t)1 << 20) /* of one sequence's logprob lists; a whole vocabulary still gets two slots */

/* ---- create */

static void *copy(vmt_arena *arena, const void *from, size_t count, size_t elem_bytes, bool *ok) {
    if (count == 0) return NULL;
    void *to = vmt_arena_calloc(arena, count, elem_bytes);
    if (to) memcpy(to, from, count * elem_bytes);
    *ok = *ok && to;
    return to;
}

static bool copy_sampling(vmt_generation *gen, const vmt_sampling *s, vmt_arena *arena) {
    bool ok = true;
    gen->sampling = *s;
    gen->sampling.stop_token_ids = copy(arena, s->stop_token_ids, s->num_stop_token_ids, sizeof(int32_t), &ok);
    gen->sampling.logit_bias = copy(arena, s->logit_bias, s->num_logit_bias, sizeof(vmt_logit_bias), &ok);
    if (s->allowed_token_ids) {
        gen->sampling.allowed_token_ids =
            copy(arena, s->allowed_token_ids, s->num_allowed_token_ids, sizeof(int32_t), &ok);
    }
    vmt_token_run *runs = copy(arena, s->bad_words, s->num_bad_words, sizeof(vmt_token_run), &ok);
    for (uint32_t i = 0; runs && i < s->num_bad_words; i++) {
        runs[i].ids = copy(arena, s->bad_words[i].ids, s->bad_words[i].len, sizeof(int32_t), &ok);
    }
    gen->sampling.bad_words = runs;
    return ok;
}

static int compare_edits(const void *a, const void *b) {
    const vmt_edit *x = a, *y = b;
    return x->token_id < y->token_id ? -1 : x->token_id > y->token_id;
}

/* The same wishes in the form a device reads. */
static bool copy_for_device(vmt_generation *gen, uint32_t vocab, vmt_arena *arena) {
    const vmt_sampling *s = &gen->sampling;
    if (s->num_logit_bias > 0) {
        vmt_edit *biases = VMT_ARENA_NEW(arena, vmt_edit, s->num_logit_bias);
        if (!biases) return false;
        for (uint32_t i = 0; i < s->num_logit_bias; i++) {
            biases[i] = (vmt_edit){s->logit_bias[i].token_id, {.bias = s->logit_bias[i].bias}};
        }
        qsort(biases, s->num_logit_bias, sizeof *biases, compare_edits);
        for (uint32_t i = 0; i < s->num_logit_bias; i++) {
            vmt_edit *last = gen->num_biases > 0 ? &biases[gen->num_biases - 1] : NULL;
            if (last && last->token_id == biases[i].token_id) {
                last->u.bias += biases[i].u.bias;
            } else {
                biases[gen->num_biases++] = biases[i];
            }
        }
        gen->biases = biases;
    }
    if (!s->allowed_token_ids) return true;
    uint32_t *allowed = VMT_ARENA_NEW(arena, uint32_t, VMT_CONSTRAINT_WORDS(vocab));
    if (!allowed) return false;
    for (uint32_t i = 0; i < s->num_allowed_token_ids; i++) {
        uint32_t id = (uint32_t)s->allowed_token_ids[i];
        allowed[id / 32] |= (uint32_t)1 << (id % 32);
    }
    gen->allowed = allowed;
    return true;
}

/* The model's end ids first, so that an index tells which kind ended a sequence. */
static bool copy_end_ids(vmt_generation *gen, const vmt_generation_limits *limits, vmt_arena *arena) {
    const vmt_sampling *s = &gen->sampling;
    gen->num_eos_ids = s->ignore_eos ? 0 : limits->num_eos_ids;
    gen->num_end_ids = gen->num_eos_ids + s->num_stop_token_ids;
    int32_t *ids = VMT_ARENA_NEW(arena, int32_t, gen->num_end_ids);
    if (!ids) return false;
    for (uint32_t i = 0; i < gen->num_eos_ids; i++) ids[i] = limits->eos_ids[i];
    for (uint32_t i = 0; i < s->num_stop_token_ids; i++) ids[gen->num_eos_ids + i] = s->stop_token_ids[i];
    gen->end_ids = ids;
    return true;
}

static uint32_t ring_capacity(const vmt_generation *gen, uint32_t num_top) {
    uint64_t capacity = VMT_OUTPUT_RING;
    if (num_top > 0) capacity = VMT_MIN(capacity, RING_BYTES_MAX / (num_top * sizeof(vmt_token_logprob)));
    capacity = VMT_MIN(capacity, (uint64_t)(gen->tokens_cap - gen->num_prompt) + 1);
    return (uint32_t)VMT_MAX(capacity, 2u);
}

static bool init_sequence(vmt_generation *gen, uint32_t idx, const vmt_generation_params *params, vmt_str salt,
                          uint32_t vocab, vmt_arena *arena) {
    vmt_sequence *s = &gen->seqs[idx];
    s->gen = gen;
    s->idx = idx;
    atomic_init(&s->is_cancelled, false);
    atomic_init(&s->finish, VMT_FINISH_NONE);
    s->stop_token_id = -1;
    s->seq = (vmt_seq){
        .tokens = vmt_arena_alloc(arena, (size_t)gen->tokens_cap * sizeof(int32_t)),
        .tokens_cap = gen->tokens_cap,
        .num_prompt_tokens = gen->num_prompt,
        .priority = params->priority,
        .cache_salt = salt,
        .skip_prefix_cache =
            idx == 0 && ((gen->prompt_scores && gen->num_prompt > 1) || vmt_pool_needs_every_row(&gen->pool)),
        .fork_of = idx > 0 ? &gen->seqs[0].seq : NULL,
    };
    if (!s->seq.tokens) return false;
    if (params->constraints) {
        s->masked = vmt_masked_create(arena, &params->constraints[idx], vocab);
        if (!s->masked) return false;
    }
    memcpy(s->seq.tokens, params->prompt, (size_t)gen->num_prompt * sizeof(int32_t));

    uint32_t num_top = vmt_sampling_num_top(gen->sampling.num_logprobs, vocab);
    if (!vmt_output_ring_init(&s->ring, arena, ring_capacity(gen, num_top), num_top)) return false;
    if (!vmt_sampling_has_penalties(&gen->sampling)) return true;
    if (!vmt_token_counts_init(&s->counts, arena, gen->tokens_cap)) return false;
    for (uint32_t i = 0; i < gen->num_prompt; i++) vmt_token_counts_add(&s->counts, params->prompt[i], false);
    return true;
}

static bool init_prompt_scores(vmt_generation *gen, uint32_t vocab, vmt_arena *arena) {
    atomic_init(&gen->is_prompt_done, gen->num_prompt == 1);
    gen->num_scored = 1; /* nothing comes before the first token */
    if (gen->sampling.num_prompt_logprobs < 0) return true;
    gen->prompt_scores = VMT_ARENA_NEW(arena, vmt_sample, gen->num_prompt);
    if (!gen->prompt_scores) return false;
    uint32_t num_top = vmt_sampling_num_top(gen->sampling.num_prompt_logprobs, vocab);
    if (num_top == 0) return true;
    vmt_token_logprob *tops = VMT_ARENA_NEW(arena, vmt_token_logprob, (size_t)gen->num_prompt * num_top);
    for (uint32_t i = 0; tops && i < gen->num_prompt; i++) gen->prompt_scores[i].top = tops + (size_t)i * num_top;
    return tops != NULL;
}

static bool init_generation(vmt_generation *gen, const vmt_generation_limits *limits,
                            const vmt_generation_params *params, vmt_arena *arena) {
    uint32_t room = limits->max_model_len - params->num_prompt;
    gen->inbox = limits->inbox;
    gen->outbox = limits->outbox;
    gen->n = gen->num_live = params->n;
    gen->num_prompt = params->num_prompt;
    gen->tokens_cap = params->num_prompt + (params->echo_only ? 0 : VMT_MIN(params->sampling.max_tokens, room));
    gen->echo_only = params->echo_only;
    gen->user = params->user;
    gen->in.link.gen = gen->out.link.gen = gen->live.gen = gen;
    atomic_init(&gen->out.is_ended, false);
    gen->seed = params->sampling.seed;
    if (!params->sampling.has_seed) vmt_random_bytes(&gen->seed, sizeof gen->seed);

    if (!copy_sampling(gen, &params->sampling, arena) || !copy_end_ids(gen, limits, arena)) return false;
    if (limits->is_device && !copy_for_device(gen, limits->vocab, arena)) return false;
    const vmt_sampling *s = &gen->sampling;
    gen->may_be_held = params->constraints || s->min_tokens > 0 || s->num_bad_words > 0 || s->num_logit_bias > 0 ||
                       vmt_sampling_has_penalties(s);
    if (!init_prompt_scores(gen, limits->vocab, arena)) return false;
    vmt_str salt = {0};
    if (params->cache_salt.len > 0) {
        salt = vmt_arena_dup(arena, params->cache_salt);
        if (!salt.ptr) return false;
    }
    if (params->pooling && !vmt_pool_init(&gen->pool, params->pooling, limits->hidden, arena)) return false;
    gen->seqs = VMT_ARENA_NEW(arena, vmt_sequence, gen->n);
    if (!gen->seqs) return false;
    for (uint32_t i = 0; i < gen->n; i++) {
        if (!init_sequence(gen, i, params, salt, limits->vocab, arena)) return false;
    }
    return true;
}

vmt_status vmt_generation_create(vmt_generation **out, const vmt_engine *engine,
                                 const vmt_generation_params *params, vmt_arena *arena, vmt_err *err) {
    *out = NULL;
    vmt_generation_limits limits = vmt_engine_limits(engine);
    vmt_generation_params own = *params;
    own.echo_only |= params->pooling != VMT_POOL_NONE;
    VMT_TRY(vmt_generation_params_check(&own, &limits, err));
    vmt_generation *gen = VMT_ARENA_NEW(arena, vmt_generation, 1);
    if (!gen || !init_generation(gen, &limits, &own, arena)) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "the request needs more memory than one request may have");
    }
    *out = gen;
    return VMT_OK;
}

void vmt_generation_destroy(vmt_generation *gen) {
    if (!gen) return;
    bool was_submitted = atomic_load(&gen->submitted_ns) != 0;
    VMT_ASSERT(!was_submitted || atomic_load(&gen->out.is_ended));
    vmt_outbox_withdraw(gen->outbox, &gen->out);
}

/* ---- the consumer's side */

static vmt_sequence *sequence(const vmt_generation *gen, uint32_t seq_idx) {
    VMT_ASSERT(seq_idx < gen->n);
    return &gen->seqs[seq_idx];
}

static vmt_output_token output_of(const vmt_sample *sample) {
    return (vmt_output_token){
        .token_id = sample->token_id,
        .logprob = sample->logprob,
        .rank = sample->rank,
        .top = sample->top,
        .num_top = sample->num_top,
        .is_end = sample->is_end,
        .is_end_mark = sample->is_end_mark,
    };
}

bool vmt_generation_next(vmt_generation *gen, uint32_t seq_idx, vmt_output_token *out) {
    bool made_room;
    const vmt_sample *sample = vmt_output_ring_take(&sequence(gen, seq_idx)->ring, &made_room);
    if (sample) *out = output_of(sample);
    if (made_room) (void)vmt_inbox_post(gen->inbox, &gen->in, VMT_POST_ROOM);
    return sample != NULL;
}

uint32_t vmt_generation_pending(const vmt_generation *gen, uint32_t seq_idx) {
    return vmt_output_ring_pending(&sequence(gen, seq_idx)->ring);
}

vmt_finish vmt_generation_finish(const vmt_generation *gen, uint32_t seq_idx, int32_t *stop_token_id) {
    vmt_sequence *s = sequence(gen, seq_idx);
    vmt_finish finish = (vmt_finish)atomic_load_explicit(&s->finish, memory_order_acquire);
    if (finish == VMT_FINISH_NONE || vmt_output_ring_pending(&s->ring) > 0) return VMT_FINISH_NONE;
    if (stop_token_id) *stop_token_id = s->stop_token_id;
    return finish;
}

bool vmt_generation_ended(const vmt_generation *gen) {
    return atomic_load(&gen->out.is_ended);
}

const char *vmt_generation_error(const vmt_generation *gen) {
    return gen->error;
}

void *vmt_generation_user(const vmt_generation *gen) {
    return gen->user;
}

uint32_t vmt_generation_n(const vmt_generation *gen) {
    return gen->n;
}

bool vmt_generation_prompt_logprob(const vmt_generation *gen, uint32_t position, vmt_output_token *out) {
    VMT_ASSERT(position >= 1 && position < gen->num_prompt);
    if (!gen->prompt_scores || !atomic_load_explicit(&gen->is_prompt_done, memory_order_acquire)) return false;
    *out = output_of(&gen->prompt_scores[position]);
    return true;
}

const float *vmt_generation_pooled(const vmt_generation *gen, uint32_t *len) {
    *len = gen->pool.width;
    return gen->pool.vector;
}

vmt_generation_stats vmt_generation_get_stats(const vmt_generation *gen) {
    return (vmt_generation_stats){
        .num_prompt_tokens = gen->num_prompt,
        .num_cached_tokens = atomic_load_explicit(&gen->num_cached_tokens, memory_order_relaxed),
        .num_preemptions = atomic_load_explicit(&gen->num_preemptions, memory_order_relaxed),
        .submitted_ns = atomic_load_explicit(&gen->submitted_ns, memory_order_relaxed),
        .scheduled_ns = atomic_load_explicit(&gen->scheduled_ns, memory_order_relaxed),
        .first_token_ns = atomic_load_explicit(&gen->first_token_ns, memory_order_relaxed),
        .last_token_ns = atomic_load_explicit(&gen->last_token_ns, memory_order_relaxed),
    };
}
