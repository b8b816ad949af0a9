#include "api/usage.h"

vmt_usage vmt_usage_of_job(const vmt_job *job) {
    vmt_usage usage = {0};
    for (uint32_t i = 0; i < job->num_prompts; i++) {
        usage.prompt_tokens += job->prompts[i].tokens.len;
        if (job->gens[i].is_submitted) {
            usage.cached_tokens += vmt_generation_get_stats(job->gens[i].gen).num_cached_tokens;
        }
    }
    for (uint32_t i = 0; i < job->num_choices; i++) {
        usage.completion_tokens += job->choices[i].num_tokens;
        usage.reasoning_tokens += job->choices[i].output.num_reasoning_tokens;
    }
    usage.has_reasoning = job->output.reasoning != NULL;
    return usage;
}

vmt_usage vmt_usage_of_choice(const vmt_job *job, const vmt_choice *choice) {
    return (vmt_usage){
        .prompt_tokens = job->prompts[choice->gen->prompt_idx].tokens.len,
        .completion_tokens = choice->num_tokens,
        .reasoning_tokens = choice->output.num_reasoning_tokens,
        .has_reasoning = job->output.reasoning != NULL,
        .cached_tokens = vmt_generation_get_stats(choice->gen->gen).num_cached_tokens,
    };
}

void vmt_usage_write(vmt_json_writer *w, const vmt_usage *usage, vmt_usage_details details) {
    vmt_json_begin_object(w);
    vmt_json_key(w, "prompt_tokens");
    vmt_json_u64(w, usage->prompt_tokens);
    vmt_json_key(w, "total_tokens");
    vmt_json_u64(w, usage->prompt_tokens + usage->completion_tokens);
    vmt_json_key(w, "completion_tokens");
    vmt_json_u64(w, usage->completion_tokens);
    if (details != VMT_USAGE_NO_DETAILS) vmt_json_key(w, "prompt_tokens_details");
    if (details == VMT_USAGE_NULL_DETAILS) vmt_json_null(w);
    if (details == VMT_USAGE_DETAILS) {
        vmt_json_begin_object(w);
        vmt_json_key(w, "cached_tokens");
        vmt_json_u64(w, usage->cached_tokens);
        vmt_json_end_object(w);
    }
    if (usage->has_reasoning) {
        vmt_json_key(w, "completion_tokens_details");
        vmt_json_begin_object(w);
        vmt_json_key(w, "reasoning_tokens");
        vmt_json_u64(w, usage->reasoning_tokens);
        vmt_json_end_object(w);
    }
    vmt_json_end_object(w);
}
