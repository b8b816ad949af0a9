#include "api/turns.h"
#include "api/prompt.h"
#include "api/turn_store.h"

#include <stdlib.h>

#define OWN_ID_PREFIX "chatcmpl-tool-" /* ids that can't be guessed; a model's own can */
/* What one request may cost, however its messages were made up.  A conversation reads each of its turns once or twice
 * and hashes its text about once; past these, turns are left to the template. */
#define TOKENS_READ_MAX  ((uint64_t)1 << 22)
#define HASHED_TIMES_MAX 16u  /* the text's length */
#define SPECIALS_MAX     256u /* special tokens in a turn */

/* ---- what a turn said */

struct call {
    vmt_buf name, args;
    bool is_whole;
};

struct said {
    vmt_buf text; /* as sampled */
    vmt_buf reasoning, content;
    struct call *calls;
    size_t calls_cap;
    uint32_t num_calls;
    bool failed;
};

static void free_said(struct said *said) {
    for (uint32_t i = 0; i < said->num_calls; i++) {
        vmt_buf_free(&said->calls[i].name);
        vmt_buf_free(&said->calls[i].args);
    }
    free(said->calls);
    vmt_buf_free(&said->text);
    vmt_buf_free(&said->reasoning);
    vmt_buf_free(&said->content);
}

static void begin_call(struct said *said, vmt_str name) {
    void *calls = said->calls;
    if (vmt_array_grow(&calls, &said->calls_cap, (size_t)said->num_calls + 1, sizeof *said->calls,
                       VMT_CALLS_PER_CHOICE_MAX) != VMT_OK) {
        said->failed = true;
        return;
    }
    said->calls = calls;
    said->calls[said->num_calls] = (struct call){0};
    vmt_buf_append(&said->calls[said->num_calls++].name, name);
}

static void on_event(void *ctx, const vmt_output_event *event) {
    struct said *said = ctx;
    struct call *call = said->num_calls ? &said->calls[said->num_calls - 1] : NULL;
    switch (event->kind) {
    case VMT_OUTPUT_REASONING: vmt_buf_append(&said->reasoning, event->text); break;
    case VMT_OUTPUT_CONTENT: vmt_buf_append(&said->content, event->text); break;
    case VMT_OUTPUT_CALL_START: begin_call(said, event->name); break;
    case VMT_OUTPUT_CALL_ARGS:
        if (call) vmt_buf_append(&call->args, event->text);
        break;
    case VMT_OUTPUT_CALL_END:
        if (call) call->is_whole = true;
        break;
    case VMT_OUTPUT_CALL_BROKEN: said->failed = true; break; /* nobody can send that back as it was */
    }
}

/* The turn's text, taken apart as it was when it was answered. */
static bool read_turn(vmt_job *job, vmt_json tools, const vmt_turn *turn, struct said *said) {
    if (job->turn.num_read + turn->num_ids > TOKENS_READ_MAX) return false;
    job->turn.num_read += turn->num_ids;
    const vmt_output_rules *rules = &job->api->output_rules;
    const vmt_output_options options = {
        .dialect =
            vmt_json_exists(tools) || vmt_tool_dialect_is_whole_answer(rules->dialect) ? rules->dialect : NULL,
        .reasoning = rules->reasoning,
        .begins_in_reasoning = turn->begins_in_reasoning,
        .tools = tools,
        .on_event = on_event,
        .ctx = said,
    };
    vmt_tokenizer_decode(job->api->config.tokenizer, turn->ids + turn->num_led, turn->num_ids - turn->num_led,
                         false, &said->text);
    vmt_output_parser *parser = vmt_output_parser_create(&options);
    bool ok = parser && vmt_output_parser_push(parser, vmt_buf_str(&said->text)) &&
              vmt_output_parser_finish(parser, false);
    vmt_output_parser_destroy(parser);
    for (uint32_t i = 0; i < said->num_calls; i++)
        ok = ok && said->calls[i].is_whole && !said->calls[i].args.failed;
    return ok && !said->failed && !said->text.failed && !said->content.failed && !said->reasoning.failed;
}

/* ---- does a message mean the same? */

