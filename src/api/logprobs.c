#include "api/logprobs.h"
#include "base/utf8.h"

#include <stdio.h>

#define DISTINCT_MAX 128u /* entries up to which equal token texts are merged; beyond, a key may come twice */

static float floored(float logprob) {
    return logprob > VMT_LOGPROB_FLOOR ? logprob : VMT_LOGPROB_FLOOR; /* also for NaN */
}

void vmt_logprobs_token_text(const vmt_logprobs_style *style, int32_t token_id, vmt_buf *out) {
    if (style->as_token_id) {
        vmt_buf_printf(out, "token_id:%d", (int)token_id);
        return;
    }
    vmt_str bytes = vmt_tokenizer_bytes(style->tok, token_id);
    for (size_t pos = 0; pos < bytes.len;) {
        char utf8[4];
        size_t len = vmt_utf8_encode(vmt_utf8_next(bytes, &pos), utf8);
        vmt_buf_append(out, (vmt_str){utf8, len});
    }
}

static void write_token_text(vmt_json_writer *w, const vmt_logprobs_style *style, int32_t token_id) {
    char small[32];
    if (style->as_token_id) {
        snprintf(small, sizeof small, "token_id:%d", (int)token_id);
        vmt_json_c_str(w, small);
    } else {
        vmt_json_str(w, vmt_tokenizer_bytes(style->tok, token_id)); /* the writer puts U+FFFD where needed */
    }
}

/* The alternatives in vLLM's order: the sampled token, then the most likely ones without it.  false past the end. */
static bool alternative(const vmt_output_token *token, uint32_t *i, bool *own_given, vmt_token_logprob *out) {
    if (!*own_given) {
        *own_given = true;
        *out = (vmt_token_logprob){token->token_id, token->logprob};
        return true;
    }
    while (*i < token->num_top) {
        *out = token->top[(*i)++];
        if (out->token_id != token->token_id) return true;
    }
    return false;
}

static void write_token_fields(vmt_json_writer *w, const vmt_logprobs_style *style, vmt_token_logprob t) {
    vmt_json_key(w, "token");
    write_token_text(w, style, t.token_id);
    vmt_json_key(w, "logprob");
    vmt_json_f32(w, floored(t.logprob));
    vmt_json_key(w, "bytes");
    vmt_json_begin_array(w);
    vmt_str bytes = vmt_tokenizer_bytes(style->tok, t.token_id);
    for (size_t i = 0; i < bytes.len; i++) vmt_json_u64(w, (unsigned char)bytes.ptr[i]);
    vmt_json_end_array(w);
}

void vmt_logprobs_chat_entry(vmt_json_writer *w, const vmt_logprobs_style *style, const vmt_output_token *token) {
    vmt_json_begin_object(w);
    write_token_fields(w, style, (vmt_token_logprob){token->token_id, token->logprob});
    vmt_json_key(w, "top_logprobs");
    vmt_json_begin_array(w);
    uint32_t i = 0;
    bool own_given = false;
    vmt_token_logprob t;
    for (int64_t left = style->num_top < 0 ? INT64_MAX : style->num_top;
         left > 0 && alternative(token, &i, &own_given, &t); left--) {
        vmt_json_begin_object(w);
        write_token_fields(w, style, t);
        vmt_json_end_object(w);
    }
    vmt_json_end_array(w);
    vmt_json_end_object(w);
}

static void separate(vmt_buf *list) {
    if (list->len) vmt_buf_append_byte(list, ',');
}

static bool same_text(const vmt_logprobs_style *style, int32_t a, int32_t b) {
    if (style->as_token_id) return a == b;
    vmt_str x = vmt_tokenizer_bytes(style->tok, a), y = vmt_tokenizer_bytes(style->tok, b);
    size_t i = 0, j = 0;
    while (i < x.len && j < y.len) {
        if (vmt_utf8_next(x, &i) != vmt_utf8_next(y, &j)) return false;
    }
    return i == x.len && j == y.len;
}

/* {text: logprob} with the sampled token and the num_top best.  Ids whose texts look alike keep the first, more likely
 * one. */
static void write_top_map(vmt_json_writer *w, const vmt_logprobs_style *style, const vmt_output_token *token) {
    int32_t written[DISTINCT_MAX];
    uint32_t num_written = 0, i = 0;
    bool own_given = false;
    vmt_token_logprob t;
    vmt_buf text = {0};
    vmt_json_begin_object(w);
    for (int64_t left = style->num_top < 0 ? INT64_MAX : (int64_t)style->num_top + 1;
         left > 0 && alternative(token, &i, &own_given, &t); left--) {
        bool is_known = false;
        for (uint32_t k = 0; k < num_written && !is_known; k++)
            is_known = same_text(style, written[k], t.token_id);
        if (is_known) continue;
        if (num_written < DISTINCT_MAX) written[num_written++] = t.token_id;
        vmt_buf_clear(&text);
        vmt_logprobs_token_text(style, t.token_id, &text);
        vmt_json_key_str(w, vmt_buf_str(&text));
        vmt_json_f32(w, floored(t.logprob));
    }
    vmt_json_end_object(w);
    vmt_buf_free(&text);
}

