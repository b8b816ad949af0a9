/* POST /v1/embeddings. */
#include "api/embeddings.h"
#include "api/chat_render.h"
#include "api/pooling_job.h"

#include <stdio.h>

struct embedding {
    vmt_json input, use_activation;
    vmt_str encoding_format, embed_dtype, endianness;
    int64_t dimensions;
    bool add_special_tokens, as_base64, at_length_1;
    uint32_t len; /* of the vectors in the answer */
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct embedding, name), NULL, 0, 0, false}
static const vmt_field embedding_table[] = {
    FIELD(ANY, input),
    FIELD(ANY, use_activation),
    FIELD(STRING, encoding_format),
    FIELD(STRING, embed_dtype),
    FIELD(STRING, endianness),
    FIELD(INT, dimensions),
    FIELD(BOOL, add_special_tokens),
};

/* ---- the request */

static bool read_format(vmt_job *job, struct embedding *e) {
    vmt_fault *fault = &job->fault;
    e->as_base64 = vmt_str_eq_c(e->encoding_format, "base64");
    if (!e->as_base64 && e->encoding_format.ptr && !vmt_str_eq_c(e->encoding_format, "float")) {
        return vmt_fault_schema(fault, "encoding_format",
                                "body.encoding_format: Input should be 'float' or 'base64', got '%.*s'",
                                (int)VMT_MIN(e->encoding_format.len, 64), e->encoding_format.ptr);
    }
    if (e->embed_dtype.ptr && !vmt_str_eq_c(e->embed_dtype, "float32")) {
        return vmt_fault_schema(fault, "embed_dtype", "body.embed_dtype: Input should be 'float32', got '%.*s'",
                                (int)VMT_MIN(e->embed_dtype.len, 64), e->embed_dtype.ptr);
    }
    if (e->endianness.ptr && !vmt_str_eq_c(e->endianness, "native") && !vmt_str_eq_c(e->endianness, "little")) {
        return vmt_fault_schema(fault, "endianness",
                                "body.endianness: Input should be 'native' or 'little', "
                                "got '%.*s'",
                                (int)VMT_MIN(e->endianness.len, 64), e->endianness.ptr);
    }
    return true;
}

static bool read_dimensions(vmt_job *job, struct embedding *e) {
    const vmt_pooling_rules *rules = &job->api->config.pooling;
    char value[32];
    e->len = rules->dimensions ? rules->dimensions : rules->width;
    if (e->dimensions == VMT_FIELD_UNSET) return true;
    snprintf(value, sizeof value, "%lld", (long long)e->dimensions);
    if (!rules->is_matryoshka) {
        return vmt_fault_rule(&job->fault, "dimensions", value,
                              "Model \"%.*s\" does not support matryoshka representation, changing output "
                              "dimensions will lead to poor results.",
                              VMT_STR_ARG(job->model));
    }
    bool is_listed = rules->num_matryoshka_dimensions == 0;
    for (uint32_t i = 0; i < rules->num_matryoshka_dimensions; i++) {
        is_listed |= e->dimensions == (int64_t)rules->matryoshka_dimensions[i];
    }
    if (!is_listed) {
        return vmt_fault_rule(&job->fault, "dimensions", value,
                              "Model \"%.*s\" has vectors of other lengths than dimensions=%lld.",
                              VMT_STR_ARG(job->model), (long long)e->dimensions);
    }
    if (e->dimensions < 1 || e->dimensions > (int64_t)rules->width) {
        return vmt_fault_rule(&job->fault, "dimensions", value, "dimensions must be 1 to %u.", rules->width);
    }
    e->len = (uint32_t)e->dimensions;
    return true;
}

static bool read_request(vmt_job *job, struct embedding *e, vmt_json *body) {
    *e = (struct embedding){.dimensions = VMT_FIELD_UNSET};
    if (!vmt_job_read_request(job, body)) return false;
    e->add_special_tokens = !vmt_json_exists(VMT_JSON_AT(*body, "messages"));
    if (vmt_json_exists(VMT_JSON_AT(*body, "normalize"))) {
        return vmt_fault_rule(&job->fault, "normalize", NULL,
                              "Parameter `normalize` was removed; use `use_activation` instead.");
    }
    if (!vmt_fields_read(embedding_table, VMT_COUNT(embedding_table), *body, e, &job->fault)) return false;
    e->at_length_1 = job->api->config.pooling.use_activation;
    if (vmt_json_exists(e->use_activation) && !vmt_field_to_bool(e->use_activation, &e->at_length_1)) {
        return vmt_fault_schema(&job->fault, "use_activation",
                                "body.use_activation: Input should be a valid boolean");
    }
    return read_format(job, e) && read_dimensions(job, e);
}

static bool refuse_input(vmt_job *job) {
    return vmt_fault_schema(
        &job->fault, "input",
        "body.input: Input should be a string, a list of strings, a list of token ids or a list of lists of token "
        "ids");
}

static bool add_input(vmt_job *job, const struct embedding *e, uint32_t idx, vmt_json value) {
    vmt_str text;
    if (vmt_json_get_str(value, &text)) return vmt_pooling_job_encode(job, idx, text, e->add_special_tokens);
    if (vmt_json_typeof(value) != VMT_JSON_ARRAY) return refuse_input(job);
    return vmt_prompt_read_ids(job, idx, value, "input") || refuse_input(job);
}