static bool write_compact(vmt_json value, vmt_buf *out) {
    vmt_str text;
    vmt_json_writer w;
    vmt_json_writer_init(&w, out);
    if (!vmt_json_get_str(value, &text)) {
        vmt_json_value(&w, value);
        return !out->failed;
    }
    vmt_json_doc *doc = NULL;
    bool ok = vmt_json_parse(&doc, text, NULL) == VMT_OK;
    if (ok) vmt_json_value(&w, vmt_json_root(doc));
    vmt_json_doc_destroy(doc);
    return ok && !out->failed;
}

/* arguments: an object, or a string that holds one.  never: what must not stand in them. */
static bool same_args(const vmt_buf *own, vmt_json arguments, vmt_str never) {
    vmt_buf ours = {0}, theirs = {0};
    vmt_json_doc *doc = NULL;
    bool ok = vmt_json_parse(&doc, vmt_buf_str(own), NULL) == VMT_OK && write_compact(vmt_json_root(doc), &ours) &&
              write_compact(arguments, &theirs) && vmt_str_eq(vmt_buf_str(&ours), vmt_buf_str(&theirs)) &&
              vmt_str_find(vmt_buf_str(&ours), never, 0) == SIZE_MAX;
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&ours);
    vmt_buf_free(&theirs);
    return ok;
}

static bool same_calls(const struct said *said, vmt_json calls, vmt_str never) {
    vmt_json call;
    vmt_str name;
    uint32_t i = 0;
    if (vmt_json_size(calls) != said->num_calls) return false;
    for (vmt_json_iter it = vmt_json_iter_begin(calls); vmt_json_iter_next(&it, NULL, &call); i++) {
        vmt_json function = VMT_JSON_AT(call, "function");
        if (!vmt_json_get_str(VMT_JSON_AT(function, "name"), &name) ||
            !vmt_str_eq(name, vmt_buf_str(&said->calls[i].name)) ||
            !same_args(&said->calls[i].args, VMT_JSON_AT(function, "arguments"), never)) {
            return false;
        }
    }
    return true;
}

static void gather_content(vmt_json message, vmt_buf *out) {
    vmt_json content = VMT_JSON_AT(message, "content"), part;
    vmt_str text;
    if (vmt_json_get_str(content, &text)) vmt_buf_append(out, text);
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &part);) {
        if (vmt_json_get_str(VMT_JSON_AT(part, "text"), &text)) vmt_buf_append(out, text);
    }
}

static vmt_str reasoning_of(vmt_json message) {
    static const char *const names[] = {"reasoning", "reasoning_content"};
    vmt_str text;
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        if (vmt_json_get_str(vmt_json_member(message, vmt_str_from(names[i])), &text)) return vmt_str_trim(text);
    }
    return (vmt_str){0};
}

static bool same_texts(const struct said *said, vmt_json message) {
    vmt_buf content = {0};
    gather_content(message, &content);
    bool ok = !content.failed &&
              vmt_str_eq(vmt_str_trim(vmt_buf_str(&content)), vmt_str_trim(vmt_buf_str(&said->content)));
    vmt_buf_free(&content);
    vmt_str reasoning = reasoning_of(message);
    return ok && (reasoning.len == 0 || vmt_str_eq(reasoning, vmt_str_trim(vmt_buf_str(&said->reasoning))));
}

/* ---- keys */

static vmt_json first_of(vmt_json list) {
    vmt_json element = {0};
    vmt_json_iter it = vmt_json_iter_begin(list);
    vmt_json_iter_next(&it, NULL, &element);
    return element;
}

static uint64_t key_of_digest(const vmt_job *job, uint64_t digest) {
    return vmt_turn_store_hash(job->api->turns, (vmt_str){(const char *)&digest, sizeof digest});
}

/* false: the message has nothing that a turn could be known by. */
static bool key_of_message(const vmt_job *job, vmt_json message, uint64_t *key) {
    vmt_str role, id;
    if (!vmt_json_get_str(VMT_JSON_AT(message, "role"), &role) || !vmt_str_eq_c(role, "assistant")) return false;
    vmt_json calls = VMT_JSON_AT(message, "tool_calls");
    if (vmt_json_size(calls)) {
        if (!vmt_json_get_str(VMT_JSON_AT(first_of(calls), "id"), &id)) return false;
        *key = vmt_turn_store_hash(job->api->turns, id);
        return true;
    }
    vmt_buf content = {0};
    gather_content(message, &content);
    *key = key_of_digest(job, vmt_said_digest(VMT_SAID_DIGEST_BEGIN, vmt_buf_str(&content)));
    vmt_buf_free(&content);
    return true;
}

