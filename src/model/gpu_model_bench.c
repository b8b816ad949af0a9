/* model/gpu_model_bench.c: prefill and decode rates of a model file on a GPU, as shares of its bandwidth.
 *
 *   gpu_model_bench FILE [-d driver] [-g GB/s] [-s streams,...] [-c context] [-p prompt,...] [-n steps] [-k cache]
 *   gpu_model_bench FILE [-d driver] -i id,id,... [-n steps]        greedy continuation of these token ids instead
 *
 * Decode: every stream has `context` tokens of cache, and each step is launched before the last one's tokens are known,
 * as the server does.  Bytes of a step: all matrices once, and the keys and values of every stream.  -k: an existing
 * folder for compiled kernels (CUDA). */
#include "backend/cuda/cuda.h"
#include "base/clock.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE  16u
#define CHUNK       4096u /* rows of a prefill step */
#define STREAMS_MAX 1024u
#define LIST_MAX    8u
#define TIMEOUT_NS  UINT64_C(60000000000)
#define WARM_STEPS  8u

struct bench {
    vmt_model *model;
    vmt_runner runner;
    uint32_t blocks_per_seq, streams_max, tokens_max;
    double bandwidth;      /* 10^9 bytes a second; 0: no shares */
    double weight_bytes;   /* that a step reads: of an embedding that is not the head, only rows */
    const int32_t *prompt; /* NULL: made up */
    int32_t *ids, *sources, *positions, *slots, *tables;
    uint32_t *cu, *lens, *rows;
    vmt_row_sample *samples;
};

struct options {
    const char *file, *driver, *cache;
    char *prompt_ids; /* NULL: timings */
    double bandwidth;
    uint32_t streams[LIST_MAX], num_streams, prompts[LIST_MAX], num_prompts, context, steps;
};

static void check(vmt_status status, const vmt_err *err) {
    if (status == VMT_OK) return;
    fprintf(stderr, "gpu_model_bench: %s\n", err->msg);
    exit(1);
}

static uint32_t number(const char *text) {
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (end != text && v <= INT32_MAX) return (uint32_t)v;
    fprintf(stderr, "gpu_model_bench: '%s' is no number\n", text);
    exit(2);
}

static uint32_t numbers(char *list, uint32_t out[LIST_MAX]) {
    uint32_t n = 0;
    for (char *p = strtok(list, ","); p != NULL && n < LIST_MAX; p = strtok(NULL, ",")) out[n++] = number(p);
    return n;
}

static void *take(size_t count, size_t bytes) {
    void *p = calloc(count, bytes);
    if (p != NULL) return p;
    fprintf(stderr, "gpu_model_bench: no memory\n");
    exit(1);
}

/* Each of the streams gets q_len tokens more after `begin`; the last row of each is sampled. */
static void launch(struct bench *b, uint32_t num_streams, uint32_t begin, uint32_t q_len, bool from_before) {
    uint32_t n = 0;
    for (uint32_t s = 0; s < num_streams; s++) {
        b->cu[s] = n;
        b->lens[s] = begin + q_len;
        for (uint32_t p = begin; p < begin + q_len; p++, n++) {
            b->ids[n] = from_before ? 0
                        : b->prompt ? b->prompt[p]
                                    : (int32_t)((p * 7919u + s * 31u + 13u) % b->runner.vocab);
            b->sources[n] = from_before ? (int32_t)s : -1;
            b->positions[n] = (int32_t)p;
            b->slots[n] = b->tables[s * b->blocks_per_seq + p / BLOCK_SIZE] * (int32_t)BLOCK_SIZE +
                          (int32_t)(p % BLOCK_SIZE);
        }
        b->rows[s] = n - 1;
        b->samples[s] = (vmt_row_sample){.logit_row = s, .mask = -1, .allowed = -1, .top_p = 1};
    }
    b->cu[num_streams] = n;
    vmt_batch batch = {
        .num_tokens = n,
        .num_seqs = num_streams,
        .num_logits = num_streams,
        .token_ids = b->ids,
        .token_sources = b->sources,
        .positions = b->positions,
        .slot_mapping = b->slots,
        .cu_seqlens_q = b->cu,
        .seq_lens = b->lens,
        .block_tables = b->tables,
        .block_table_stride = b->blocks_per_seq,
        .logit_rows = b->rows,
    };
    vmt_sample_batch draw = {.samples = b->samples, .num_samples = num_streams};
    vmt_err err = {0};
    check(b->runner.launch(b->runner.self, &batch, &draw, &err), &err);
}

