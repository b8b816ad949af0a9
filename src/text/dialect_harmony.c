/* text/dialect_harmony.c: gpt-oss: the whole answer is a row of messages on channels.
 *
 *   <|channel|>analysis<|message|> reasoning <|end|>
 *   <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|> {arguments} <|call|>
 *   <|start|>assistant<|channel|>final<|message|> content <|return|>
 *
 * The prompt ends with <|start|>assistant.  A recipient makes a call, in either part of the header. */
#include "text/output_scan.h"

enum { HEADER, BODY, PLAIN };
enum { REASONING, CONTENT, CALL };
enum { M_CHANNEL, M_MESSAGE, M_START, M_CONSTRAIN, M_END, M_CALL, M_RETURN };

static const char *const markers[] = {"<|channel|>", "<|message|>", "<|start|>",  "<|constrain|>",
                                      "<|end|>",     "<|call|>",    "<|return|>", NULL};

static void begin(vmt_output_parser *p, uint32_t marker_idx) {
    (void)marker_idx;
    p->u.harmony = (struct harmony){.state = HEADER, .channel = CONTENT};
    vmt_matcher_init(&p->u.harmony.match, markers);
}

/* The word after `label` in the header. */
static vmt_str header_word(const vmt_output_parser *p, const char *label) {
    vmt_str text = vmt_buf_str(&p->key);
    size_t at = vmt_str_find(text, vmt_str_from(label), 0);
    if (at == SIZE_MAX) return (vmt_str){0};
    size_t first = at + strlen(label), end = first;
    while (end < text.len && !vmt_is_space(text.ptr[end])) end++;
    return vmt_str_slice(text, first, end);
}

static void begin_body(vmt_output_parser *p) {
    struct harmony *h = &p->u.harmony;
    vmt_str channel = header_word(p, "channel="), to = header_word(p, "to="), prefix = VMT_STR("functions.");
    bool is_call = to.len > 0 && vmt_json_exists(p->options.tools);
    if (vmt_str_starts(to, prefix)) to = vmt_str_slice(to, prefix.len, to.len);
    vmt_call_reset(p);
    h->state = BODY;
    h->had_message = true;
    h->channel = vmt_str_eq_c(channel, "analysis") ? REASONING : CONTENT;
    if (is_call && vmt_call_set_name(p, to)) {
        h->channel = CALL;
        vmt_json_scan_init(&h->scan);
    }
    vmt_region_forget(p);
}

static void begin_header(vmt_output_parser *p) {
    p->u.harmony.state = HEADER;
    p->u.harmony.had_channel = false;
    vmt_buf_clear(&p->key);
    vmt_region_forget(p);
}

/* The call is none: what its message said so far is content, and so is the rest. */
static void give_back(vmt_output_parser *p) {
    struct harmony *h = &p->u.harmony;
    h->channel = CONTENT;
    /* Bytes that the matcher holds come again. */
    p->raw.len -= VMT_MIN(p->raw.len, (size_t)h->match.num_held);
    if (p->call.is_started && !p->call.is_ended) {
        vmt_output_emit(p, VMT_OUTPUT_CALL_BROKEN, vmt_buf_str(&p->raw));
        p->call.is_ended = true;
    } else {
        vmt_output_content(p, vmt_buf_str(&p->raw));
    }
    vmt_region_forget(p);
}

/* A model may leave out arguments that are empty. */
static void end_call(vmt_output_parser *p) {
    if (p->call.is_ended) return;
    if (!p->call.is_started && vmt_is_filler(vmt_buf_str(&p->raw), "")) {
        vmt_call_close(p);
    } else {
        give_back(p);
    }
}