/* ---- a prompt in the making */

struct weave {
    vmt_job *job;
    const vmt_conversation *conversation;
    vmt_str text;        /* rendered */
    size_t at;           /* what stands before is tokenized */
    uint64_t own_bytes;  /* of text before at that are in the prompt */
    vmt_hash128 hash;    /* of the prompt before at */
    uint64_t num_hashed; /* bytes, to find turns */
};

static vmt_hash128 extend(vmt_hash128 hash, const void *data, size_t len) {
    return vmt_siphash128((vmt_hash_key){hash.lo, hash.hi}, data, len);
}

static vmt_hash128 hash_up_to(const struct weave *w, size_t end) {
    return extend(w->hash, w->text.ptr + w->at, end - w->at);
}

static uint32_t count_id(const int32_t *ids, size_t num_ids, int32_t id) {
    uint32_t count = 0;
    for (size_t i = 0; i < num_ids; i++) count += ids[i] == id;
    return count;
}

/* The template's words for the turn hold no special token more often than what was sampled: they are this one turn. */
static bool is_one_turn(const vmt_tokenizer *tok, vmt_str words, const vmt_turn *turn) {
    vmt_tokens tokens = {0};
    uint32_t num_specials = 0;
    bool ok = vmt_tokenizer_encode(tok, words, (vmt_encode_options){0}, &tokens, NULL) == VMT_OK;
    for (size_t i = 0; ok && i < tokens.len; i++) {
        if (!vmt_tokenizer_is_special(tok, tokens.ids[i])) continue;
        ok = ++num_specials <= SPECIALS_MAX &&
             count_id(tokens.ids, i + 1, tokens.ids[i]) <= count_id(turn->ids, turn->num_ids, tokens.ids[i]);
    }
    vmt_tokens_free(&tokens);
    return ok;
}

/* Where the template's words for the turn begin and end in w->text, if the turn is what the message says and stands
 * where it was sampled. */
static bool fits(struct weave *w, vmt_json message, const vmt_turn *turn, size_t *begin, size_t *end) {
    const vmt_tokenizer *tok = w->job->api->config.tokenizer;
    vmt_str stop = vmt_tokenizer_spelling(tok, turn->stop_id);
    if (turn->before_bytes < w->own_bytes || turn->before_bytes - w->own_bytes > w->text.len - w->at) return false;
    *begin = w->at + (size_t)(turn->before_bytes - w->own_bytes);
    w->num_hashed += *begin - w->at;
    if (w->num_hashed > (uint64_t)w->text.len * HASHED_TIMES_MAX) return false;
    if (!vmt_hash128_eq(hash_up_to(w, *begin), turn->before)) return false;
    *end = vmt_str_find(w->text, stop, *begin);
    if (*end == SIZE_MAX || stop.len == 0) return false;
    vmt_str words = vmt_str_slice(w->text, *begin, *end);
    struct said said = {0};
    bool ok = read_turn(w->job, w->conversation->tools, turn, &said) && same_texts(&said, message) &&
              same_calls(&said, VMT_JSON_AT(message, "tool_calls"), stop) &&
              vmt_str_find(vmt_buf_str(&said.text), stop, 0) == SIZE_MAX;
    vmt_str reasoning = vmt_str_trim(vmt_buf_str(&said.reasoning));
    ok = ok && (reasoning.len == 0 || vmt_str_find(words, reasoning, 0) != SIZE_MAX) &&
         is_one_turn(tok, words, turn);
    free_said(&said);
    return ok;
}

