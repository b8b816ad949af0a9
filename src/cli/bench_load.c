#include "cli/bench_load.h"

#include "base/clock.h"
#include "base/rng.h"
#include "json/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ITLS_MAX       ((size_t)VMT_BENCH_LEN_MAX * 2)
#define PATH_BYTES_MAX 512
#define POLL_MS_MAX    1000
#define PROGRESS_NS    200000000ull

/* One place for a request in flight. */
struct slot {
    vmt_openai_request request;
    vmt_bench_record *record;
    const vmt_bench_prompt *prompt;
    uint64_t last_ns; /* of the last piece of text */
    struct run *run;
    struct slot *next_free;
};

struct run {
    const vmt_bench_load_options *options;
    vmt_http_client *client;
    struct slot *slots, *free_slots;
    uint64_t began_ns;
    uint32_t num_active, num_done, num;
    uint64_t shown_ns;
};

static double uniform(uint64_t *state) {
    return ((double)(vmt_splitmix64(state) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *state) {
    double u = uniform(state), v = uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* Marsaglia and Tsang 2000; shapes below 1 through the boost Gamma(a) = Gamma(a + 1) U^(1/a). */
static double gamma_draw(uint64_t *state, double shape) {
    double boost = 1;
    if (shape < 1) {
        boost = pow(uniform(state), 1 / shape);
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = normal(state), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(uniform(state)) < 0.5 * x * x + d - d * v + d * log(v)) return boost * d * v;
    }
}

double vmt_bench_interval(uint64_t *state, double rate, double burstiness) {
    if (isinf(rate)) return 0;
    return gamma_draw(state, burstiness) / (rate * burstiness);
}

/* ---- one request */

static void on_text(void *ctx, vmt_str text) {
    struct slot *slot = ctx;
    vmt_bench_record *record = slot->record;
    uint64_t now = vmt_clock_ns();
    if (slot->last_ns != 0 && vmt_array_grow((void **)&record->itls_s, &record->cap_itls, record->num_itls + 1,
                                             sizeof *record->itls_s, ITLS_MAX) == VMT_OK) {
        record->itls_s[record->num_itls++] = (double)(now - slot->last_ns) * 1e-9;
    }
    slot->last_ns = now;
    if (slot->run->options->keeps_text) vmt_buf_append(&record->text, text);
}

static void write_prompt(vmt_json_writer *w, const vmt_bench_prompt *prompt, bool is_chat) {
    if (is_chat) {
        vmt_json_key(w, "messages");
        vmt_json_begin_array(w);
        vmt_json_begin_object(w);
        vmt_json_key(w, "role");
        vmt_json_c_str(w, "user");
        vmt_json_key(w, "content");
        vmt_json_str(w, prompt->text);
        vmt_json_end_object(w);
        vmt_json_end_array(w);
        return;
    }
    vmt_json_key(w, "prompt");
    if (prompt->ids == NULL) {
        vmt_json_str(w, prompt->text);
        return;
    }
    vmt_json_begin_array(w);
    for (uint32_t i = 0; i < prompt->num_ids; i++) vmt_json_i64(w, prompt->ids[i]);
    vmt_json_end_array(w);
}

static void write_body(const vmt_bench_load_options *o, const vmt_bench_prompt *prompt, vmt_buf *body) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, o->model);
    write_prompt(&w, prompt, o->is_chat);
    vmt_json_key(&w, o->is_chat ? "max_completion_tokens" : "max_tokens");
    vmt_json_i64(&w, prompt->output_len);
    vmt_json_key(&w, "temperature");
    vmt_json_f64(&w, o->temperature);
    vmt_json_key(&w, "stream");
    vmt_json_bool(&w, true);
    vmt_json_key(&w, "stream_options");
    vmt_json_raw(&w, VMT_STR("{\"include_usage\":true}"));
    if (o->ignore_eos) {
        vmt_json_key(&w, "ignore_eos");
        vmt_json_bool(&w, true);
    }
    vmt_json_doc *doc = NULL;
    vmt_json value;
    vmt_str key;
    if (o->extra_body.len > 0 && vmt_json_parse(&doc, o->extra_body, NULL) == VMT_OK) {
        for (vmt_json_iter it = vmt_json_iter_begin(vmt_json_root(doc)); vmt_json_iter_next(&it, &key, &value);) {
            vmt_json_key_str(&w, key);
            vmt_json_value(&w, value);
        }
        vmt_json_doc_destroy(doc);
    }
    vmt_json_end_object(&w);
}

/* Runs inside the client's poll. */
static void on_end(void *ctx) {
    struct slot *slot = ctx;
    struct run *run = slot->run;
    vmt_openai_request *r = &slot->request;
    vmt_bench_record *record = slot->record;
    record->is_good = r->err.code == VMT_OK && r->first_ns != 0;
    if (record->is_good) {
        record->ttft_s = (double)(r->first_ns - r->started_ns) * 1e-9;
        record->latency_s = (double)(r->last_ns - r->started_ns) * 1e-9;
        record->input_len = r->num_prompt_tokens >= 0 ? r->num_prompt_tokens : (int64_t)slot->prompt->num_ids;
        record->output_len = r->num_output_tokens >= 0 ? r->num_output_tokens : (int64_t)r->num_chunks;
    } else {
        const char *why = r->err.code == VMT_OK ? "the answer is empty" : r->err.msg;
        snprintf(record->error, sizeof record->error, "%s", why);
    }
    vmt_openai_request_reset(r);
    slot->next_free = run->free_slots;
    run->free_slots = slot;
    run->num_active--;
    run->num_done++;
}

