#include "api/constraint.h"
#include "api/thinking_budget.h"
#include "text/answer_grammar.h"

#define FORCED_BYTES_MAX 256u /* of text that is looked ahead */

struct vmt_limits {
    vmt_grammar *grammar;     /* NULL: none */
    vmt_grammar_vocab *vocab; /* borrowed */
    bool has_budget;
    vmt_thinking_options thinking;
    struct limit *limits; /* [num_choices] */
};

struct limit {
    vmt_matcher *matcher; /* NULL: only a budget */
    const vmt_tokenizer *tokenizer;
    vmt_thinking_budget budget;
};

/* ---- as the engine sees it */

static vmt_status mask(void *self, uint32_t *bits, uint32_t num_words, bool *is_free, vmt_err *err) {
    struct limit *l = self;
    int32_t forced = vmt_thinking_budget_forced(&l->budget);
    if (forced >= 0 && (uint32_t)forced / 32 < num_words) {
        memset(bits, 0, num_words * sizeof *bits);
        bits[forced / 32] |= (uint32_t)1 << (forced % 32);
        return VMT_OK;
    }
    if (l->matcher) return vmt_matcher_mask(l->matcher, bits, num_words, err);
    *is_free = true;
    return VMT_OK;
}

static vmt_status accept(void *self, int32_t token_id, vmt_err *err) {
    struct limit *l = self;
    vmt_thinking_budget_accept(&l->budget, token_id);
    return l->matcher ? vmt_matcher_accept(l->matcher, token_id, err) : VMT_OK;
}

static bool is_ended(const void *self) {
    const struct limit *l = self;
    return l->matcher && vmt_matcher_is_ended(l->matcher);
}

/* The text that must come next, in the tokens that the tokenizer has for it; but for the last, which may be another one
 * together with what follows. */
static uint32_t forced(void *self, int32_t *ids, uint32_t num_max) {
    struct limit *l = self;
    uint32_t num = 0;
    vmt_buf text = {0}, check = {0};
    vmt_tokens tokens = {0};
    if (!l->matcher || l->budget.parser) return 0;
    vmt_matcher_forced(l->matcher, FORCED_BYTES_MAX, &text);
    if (text.len > 1 &&
        vmt_tokenizer_encode(l->tokenizer, vmt_buf_str(&text), (vmt_encode_options){0}, &tokens, NULL) == VMT_OK) {
        for (size_t i = 0; i < tokens.len; i++)
            vmt_buf_append(&check, vmt_tokenizer_bytes(l->tokenizer, tokens.ids[i]));
        bool is_same = vmt_str_eq(vmt_buf_str(&check), vmt_buf_str(&text)); /* some add a space, or normalize */
        for (; is_same && num < num_max && num + 1 < tokens.len; num++) {
            if (vmt_matcher_accept(l->matcher, tokens.ids[num], NULL) != VMT_OK) break;
            ids[num] = tokens.ids[num];
        }
    }
    vmt_tokens_free(&tokens);
    vmt_buf_free(&check);
    vmt_buf_free(&text);
    return num;
}

/* ---- the grammar of the answer */

static bool refuse(vmt_job *job, const char *param, const vmt_err *err) {
    if (err->code == VMT_E_NO_MEMORY) return vmt_fault_from_err(&job->fault, err, param);
    return vmt_fault_rule(&job->fault, param, NULL, "%s: %s", param, err->msg);
}

static bool compile(vmt_job *job, vmt_grammar_kind kind, vmt_str source, const vmt_grammar_options *options,
                    const char *param) {
    vmt_err err = {0};
    if (vmt_grammar_cache_get(job->api->grammars.cache, &job->limits->grammar, kind, source, options, &err) ==
        VMT_OK) {
        return true;
    }
    return refuse(job, param, &err);
}

/* Reasoning or calls stand beside the content: all of it is one structural tag. */
static bool compile_answer(vmt_job *job, const vmt_structured *content, const vmt_answer_form *given,
                           const vmt_grammar_options *options) {
    vmt_answer_form form = *given;
    vmt_buf format = {0}, tag = {0};
    vmt_err err = {0};
    const char *param = content->is_given ? content->param : "tools";
    bool ok = !content->is_given || vmt_structured_write_format(content, &format, &job->fault);
    form.content = vmt_buf_str(&format);
    if (ok && vmt_answer_grammar_write(&form, &tag, &err) != VMT_OK) {
        ok = refuse(job, err.param[0] ? "tools" : param, &err);
    }
    ok = ok && compile(job, VMT_GRAMMAR_TAGS, vmt_buf_str(&tag), options, param);
    vmt_buf_free(&format);
    vmt_buf_free(&tag);
    return ok;
}

static bool has_strict_tool(const vmt_output_wish *wish) {
    vmt_json tool;
    bool is_strict = false;
    if (!wish->tools) return false;
    vmt_json tools = vmt_json_root(wish->tools);
    for (vmt_json_iter it = vmt_json_iter_begin(tools); !is_strict && vmt_json_iter_next(&it, NULL, &tool);) {
        vmt_json_get_bool(VMT_JSON_AT(VMT_JSON_AT(tool, "function"), "strict"), &is_strict);
    }
    return is_strict;
}

static vmt_answer_form form_of(const vmt_job *job, bool has_content) {
    const vmt_output_wish *wish = &job->output;
    vmt_answer_form form = {
        .dialect = wish->dialect,
        .reasoning = wish->reasoning,
        .place = wish->begins_in_reasoning   ? VMT_REASONING_INSIDE
                 : wish->may_begin_reasoning ? VMT_REASONING_MAY
                                             : VMT_REASONING_NONE,
        .tools = wish->tools ? vmt_json_root(wish->tools) : (vmt_json){0},
        .named = wish->named_tool,
        .only_one_call = wish->only_first_call || wish->named_tool.len > 0,
    };
    if (wish->must_call) {
        form.calls = VMT_CALLS_MUST;
    } else if (wish->has_tools && (has_content || has_strict_tool(wish))) {
        form.calls = VMT_CALLS_MAY;
    }
    return form;
}

