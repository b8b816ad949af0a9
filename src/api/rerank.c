/* POST /score and /rerank.
 *
 * A request is a list of pairs.  With vectors each text is one prompt, queries first:
 *
 *   prompts   [ queries: 1 or num_pairs | documents: num_pairs ]
 *
 * and a pair's score is the cosine of its two; a reranker has one prompt per pair. */
#include "api/rerank.h"
#include "api/pooling_job.h"
#include "api/score_prompt.h"

#include <math.h>
#include <stdlib.h>

struct rerank {
    vmt_json use_activation, template_kwargs, instruction;
    int64_t max_tokens_per_query, max_tokens_per_doc, top_n;
    bool uses_activation, is_rerank;
    vmt_str *queries, *documents; /* [num_queries], [num_pairs]; while parsing they may borrow from the body */
    uint32_t num_queries, num_pairs;
};

struct ranked {
    float score;
    uint32_t index;
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct rerank, name), NULL, 0, 0, false}
static const vmt_field rerank_table[] = {
    FIELD(ANY, use_activation),
    FIELD(ANY, instruction),
    {"chat_template_kwargs", VMT_FIELD_OBJECT, offsetof(struct rerank, template_kwargs), NULL, 0, 0, false},
    FIELD(INT, max_tokens_per_query),
    FIELD(INT, max_tokens_per_doc),
    FIELD(INT, top_n),
};

/* ---- texts */

static bool read_text(vmt_job *job, const char *param, vmt_json value, vmt_str *out) {
    if (vmt_json_get_str(value, out)) return true;
    if (vmt_json_exists(VMT_JSON_AT(value, "content"))) {
        return vmt_fault_rule(&job->fault, param, NULL, "%s has parts of content, but this model takes text only.",
                              param);
    }
    return vmt_fault_schema(&job->fault, param, "body.%s: Input should be a string or a list of strings", param);
}

static bool read_texts(vmt_job *job, const char *param, vmt_json value, vmt_str **texts, uint32_t *num_texts) {
    bool is_list = vmt_json_typeof(value) == VMT_JSON_ARRAY;
    size_t count = is_list ? vmt_json_size(value) : 1;
    vmt_json element;
    if (count > VMT_POOL_INPUTS_MAX) {
        return vmt_fault_rule(&job->fault, param, NULL, "%s has %zu entries, the limit is %u.", param, count,
                              VMT_POOL_INPUTS_MAX);
    }
    *texts = vmt_job_alloc(job, VMT_MAX(count, (size_t)1), sizeof **texts);
    *num_texts = (uint32_t)count;
    if (!*texts) return false;
    if (!is_list) return read_text(job, param, value, *texts);
    vmt_str *text = *texts;
    for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, NULL, &element);) {
        if (!read_text(job, param, element, text++)) return false;
    }
    return true;
}

/* The names a request may have for its two lists. */
static const struct {
    const char *first, *second;
} names[] = {{"queries", "documents"}, {"queries", "items"}, {"data_1", "data_2"}, {"text_1", "text_2"}};

static bool read_pairs(vmt_job *job, struct rerank *r, vmt_json body) {
    const char *first = "query", *second = "documents";
    for (size_t i = 0; !r->is_rerank && i < VMT_COUNT(names); i++) {
        first = names[i].first;
        second = names[i].second;
        if (vmt_json_exists(vmt_json_member(body, vmt_str_from(first))) &&
            vmt_json_exists(vmt_json_member(body, vmt_str_from(second)))) {
            break;
        }
    }
    vmt_json queries = vmt_json_member(body, vmt_str_from(first));
    vmt_json documents = vmt_json_member(body, vmt_str_from(second));
    if (!vmt_json_exists(queries) || !vmt_json_exists(documents)) {
        const char *missing = vmt_json_exists(queries) ? second : first;
        return vmt_fault_schema(&job->fault, missing, "body.%s: Field required", missing);
    }
    if (r->is_rerank && vmt_json_typeof(queries) == VMT_JSON_ARRAY) {
        return vmt_fault_schema(&job->fault, first, "body.query: Input should be a string");
    }
    if (!read_texts(job, first, queries, &r->queries, &r->num_queries) ||
        !read_texts(job, second, documents, &r->documents, &r->num_pairs)) {
        return false;
    }
    if (r->num_queries > 1 && r->num_queries != r->num_pairs) {
        return vmt_fault_rule(&job->fault, second, NULL, "Input lengths must be either 1:1, 1:N or N:N");
    }
    if (r->num_queries == 0) {
        return vmt_fault_rule(&job->fault, first, NULL, "At least one text element must be given");
    }
    if (r->num_pairs == 0) {
        return vmt_fault_rule(&job->fault, second, NULL, "At least one text_pair element must be given");
    }
    return true;
}

