/* model/model_bench.c: prefill and decode rates of a model file, as llama-bench counts them.
 *
 *   model_bench FILE [-t threads] [-p prompt] [-n generated] [-d depth] [-b sequences] [-i id,id,...] [-x]
 *
 * -i: greedy continuation of these token ids instead of timings.
 * -x: perplexity of the token ids on standard input (one text, each token given all before it) instead of timings. */
#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "model/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_SIZE 16u
#define STEP_MAX   2048u
#define SCORE_ROWS 128u /* logit rows of a step when scoring */
#define TEXT_MAX   32768u

struct bench {
    vmt_model *model;
    vmt_runner runner;
    uint32_t num_seqs, blocks_per_seq, vocab;
    int32_t *block_tables;
    uint32_t *seq_lens, *cu;
};

static void die(const vmt_err *err) {
    fprintf(stderr, "model_bench: %s\n", err->msg);
    exit(1);
}

static uint32_t number(const char *text) {
    uint64_t v = 0;
    if (!vmt_str_to_u64(vmt_str_from(text), &v) || v > INT32_MAX) {
        fprintf(stderr, "model_bench: '%s' is no number\n", text);
        exit(2);
    }
    return (uint32_t)v;
}

static int32_t argmax(const float *x, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (x[i] > x[best]) best = i;
    }
    return (int32_t)best;
}

/* Each sequence gets q_len more tokens; logits of the last num_rows of each. */
static float *step_rows(struct bench *b, const int32_t *ids, uint32_t q_len, uint32_t num_rows) {
    static int32_t positions[STEP_MAX], slots[STEP_MAX];
    static uint32_t rows[STEP_MAX];
    uint32_t n = 0, num_logits = 0;
    for (uint32_t s = 0; s < b->num_seqs; s++) {
        b->cu[s] = n;
        for (uint32_t i = 0; i < q_len; i++, n++) {
            uint32_t pos = b->seq_lens[s]++;
            positions[n] = (int32_t)pos;
            slots[n] = b->block_tables[s * b->blocks_per_seq + pos / BLOCK_SIZE] * (int32_t)BLOCK_SIZE +
                       (int32_t)(pos % BLOCK_SIZE);
        }
        for (uint32_t i = 0; i < num_rows; i++) rows[num_logits++] = n - num_rows + i;
    }
    b->cu[b->num_seqs] = n;
    vmt_batch batch = {
        .num_tokens = n,
        .num_seqs = b->num_seqs,
        .num_logits = num_logits,
        .token_ids = ids,
        .positions = positions,
        .slot_mapping = slots,
        .cu_seqlens_q = b->cu,
        .seq_lens = b->seq_lens,
        .block_tables = b->block_tables,
        .block_table_stride = b->blocks_per_seq,
        .logit_rows = rows,
    };
    float *logits;
    vmt_err err = {0};
    if (b->runner.forward(b->runner.self, &batch, &logits, &err) != VMT_OK) die(&err);
    return logits;
}

static float *step(struct bench *b, const int32_t *ids, uint32_t q_len) {
    return step_rows(b, ids, q_len, 1);
}

static void prefill(struct bench *b, uint32_t tokens, uint32_t chunk) {
    static int32_t ids[STEP_MAX];
    for (uint32_t i = 0; i < STEP_MAX; i++) ids[i] = (int32_t)((i * 7919u + 13u) % b->vocab);
    while (tokens > 0) {
        uint32_t n = VMT_MIN(tokens, chunk);
        (void)step(b, ids, n);
        tokens -= n;
    }
}

static void reset(struct bench *b) {
    for (uint32_t s = 0; s < b->num_seqs; s++) b->seq_lens[s] = 0;
}

static void time_rates(struct bench *b, uint32_t prompt, uint32_t generated, uint32_t depth) {
    static int32_t ids[STEP_MAX];
    uint32_t chunk = VMT_MAX(1, 512 / b->num_seqs);
    for (uint32_t round = 0; round < 2; round++) { /* the first warms up */
        reset(b);
        if (depth > 0) prefill(b, depth, chunk);
        uint64_t t0 = vmt_clock_ns();
        if (prompt > 0) prefill(b, prompt, chunk);
        uint64_t t1 = vmt_clock_ns();
        uint64_t t2 = t1, fastest = UINT64_MAX;
        for (uint32_t i = 0; i < generated; i++) {
            (void)step(b, ids, 1);
            uint64_t now = vmt_clock_ns();
            fastest = VMT_MIN(fastest, now - t2);
            t2 = now;
        }
        if (round == 0) continue;
        double total_p = (double)prompt * b->num_seqs, total_n = (double)generated * b->num_seqs;
        printf("depth %u, %u sequences: prefill %u: %.1f tok/s; decode %u: %.1f tok/s, fastest step %.0f us\n",
               depth, b->num_seqs, prompt, total_p * 1e9 / (double)(t1 - t0), generated,
               generated > 0 ? total_n * 1e9 / (double)(t2 - t1) : 0, generated > 0 ? (double)fastest * 1e-3 : 0);
    }
}

static void continue_text(struct bench *b, char *list, uint32_t generated) {
    static int32_t ids[STEP_MAX];
    uint32_t n = 0;
    for (char *p = strtok(list, ","); p != NULL && n < STEP_MAX; p = strtok(NULL, ",")) {
        ids[n++] = (int32_t)number(p);
    }
    float *logits = step(b, ids, n);
    for (uint32_t i = 0; i < generated; i++) {
        int32_t id = argmax(logits, b->vocab);
        printf("%d%s", id, i + 1 < generated ? "," : "\n");
        logits = step(b, &id, 1);
    }
}