static vmt_status launch(struct run *run, const vmt_bench_prompt *prompt, vmt_bench_record *record, vmt_err *err) {
    struct slot *slot = run->free_slots;
    const vmt_bench_load_options *o = run->options;
    vmt_buf body;
    char path[PATH_BYTES_MAX];
    run->free_slots = slot->next_free;
    *slot = (struct slot){.record = record, .prompt = prompt, .run = run};
    slot->request = (vmt_openai_request){.on_text = on_text, .on_end = on_end, .ctx = slot};
    snprintf(path, sizeof path, "%.*s", VMT_STR_ARG(o->path));
    vmt_buf_init(&body, 0);
    write_body(o, prompt, &body);
    vmt_status status = body.failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a request")
                                    : vmt_openai_request_start(&slot->request, run->client, &o->target, path,
                                                               vmt_buf_str(&body), err);
    vmt_buf_free(&body);
    if (status != VMT_OK) return status;
    record->start_s = (double)(slot->request.started_ns - run->began_ns) * 1e-9;
    run->num_active++;
    return VMT_OK;
}

/* ---- the run */

static void show_progress(struct run *run, bool ends) {
    uint64_t now = vmt_clock_ns();
    if (!run->options->shows_progress || isatty(STDERR_FILENO) != 1) return;
    if (ends) {
        fprintf(stderr, "\r\033[K");
    } else if (now - run->shown_ns >= PROGRESS_NS) {
        run->shown_ns = now;
        fprintf(stderr, "\r\033[K%u of %u requests done, %u in progress", run->num_done, run->num,
                run->num_active);
    }
}

static vmt_status drive(struct run *run, const vmt_bench_dataset *dataset, vmt_bench_record *records,
                        vmt_err *err) {
    const vmt_bench_load_options *o = run->options;
    uint64_t state = (uint64_t)o->seed ^ 0x5A17C0DEull;
    double next_s = 0; /* when request `sent` arrives, since the begin */
    uint32_t sent = 0;
    while (run->num_done < run->num) {
        double now_s = (double)(vmt_clock_ns() - run->began_ns) * 1e-9;
        while (sent < run->num && next_s <= now_s && run->free_slots != NULL) {
            VMT_TRY(launch(run, &dataset->prompts[sent], &records[sent], err));
            sent++;
            next_s += vmt_bench_interval(&state, o->request_rate, o->burstiness);
        }
        show_progress(run, false);
        bool waits_for_arrival = sent < run->num && run->free_slots != NULL;
        double wait_ms = waits_for_arrival ? ceil((next_s - now_s) * 1e3) : POLL_MS_MAX;
        wait_ms = VMT_MIN(VMT_MAX(wait_ms, 0), POLL_MS_MAX);
        if (run->num_active == 0) {
            struct timespec pause = {(time_t)(wait_ms / 1000), (long)fmod(wait_ms, 1000) * 1000000};
            nanosleep(&pause, NULL);
        } else {
            vmt_http_client_poll(run->client, (uint32_t)wait_ms);
        }
    }
    return VMT_OK;
}

vmt_status vmt_bench_load_run(const vmt_bench_load_options *options, const vmt_bench_dataset *dataset,
                              uint32_t num, vmt_bench_record *records, double *seconds, vmt_err *err) {
    VMT_ASSERT(num <= dataset->num);
    int64_t bound = options->max_concurrency > 0 ? options->max_concurrency : VMT_BENCH_CONCURRENCY_MAX;
    uint32_t num_slots = (uint32_t)VMT_MIN(bound, (int64_t)num);
    struct run run = {.options = options, .num = num};
    *seconds = 0;
    if (num == 0) return VMT_OK;
    run.slots = calloc(num_slots, sizeof *run.slots);
    if (run.slots == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u requests at once", num_slots);
    for (uint32_t i = 0; i < num_slots; i++) {
        run.slots[i].next_free = run.free_slots;
        run.free_slots = &run.slots[i];
    }
    vmt_status status = vmt_http_client_create(&run.client, NULL, err);
    if (status == VMT_OK) {
        run.began_ns = vmt_clock_ns();
        status = drive(&run, dataset, records, err);
        *seconds = (double)(vmt_clock_ns() - run.began_ns) * 1e-9;
        show_progress(&run, true);
    }
    vmt_http_client_destroy(run.client);
    for (uint32_t i = 0; i < num_slots; i++) vmt_openai_request_reset(&run.slots[i].request);
    free(run.slots);
    return status;
}

void vmt_bench_records_free(vmt_bench_record *records, uint32_t num) {
    for (uint32_t i = 0; records != NULL && i < num; i++) {
        free(records[i].itls_s);
        vmt_buf_free(&records[i].text);
    }
    free(records);
}