/* Cuts texts to their first `limit` tokens. */
static bool cut_texts(vmt_job *job, const char *param, int64_t limit, vmt_str *texts, uint32_t num_texts) {
    const vmt_tokenizer *tok = job->api->config.tokenizer;
    uint32_t context = vmt_engine_max_model_len(job->api->config.engine);
    if (limit == 0) return true;
    if (limit < 0) {
        return vmt_fault_rule(&job->fault, param, NULL, "%s must be a non-negative integer", param);
    }
    if (limit >= (int64_t)context) {
        return vmt_fault_rule(&job->fault, param, NULL, "%s (%lld) must be less than max_model_len (%u).", param,
                              (long long)limit, context);
    }
    for (uint32_t i = 0; i < num_texts; i++) {
        vmt_tokens tokens = {0};
        vmt_buf text = {0};
        vmt_err err = {0};
        const vmt_encode_options options = {.tokens_max = VMT_PROMPT_TOKENS_MAX};
        vmt_status status = vmt_tokenizer_encode(tok, texts[i], options, &tokens, &err);
        if (status == VMT_OK && tokens.len > (size_t)limit) {
            vmt_tokenizer_decode(tok, tokens.ids, (size_t)limit, true, &text);
            texts[i] = vmt_job_dup(job, vmt_buf_str(&text));
        }
        vmt_tokens_free(&tokens);
        vmt_buf_free(&text);
        if (status != VMT_OK) return vmt_fault_rule(&job->fault, param, NULL, "%s", err.msg);
        if (!texts[i].ptr) return false;
    }
    return true;
}

/* ---- the request */

static bool encode_texts(vmt_job *job, const struct rerank *r) {
    if (!vmt_pooling_job_begin(job, (size_t)r->num_queries + r->num_pairs, "documents")) return false;
    for (uint32_t i = 0; i < r->num_queries; i++) {
        if (!vmt_pooling_job_encode(job, i, r->queries[i], true)) return false;
    }
    for (uint32_t i = 0; i < r->num_pairs; i++) {
        if (!vmt_pooling_job_encode(job, r->num_queries + i, r->documents[i], true)) return false;
    }
    return true;
}

static bool encode_pairs(vmt_job *job, const struct rerank *r) {
    vmt_score_pair pair = {.template_kwargs = r->template_kwargs};
    if (vmt_json_exists(r->instruction) && !vmt_json_get_str(r->instruction, &pair.instruction)) {
        return vmt_fault_schema(&job->fault, "instruction", "body.instruction: Input should be a string");
    }
    if (!vmt_pooling_job_begin(job, r->num_pairs, "documents")) return false;
    bool ok = true;
    vmt_buf text = {0};
    for (uint32_t i = 0; ok && i < r->num_pairs; i++) {
        pair.query = r->queries[r->num_queries == 1 ? 0 : i];
        pair.document = r->documents[i];
        vmt_buf_clear(&text);
        ok = vmt_score_prompt_write(job, &pair, &text) && vmt_pooling_job_encode(job, i, vmt_buf_str(&text), true);
    }
    vmt_buf_free(&text);
    return ok;
}

/* A ranking shows its documents again, when the body is gone. */
static bool keep_documents(vmt_job *job, struct rerank *r) {
    for (uint32_t i = 0; r->is_rerank && i < r->num_pairs; i++) {
        r->documents[i] = vmt_job_dup(job, r->documents[i]);
        if (!r->documents[i].ptr) return false;
    }
    return true;
}