static bool append_ids(struct weave *w, const int32_t *ids, uint32_t num_ids) {
    vmt_tokens *tokens = &w->job->prompts[0].tokens;
    void *grown = tokens->ids;
    if (vmt_array_grow(&grown, &tokens->cap, tokens->len + num_ids, sizeof *ids, VMT_PROMPT_TOKENS_MAX) !=
        VMT_OK) {
        return vmt_fault_other(&w->job->fault, VMT_FAULT_BUSY, "messages", "no memory for the prompt");
    }
    tokens->ids = grown;
    memcpy(tokens->ids + tokens->len, ids, num_ids * sizeof *ids);
    tokens->len += num_ids;
    return true;
}

static bool encode_up_to(struct weave *w, size_t end) {
    if (end > w->at && !vmt_prompt_encode(w->job, 0, vmt_str_slice(w->text, w->at, end), false)) return false;
    w->hash = hash_up_to(w, end);
    w->own_bytes += end - w->at;
    w->at = end;
    return true;
}

static bool splice(struct weave *w, vmt_json message) {
    const vmt_turn *found[VMT_TURNS_ALIKE_MAX];
    uint64_t key;
    size_t begin = 0, end = 0;
    if (!key_of_message(w->job, message, &key)) return true;
    uint32_t count = vmt_turn_store_find(w->job->api->turns, key, found), i = 0;
    while (i < count && !fits(w, message, found[i], &begin, &end)) i++;
    bool ok = true;
    if (i < count) {
        ok = encode_up_to(w, begin) && append_ids(w, found[i]->ids, found[i]->num_ids);
        w->hash = extend(w->hash, found[i]->ids, found[i]->num_ids * sizeof *found[i]->ids);
        w->at = end;
    }
    for (i = 0; i < count; i++) vmt_turn_store_release(w->job->api->turns, found[i]);
    return ok;
}

/* Bytes at the prompt's end that open reasoning, or open and close it: the template may leave them out of history, so
 * they belong to the turn.  Only where cutting there changes no token. */
static size_t led_bytes(const struct weave *w) {
    const vmt_tokenizer *tok = w->job->api->config.tokenizer;
    size_t len = vmt_reasoning_lead(w->job->api->output_rules.reasoning, w->text), total = w->text.len;
    if (len == 0 || len > total - w->at) return 0;
    vmt_tokens whole = {0}, parts = {0};
    const vmt_encode_options options = {0};
    bool same =
        vmt_tokenizer_encode(tok, vmt_str_slice(w->text, w->at, total), options, &whole, NULL) == VMT_OK &&
        vmt_tokenizer_encode(tok, vmt_str_slice(w->text, w->at, total - len), options, &parts, NULL) == VMT_OK &&
        vmt_tokenizer_encode(tok, vmt_str_slice(w->text, total - len, total), options, &parts, NULL) == VMT_OK &&
        whole.len == parts.len && memcmp(whole.ids, parts.ids, whole.len * sizeof *whole.ids) == 0;
    vmt_tokens_free(&whole);
    vmt_tokens_free(&parts);
    return same ? len : 0;
}

bool vmt_turns_encode(vmt_job *job, const vmt_conversation *c, bool add_special) {
    struct weave w = {.job = job, .conversation = c, .text = vmt_buf_str(c->prompt)};
    vmt_json message;
    bool is_plain = add_special || c->continue_final_message || !c->add_generation_prompt || job->fields.n != 1 ||
                    job->fields.truncate_prompt_tokens != VMT_FIELD_UNSET || w.text.len == 0 ||
                    !job->api->config.enable_prefix_caching;
    if (is_plain) return vmt_prompt_encode(job, 0, w.text, add_special);
    w.hash = vmt_turn_store_root(job->api->turns, job->cache_salt);
    for (vmt_json_iter it = vmt_json_iter_begin(c->messages); vmt_json_iter_next(&it, NULL, &message);) {
        if (!splice(&w, message)) return false;
    }
    size_t num_led = led_bytes(&w);
    if (!encode_up_to(&w, w.text.len - num_led)) return false;
    size_t num_before = job->prompts[0].tokens.len;
    job->turn.is_open = true;
    job->turn.before = w.hash;
    job->turn.before_bytes = w.own_bytes;
    if (num_led && !encode_up_to(&w, w.text.len)) return false;
    job->turn.num_led = (uint32_t)(job->prompts[0].tokens.len - num_before);
    return true;
}