/* The first stream's token. */
static int32_t collect(struct bench *b) {
    vmt_sample_outcome out;
    vmt_err err = {0};
    check(b->runner.collect(b->runner.self, &out, &err), &err);
    return out.sampled[0];
}

static void prefill(struct bench *b, uint32_t num_streams, uint32_t len) {
    uint32_t chunk = VMT_MAX(1, b->tokens_max / num_streams);
    for (uint32_t begin = 0; begin < len; begin += chunk) {
        launch(b, num_streams, begin, VMT_MIN(chunk, len - begin), false);
        (void)collect(b);
    }
}

static void time_decode(struct bench *b, uint32_t num_streams, uint32_t context, uint32_t steps) {
    prefill(b, num_streams, context);
    uint64_t begin_ns = 0;
    for (uint32_t i = 0; i < WARM_STEPS + steps; i++) {
        launch(b, num_streams, context + i, 1, i > 0);
        if (i > 0) (void)collect(b);
        if (i == WARM_STEPS) begin_ns = vmt_clock_ns(); /* the step before has just ended */
    }
    (void)collect(b);
    double ns = (double)(vmt_clock_ns() - begin_ns) / steps;
    double kv = (double)vmt_model_kv_block_bytes(b->model, BLOCK_SIZE, vmt_model_type(b->model)) / BLOCK_SIZE;
    double bytes = b->weight_bytes + kv * num_streams * (context + steps / 2.0);
    printf("decode  %4u streams at %5u: %9.1f tok/s  %8.3f ms a step  %7.1f GB/s", num_streams, context,
           num_streams * 1e9 / ns, ns / 1e6, bytes / ns);
    if (b->bandwidth > 0) printf("  %5.1f %% of the bandwidth", 100 * bytes / ns / b->bandwidth);
    printf("\n");
    fflush(stdout);
}

static void time_prefill(struct bench *b, uint32_t prompt) {
    prefill(b, 1, VMT_MIN(prompt, b->tokens_max));
    double best = 0;
    for (uint32_t round = 0; round < 3; round++) {
        uint64_t begin_ns = vmt_clock_ns();
        prefill(b, 1, prompt);
        double ns = (double)(vmt_clock_ns() - begin_ns);
        if (round == 0 || ns < best) best = ns;
    }
    printf("prefill %5u tokens: %9.1f tok/s  %8.2f ms\n", prompt, prompt * 1e9 / best, best / 1e6);
    fflush(stdout);
}

/* The prompt in one step, then greedy tokens, each step launched before the last one's token is known. */
static void continue_text(struct bench *b, char *list, uint32_t steps) {
    uint32_t n = 0;
    static int32_t prompt[CHUNK];
    for (char *p = strtok(list, ","); p != NULL && n < CHUNK; p = strtok(NULL, ","))
        prompt[n++] = (int32_t)number(p);
    b->prompt = prompt;
    launch(b, 1, 0, n, false);
    for (uint32_t i = 0; i < steps; i++) {
        if (i + 1 < steps) launch(b, 1, n + i, 1, true);
        printf("%s%d", i ? "," : "", collect(b));
    }
    printf("\n");
}

