/* text/reasoning.c: the first stage of the output parser: reasoning off, content on to the dialect. */
#include "text/output_scan.h"

enum { BEFORE, INSIDE, AFTER }; /* BEFORE: nothing but white space so far */
enum { CLOSE, OPEN, CALL };

void vmt_reasoning_init(vmt_output_parser *p) {
    const vmt_reasoning_style *style = p->options.reasoning;
    p->reasoning_state = AFTER;
    if (!style || style->keeps_markers || (p->dialect && p->dialect->from_start)) return;
    p->reasoning_markers[CLOSE] = style->close;
    p->reasoning_markers[OPEN] = style->open;
    bool ends_early = p->dialect && p->dialect->opens && p->dialect->opens[0] && style->ends_at &&
                      strcmp(p->dialect->opens[0], style->ends_at) == 0;
    p->reasoning_markers[CALL] = ends_early ? style->ends_at : NULL;
    vmt_matcher_init(&p->reasoning_match, p->reasoning_markers);
    p->reasoning_state = p->options.begins_in_reasoning ? INSIDE : BEFORE;
}

bool vmt_output_parser_in_reasoning(const vmt_output_parser *p) {
    if (p->dialect && p->dialect->from_start) return vmt_harmony_in_reasoning(p);
    return p->reasoning_state == INSIDE;
}

static void to_content(vmt_output_parser *p, vmt_str text) {
    for (size_t i = 0; i < text.len; i++) vmt_output_content_byte(p, text.ptr[i]);
}

static void leave_lead(vmt_output_parser *p) {
    p->reasoning_state = AFTER;
    vmt_matcher_flush(&p->reasoning_match, &p->lead);
    to_content(p, vmt_buf_str(&p->lead));
    vmt_buf_clear(&p->lead);
}

static void before(vmt_output_parser *p, char byte) {
    size_t from = p->lead.len;
    int32_t idx = vmt_matcher_push(&p->reasoning_match, byte, &p->lead);
    if (idx == OPEN || idx == CLOSE) { /* a close alone ends reasoning that was empty */
        vmt_buf_clear(&p->lead);
        p->reasoning_state = idx == OPEN ? INSIDE : AFTER;
        return;
    }
    if (idx == CALL) vmt_buf_append_c(&p->lead, p->reasoning_markers[CALL]);
    for (size_t i = from; i < p->lead.len; i++) {
        if (vmt_is_space(p->lead.ptr[i])) continue;
        leave_lead(p);
        return;
    }
}

/* Reasoning text, without the line that only names the channel. */
static void reasoning_text(vmt_output_parser *p, vmt_str text) {
    const char *skip = p->options.reasoning->skip_line;
    while (skip && skip[p->skip_idx] && text.len) {
        if (text.ptr[0] != skip[p->skip_idx]) {
            vmt_output_emit(p, VMT_OUTPUT_REASONING, (vmt_str){skip, p->skip_idx});
            p->skip_idx = (uint32_t)strlen(skip);
            break;
        }
        p->skip_idx++;
        text = vmt_str_slice(text, 1, text.len);
    }
    if (text.len) vmt_output_emit(p, VMT_OUTPUT_REASONING, text);
}

static void inside(vmt_output_parser *p, char byte) {
    int32_t idx = vmt_matcher_push(&p->reasoning_match, byte, &p->lead);
    reasoning_text(p, vmt_buf_str(&p->lead));
    vmt_buf_clear(&p->lead);
    if (idx == CLOSE || idx == CALL) p->reasoning_state = AFTER;
    if (idx == CALL) to_content(p, vmt_str_from(p->reasoning_markers[CALL]));
}

void vmt_reasoning_byte(vmt_output_parser *p, char byte) {
    switch (p->reasoning_state) {
    case BEFORE: before(p, byte); return;
    case INSIDE: inside(p, byte); return;
    default: vmt_output_content_byte(p, byte); return;
    }
}

void vmt_reasoning_finish(vmt_output_parser *p) {
    if (p->reasoning_state == BEFORE) leave_lead(p);
    if (p->reasoning_state == INSIDE) {
        vmt_matcher_flush(&p->reasoning_match, &p->lead);
        reasoning_text(p, vmt_buf_str(&p->lead));
        vmt_buf_clear(&p->lead);
    }
}

bool vmt_reasoning_may_begin(const vmt_reasoning_style *style, vmt_str prompt) {
    return style && !style->keeps_markers && !vmt_str_ends(vmt_str_trim(prompt), vmt_str_from(style->close));
}

bool vmt_reasoning_begins_inside(const vmt_reasoning_style *style, const vmt_reasoning_hints *hints) {
    if (!style || style->keeps_markers) return false;
    vmt_str prompt = vmt_str_trim(hints->prompt);
    if (vmt_str_ends(prompt, vmt_str_from(style->close))) return false;
    if (vmt_str_ends(prompt, vmt_str_from(style->open))) return true;
    return style->begins_inside && hints->chosen_by_name && !hints->thinking_is_off;
}

size_t vmt_reasoning_lead(const vmt_reasoning_style *style, vmt_str prompt) {
    if (!style || style->keeps_markers) return 0;
    vmt_str open = vmt_str_from(style->open), close = vmt_str_from(style->close);
    vmt_str left = vmt_str_trim(prompt);
    size_t begin = (size_t)(left.ptr - prompt.ptr), at = left.len;
    if (vmt_str_ends(left, close)) {
        at -= close.len;
        left = vmt_str_trim(vmt_str_slice(prompt, begin, begin + at));
    }
    if (vmt_str_ends(left, open)) at = (size_t)(left.ptr - prompt.ptr) - begin + left.len - open.len;
    return at < vmt_str_trim(prompt).len ? prompt.len - begin - at : 0;
}