static bool compile_grammar(vmt_job *job) {
    vmt_structured content;
    vmt_err err = {0};
    job->fields.structured.format_param = job->format_param;
    if (!vmt_structured_read(&content, &job->fields.structured, job->arena, &job->fault)) return false;
    if (content.is_given && job->output.named_tool.len) {
        return vmt_fault_rule(&job->fault, content.param, NULL,
                              "%s and a named tool_choice can't both say what the answer is.", content.param);
    }
    if (job->output.must_call) content.is_given = false; /* a call takes the content's place */
    const vmt_answer_form form = form_of(job, content.is_given);
    if (!content.is_given && form.calls == VMT_CALLS_NONE) return true;
    uint32_t num_eos_ids;
    const int32_t *eos_ids = vmt_engine_eos_ids(job->api->config.engine, &num_eos_ids);
    if (vmt_grammars_vocab(&job->api->grammars, job->api->config.tokenizer, eos_ids, num_eos_ids,
                           &job->limits->vocab, &err) != VMT_OK) {
        return vmt_fault_from_err(&job->fault, &err, NULL);
    }
    content.options.vocab = job->limits->vocab;
    bool is_alone = form.calls == VMT_CALLS_NONE && form.place == VMT_REASONING_NONE &&
                    !vmt_tool_dialect_is_whole_answer(form.dialect);
    if (is_alone) return compile(job, content.kind, content.source, &content.options, content.param);
    return compile_answer(job, &content, &form, &content.options);
}

/* ---- the budget */

static bool prepare_budget(vmt_job *job) {
    int64_t max = job->fields.thinking_token_budget;
    const vmt_output_wish *wish = &job->output;
    const vmt_tokenizer *tokenizer = job->api->config.tokenizer;
    vmt_tokens ids = {0};
    vmt_err err = {0};
    if (max == VMT_FIELD_UNSET || max < 0 || !wish->reasoning)
        return true; /* who does not reason keeps any budget */
    vmt_str close = vmt_str_from(vmt_reasoning_close(wish->reasoning));
    if (vmt_tokenizer_encode(tokenizer, close, (vmt_encode_options){0}, &ids, &err) != VMT_OK || ids.len == 0) {
        vmt_tokens_free(&ids);
        return vmt_fault_rule(&job->fault, "thinking_token_budget", NULL,
                              "the end of this model's reasoning can't be written in its tokens.");
    }
    int32_t *close_ids = vmt_job_alloc(job, ids.len, sizeof *close_ids);
    if (close_ids) memcpy(close_ids, ids.ids, ids.len * sizeof *close_ids);
    job->limits->has_budget = close_ids != NULL;
    job->limits->thinking = (vmt_thinking_options){
        .tokenizer = tokenizer,
        .dialect = wish->dialect,
        .reasoning = wish->reasoning,
        .begins_in_reasoning = wish->begins_in_reasoning,
        .close_ids = close_ids,
        .num_close_ids = (uint32_t)ids.len,
        .max = (uint32_t)max,
    };
    vmt_tokens_free(&ids);
    return close_ids != NULL;
}

/* ---- the job's */

bool vmt_job_compile_constraints(vmt_job *job) {
    job->limits = vmt_job_alloc(job, 1, sizeof *job->limits);
    return job->limits && prepare_budget(job) && compile_grammar(job);
}

static bool init_limit(vmt_job *job, struct limit *l) {
    vmt_err err = {0};
    if (job->limits->has_budget && !vmt_thinking_budget_init(&l->budget, &job->limits->thinking)) {
        return vmt_fault_other(&job->fault, VMT_FAULT_BUSY, NULL, "no memory for another choice");
    }
    l->tokenizer = job->api->config.tokenizer;
    if (!job->limits->grammar) return true;
    return vmt_matcher_create(&l->matcher, job->limits->grammar, job->limits->vocab, &err) == VMT_OK ||
           vmt_fault_from_err(&job->fault, &err, NULL);
}

bool vmt_job_create_constraints(vmt_job *job, uint32_t prompt_idx, const vmt_constraint **out) {
    struct vmt_limits *limits = job->limits;
    *out = NULL;
    if (!limits->grammar && !limits->has_budget) return true;
    if (job->num_choices > VMT_CONSTRAINED_CHOICES_MAX) {
        return vmt_fault_rule(&job->fault, "n", NULL, "%u choices are to keep a form, the limit is %u.",
                              job->num_choices, VMT_CONSTRAINED_CHOICES_MAX);
    }
    if (!limits->limits) limits->limits = vmt_job_alloc(job, job->num_choices, sizeof *limits->limits);
    vmt_constraint *constraints = vmt_job_alloc(job, job->n, sizeof *constraints);
    if (!limits->limits || !constraints) return false;
    for (uint32_t i = 0; i < job->n; i++) {
        struct limit *l = &limits->limits[prompt_idx * job->n + i];
        if (!init_limit(job, l)) return false;
        constraints[i] = (vmt_constraint){l, mask, accept, is_ended, forced};
    }
    *out = constraints;
    return true;
}

void vmt_job_free_constraints(vmt_job *job) {
    struct vmt_limits *limits = job->limits;
    if (!limits) return;
    for (uint32_t i = 0; limits->limits && i < job->num_choices; i++) {
        vmt_matcher_destroy(limits->limits[i].matcher);
        vmt_thinking_budget_reset(&limits->limits[i].budget);
    }
    vmt_grammar_release(limits->grammar);
}
