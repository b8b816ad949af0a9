#include "api/openai_format.h"

void vmt_openai_begin(vmt_json_writer *w, const vmt_job *job, const char *object) {
    vmt_json_begin_object(w);
    vmt_json_key(w, "id");
    vmt_json_str(w, job->id);
    vmt_json_key(w, "object");
    vmt_json_c_str(w, object);
    vmt_json_key(w, "created");
    vmt_json_i64(w, job->created_unix_s);
    vmt_json_key(w, "model");
    vmt_json_str(w, job->model);
}

void vmt_openai_finish_reason(vmt_json_writer *w, const vmt_choice *choice) {
    vmt_json_key(w, "finish_reason");
    /* vLLM's contract: a call that was named in the request ends as any answer does. */
    const vmt_output_wish *wish = &choice->gen->job->output;
    bool is_named = wish->named_tool.len && choice->finish == VMT_FINISH_STOP;
    vmt_json_c_str(w, is_named ? "stop" : vmt_choice_finish_name(choice));
}

void vmt_openai_stop_reason(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice) {
    vmt_json_key(w, "stop_reason");
    if (choice->stop_string_idx >= 0) {
        vmt_json_str(w, job->stop_strings[choice->stop_string_idx]);
    } else if (choice->stop_token_id >= 0) {
        vmt_json_i64(w, choice->stop_token_id);
    } else {
        vmt_json_null(w);
    }
}

void vmt_openai_choice_ids(vmt_json_writer *w, const vmt_choice *choice, bool is_wanted) {
    vmt_json_key(w, "token_ids");
    if (!is_wanted) {
        vmt_json_null(w);
        return;
    }
    vmt_json_begin_array(w);
    if (choice->token_ids.len) vmt_json_raw(w, vmt_buf_str(&choice->token_ids));
    vmt_json_end_array(w);
}

void vmt_openai_prompt_ids(vmt_json_writer *w, const vmt_prompt *prompt, bool is_wanted) {
    vmt_json_key(w, "prompt_token_ids");
    if (!is_wanted) {
        vmt_json_null(w);
        return;
    }
    vmt_json_begin_array(w);
    for (size_t i = 0; i < prompt->tokens.len; i++) vmt_json_i64(w, prompt->tokens.ids[i]);
    vmt_json_end_array(w);
}

void vmt_openai_prompt_logprobs(vmt_json_writer *w, const vmt_job *job, const vmt_job_gen *gen) {
    vmt_json_key(w, "prompt_logprobs");
    int64_t wish = job->fields.prompt_logprobs;
    if (wish == VMT_FIELD_UNSET) {
        vmt_json_null(w);
        return;
    }
    vmt_logprobs_style style = job->logprobs_style;
    style.num_top = (int32_t)wish;
    vmt_logprobs_prompt(w, &style, gen->gen, (uint32_t)job->prompts[gen->prompt_idx].tokens.len);
}

void vmt_openai_usage(vmt_json_writer *w, const vmt_job *job, const vmt_usage *usage, bool leave_out_null) {
    vmt_usage_details off = leave_out_null ? VMT_USAGE_NO_DETAILS : VMT_USAGE_NULL_DETAILS;
    vmt_json_key(w, "usage");
    vmt_usage_write(w, usage, job->api->config.enable_prompt_tokens_details ? VMT_USAGE_DETAILS : off);
}

bool vmt_openai_wants_usage_chunk(const vmt_job *job) {
    return job->fields.include_usage || job->api->config.force_include_usage;
}

void vmt_openai_end_stream(vmt_job *job, const char *object, bool has_fingerprint) {
    if (vmt_openai_wants_usage_chunk(job)) {
        vmt_json_writer w;
        vmt_buf_clear(&job->out);
        vmt_json_writer_init(&w, &job->out);
        vmt_openai_begin(&w, job, object);
        vmt_json_key(&w, "choices");
        vmt_json_begin_array(&w);
        vmt_json_end_array(&w);
        if (has_fingerprint) {
            vmt_json_key(&w, "system_fingerprint");
            vmt_json_c_str(&w, job->api->fingerprint);
        }
        vmt_usage usage = vmt_usage_of_job(job);
        vmt_openai_usage(&w, job, &usage, true);
        vmt_json_end_object(&w);
        vmt_job_send(job, NULL, &job->out);
    }
    vmt_buf_clear(&job->out);
    vmt_buf_append_c(&job->out, job->dialect->end_of_stream);
    vmt_job_send(job, NULL, &job->out);
}
