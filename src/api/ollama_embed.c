/* POST /api/embed, and /api/embeddings, which takes one text and gives its vector as the model made it. */
#include "api/embeddings.h"
#include "api/ollama.h"
#include "api/pooling_job.h"
#include "base/clock.h"

struct ollama_embed {
    vmt_json input;
    vmt_str prompt;
    int64_t dimensions;
    bool truncate, is_old;
    vmt_str model; /* as the client calls it */
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct ollama_embed, name), NULL, 0, 0, false}
static const vmt_field embed_table[] = {
    FIELD(ANY, input),
    FIELD(STRING, prompt),
    FIELD(BOOL, truncate),
    {"dimensions", VMT_FIELD_INT, offsetof(struct ollama_embed, dimensions), "at least 0", 0, UINT32_MAX, false},
};

static bool read_request(vmt_job *job, struct ollama_embed *e) {
    vmt_json body;
    vmt_str given, served;
    *e = (struct ollama_embed){.truncate = true, .is_old = e->is_old};
    if (!vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", &body) ||
        !vmt_request_fields_read(&job->fields, body, &job->fault) ||
        !vmt_fields_read(embed_table, VMT_COUNT(embed_table), body, e, &job->fault) ||
        !vmt_ollama_read_model(job, body, &given, &served)) {
        return false;
    }
    job->fields.truncate_prompt_tokens = e->truncate || e->is_old ? -1 : VMT_FIELD_UNSET;
    job->id = VMT_STR("ollama-embed");
    job->model = served;
    e->model = vmt_job_dup(job, given);
    return e->model.ptr != NULL;
}

static bool read_list(vmt_job *job, vmt_json list) {
    vmt_json value;
    size_t count = vmt_json_size(list);
    uint32_t idx = 0;
    if (count > VMT_POOL_INPUTS_MAX) {
        return vmt_fault_rule(&job->fault, "input", NULL, "input has %zu entries, the limit is %u.", count,
                              VMT_POOL_INPUTS_MAX);
    }
    if (!vmt_pooling_job_begin(job, count, "input")) return false;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value);) {
        vmt_str text;
        if (!vmt_json_get_str(value, &text)) {
            return vmt_fault_schema(&job->fault, "input", "body.input.%u: Input should be a string", idx);
        }
        if (!vmt_pooling_job_encode(job, idx++, text, true)) return false;
    }
    return true;
}

static void write_durations(vmt_json_writer *w, const vmt_job *job) {
    uint64_t now_ns = vmt_clock_ns(), num_tokens = 0;
    for (uint32_t i = 0; i < job->num_prompts; i++) num_tokens += job->prompts[i].tokens.len;
    vmt_json_key(w, "total_duration");
    vmt_json_u64(w, now_ns > job->arrived_ns ? now_ns - job->arrived_ns : 0);
    vmt_json_key(w, "load_duration");
    vmt_json_u64(w, 0);
    vmt_json_key(w, "prompt_eval_count");
    vmt_json_u64(w, num_tokens);
}

static void write_vector(vmt_json_writer *w, const vmt_job *job, uint32_t idx, float *scratch) {
    const struct ollama_embed *e = job->request;
    uint32_t len;
    const float *pooled = vmt_pooling_job_vector(job, idx, &len);
    if (e->dimensions > 0 && e->dimensions < (int64_t)len) len = (uint32_t)e->dimensions;
    vmt_pooling_normalize(pooled, len, !e->is_old, scratch);
    vmt_json_begin_array(w);
    for (uint32_t i = 0; i < len; i++) vmt_json_f32(w, scratch[i]);
    vmt_json_end_array(w);
}

static void on_final(vmt_job *job) {
    const struct ollama_embed *e = job->request;
    uint32_t len = 1;
    if (job->num_prompts) (void)vmt_pooling_job_vector(job, 0, &len);
    float *scratch = VMT_ARENA_NEW(job->arena, float, len);
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    if (!scratch) {
        job->out.failed = true;
    } else if (e->is_old) {
        vmt_json_key(&w, "embedding");
        if (job->num_prompts) {
            write_vector(&w, job, 0, scratch);
        } else {
            vmt_json_raw(&w, VMT_STR("[]"));
        }
    } else {
        vmt_json_key(&w, "model");
        vmt_json_str(&w, e->model);
        vmt_json_key(&w, "embeddings");
        vmt_json_begin_array(&w);
        for (uint32_t i = 0; i < job->num_prompts; i++) write_vector(&w, job, i, scratch);
        vmt_json_end_array(&w);
        write_durations(&w, job);
    }
    vmt_json_end_object(&w);
}

static bool parse(vmt_job *job, bool is_old) {
    struct ollama_embed *e = vmt_job_alloc(job, 1, sizeof *e);
    vmt_str text;
    job->request = e;
    if (!e) return false;
    e->is_old = is_old;
    if (!read_request(job, e)) return false;
    bool is_list = !is_old && vmt_json_typeof(e->input) == VMT_JSON_ARRAY;
    if (is_old) {
        text = e->prompt;
    } else if (!is_list && vmt_json_exists(e->input) && !vmt_json_get_str(e->input, &text)) {
        return vmt_fault_schema(&job->fault, "input", "body.input: Input should be a string or a list of strings");
    } else if (!vmt_json_exists(e->input)) {
        text = (vmt_str){0};
    }
    /* Nothing to embed: the client only wants the model in memory. */
    if (is_list ? vmt_json_size(e->input) == 0 : text.len == 0) {
        on_final(job);
        return true;
    }
    bool ok = is_list ? read_list(job, e->input)
                      : vmt_pooling_job_begin(job, 1, "input") && vmt_pooling_job_encode(job, 0, text, true);
    return ok && vmt_pooling_job_prepare(job, "input");
}

static bool parse_new(vmt_job *job) {
    return parse(job, false);
}

static bool parse_old(vmt_job *job) {
    return parse(job, true);
}

#define EMBED_DIALECT(dialect_name, parse_function) \
    {                                               \
        .name = dialect_name,                       \
        .id_prefix = "ollama-",                     \
        .tasks = 1u << VMT_TASK_EMBED,              \
        .parse = parse_function,                    \
        .on_final = on_final,                       \
        .on_error = vmt_ollama_error_body,          \
    }
const vmt_dialect vmt_ollama_embed = EMBED_DIALECT("ollama_embed", parse_new);
const vmt_dialect vmt_ollama_embeddings = EMBED_DIALECT("ollama_embeddings", parse_old);