bool vmt_turns_recall_reasoning(vmt_job *job, vmt_json tools, vmt_json message, vmt_buf *out) {
    const vmt_turn *found[VMT_TURNS_ALIKE_MAX];
    vmt_str id = {0};
    uint64_t key;
    vmt_json calls = VMT_JSON_AT(message, "tool_calls");
    vmt_json_get_str(VMT_JSON_AT(first_of(calls), "id"), &id);
    if (!vmt_str_starts(id, VMT_STR(OWN_ID_PREFIX)) || reasoning_of(message).len) return false;
    if (!key_of_message(job, message, &key)) return false;
    uint32_t count = vmt_turn_store_find(job->api->turns, key, found);
    bool ok = false;
    for (uint32_t i = 0; i < count && !ok; i++) {
        struct said said = {0};
        vmt_str stop = vmt_tokenizer_spelling(job->api->config.tokenizer, found[i]->stop_id);
        ok = read_turn(job, tools, found[i], &said) && same_calls(&said, calls, stop) && said.reasoning.len;
        if (ok) vmt_buf_append(out, vmt_str_trim(vmt_buf_str(&said.reasoning)));
        free_said(&said);
    }
    for (uint32_t i = 0; i < count; i++) vmt_turn_store_release(job->api->turns, found[i]);
    return ok;
}

/* ---- loop */

static void remember_id(vmt_job *job, vmt_choice *choice, int32_t token_id) {
    void *grown = choice->said.ids;
    if (vmt_array_grow(&grown, &choice->said.cap, choice->said.len + 1, sizeof token_id, VMT_TURN_TOKENS_MAX) !=
        VMT_OK) {
        job->turn.is_open = false; /* longer than what is kept */
        return;
    }
    choice->said.ids = grown;
    choice->said.ids[choice->said.len++] = token_id;
}

void vmt_turns_hear(vmt_job *job, vmt_choice *choice, int32_t token_id) {
    if (!job->turn.is_open) return;
    const vmt_tokens *prompt = &job->prompts[0].tokens;
    for (size_t i = choice->said.len; i < job->turn.num_led && job->turn.is_open; i++) {
        remember_id(job, choice, prompt->ids[prompt->len - job->turn.num_led + i]);
    }
    remember_id(job, choice, token_id);
    const vmt_tokenizer *tok = job->api->config.tokenizer;
    if (!choice->output.parser && !vmt_tokenizer_is_special(tok, token_id)) {
        choice->output.digest = vmt_said_digest(choice->output.digest, vmt_tokenizer_bytes(tok, token_id));
    }
}

void vmt_turns_keep(vmt_job *job, vmt_choice *choice, vmt_finish finish) {
    const vmt_tokens *said = &choice->said;
    const vmt_tokenizer *tok = job->api->config.tokenizer;
    bool was_stopped = finish == VMT_FINISH_STOP && choice->stop_string_idx < 0;
    if (!job->turn.is_open || said->len <= job->turn.num_led || (!was_stopped && finish != VMT_FINISH_LENGTH))
        return;
    /* What a limit or a grammar cut off is ended by the template. */
    bool has_stop = was_stopped && vmt_tokenizer_is_special(tok, said->ids[said->len - 1]);
    int32_t stop_id = has_stop ? said->ids[said->len - 1] : vmt_tokenizer_eos(tok);
    if (stop_id < 0) return;
    const vmt_choice_output *output = &choice->output;
    /* Thoughts that were cut off are closed by the template. */
    if (!has_stop && output->parser && vmt_output_parser_in_reasoning(output->parser)) return;
    const vmt_turn turn = {
        .key = output->num_calls ? vmt_turn_store_hash(job->api->turns, vmt_str_from(output->calls[0].id))
                                 : key_of_digest(job, output->digest),
        .before = job->turn.before,
        .before_bytes = job->turn.before_bytes,
        .begins_in_reasoning = job->output.begins_in_reasoning,
        .stop_id = stop_id,
        .num_ids = (uint32_t)said->len - has_stop,
        .num_led = job->turn.num_led,
        .ids = said->ids,
    };
    vmt_turn_store_put(job->api->turns, &turn);
}
