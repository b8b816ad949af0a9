#include "api/metrics.h"

#include <math.h>
#include <stdio.h>

static const double bounds_n[] = {1, 2, 5, 10, 20};
static const double bounds_preemptions[] = {1, 2, 3, 4, 5, 10, 20};
static const double bounds_iteration[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
static const double bounds_first_token[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                            1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
static const double bounds_inter_token[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                            0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
static const double bounds_request[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                        30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
static const double bounds_http[] = {0.1, 0.5, 1};
static const double bounds_http_highr[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1,  1.5, 2,
                                           2.5,  3,     3.5,  4,     4.5, 5,    7.5, 10,   30, 60};

static const char *const finished_names[] = {"stop", "length", "abort", "error", "repetition"};

void vmt_histogram_init(vmt_histogram *h, const double *bounds, uint32_t num_bounds) {
    VMT_ASSERT(num_bounds <= VMT_HISTOGRAM_BUCKETS_MAX);
    *h = (vmt_histogram){.bounds = bounds, .num_bounds = num_bounds};
}

void vmt_histogram_add_many(vmt_histogram *h, double value, uint64_t times) {
    uint32_t i = 0;
    while (i < h->num_bounds && value > h->bounds[i]) i++;
    h->counts[i] += times;
    h->count += times;
    h->sum += value * (double)times;
}

void vmt_histogram_add(vmt_histogram *h, double value) {
    vmt_histogram_add_many(h, value, 1);
}

void vmt_metrics_init(vmt_metrics *m, uint32_t max_model_len) {
    *m = (vmt_metrics){0};
    static const double steps[] = {1, 2, 5};
    uint32_t num_token_bounds = 0;
    for (double scale = 1;; scale *= 10) {
        for (size_t i = 0; i < VMT_COUNT(steps); i++) {
            if (steps[i] * scale > max_model_len || num_token_bounds == VMT_HISTOGRAM_BUCKETS_MAX) goto done;
            m->token_bounds[num_token_bounds++] = steps[i] * scale;
        }
    }
done:;
    const struct {
        vmt_histogram *h;
        const double *bounds;
        uint32_t num_bounds;
    } all[] = {
        {&m->prompt_tokens, m->token_bounds, num_token_bounds},
        {&m->generation_tokens, m->token_bounds, num_token_bounds},
        {&m->max_num_generation_tokens, m->token_bounds, num_token_bounds},
        {&m->params_max_tokens, m->token_bounds, num_token_bounds},
        {&m->prefill_kv_computed, m->token_bounds, num_token_bounds},
        {&m->params_n, bounds_n, VMT_COUNT(bounds_n)},
        {&m->num_preemptions, bounds_preemptions, VMT_COUNT(bounds_preemptions)},
        {&m->time_to_first_token, bounds_first_token, VMT_COUNT(bounds_first_token)},
        {&m->inter_token_latency, bounds_inter_token, VMT_COUNT(bounds_inter_token)},
        {&m->time_per_output_token, bounds_inter_token, VMT_COUNT(bounds_inter_token)},
        {&m->e2e_latency, bounds_request, VMT_COUNT(bounds_request)},
        {&m->queue_time, bounds_request, VMT_COUNT(bounds_request)},
        {&m->inference_time, bounds_request, VMT_COUNT(bounds_request)},
        {&m->prefill_time, bounds_request, VMT_COUNT(bounds_request)},
        {&m->decode_time, bounds_request, VMT_COUNT(bounds_request)},
        {&m->http_highr, bounds_http_highr, VMT_COUNT(bounds_http_highr)},
    };
    for (size_t i = 0; i < VMT_COUNT(all); i++) vmt_histogram_init(all[i].h, all[i].bounds, all[i].num_bounds);
    for (size_t i = 0; i < VMT_METRICS_ROUTES_MAX; i++) {
        vmt_histogram_init(&m->routes[i].duration, bounds_http, VMT_COUNT(bounds_http));
    }
}

void vmt_metrics_on_prompt(vmt_metrics *m, const vmt_generation_stats *stats) {
    m->prompt_tokens_total += stats->num_prompt_tokens;
    m->cached_tokens_total += stats->num_cached_tokens;
}

static double seconds_between(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

void vmt_metrics_on_finished(vmt_metrics *m, const vmt_sequence_record *r) {
    m->finished[r->reason]++;
    vmt_histogram_add(&m->prompt_tokens, r->stats.num_prompt_tokens);
    vmt_histogram_add(&m->generation_tokens, r->num_tokens);
    vmt_histogram_add(&m->max_num_generation_tokens, r->num_tokens_max);
    vmt_histogram_add(&m->params_max_tokens, r->max_tokens);
    vmt_histogram_add(&m->params_n, r->n);
    vmt_histogram_add(&m->num_preemptions, r->stats.num_preemptions);
    vmt_histogram_add(&m->e2e_latency, seconds_between(r->arrived_ns, r->now_ns));
    if (r->stats.scheduled_ns == 0 || r->stats.first_token_ns == 0) return; /* never got that far */
    vmt_histogram_add(&m->prefill_kv_computed, r->stats.num_prompt_tokens - r->stats.num_cached_tokens);
    double decode_s = seconds_between(r->stats.first_token_ns, r->stats.last_token_ns);
    vmt_histogram_add(&m->queue_time, seconds_between(r->stats.submitted_ns, r->stats.scheduled_ns));
    vmt_histogram_add(&m->prefill_time, seconds_between(r->stats.scheduled_ns, r->stats.first_token_ns));
    vmt_histogram_add(&m->decode_time, decode_s);
    vmt_histogram_add(&m->inference_time, seconds_between(r->stats.scheduled_ns, r->stats.last_token_ns));
    if (r->num_tokens > 1) vmt_histogram_add(&m->time_per_output_token, decode_s / (r->num_tokens - 1));
}

void vmt_metrics_on_http(vmt_metrics *m, const vmt_http_record *r) {
    VMT_ASSERT(r->route_idx < VMT_METRICS_ROUTES_MAX);
    vmt_route_metrics *route = &m->routes[r->route_idx];
    int status_class = r->status / 100;
    route->by_class[status_class >= 1 && status_class <= 5 ? status_class : 0]++;
    double seconds = (double)r->duration_ns * 1e-9;
    vmt_histogram_add(&route->duration, seconds);
    vmt_histogram_add(&m->http_highr, seconds);
    route->num_requests++;
    route->request_bytes += r->request_bytes;
    route->response_bytes += r->response_bytes;
}

/* ---- the page */

struct page {
    vmt_buf *out;
    char labels[512]; /* model_name="...",engine="0" */
};

static void escape_label(char *out, size_t cap, vmt_str s) {
    size_t len = 0;
    for (size_t i = 0; i < s.len && len + 3 < cap; i++) {
        char c = s.ptr[i];
        if (c == '"' || c == '\\' || c == '\n') out[len++] = '\\';
        out[len++] = c == '\n' ? 'n' : c;
    }
    out[len] = 0;
}

static void head(const struct page *p, const char *name, const char *type, const char *help) {
    vmt_buf_printf(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(const struct page *p, const char *name, const char *extra, double value) {
    vmt_buf_printf(p->out, "%s{%s%s%s} %.17g\n", name, p->labels, extra[0] ? "," : "", extra, value);
}

static void single(const struct page *p, const char *name, const char *type, const char *help, double value) {
    head(p, name, type, help);
    sample(p, name, "", value);
}

static void buckets(vmt_buf *out, const char *name, const char *labels, const vmt_histogram *h) {
    const char *comma = labels[0] ? "," : "";
    uint64_t below = 0;
    for (uint32_t i = 0; i < h->num_bounds; i++) {
        below += h->counts[i];
        /* As Python prints floats: 1.0, 0.25. */
        bool is_whole = h->bounds[i] == floor(h->bounds[i]);
        char bound[32];
        snprintf(bound, sizeof bound, is_whole ? "%.1f" : "%.9g", h->bounds[i]);
        vmt_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, labels, comma, bound,
                       (unsigned long long)below);
    }
    vmt_buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)h->count);
    if (labels[0]) {
        vmt_buf_printf(out, "%s_count{%s} %llu\n%s_sum{%s} %.17g\n", name, labels, (unsigned long long)h->count,
                       name, labels, h->sum);
    } else {
        vmt_buf_printf(out, "%s_count %llu\n%s_sum %.17g\n", name, (unsigned long long)h->count, name, h->sum);
    }
}

static void histogram(const struct page *p, const char *name, const char *help, const vmt_histogram *h) {
    head(p, name, "histogram", help);
    buckets(p->out, name, p->labels, h);
}

static void write_engine(const struct page *p, const vmt_engine_stats *s) {
    const vmt_sched_stats *sched = &s->sched;
    single(p, "vllm:num_requests_running", "gauge", "Number of requests in model execution batches.",
           sched->num_running);
    single(p, "vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.",
           sched->num_waiting);
    head(p, "vllm:num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.");
    sample(p, "vllm:num_requests_waiting_by_reason", "reason=\"capacity\"", sched->num_waiting);
    sample(p, "vllm:num_requests_waiting_by_reason", "reason=\"deferred\"", 0);
    single(p, "vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.",
           sched->num_blocks_total ? (double)sched->num_blocks_used / sched->num_blocks_total : 0);
    head(p, "vllm:engine_sleep_state", "gauge", "Engine sleep state; one of the states is 1.");
    sample(p, "vllm:engine_sleep_state", "sleep_state=\"awake\"", 1);
    sample(p, "vllm:engine_sleep_state", "sleep_state=\"weights_offloaded\"", 0);
    sample(p, "vllm:engine_sleep_state", "sleep_state=\"discard_all\"", 0);
    single(p, "vllm:prefix_cache_queries_total", "counter", "Prefix cache queries, in tokens.",
           (double)sched->prefix_query_tokens);
    single(p, "vllm:prefix_cache_hits_total", "counter", "Prefix cache hits, in tokens.",
           (double)sched->prefix_hit_tokens);
    static const char *const absent[] = {"vllm:external_prefix_cache_queries_total",
                                         "vllm:external_prefix_cache_hits_total", "vllm:mm_cache_queries_total",
                                         "vllm:mm_cache_hits_total"};
    for (size_t i = 0; i < VMT_COUNT(absent); i++) {
        single(p, absent[i], "counter", "Always 0: there is no such cache.", 0);
    }
    single(p, "vllm:num_preemptions_total", "counter", "Cumulative number of preemptions.",
           (double)sched->num_preemptions);
    vmt_histogram iteration;
    vmt_histogram_init(&iteration, bounds_iteration, VMT_COUNT(bounds_iteration));
    for (uint32_t i = 0; i < VMT_COUNT(s->iteration_tokens_buckets); i++) {
        /* The engine's bounds begin with these and go on. */
        iteration.counts[VMT_MIN(i, iteration.num_bounds)] += s->iteration_tokens_buckets[i];
        iteration.count += s->iteration_tokens_buckets[i];
    }
    iteration.sum = (double)(s->num_prompt_tokens + s->num_generated_tokens);
    histogram(p, "vllm:iteration_tokens_total", "Number of tokens per engine step.", &iteration);
}

static const char *const tool_requests[] = {"chat_completions", "responses", "other"};

void vmt_metrics_on_tool_parse(vmt_metrics *m, const char *request, bool is_stream, bool has_calls) {
    size_t i = 0;
    while (i + 1 < VMT_COUNT(tool_requests) && strcmp(request, tool_requests[i]) != 0) i++;
    m->tool_parses[i][is_stream][has_calls]++;
}

static void write_tool_parses(const struct page *p, const vmt_metrics *m) {
    const char *name = "vllm:tool_call_parser_invocations_total";
    head(p, name, "counter", "Choices whose text was searched for tool calls.");
    for (size_t i = 0; i < VMT_COUNT(tool_requests); i++) {
        for (size_t k = 0; k < 4; k++) {
            char label[128];
            snprintf(label, sizeof label, "mode=\"%s\",outcome=\"%s\",request_type=\"%s\"",
                     k & 1 ? "streaming" : "non_streaming", k & 2 ? "tool_call" : "no_tool_call",
                     tool_requests[i]);
            sample(p, name, label, (double)m->tool_parses[i][k & 1][k >> 1]);
        }
    }
}

static void write_requests(const struct page *p, const vmt_metrics *m) {
    single(p, "vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.",
           (double)m->prompt_tokens_total);
    head(p, "vllm:prompt_tokens_by_source_total", "counter", "Number of prompt tokens by source.");
    sample(p, "vllm:prompt_tokens_by_source_total", "source=\"local_compute\"",
           (double)(m->prompt_tokens_total - m->cached_tokens_total));
    sample(p, "vllm:prompt_tokens_by_source_total", "source=\"local_cache_hit\"", (double)m->cached_tokens_total);
    sample(p, "vllm:prompt_tokens_by_source_total", "source=\"external_kv_transfer\"", 0);
    single(p, "vllm:prompt_tokens_cached_total", "counter", "Number of cached prompt tokens.",
           (double)m->cached_tokens_total);
    single(p, "vllm:generation_tokens_total", "counter", "Number of generation tokens processed.",
           (double)m->generation_tokens_total);
    head(p, "vllm:request_success_total", "counter", "Count of finished requests, by reason.");
    for (size_t i = 0; i < VMT_COUNT(finished_names); i++) {
        char label[64];
        snprintf(label, sizeof label, "finished_reason=\"%s\"", finished_names[i]);
        sample(p, "vllm:request_success_total", label, (double)m->finished[i]);
    }
    single(p, "vllm:admission_rejections_total", "counter", "Requests refused because a queue was full.",
           (double)m->admission_rejections);
    write_tool_parses(p, m);
    const struct {
        const char *name, *help;
        const vmt_histogram *h;
    } all[] = {
        {"vllm:request_prompt_tokens", "Number of prefill tokens.", &m->prompt_tokens},
        {"vllm:request_generation_tokens", "Number of generation tokens.", &m->generation_tokens},
        {"vllm:request_max_num_generation_tokens", "Longest sequence of a request.",
         &m->max_num_generation_tokens},
        {"vllm:request_params_max_tokens", "The max_tokens parameter.", &m->params_max_tokens},
        {"vllm:request_prefill_kv_computed_tokens", "Prompt tokens computed, cached ones left out.",
         &m->prefill_kv_computed},
        {"vllm:request_params_n", "The n parameter.", &m->params_n},
        {"vllm:request_num_preemptions", "Preemptions of a request.", &m->num_preemptions},
        {"vllm:time_to_first_token_seconds", "Time to first token.", &m->time_to_first_token},
        {"vllm:inter_token_latency_seconds", "Time between tokens.", &m->inter_token_latency},
        {"vllm:request_time_per_output_token_seconds", "Mean time per output token.", &m->time_per_output_token},
        {"vllm:e2e_request_latency_seconds", "End to end request latency.", &m->e2e_latency},
        {"vllm:request_queue_time_seconds", "Time spent waiting.", &m->queue_time},
        {"vllm:request_inference_time_seconds", "Time spent running.", &m->inference_time},
        {"vllm:request_prefill_time_seconds", "Time spent in prefill.", &m->prefill_time},
        {"vllm:request_decode_time_seconds", "Time spent in decode.", &m->decode_time},
    };
    for (size_t i = 0; i < VMT_COUNT(all); i++) histogram(p, all[i].name, all[i].help, all[i].h);
}

static void write_config(const struct page *p, const vmt_api_config *c) {
    head(p, "vllm:cache_config_info", "gauge", "The cache's settings.");
    vmt_buf_printf(
        p->out,
        "vllm:cache_config_info{block_size=\"%u\",cache_dtype=\"%s\",enable_prefix_caching=\"%s\",engine=\"0\","
        "gpu_memory_utilization=\"None\",kv_cache_size_tokens=\"%llu\",num_gpu_blocks=\"%u\","
        "prefix_caching_hash_algo=\"siphash128\",sliding_window=\"None\"} 1\n",
        c->block_size, c->kv_dtype_name ? c->kv_dtype_name : "auto", c->enable_prefix_caching ? "True" : "False",
        (unsigned long long)c->block_size * c->num_blocks, c->num_blocks);
}

static void write_loop(const struct page *p, const vmt_loop_stats *stats) {
    static const double bounds[] = VMT_LOOP_TURN_BOUNDS_S;
    vmt_histogram turns;
    vmt_histogram_init(&turns, bounds, VMT_COUNT(bounds));
    for (uint32_t i = 0; i <= VMT_LOOP_TURN_BOUNDS; i++) turns.counts[i] = stats->buckets[i];
    turns.count = stats->num_turns;
    turns.sum = (double)stats->turn_ns_total * 1e-9;
    histogram(p, "vmetal:loop_turn_seconds", "Processor time of one turn of the event loop.", &turns);
    single(p, "vmetal:loop_turn_max_seconds", "gauge", "The longest turn of the event loop so far.",
           (double)stats->turn_ns_max * 1e-9);
}

static void write_http(const struct page *p, const vmt_metrics *m, const vmt_route_name *routes,
                       uint32_t num_routes) {
    vmt_buf *out = p->out;
    head(p, "http_requests_total", "counter", "Total number of requests by method, status and handler.");
    for (uint32_t i = 0; i < num_routes; i++) {
        for (int status_class = 1; status_class <= 5; status_class++) {
            if (m->routes[i].by_class[status_class] == 0) continue;
            vmt_buf_printf(out, "http_requests_total{handler=\"%s\",method=\"%s\",status=\"%dxx\"} %llu\n",
                           routes[i].handler, routes[i].method, status_class,
                           (unsigned long long)m->routes[i].by_class[status_class]);
        }
    }
    const struct {
        const char *name, *help;
        size_t offset;
    } sizes[] = {
        {"http_request_size_bytes", "Content length of incoming requests by handler.",
         offsetof(vmt_route_metrics, request_bytes)},
        {"http_response_size_bytes", "Content length of outgoing responses by handler.",
         offsetof(vmt_route_metrics, response_bytes)},
    };
    for (size_t s = 0; s < VMT_COUNT(sizes); s++) {
        head(p, sizes[s].name, "summary", sizes[s].help);
        for (uint32_t i = 0; i < num_routes; i++) {
            const vmt_route_metrics *route = &m->routes[i];
            if (route->num_requests == 0) continue;
            const uint64_t *sum = (const uint64_t *)(const void *)((const char *)route + sizes[s].offset);
            vmt_buf_printf(out, "%s_count{handler=\"%s\"} %llu\n%s_sum{handler=\"%s\"} %llu\n", sizes[s].name,
                           routes[i].handler, (unsigned long long)route->num_requests, sizes[s].name,
                           routes[i].handler, (unsigned long long)*sum);
        }
    }
    head(p, "http_request_duration_highr_seconds", "histogram", "Latency with many buckets but no labels.");
    buckets(out, "http_request_duration_highr_seconds", "", &m->http_highr);
    head(p, "http_request_duration_seconds", "histogram", "Latency with few buckets, by handler.");
    for (uint32_t i = 0; i < num_routes; i++) {
        if (m->routes[i].num_requests == 0) continue;
        char labels[160];
        snprintf(labels, sizeof labels, "handler=\"%s\",method=\"%s\"", routes[i].handler, routes[i].method);
        buckets(out, "http_request_duration_seconds", labels, &m->routes[i].duration);
    }
}

void vmt_metrics_write(const vmt_metrics *m, const vmt_api_config *config, const vmt_engine_stats *stats,
                       const vmt_route_name *routes, uint32_t num_routes, vmt_buf *out) {
    static const vmt_engine_stats none = {0};
    struct page page = {.out = out};
    char name[384];
    escape_label(name, sizeof name, config->num_served_names ? config->served_names[0] : VMT_STR(""));
    snprintf(page.labels, sizeof page.labels, "engine=\"0\",model_name=\"%s\"", name);
    write_engine(&page, stats ? stats : &none);
    write_requests(&page, m);
    write_config(&page, config);
    const vmt_loop_stats loop = config->loop ? vmt_loop_get_stats(config->loop) : (vmt_loop_stats){0};
    write_loop(&page, &loop);
    write_http(&page, m, routes, num_routes);
}