static bool read_inputs(vmt_job *job, const struct embedding *e) {
    vmt_json value, first = {0};
    vmt_json_iter it = vmt_json_iter_begin(e->input);
    bool is_list = vmt_json_typeof(e->input) == VMT_JSON_ARRAY;
    if (!vmt_json_exists(e->input)) return vmt_fault_schema(&job->fault, "input", "body.input: Field required");
    if (is_list && !vmt_json_iter_next(&it, NULL, &first)) {
        return vmt_fault_rule(&job->fault, "input", NULL, "input is an empty list.");
    }
    vmt_json_type type = vmt_json_typeof(first);
    /* A list of numbers is one input, and so is a string. */
    bool is_several = is_list && (type == VMT_JSON_STRING || type == VMT_JSON_ARRAY);
    size_t count = is_several ? vmt_json_size(e->input) : 1;
    if (count > VMT_POOL_INPUTS_MAX) {
        return vmt_fault_rule(&job->fault, "input", NULL, "input has %zu entries, the limit is %u.", count,
                              VMT_POOL_INPUTS_MAX);
    }
    if (!vmt_pooling_job_begin(job, count, "input")) return false;
    if (!is_several) return add_input(job, e, 0, e->input);
    uint32_t idx = 0;
    for (it = vmt_json_iter_begin(e->input); vmt_json_iter_next(&it, NULL, &value);) {
        if (vmt_json_typeof(value) != type) return refuse_input(job);
        if (!add_input(job, e, idx++, value)) return false;
    }
    return true;
}

/* A conversation as one input. */
static bool read_messages(vmt_job *job, const struct embedding *e, vmt_json body) {
    vmt_buf rendered = {0};
    vmt_conversation conversation = {.prompt = &rendered};
    bool is_open = false;
    vmt_field_to_bool(VMT_JSON_AT(body, "add_generation_prompt"), &is_open);
    bool ok = vmt_conversation_read(&conversation, body, &job->fault);
    conversation.add_generation_prompt = is_open;
    ok = ok && vmt_conversation_render(job, &conversation) && vmt_pooling_job_begin(job, 1, "messages") &&
         vmt_pooling_job_encode(job, 0, vmt_buf_str(&rendered), e->add_special_tokens);
    vmt_buf_free(&rendered);
    return ok;
}

static bool parse(vmt_job *job) {
    vmt_json body;
    struct embedding *e = vmt_job_alloc(job, 1, sizeof *e);
    job->request = e;
    if (!e || !read_request(job, e, &body)) return false;
    bool is_chat = vmt_json_exists(VMT_JSON_AT(body, "messages"));
    if (!(is_chat ? read_messages(job, e, body) : read_inputs(job, e))) return false;
    return vmt_pooling_job_prepare(job, is_chat ? "messages" : "input");
}

/* ---- the answer */

static void append_base64(vmt_buf *out, const unsigned char *bytes, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t n = VMT_MIN(len - i, (size_t)3);
        uint32_t word = (uint32_t)bytes[i] << 16;
        if (n > 1) word |= (uint32_t)bytes[i + 1] << 8;
        if (n > 2) word |= bytes[i + 2];
        const char group[4] = {digits[word >> 18], digits[word >> 12 & 63], n > 1 ? digits[word >> 6 & 63] : '=',
                               n > 2 ? digits[word & 63] : '='};
        vmt_buf_append(out, (vmt_str){group, sizeof group});
    }
}

/* Little-endian float32, as OpenAI's clients ask for. */
static void write_base64(vmt_json_writer *w, const float *vector, uint32_t len, vmt_buf *scratch) {
    vmt_buf_clear(scratch);
    vmt_buf_append_byte(scratch, '"');
    append_base64(scratch, (const unsigned char *)vector, len * sizeof *vector);
    vmt_buf_append_byte(scratch, '"');
    if (scratch->failed) w->buf->failed = true;
    vmt_json_raw(w, vmt_buf_str(scratch));
}

static void write_numbers(vmt_json_writer *w, const float *vector, uint32_t len) {
    vmt_json_begin_array(w);
    for (uint32_t i = 0; i < len; i++) vmt_json_f32(w, vector[i]);
    vmt_json_end_array(w);
}

static void write_vectors(vmt_json_writer *w, const vmt_job *job, const struct embedding *e, float *vector) {
    vmt_buf scratch = {0};
    for (uint32_t i = 0; i < job->num_prompts; i++) {
        uint32_t width;
        const float *pooled = vmt_pooling_job_vector(job, i, &width);
        VMT_ASSERT(e->len <= width);
        vmt_pooling_normalize(pooled, e->len, e->at_length_1, vector);
        vmt_json_begin_object(w);
        vmt_json_key(w, "index");
        vmt_json_u64(w, i);
        vmt_json_key(w, "object");
        vmt_json_c_str(w, "embedding");
        vmt_json_key(w, "embedding");
        if (e->as_base64) {
            write_base64(w, vector, e->len, &scratch);
        } else {
            write_numbers(w, vector, e->len);
        }
        vmt_json_end_object(w);
    }
    vmt_buf_free(&scratch);
}

static void on_final(vmt_job *job) {
    const struct embedding *e = job->request;
    float *vector = VMT_ARENA_NEW(job->arena, float, e->len);
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "id");
    vmt_json_str(&w, job->id);
    vmt_json_key(&w, "object");
    vmt_json_c_str(&w, "list");
    vmt_json_key(&w, "created");
    vmt_json_i64(&w, job->created_unix_s);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, job->model);
    vmt_json_key(&w, "data");
    vmt_json_begin_array(&w);
    if (vector) write_vectors(&w, job, e, vector);
    vmt_json_end_array(&w);
    vmt_pooling_job_usage(job, &w);
    vmt_json_end_object(&w);
    if (!vector) job->out.failed = true;
}

const vmt_dialect vmt_embeddings = {
    .name = "embeddings",
    .id_prefix = "embd-",
    .tasks = 1u << VMT_TASK_EMBED,
    .parse = parse,
    .on_final = on_final,
    .on_error = vmt_fault_openai_body,
};