static void body_text(vmt_output_parser *p, vmt_str text) {
    struct harmony *h = &p->u.harmony;
    if (h->channel == REASONING) vmt_output_emit(p, VMT_OUTPUT_REASONING, text);
    if (h->channel == CONTENT) vmt_output_content(p, text);
    for (size_t i = 0; h->channel == CALL && i < text.len; i++) {
        if (p->call.is_ended) {
            if (vmt_is_space(text.ptr[i])) continue;
            h->channel = CONTENT;
            vmt_output_content(p, vmt_str_slice(text, i, text.len));
        } else if (vmt_args_step(p, &h->scan, text.ptr[i]) == VMT_STEP_FAIL) {
            give_back(p);
        }
    }
    if (h->channel != CALL) vmt_region_forget(p);
}

/* Text where only a header may stand: an answer that begins like none is content as it is. */
static void header_text(vmt_output_parser *p, vmt_str text) {
    struct harmony *h = &p->u.harmony;
    static const char *const begins[] = {"to=", "assistant"};
    if (p->key.len + text.len > VMT_HEADER_MAX && h->had_message) return;
    vmt_buf_append(&p->key, text);
    if (h->had_message || h->had_channel) return;
    vmt_str seen = vmt_str_trim(vmt_buf_str(&p->key));
    for (size_t i = 0; i < VMT_COUNT(begins); i++) {
        size_t len = VMT_MIN(seen.len, strlen(begins[i]));
        if (strncmp(seen.ptr ? seen.ptr : "", begins[i], len) == 0 && p->key.len < VMT_HEADER_MAX) return;
    }
    h->state = PLAIN;
    vmt_output_content(p, vmt_buf_str(&p->key));
    vmt_region_forget(p);
}

static void at_marker(vmt_output_parser *p, int32_t idx) {
    struct harmony *h = &p->u.harmony;
    if (h->state == BODY && idx != M_MESSAGE && idx != M_CONSTRAIN) {
        size_t len = strlen(markers[idx]);
        p->raw.len -= VMT_MIN(len, p->raw.len);
        if (h->channel == CALL) end_call(p);
        begin_header(p);
    }
    if (h->state != HEADER) return;
    if (idx == M_MESSAGE) {
        begin_body(p);
    } else if (idx == M_CHANNEL) {
        h->had_channel = true;
        vmt_buf_append_c(&p->key, " channel=");
    } else if (idx == M_CONSTRAIN) {
        vmt_buf_append_c(&p->key, " constrain=");
    } else {
        begin_header(p);
    }
}

static vmt_step step(vmt_output_parser *p, char byte) {
    struct harmony *h = &p->u.harmony;
    vmt_buf_clear(&p->value);
    int32_t idx = vmt_matcher_push(&h->match, byte, &p->value);
    vmt_str text = vmt_buf_str(&p->value);
    if (text.len && h->state == HEADER) {
        header_text(p, text);
    } else if (text.len && h->state == BODY) {
        body_text(p, text);
    } else if (text.len) {
        vmt_output_content(p, text);
        vmt_region_forget(p);
    }
    if (idx >= 0) at_marker(p, idx);
    return VMT_STEP_MORE;
}

static vmt_step finish(vmt_output_parser *p, bool was_cut) {
    struct harmony *h = &p->u.harmony;
    vmt_buf_clear(&p->value);
    if (h->state == BODY) {
        vmt_matcher_flush(&h->match, &p->value);
        body_text(p, vmt_buf_str(&p->value));
        if (h->channel == CALL && !was_cut) end_call(p);
        if (h->channel == CALL && !p->call.is_ended) give_back(p);
    } else if (!h->had_message && !h->had_channel) {
        vmt_matcher_flush(&h->match, &p->value);
        if (h->state == HEADER) vmt_output_content(p, vmt_buf_str(&p->key));
        vmt_output_content(p, vmt_buf_str(&p->value));
    }
    vmt_region_forget(p);
    return VMT_STEP_END;
}

const vmt_scanner vmt_scan_harmony = {begin, step, finish};

bool vmt_harmony_in_reasoning(const vmt_output_parser *p) {
    return p->u.harmony.channel == REASONING;
}
