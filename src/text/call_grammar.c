#include "text/call_grammar.h"

static vmt_status read_tool(vmt_format_writer *f, vmt_json tool, vmt_called_tool *out) {
    vmt_json function = VMT_JSON_AT(tool, "function");
    *out = (vmt_called_tool){.parameters = VMT_JSON_AT(function, "parameters")};
    vmt_json_get_bool(VMT_JSON_AT(function, "strict"), &out->is_strict);
    out->is_loose = f->form->calls == VMT_CALLS_MAY && !out->is_strict;
    if (!vmt_json_get_str(VMT_JSON_AT(function, "name"), &out->name)) {
        return vmt_fail_param(f->err, VMT_E_INVALID, "tools", "a tool has no name");
    }
    bool is_plain = out->name.len > 0 && out->name.len <= VMT_CALL_NAME_MAX;
    for (size_t i = 0; i < out->name.len && is_plain; i++) {
        char c = out->name.ptr[i];
        is_plain = !vmt_is_space(c) && c != '\0' && !strchr("<>{}[]()\"'\\", c);
    }
    if (is_plain) return VMT_OK;
    return vmt_fail_param(f->err, VMT_E_UNSUPPORTED, "tools",
                          "the name '%.*s' of a tool can't be written in a call",
                          (int)VMT_MIN(out->name.len, (size_t)64), out->name.ptr);
}

/* ---- one call */

static vmt_status write_json_call(vmt_format_writer *f, const vmt_call_frame *frame, const vmt_called_tool *tool) {
    vmt_buf begin = {0};
    vmt_buf_printf(&begin, "{\"name\": \"%.*s\", \"%s\": ", VMT_STR_ARG(tool->name), frame->args_member);
    vmt_format_begin_tag(f, vmt_buf_str(&begin));
    vmt_buf_free(&begin);
    VMT_TRY(vmt_arguments_write_json(f, tool));
    vmt_format_end_tag(f, "}");
    return VMT_OK;
}

/* f after_name, then a number if there is to be one, then arguments in one object or each by itself. */
static vmt_status write_named_call(vmt_format_writer *f, const vmt_call_frame *frame,
                                   const vmt_called_tool *tool) {
    vmt_buf begin = {0};
    vmt_buf_printf(&begin, "%s%.*s%s", frame->call, VMT_STR_ARG(tool->name), frame->after_name);
    vmt_format_begin_tag(f, vmt_buf_str(&begin));
    vmt_buf_free(&begin);
    if (frame->index_end) {
        vmt_format_begin(f, "sequence", "elements");
        vmt_format_regex(f, f->form->only_one_call ? "0" : "[0-9]|[1-9][0-9]");
        vmt_format_text(f, vmt_str_from(frame->index_end));
        VMT_TRY(vmt_arguments_write_json(f, tool));
        vmt_format_end(f);
    } else if (!frame->key) {
        VMT_TRY(vmt_arguments_write_json(f, tool));
    } else if (tool->is_loose && frame->comma) { /* brackets may stand within */
        vmt_format_regex(f, "[\\s\\S]*");
    } else if (tool->is_loose) {
        vmt_format_any_text(f, (const char *const[]){frame->close, NULL});
    } else {
        vmt_format_begin(f, "sequence", "elements");
        vmt_format_text(f, VMT_STR(""));
        VMT_TRY(vmt_arguments_write(f, tool));
        vmt_format_end(f);
    }
    vmt_format_end_tag(f, frame->call_end);
    return VMT_OK;
}

typedef vmt_status (*write_call)(vmt_format_writer *f, const vmt_call_frame *frame, const vmt_called_tool *tool);

/* A call of each tool that may be called, as elements. */
static vmt_status write_each(vmt_format_writer *f, const vmt_call_frame *frame, write_call write) {
    vmt_json tool;
    for (vmt_json_iter it = vmt_json_iter_begin(f->form->tools); vmt_json_iter_next(&it, NULL, &tool);) {
        vmt_called_tool called;
        VMT_TRY(read_tool(f, tool, &called));
        if (f->form->named.len && !vmt_str_eq(called.name, f->form->named)) continue;
        VMT_TRY(write(f, frame, &called));
    }
    return VMT_OK;
}

/* ---- regions */

static vmt_status write_region(vmt_format_writer *f, const vmt_call_frame *frame) {
    write_call write = frame->args_member ? write_json_call : write_named_call;
    vmt_format_begin_tag(f, vmt_str_from(frame->open));
    vmt_format_begin(f, "tags_with_separator", "tags");
    VMT_TRY(write_each(f, frame, write));
    vmt_format_end_separated(f, frame->separator, true, frame->between != NULL || f->form->only_one_call);
    vmt_format_end_tag(f, frame->close);
    return VMT_OK;
}

/* [TOOL_CALLS]f{...}, as later tokenizers have it: the model chooses. */
static vmt_status write_mistral_call(vmt_format_writer *f, const vmt_call_frame *frame,
                                     const vmt_called_tool *tool) {
    static const char *const before_args[] = {"", "[ARGS]"};
    (void)frame;
    for (size_t i = 0; i < VMT_COUNT(before_args); i++) {
        vmt_buf begin = {0};
        vmt_buf_printf(&begin, "[TOOL_CALLS]%.*s%s", VMT_STR_ARG(tool->name), before_args[i]);
        vmt_format_begin_tag(f, vmt_buf_str(&begin));
        vmt_buf_free(&begin);
        VMT_TRY(vmt_arguments_write_json(f, tool));
        vmt_format_end_tag(f, "");
    }
    return VMT_OK;
}

static bool is_mistral(const vmt_format_writer *f) {
    return f->form->dialect->scanner == &vmt_scan_mistral;
}

vmt_status vmt_calls_write_regions(vmt_format_writer *f) {
    const vmt_call_frame *frame = f->form->dialect->frame;
    VMT_TRY(write_region(f, frame));
    return is_mistral(f) ? write_each(f, frame, write_mistral_call) : VMT_OK;
}

vmt_status vmt_calls_write(vmt_format_writer *f) {
    const vmt_call_frame *frame = f->form->dialect->frame;
    bool only_one = f->form->only_one_call;
    if (is_mistral(f)) vmt_format_begin(f, "or", "elements");
    vmt_format_begin(f, "tags_with_separator", "tags");
    VMT_TRY(write_region(f, frame));
    vmt_format_end_separated(f, frame->between ? frame->between : "", true, only_one || !frame->between);
    if (!is_mistral(f)) return VMT_OK;
    vmt_format_begin(f, "tags_with_separator", "tags");
    VMT_TRY(write_each(f, frame, write_mistral_call));
    vmt_format_end_separated(f, "", true, only_one);
    vmt_format_end(f);
    return VMT_OK;
}

/* ---- harmony */

static vmt_status write_harmony_call(vmt_format_writer *f, const vmt_call_frame *frame,
                                     const vmt_called_tool *tool) {
    vmt_buf begin = {0};
    (void)frame;
    vmt_buf_printf(&begin, "<|channel|>commentary to=functions.%.*s <|constrain|>json<|message|>",
                   VMT_STR_ARG(tool->name));
    vmt_format_begin_tag(f, vmt_buf_str(&begin));
    vmt_buf_free(&begin);
    VMT_TRY(vmt_arguments_write_json(f, tool));
    vmt_format_end_tag(f, ""); /* <|call|> ends the answer */
    return VMT_OK;
}

vmt_status vmt_calls_write_harmony(vmt_format_writer *f) {
    return write_each(f, NULL, write_harmony_call);
}