static void open_model(struct bench *b, const struct options *o) {
    static vmt_model_config config;
    vmt_err err = {0};
    vmt_weight_file *file;
    vmt_gpu *gpu;
    vmt_cuda_config cuda = {.cache_dir = o->cache};
    check(vmt_weight_file_open(&file, o->file, &err), &err);
    if (vmt_weight_file_gguf(file) == NULL)
        check(vmt_fail(&err, VMT_E_INVALID, "%s is no GGUF file", o->file), &err);
    check(vmt_model_config_from_gguf(&config, vmt_weight_file_gguf(file), &err), &err);
    bool is_cuda = strcmp(o->driver, "cuda") == 0;
    check(is_cuda ? vmt_cuda_gpu_open(&gpu, &cuda, &err) : vmt_gpu_open(&gpu, o->driver, &err), &err);
    check(vmt_model_open_gpu(&b->model, &config, file, gpu, VMT_NUM_DTYPES, &err), &err);
    b->weight_bytes = (double)vmt_model_weight_bytes(b->model);
    vmt_tensor embed;
    if (!config.tied_head && vmt_weight_file_find(file, VMT_STR("token_embd.weight"), &embed)) {
        b->weight_bytes -= (double)vmt_tensor_bytes(&embed);
    }
    uint32_t longest = o->context + o->steps + WARM_STEPS + 1 + (o->prompt_ids ? CHUNK : 0);
    for (uint32_t i = 0; i < o->num_streams; i++) b->streams_max = VMT_MAX(b->streams_max, o->streams[i]);
    uint32_t seqs = VMT_MAX(1, b->streams_max);
    for (uint32_t i = 0; i < o->num_prompts; i++) longest = VMT_MAX(longest, o->prompts[i]);
    b->blocks_per_seq = (longest + BLOCK_SIZE - 1) / BLOCK_SIZE;
    /* A long prompt has one stream's blocks and takes the others' too. */
    uint64_t per_stream = (o->context + o->steps + WARM_STEPS + BLOCK_SIZE) / BLOCK_SIZE;
    uint64_t blocks = VMT_MAX(per_stream * seqs, b->blocks_per_seq) + 1;
    b->tokens_max = VMT_MAX(CHUNK, seqs);
    vmt_model_kv_options kv = {
        .block_size = BLOCK_SIZE,
        .dtype = vmt_model_type(b->model),
        .num_blocks = (uint32_t)blocks,
        .tokens_max = b->tokens_max,
        .logits_max = seqs,
        .context_max = longest,
        .seqs_max = seqs,
        .step_timeout_ns = TIMEOUT_NS,
    };
    check(vmt_model_kv_create(b->model, &kv, &err), &err);
    b->runner = vmt_model_runner(b->model);
    b->ids = take(b->tokens_max, sizeof *b->ids);
    b->sources = take(b->tokens_max, sizeof *b->sources);
    b->positions = take(b->tokens_max, sizeof *b->positions);
    b->slots = take(b->tokens_max, sizeof *b->slots);
    b->tables = take((size_t)seqs * b->blocks_per_seq, sizeof *b->tables);
    b->cu = take(seqs + 1, sizeof *b->cu);
    b->lens = take(seqs, sizeof *b->lens);
    b->rows = take(seqs, sizeof *b->rows);
    b->samples = take(seqs, sizeof *b->samples);
    for (uint32_t s = 0; s < seqs; s++) {
        for (uint32_t i = 0; i < b->blocks_per_seq; i++) {
            b->tables[s * b->blocks_per_seq + i] = (int32_t)(1 + (s * per_stream + i) % (blocks - 1));
        }
    }
}

int main(int argc, char **argv) {
    static struct bench b;
    struct options o = {.driver = "host", .streams = {1}, .num_streams = 1, .context = 128, .steps = 64};
    int flag;
    while ((flag = getopt(argc, argv, "d:g:s:c:p:n:k:i:")) != -1) {
        switch (flag) {
        case 'd': o.driver = optarg; break;
        case 'k': o.cache = optarg; break;
        case 'i': o.prompt_ids = optarg; break;
        case 'g': o.bandwidth = number(optarg); break;
        case 's': o.num_streams = numbers(optarg, o.streams); break;
        case 'p': o.num_prompts = numbers(optarg, o.prompts); break;
        case 'c': o.context = number(optarg); break;
        case 'n': o.steps = VMT_MAX(1, number(optarg)); break;
        default: return 2;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: gpu_model_bench FILE [-d driver] [-g GB/s] [-s streams,...] [-c context] [-p "
                        "prompt,...] [-n steps] [-k cache]\n");
        return 2;
    }
    o.file = argv[optind];
    b.bandwidth = o.bandwidth;
    open_model(&b, &o);
    if (o.prompt_ids != NULL) {
        continue_text(&b, o.prompt_ids, o.steps);
        return 0;
    }
    printf("%s: %.2f GB of weights a step\n", o.file, b.weight_bytes / 1e9);
    for (uint32_t i = 0; i < o.num_streams && o.streams[i] <= STREAMS_MAX; i++) {
        time_decode(&b, o.streams[i], o.context, o.steps);
    }
    for (uint32_t i = 0; i < o.num_prompts; i++) time_prefill(&b, o.prompts[i]);
    return 0;
}