/* log of the probability that logits give to id */
static double log_probability(const float *logits, uint32_t n, int32_t id) {
    double max = (double)logits[argmax(logits, n)], sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += exp((double)logits[i] - max);
    return (double)logits[id] - max - log(sum);
}

static void score_text(struct bench *b) {
    static int32_t ids[TEXT_MAX];
    uint32_t n = 0;
    while (n < TEXT_MAX && scanf("%d%*[ ,\n]", &ids[n]) == 1) n++;
    double total = 0;
    for (uint32_t at = 0, count; at < n; at += count) {
        count = VMT_MIN(SCORE_ROWS, n - at);
        const float *logits = step_rows(b, ids + at, count, count);
        for (uint32_t i = 0; i < count && at + i + 1 < n; i++) {
            total += log_probability(logits + (size_t)i * b->vocab, b->vocab, ids[at + i + 1]);
        }
    }
    if (n >= 2) printf("perplexity %.5f over %u tokens\n", exp(-total / (n - 1)), n);
}

static void setup(struct bench *b, const char *path, uint32_t threads, uint32_t context) {
    vmt_err err = {0};
    vmt_weight_file *file;
    vmt_backend *be;
    static vmt_model_config config;
    if (vmt_weight_file_open(&file, path, &err) != VMT_OK) die(&err);
    if (vmt_weight_file_gguf(file) == NULL) {
        (void)vmt_fail(&err, VMT_E_UNSUPPORTED, "%s is not a GGUF file", path);
        die(&err);
    }
    if (vmt_model_config_from_gguf(&config, vmt_weight_file_gguf(file), &err) != VMT_OK) die(&err);
    if (vmt_cpu_backend_create(&be, threads, &err) != VMT_OK) die(&err);
    vmt_model_progress silent = {NULL, NULL};
    if (vmt_model_open(&b->model, &config, file, be, silent, &err) != VMT_OK) die(&err);
    b->vocab = config.vocab;
    b->blocks_per_seq = (context + BLOCK_SIZE - 1) / BLOCK_SIZE;
    vmt_model_kv_options options = {
        .block_size = BLOCK_SIZE,
        .dtype = VMT_F16,
        .num_blocks = b->blocks_per_seq * b->num_seqs + 1,
        .tokens_max = STEP_MAX,
        .logits_max = VMT_MAX(b->num_seqs, SCORE_ROWS),
        .context_max = context,
    };
    if (vmt_model_kv_create(b->model, &options, &err) != VMT_OK) die(&err);
    b->runner = vmt_model_runner(b->model);
    b->block_tables = calloc((size_t)b->blocks_per_seq * b->num_seqs, sizeof *b->block_tables);
    b->seq_lens = calloc(b->num_seqs, sizeof *b->seq_lens);
    b->cu = calloc(b->num_seqs + 1, sizeof *b->cu);
    for (uint32_t i = 0; i < b->blocks_per_seq * b->num_seqs; i++) b->block_tables[i] = (int32_t)i + 1;
}

/* What a token costs at least: for shares of the machine's limits. */
static void print_work(const struct bench *b) {
    const vmt_model_config *c = vmt_model_get_config(b->model);
    uint64_t q = (uint64_t)c->num_heads * c->head_dim, kv = (uint64_t)c->num_kv_heads * c->head_dim;
    uint64_t macs = c->num_layers * (c->hidden * (2 * q + 2 * kv) + 3ull * c->hidden * c->intermediate);
    printf("work: %llu weight bytes; a token: %llu multiply-adds in layers, %llu a key, %llu bytes of cache\n",
           (unsigned long long)vmt_model_weight_bytes(b->model), (unsigned long long)macs,
           (unsigned long long)(2 * q * c->num_layers), (unsigned long long)(2 * kv * 2 * c->num_layers));
}

int main(int argc, char **argv) {
    uint32_t threads = 0, prompt = 512, generated = 64, depth = 0;
    struct bench b = {.num_seqs = 1};
    char *ids = NULL;
    bool is_scoring = false;
    for (int opt; (opt = getopt(argc, argv, "t:p:n:d:b:i:x")) != -1;) {
        uint32_t v = opt == 'i' || opt == 'x' ? 0 : number(optarg);
        switch (opt) {
        case 't': threads = v; break;
        case 'p': prompt = v; break;
        case 'n': generated = v; break;
        case 'd': depth = v; break;
        case 'b': b.num_seqs = VMT_MAX(1, VMT_MIN(v, 512)); break;
        case 'i': ids = optarg; break;
        case 'x': is_scoring = true; break;
        default: return 2;
        }
    }
    if (optind >= argc) {
        fprintf(stderr,
                "usage: model_bench FILE [-t threads] [-p prompt] [-n generated] [-d depth] [-b sequences]\n");
        return 2;
    }
    setup(&b, argv[optind], threads, is_scoring ? TEXT_MAX : prompt + generated + depth + STEP_MAX);
    if (is_scoring) {
        score_text(&b);
    } else if (ids != NULL) {
        continue_text(&b, ids, generated);
    } else {
        print_work(&b);
        time_rates(&b, prompt, generated, depth);
    }
    return 0;
}