static bool parse(vmt_job *job, bool is_rerank) {
    struct rerank *r = vmt_job_alloc(job, 1, sizeof *r);
    const vmt_pooling_rules *rules = &job->api->config.pooling;
    vmt_json body;
    job->request = r;
    if (!r || !vmt_job_read_request(job, &body) ||
        !vmt_fields_read(rerank_table, VMT_COUNT(rerank_table), body, r, &job->fault)) {
        return false;
    }
    r->is_rerank = is_rerank;
    r->uses_activation = rules->use_activation;
    if (vmt_json_exists(r->use_activation) && !vmt_field_to_bool(r->use_activation, &r->uses_activation)) {
        return vmt_fault_schema(&job->fault, "use_activation",
                                "body.use_activation: Input should be a valid boolean");
    }
    if (!read_pairs(job, r, body) || !keep_documents(job, r) ||
        !cut_texts(job, "max_tokens_per_query", r->max_tokens_per_query, r->queries, r->num_queries)) {
        return false;
    }
    vmt_str *whole = r->documents;
    if (r->max_tokens_per_doc != 0) {
        r->documents = vmt_job_alloc(job, r->num_pairs, sizeof *r->documents);
        if (!r->documents) return false;
        memcpy(r->documents, whole, r->num_pairs * sizeof *whole);
    }
    bool ok = cut_texts(job, "max_tokens_per_doc", r->max_tokens_per_doc, r->documents, r->num_pairs) &&
              (rules->task == VMT_TASK_SCORE ? encode_pairs(job, r) : encode_texts(job, r));
    r->documents = whole;
    return ok && vmt_pooling_job_prepare(job, "documents");
}

static bool parse_score(vmt_job *job) {
    return parse(job, false);
}

static bool parse_rerank(vmt_job *job) {
    return parse(job, true);
}

/* ---- scores */

static float cosine(const float *a, const float *b, uint32_t len) {
    double ab = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < len; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    double product = sqrt(aa) * sqrt(bb);
    return product > 0 ? (float)(ab / product) : 0;
}

static float score_of(const vmt_job *job, const struct rerank *r, uint32_t pair_idx) {
    const vmt_pooling_rules *rules = &job->api->config.pooling;
    uint32_t len;
    if (rules->task == VMT_TASK_EMBED) {
        const float *query = vmt_pooling_job_vector(job, r->num_queries == 1 ? 0 : pair_idx, &len);
        const float *document = vmt_pooling_job_vector(job, r->num_queries + pair_idx, &len);
        return cosine(query, document, rules->dimensions ? VMT_MIN(rules->dimensions, len) : len);
    }
    const float *vector = vmt_pooling_job_vector(job, pair_idx, &len);
    double logit = 0;
    for (uint32_t i = 0; i < len; i++) logit += (double)vector[i] * (double)rules->score_weight[i];
    return (float)(r->uses_activation ? 1.0 / (1.0 + exp(-logit)) : logit);
}

/* A query that stands for all counts with each of its documents, and each pair of vectors with a token to part them,
 * as vLLM counts. */
static uint64_t count_tokens(const vmt_job *job, const struct rerank *r) {
    const vmt_pooling_rules *rules = &job->api->config.pooling;
    uint64_t num_tokens = 0;
    for (uint32_t i = 0; i < job->num_prompts; i++) num_tokens += job->prompts[i].tokens.len;
    if (rules->task == VMT_TASK_SCORE) return num_tokens;
    if (r->num_queries == 1) num_tokens += (uint64_t)(r->num_pairs - 1) * job->prompts[0].tokens.len;
    return num_tokens + (rules->has_pad_token ? r->num_pairs : 0);
}

/* ---- answers */

static void write_count(vmt_json_writer *w, const char *key, uint64_t count) {
    vmt_json_key(w, key);
    vmt_json_u64(w, count);
}

static vmt_json_writer begin_answer(vmt_job *job) {
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "id");
    vmt_json_str(&w, job->id);
    return w;
}