void vmt_logprobs_lists_add(vmt_logprobs_lists *lists, const vmt_logprobs_style *style,
                            const vmt_output_token *token, bool has_logprob) {
    vmt_buf *each[] = {&lists->text_offset, &lists->token_logprobs, &lists->tokens, &lists->top_logprobs};
    vmt_json_writer w[VMT_COUNT(each)];
    for (size_t i = 0; i < VMT_COUNT(each); i++) {
        separate(each[i]);
        vmt_json_writer_init(&w[i], each[i]);
    }
    vmt_json_u64(&w[0], lists->next_offset);
    write_token_text(&w[2], style, token->token_id);
    if (has_logprob) {
        vmt_json_f32(&w[1], floored(token->logprob));
        write_top_map(&w[3], style, token);
    } else {
        vmt_json_null(&w[1]);
        vmt_json_null(&w[3]);
    }
    if (style->as_token_id) {
        vmt_buf text = {0};
        vmt_logprobs_token_text(style, token->token_id, &text);
        lists->next_offset += text.len;
        vmt_buf_free(&text);
    } else {
        lists->next_offset += vmt_utf8_count(vmt_tokenizer_bytes(style->tok, token->token_id));
    }
}

void vmt_logprobs_lists_write(const vmt_logprobs_lists *lists, vmt_json_writer *w) {
    const struct {
        const char *key;
        const vmt_buf *list;
    } each[] = {{"text_offset", &lists->text_offset},
                {"token_logprobs", &lists->token_logprobs},
                {"tokens", &lists->tokens},
                {"top_logprobs", &lists->top_logprobs}};
    vmt_json_begin_object(w);
    for (size_t i = 0; i < VMT_COUNT(each); i++) {
        vmt_json_key(w, each[i].key);
        vmt_json_begin_array(w);
        if (each[i].list->len) vmt_json_raw(w, vmt_buf_str(each[i].list));
        vmt_json_end_array(w);
    }
    vmt_json_end_object(w);
}

void vmt_logprobs_lists_clear(vmt_logprobs_lists *lists) {
    vmt_buf_clear(&lists->text_offset);
    vmt_buf_clear(&lists->token_logprobs);
    vmt_buf_clear(&lists->tokens);
    vmt_buf_clear(&lists->top_logprobs);
}

void vmt_logprobs_lists_free(vmt_logprobs_lists *lists) {
    vmt_buf_free(&lists->text_offset);
    vmt_buf_free(&lists->token_logprobs);
    vmt_buf_free(&lists->tokens);
    vmt_buf_free(&lists->top_logprobs);
}

bool vmt_logprobs_lists_failed(const vmt_logprobs_lists *lists) {
    return lists->text_offset.failed || lists->token_logprobs.failed || lists->tokens.failed ||
           lists->top_logprobs.failed;
}

void vmt_logprobs_prompt(vmt_json_writer *w, const vmt_logprobs_style *style, const vmt_generation *gen,
                         uint32_t num_prompt) {
    vmt_json_begin_array(w);
    for (uint32_t position = 0; position < num_prompt; position++) {
        vmt_output_token token;
        if (position == 0 || !vmt_generation_prompt_logprob(gen, position, &token)) {
            vmt_json_null(w);
            continue;
        }
        vmt_json_begin_object(w);
        uint32_t i = 0;
        bool own_given = false;
        vmt_token_logprob t;
        for (uint32_t count = 0; alternative(&token, &i, &own_given, &t); count++) {
            if (style->num_top >= 0 && count > (uint32_t)style->num_top) break;
            char key[16];
            snprintf(key, sizeof key, "%d", (int)t.token_id);
            vmt_json_key(w, key);
            vmt_json_begin_object(w);
            vmt_json_key(w, "logprob");
            vmt_json_f32(w, floored(t.logprob));
            vmt_json_key(w, "rank");
            vmt_json_u64(w, count == 0 ? token.rank : i);
            vmt_json_key(w, "decoded_token");
            vmt_json_str(w, vmt_tokenizer_bytes(style->tok, t.token_id));
            vmt_json_end_object(w);
        }
        vmt_json_end_object(w);
    }
    vmt_json_end_array(w);
}
