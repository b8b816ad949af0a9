#include "api/choice_output.h"
#include "api/chat_merge.h"
#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the server's rules */

static bool mentions(const void *ctx, vmt_str word) {
    return vmt_chat_template_mentions(ctx, word);
}

static vmt_status unknown_name(vmt_err *err, const char *flag, vmt_str name, void (*names)(vmt_buf *out)) {
    vmt_buf list = {0};
    names(&list);
    vmt_status status = vmt_fail_param(err, VMT_E_INVALID, flag, "--%s: '%.*s' is none of %.*s", flag,
                                       (int)VMT_MIN(name.len, 40), name.ptr, VMT_STR_ARG(vmt_buf_str(&list)));
    vmt_buf_free(&list);
    return status;
}

vmt_status vmt_output_rules_resolve(vmt_output_rules *out, const vmt_api_config *config, vmt_err *err) {
    const vmt_template_facts facts = {mentions, config->chat_template};
    *out = (vmt_output_rules){0};
    if (config->chat_template) {
        out->dialect = vmt_tool_dialect_detect(&facts);
        out->reasoning = vmt_reasoning_detect(&facts);
        out->takes_late_systems = vmt_chat_takes_late_systems(config->chat_template, config->tokenizer);
    }
    vmt_str name = config->tool_call_parser;
    if (name.len) {
        const vmt_tool_dialect *named = vmt_tool_dialect_find(name);
        if (!named) return unknown_name(err, "tool-call-parser", name, vmt_tool_dialect_names);
        /* Launchers pass "hermes" for every model: what the template writes is better evidence. */
        bool is_hint = vmt_str_eq_c(name, "hermes") && out->dialect;
        if (!is_hint) out->dialect = named;
        if (is_hint && out->dialect != named) {
            vmt_log_info("event=tool_parser asked=hermes used=%s note=\"the chat template writes this\"",
                         vmt_tool_dialect_name(out->dialect));
        }
    }
    name = config->reasoning_parser;
    if (vmt_str_eq_c(name, "none")) {
        out->reasoning = NULL;
    } else if (name.len) {
        out->reasoning = vmt_reasoning_find(name);
        out->reasoning_by_name = true;
        if (!out->reasoning) return unknown_name(err, "reasoning-parser", name, vmt_reasoning_names);
    }
    return VMT_OK;
}

/* ---- events */

static void write_id(vmt_choice_call *call, vmt_call_id_style style, const vmt_output_event *event) {
    unsigned char random[16];
    vmt_random_bytes(random, sizeof random);
    size_t cap = sizeof call->id;
    if (style == VMT_CALL_ID_OPENAI) {
        int at = snprintf(call->id, cap, "chatcmpl-tool-");
        for (size_t i = 0; i < sizeof random; i++) {
            at += snprintf(call->id + at, cap - (size_t)at, "%02x", random[i]);
        }
    } else if (event->id.len && event->id.len < cap) {
        snprintf(call->id, cap, "%.*s", VMT_STR_ARG(event->id));
    } else if (style == VMT_CALL_ID_KIMI) {
        snprintf(call->id, cap, "functions.%.*s:%u", VMT_STR_ARG(event->name), event->call_idx);
    } else {
        static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for (size_t i = 0; i < 9; i++) call->id[i] = letters[random[i] % (sizeof letters - 1)];
        call->id[9] = '\0';
    }
}

static void begin_call(vmt_choice_output *out, const vmt_output_event *event) {
    void *calls = out->calls;
    vmt_status status = vmt_array_grow(&calls, &out->calls_cap, (size_t)out->num_calls + 1, sizeof *out->calls,
                                       VMT_CALLS_PER_CHOICE_MAX);
    out->calls = calls;
    vmt_str name = vmt_arena_dup(out->arena, event->name);
    if (status != VMT_OK || !name.ptr) {
        out->failed = true;
        return;
    }
    vmt_choice_call *call = &out->calls[out->num_calls++];
    *call = (vmt_choice_call){.name = name};
    write_id(call, vmt_tool_dialect_id_style(out->wish->dialect), event);
}

static void on_event(void *ctx, const vmt_output_event *event) {
    vmt_choice_output *out = ctx;
    bool is_kept = !out->wish->only_first_call || event->call_idx == 0;
    vmt_choice_call *call = out->num_calls ? &out->calls[out->num_calls - 1] : NULL;
    switch (event->kind) {
    case VMT_OUTPUT_REASONING:
        if (!out->wish->drops_reasoning) vmt_buf_append(&out->reasoning, event->text);
        break;
    case VMT_OUTPUT_CONTENT:
        vmt_buf_append(out->content, event->text);
        out->digest = vmt_said_digest(out->digest, event->text);
        break;
    case VMT_OUTPUT_CALL_START:
        if (is_kept) begin_call(out, event);
        break;
    case VMT_OUTPUT_CALL_ARGS:
        if (is_kept && call) vmt_buf_append(&call->args, event->text);
        break;
    case VMT_OUTPUT_CALL_END:
        if (is_kept && call) {
            call->is_whole = true;
            out->num_whole++;
        }
        break;
    case VMT_OUTPUT_CALL_BROKEN:
        if (is_kept) vmt_buf_append(out->content, event->text);
        if (is_kept && call) call->is_void = true;
        break;
    }
    out->failed = out->failed || (call && call->args.failed) || out->reasoning.failed;
}

/* ---- one choice */

bool vmt_choice_output_init(vmt_choice_output *out, const vmt_output_wish *wish, vmt_arena *arena,
                            vmt_buf *content) {
    *out = (vmt_choice_output){.wish = wish, .arena = arena, .content = content, .digest = VMT_SAID_DIGEST_BEGIN};
    if (!wish->dialect && !wish->reasoning) return true;
    const vmt_output_options options = {
        .dialect = wish->dialect,
        .reasoning = wish->reasoning,
        .begins_in_reasoning = wish->begins_in_reasoning,
        .tools = wish->tools ? vmt_json_root(wish->tools) : (vmt_json){0},
        .on_event = on_event,
        .ctx = out,
    };
    out->parser = vmt_output_parser_create(&options);
    return out->parser != NULL;
}

void vmt_choice_output_free(vmt_choice_output *out) {
    for (uint32_t i = 0; i < out->num_calls; i++) vmt_buf_free(&out->calls[i].args);
    free(out->calls);
    vmt_buf_free(&out->reasoning);
    vmt_output_parser_destroy(out->parser);
    *out = (vmt_choice_output){0};
}

void vmt_choice_output_push(vmt_choice_output *out, vmt_str text) {
    if (!out->parser) {
        vmt_buf_append(out->content, text);
    } else if (!vmt_output_parser_push(out->parser, text)) {
        out->failed = true;
    }
}

void vmt_choice_output_count(vmt_choice_output *out) {
    if (out->parser && vmt_output_parser_in_reasoning(out->parser)) out->num_reasoning_tokens++;
}

void vmt_choice_output_finish(vmt_choice_output *out, bool was_cut) {
    if (out->parser && !vmt_output_parser_finish(out->parser, was_cut)) out->failed = true;
}

void vmt_choice_output_clear(vmt_choice_output *out) {
    vmt_buf_clear(&out->reasoning);
    for (uint32_t i = out->first_unsent; i < out->num_calls; i++) {
        out->calls[i].is_sent = true;
        vmt_buf_clear(&out->calls[i].args);
        if (i + 1 < out->num_calls) out->first_unsent = i + 1; /* a later call has begun: this one is over */
    }
}
