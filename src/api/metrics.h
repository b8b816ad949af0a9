/* api/metrics.h: what GET /metrics shows, under vLLM's names.  Loop thread.
 *
 * Every vllm: series exists from the start, so that dashboards and scrapers never meet a gap.  Engine numbers come from
 * a snapshot when the page is asked for; the rest is counted here as requests go by. */
#ifndef VMT_API_METRICS_H
#define VMT_API_METRICS_H

#include "api/api.h"

#define VMT_HISTOGRAM_BUCKETS_MAX 32u
#define VMT_METRICS_ROUTES_MAX    64u

typedef struct vmt_histogram {
    const double *bounds;
    uint32_t num_bounds;
    uint64_t counts[VMT_HISTOGRAM_BUCKETS_MAX + 1]; /* the last is above all bounds */
    uint64_t count;
    double sum;
} vmt_histogram;

void vmt_histogram_init(vmt_histogram *h, const double *bounds, uint32_t num_bounds);
void vmt_histogram_add(vmt_histogram *h, double value);
void vmt_histogram_add_many(vmt_histogram *h, double value, uint64_t times);

typedef enum vmt_finished_reason {
    VMT_FINISHED_STOP,
    VMT_FINISHED_LENGTH,
    VMT_FINISHED_ABORT,
    VMT_FINISHED_ERROR,
    VMT_FINISHED_REPETITION,
    VMT_FINISHED_REASONS
} vmt_finished_reason;

typedef struct vmt_route_metrics {
    uint64_t by_class[6]; /* 1xx .. 5xx at [1] .. [5] */
    vmt_histogram duration;
    uint64_t num_requests, request_bytes, response_bytes;
} vmt_route_metrics;

typedef struct vmt_metrics {
    double token_bounds[VMT_HISTOGRAM_BUCKETS_MAX]; /* 1 2 5 10 ... up to the context */
    vmt_histogram prompt_tokens, generation_tokens, max_num_generation_tokens, params_max_tokens,
        prefill_kv_computed;
    vmt_histogram params_n, num_preemptions;
    vmt_histogram time_to_first_token, inter_token_latency, time_per_output_token;
    vmt_histogram e2e_latency, queue_time, inference_time, prefill_time, decode_time;
    uint64_t finished[VMT_FINISHED_REASONS];
    uint64_t prompt_tokens_total, cached_tokens_total, generation_tokens_total;
    uint64_t admission_rejections;
    uint64_t tool_parses[3][2][2]; /* [chat_completions, responses, other] [whole, stream] [without calls, with] */
    vmt_route_metrics routes[VMT_METRICS_ROUTES_MAX];
    vmt_histogram http_highr;
} vmt_metrics;

void vmt_metrics_init(vmt_metrics *m, uint32_t max_model_len);

/* One prompt's generation has given its first token, or ended without one. */
void vmt_metrics_on_prompt(vmt_metrics *m, const vmt_generation_stats *stats);

/* One sequence has ended. */
typedef struct vmt_sequence_record {
    vmt_finished_reason reason;
    uint32_t num_tokens, num_tokens_max; /* max: the longest of its request */
    uint32_t n, max_tokens;
    uint64_t arrived_ns, now_ns;
    vmt_generation_stats stats;
} vmt_sequence_record;
void vmt_metrics_on_finished(vmt_metrics *m, const vmt_sequence_record *record);

/* A choice that might have called tools is over.  request: the dialect's name. */
void vmt_metrics_on_tool_parse(vmt_metrics *m, const char *request, bool is_stream, bool has_calls);

/* route_idx < VMT_METRICS_ROUTES_MAX. */
typedef struct vmt_http_record {
    uint32_t route_idx;
    int status;
    uint64_t duration_ns, request_bytes, response_bytes;
} vmt_http_record;
void vmt_metrics_on_http(vmt_metrics *m, const vmt_http_record *record);

/* Names for the http_ series. */
typedef struct vmt_route_name {
    const char *handler, *method;
} vmt_route_name;

/* The whole page.  stats may be NULL: no engine yet. */
void vmt_metrics_write(const vmt_metrics *m, const vmt_api_config *config, const vmt_engine_stats *stats,
                       const vmt_route_name *routes, uint32_t num_routes, vmt_buf *out);

#endif