static void write_model(vmt_json_writer *w, const vmt_job *job) {
    vmt_json_key(w, "model");
    vmt_json_str(w, job->model);
}

static void write_usage(vmt_json_writer *w, const vmt_job *job, const struct rerank *r) {
    uint64_t num_tokens = count_tokens(job, r);
    vmt_json_key(w, "usage");
    vmt_json_begin_object(w);
    write_count(w, "prompt_tokens", num_tokens);
    write_count(w, "total_tokens", num_tokens);
    if (!r->is_rerank) {
        write_count(w, "completion_tokens", 0);
        vmt_json_key(w, "prompt_tokens_details");
        vmt_json_null(w);
    }
    vmt_json_end_object(w);
}

static void on_final_score(vmt_job *job) {
    const struct rerank *r = job->request;
    vmt_json_writer w = begin_answer(job);
    vmt_json_key(&w, "object");
    vmt_json_c_str(&w, "list");
    vmt_json_key(&w, "created");
    vmt_json_i64(&w, job->created_unix_s);
    write_model(&w, job);
    vmt_json_key(&w, "data");
    vmt_json_begin_array(&w);
    for (uint32_t i = 0; i < r->num_pairs; i++) {
        vmt_json_begin_object(&w);
        write_count(&w, "index", i);
        vmt_json_key(&w, "object");
        vmt_json_c_str(&w, "score");
        vmt_json_key(&w, "score");
        vmt_json_f32(&w, score_of(job, r, i));
        vmt_json_end_object(&w);
    }
    vmt_json_end_array(&w);
    write_usage(&w, job, r);
    vmt_json_end_object(&w);
}

/* Best first; equals stay in the order they came. */
static int compare_ranked(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static void write_result(vmt_json_writer *w, const struct rerank *r, const struct ranked *ranked) {
    vmt_json_begin_object(w);
    write_count(w, "index", ranked->index);
    vmt_json_key(w, "document");
    vmt_json_begin_object(w);
    vmt_json_key(w, "text");
    vmt_json_str(w, r->documents[ranked->index]);
    vmt_json_key(w, "multi_modal");
    vmt_json_null(w);
    vmt_json_end_object(w);
    vmt_json_key(w, "relevance_score");
    vmt_json_f32(w, ranked->score);
    vmt_json_end_object(w);
}

static void on_final_rerank(vmt_job *job) {
    const struct rerank *r = job->request;
    struct ranked *list = VMT_ARENA_NEW(job->arena, struct ranked, r->num_pairs);
    vmt_json_writer w = begin_answer(job);
    write_model(&w, job);
    write_usage(&w, job, r);
    vmt_json_key(&w, "results");
    vmt_json_begin_array(&w);
    for (uint32_t i = 0; list && i < r->num_pairs; i++) {
        float score = score_of(job, r, i);
        list[i] = (struct ranked){isnan(score) ? -INFINITY : score, i};
    }
    if (list) qsort(list, r->num_pairs, sizeof *list, compare_ranked);
    uint32_t num_shown = r->top_n > 0 && r->top_n < r->num_pairs ? (uint32_t)r->top_n : r->num_pairs;
    for (uint32_t i = 0; list && i < num_shown; i++) write_result(&w, r, &list[i]);
    vmt_json_end_array(&w);
    vmt_json_end_object(&w);
    if (!list) job->out.failed = true;
}

#define SCORE_DIALECT(dialect_name, parse_function, final_function) \
    {                                                               \
        .name = dialect_name,                                       \
        .id_prefix = "score-",                                      \
        .tasks = 1u << VMT_TASK_EMBED | 1u << VMT_TASK_SCORE,       \
        .parse = parse_function,                                    \
        .on_final = final_function,                                 \
        .on_error = vmt_fault_openai_body,                          \
    }
const vmt_dialect vmt_scoring = SCORE_DIALECT("score", parse_score, on_final_score);
const vmt_dialect vmt_rerank = SCORE_DIALECT("rerank", parse_rerank, on_final_rerank);
