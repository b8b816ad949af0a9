#include "text/answer_grammar.h"
#include "json/json_writer.h"
#include "text/call_grammar.h"

/* ---- formats */

void vmt_format_begin(vmt_format_writer *f, const char *type, const char *list) {
    vmt_json_begin_object(&f->w);
    vmt_json_key(&f->w, "type");
    vmt_json_c_str(&f->w, type);
    if (!list) return;
    vmt_json_key(&f->w, list);
    vmt_json_begin_array(&f->w);
}

void vmt_format_end(vmt_format_writer *f) {
    vmt_json_end_array(&f->w);
    vmt_json_end_object(&f->w);
}

void vmt_format_text(vmt_format_writer *f, vmt_str text) {
    vmt_format_begin(f, "const_string", NULL);
    vmt_json_key(&f->w, "value");
    vmt_json_str(&f->w, text);
    vmt_json_end_object(&f->w);
}

void vmt_format_regex(vmt_format_writer *f, const char *pattern) {
    vmt_format_begin(f, "regex", NULL);
    vmt_json_key(&f->w, "pattern");
    vmt_json_c_str(&f->w, pattern);
    vmt_json_end_object(&f->w);
}

void vmt_format_any_text(vmt_format_writer *f, const char *const *excludes) {
    vmt_format_begin(f, "any_text", "excludes");
    for (; excludes && *excludes; excludes++) vmt_json_c_str(&f->w, *excludes);
    vmt_format_end(f);
}

void vmt_format_begin_tag(vmt_format_writer *f, vmt_str begin) {
    vmt_format_begin(f, "tag", NULL);
    vmt_json_key(&f->w, "begin");
    vmt_json_str(&f->w, begin);
    vmt_json_key(&f->w, "content");
}

void vmt_format_end_tag(vmt_format_writer *f, const char *end) {
    vmt_json_key(&f->w, "end");
    vmt_json_c_str(&f->w, end);
    vmt_json_end_object(&f->w);
}

void vmt_format_end_separated(vmt_format_writer *f, const char *separator, bool at_least_one, bool only_one) {
    vmt_json_end_array(&f->w);
    vmt_json_key(&f->w, "separator");
    vmt_json_c_str(&f->w, separator);
    vmt_json_key(&f->w, "at_least_one");
    vmt_json_bool(&f->w, at_least_one);
    vmt_json_key(&f->w, "stop_after_first");
    vmt_json_bool(&f->w, only_one);
    vmt_json_end_object(&f->w);
}

/* ---- content */

static void write_content(vmt_format_writer *f, const char *const *excludes) {
    if (f->form->content.len) {
        vmt_json_raw(&f->w, f->form->content);
    } else {
        vmt_format_any_text(f, excludes);
    }
}

/* Text that the scanner does not take for a call: it does not begin like one, and has none of the markers. */
static void write_text_beside_bare_calls(vmt_format_writer *f) {
    const vmt_tool_dialect *dialect = f->form->dialect;
    char pattern[] = "[ \\n\\t\\r]*[^ \\n\\t\\r?]";
    *strchr(pattern, '?') = dialect->bare_open;
    vmt_format_begin(f, "or", "elements");
    vmt_format_regex(f, "[ \\n\\t\\r]*");
    vmt_format_begin(f, "sequence", "elements");
    vmt_format_regex(f, pattern);
    vmt_format_any_text(f, dialect->opens);
    vmt_format_end(f);
    vmt_format_end(f);
}

/* Text in which a dialect's marker begins a call. */
static vmt_status write_text_with_calls(vmt_format_writer *f) {
    const vmt_tool_dialect *dialect = f->form->dialect;
    vmt_str open = vmt_str_from(dialect->frame->open);
    vmt_format_begin(f, "triggered_tags", "tags");
    VMT_TRY(vmt_calls_write_regions(f));
    vmt_json_end_array(&f->w);
    for (int pass = 0; pass < 2; pass++) { /* the marker that our calls begin with, then the others */
        vmt_json_key(&f->w, pass == 0 ? "triggers" : "excludes");
        vmt_json_begin_array(&f->w);
        for (size_t i = 0; dialect->opens[i]; i++) {
            bool is_ours = vmt_str_starts(open, vmt_str_from(dialect->opens[i]));
            if (is_ours == (pass == 0)) vmt_json_c_str(&f->w, dialect->opens[i]);
        }
        vmt_json_end_array(&f->w);
    }
    vmt_json_key(&f->w, "stop_after_first");
    vmt_json_bool(&f->w, f->form->only_one_call);
    vmt_json_end_object(&f->w);
    return VMT_OK;
}

static vmt_status write_content_or_calls(vmt_format_writer *f) {
    bool is_bare = f->form->dialect->bare_open != '\0';
    if (f->form->content.len == 0 && !is_bare) return write_text_with_calls(f);
    vmt_format_begin(f, "or", "elements");
    if (f->form->content.len) {
        write_content(f, NULL);
    } else {
        write_text_beside_bare_calls(f);
    }
    VMT_TRY(vmt_calls_write(f));
    vmt_format_end(f);
    return VMT_OK;
}

static vmt_status write_body(vmt_format_writer *f) {
    switch (f->form->calls) {
    case VMT_CALLS_NONE: write_content(f, NULL); return VMT_OK;
    case VMT_CALLS_MAY: return write_content_or_calls(f);
    case VMT_CALLS_MUST: return vmt_calls_write(f);
    }
    return VMT_E_INTERNAL;
}

/* ---- reasoning */

static void write_reasoning(vmt_format_writer *f) {
    const vmt_reasoning_style *style = f->form->reasoning;
    const char *const excludes[] = {style->ends_at, NULL};
    vmt_buf begin = {0};
    bool may = f->form->place == VMT_REASONING_MAY;
    if (may) {
        vmt_buf_append_c(&begin, style->open);
        if (style->skip_line) vmt_buf_append_c(&begin, style->skip_line);
        vmt_format_begin(f, "or", "elements");
        vmt_format_text(f, VMT_STR(""));
    }
    vmt_format_begin_tag(f, vmt_buf_str(&begin));
    vmt_format_any_text(f, excludes);
    vmt_format_end_tag(f, style->close);
    if (may) vmt_format_end(f);
    vmt_buf_free(&begin);
}

/* ---- harmony: messages on channels, each with its header */

#define NEXT_MESSAGE "<|end|><|start|>assistant"

static void write_message(vmt_format_writer *f, const char *channel) {
    vmt_buf begin = {0};
    vmt_buf_printf(&begin, "<|channel|>%s<|message|>", channel);
    vmt_format_begin_tag(f, vmt_buf_str(&begin));
    vmt_format_any_text(f, NULL);
    vmt_format_end_tag(f, NEXT_MESSAGE);
    vmt_buf_free(&begin);
}

static vmt_status write_harmony(vmt_format_writer *f) {
    bool may_call = f->form->calls != VMT_CALLS_NONE, may_talk = f->form->calls != VMT_CALLS_MUST;
    vmt_format_begin(f, "sequence", "elements");
    vmt_format_begin(f, "tags_with_separator", "tags");
    write_message(f, "analysis");
    if (may_call && may_talk) write_message(f, "commentary");
    vmt_format_end_separated(f, "", false, false);
    vmt_format_begin(f, "or", "elements");
    if (may_talk) {
        vmt_format_begin_tag(f, VMT_STR("<|channel|>final<|message|>"));
        write_content(f, NULL);
        vmt_format_end_tag(f, "");
    }
    if (may_call) VMT_TRY(vmt_calls_write_harmony(f));
    vmt_format_end(f);
    vmt_format_end(f);
    return VMT_OK;
}

/* ---- the whole */

static vmt_status write_answer(vmt_format_writer *f) {
    if (vmt_tool_dialect_is_whole_answer(f->form->dialect)) return write_harmony(f);
    if (f->form->place == VMT_REASONING_NONE) return write_body(f);
    vmt_format_begin(f, "sequence", "elements");
    write_reasoning(f);
    VMT_TRY(write_body(f));
    vmt_format_end(f);
    return VMT_OK;
}

vmt_status vmt_answer_grammar_write(const vmt_answer_form *form, vmt_buf *out, vmt_err *err) {
    vmt_format_writer f = {.form = form, .err = err};
    vmt_json_writer_init(&f.w, out);
    vmt_json_begin_object(&f.w);
    vmt_json_key(&f.w, "format");
    VMT_TRY(write_answer(&f));
    vmt_json_end_object(&f.w);
    return out->failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a grammar") : VMT_OK;
}
