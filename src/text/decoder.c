#include "text/decoder.h"

#define LOWER_BLOCK "\xE2\x96\x81"
#define NESTING_MAX 8

static vmt_status add_step(vmt_token_decoder *d, vmt_decode_kind kind, vmt_decode_step **out, vmt_err *err) {
    if (d->num_steps == VMT_TEXT_STAGES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: more than %u decoders in a row", VMT_TEXT_STAGES_MAX);
    }
    *out = &d->steps[d->num_steps++];
    memset(*out, 0, sizeof **out);
    (*out)->kind = kind;
    return VMT_OK;
}

static vmt_status add_replace(vmt_token_decoder *d, vmt_str what, vmt_str with, bool is_regex, vmt_err *err) {
    vmt_decode_step *step = NULL;
    VMT_TRY(add_step(d, VMT_DECODE_REPLACE, &step, err));
    vmt_buf_append(&step->text, with);
    return is_regex ? vmt_regex_compile(&step->regex, what, err)
                    : vmt_regex_compile_literal(&step->regex, what, err);
}

static vmt_status read_replace(vmt_token_decoder *d, vmt_json json, vmt_err *err) {
    vmt_json pattern = VMT_JSON_AT(json, "pattern");
    vmt_str what, with;
    bool is_regex = vmt_json_get_str(VMT_JSON_AT(pattern, "Regex"), &what);
    if ((!is_regex && !vmt_json_get_str(VMT_JSON_AT(pattern, "String"), &what)) ||
        !vmt_json_get_str(VMT_JSON_AT(json, "content"), &with)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Replace decoder has no pattern or no content");
    }
    return add_replace(d, what, with, is_regex, err);
}

static vmt_status read_strip(vmt_token_decoder *d, vmt_json json, bool is_fused, vmt_err *err) {
    vmt_str content;
    uint64_t start = 0, stop = 0;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "content"), &content) || content.len == 0 || content.len > 4) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Strip decoder has no content");
    }
    vmt_json_get_u64(VMT_JSON_AT(json, "start"), &start);
    vmt_json_get_u64(VMT_JSON_AT(json, "stop"), &stop);
    if (start > VMT_TOKEN_BYTES_MAX || stop > VMT_TOKEN_BYTES_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Strip decoder with start %llu, stop %llu",
                        (unsigned long long)start, (unsigned long long)stop);
    }
    if (is_fused) {
        if (!vmt_str_eq_c(content, " ") || start > 1 || stop > 0 || d->strip_first_space) {
            return vmt_fail(err, VMT_E_UNSUPPORTED,
                            "tokenizer: a Strip decoder after Fuse other than one leading space is not supported");
        }
        d->strip_first_space = start == 1;
        return VMT_OK;
    }
    vmt_decode_step *step = NULL;
    VMT_TRY(add_step(d, VMT_DECODE_STRIP, &step, err));
    vmt_buf_append(&step->text, content);
    step->start = (uint32_t)start;
    step->stop = (uint32_t)stop;
    return VMT_OK;
}

static vmt_status read_metaspace(vmt_token_decoder *d, vmt_json json, vmt_err *err) {
    vmt_str marker = VMT_STR(LOWER_BLOCK), scheme = VMT_STR("always");
    vmt_json_get_str(VMT_JSON_AT(json, "replacement"), &marker);
    vmt_json_get_str(VMT_JSON_AT(json, "prepend_scheme"), &scheme);
    bool add_prefix = true;
    vmt_json_get_bool(VMT_JSON_AT(json, "add_prefix_space"), &add_prefix);
    if (d->num_steps > 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: a Metaspace decoder after others is not supported");
    }
    d->first_loses_marker = add_prefix && !vmt_str_eq_c(scheme, "never");
    vmt_decode_step *step = NULL;
    VMT_TRY(add_step(d, VMT_DECODE_METASPACE, &step, err));
    vmt_buf_append_byte(&step->text, ' ');
    return vmt_regex_compile_literal(&step->regex, marker, err);
}

static vmt_status add_from_json(vmt_token_decoder *d, vmt_json json, uint32_t nesting, bool *is_fused,
                                vmt_err *err) {
    vmt_str type, key;
    vmt_json item;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "type"), &type)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a decoder has no type");
    }
    if (vmt_str_eq_c(type, "Sequence")) {
        if (nesting == NESTING_MAX) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: decoders nest deeper than %d", NESTING_MAX);
        }
        vmt_json list = VMT_JSON_AT(json, "decoders");
        for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
            VMT_TRY(add_from_json(d, item, nesting + 1, is_fused, err));
        }
        return VMT_OK;
    }
    if (vmt_str_eq_c(type, "Strip")) return read_strip(d, json, *is_fused, err);
    if (vmt_str_eq_c(type, "Fuse")) {
        *is_fused = true;
        return VMT_OK;
    }
    vmt_decode_step *step = NULL;
    if (*is_fused) {
        return vmt_fail(err, VMT_E_UNSUPPORTED,
                        "tokenizer: decoder '%.*s' after Fuse or ByteLevel is not supported", VMT_STR_ARG(type));
    }
    if (vmt_str_eq_c(type, "Replace")) return read_replace(d, json, err);
    if (vmt_str_eq_c(type, "ByteFallback")) return add_step(d, VMT_DECODE_BYTE_FALLBACK, &step, err);
    if (vmt_str_eq_c(type, "Metaspace")) return read_metaspace(d, json, err);
    if (vmt_str_eq_c(type, "ByteLevel")) {
        *is_fused = d->byte_level = true;
        return add_step(d, VMT_DECODE_BYTE_LEVEL, &step, err);
    }
    return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: decoder '%.*s' is not supported", VMT_STR_ARG(type));
}

vmt_status vmt_token_decoder_from_json(vmt_token_decoder *d, vmt_json json, vmt_err *err) {
    memset(d, 0, sizeof *d);
    if (!vmt_json_exists(json) || vmt_json_is_null(json)) {
        d->join_with_spaces = true;
        return VMT_OK;
    }
    bool is_fused = false;
    return add_from_json(d, json, 0, &is_fused, err);
}

void vmt_token_decoder_set_byte_level(vmt_token_decoder *d) {
    memset(d, 0, sizeof *d);
    d->byte_level = true;
    d->steps[d->num_steps++].kind = VMT_DECODE_BYTE_LEVEL;
}

vmt_status vmt_token_decoder_set_sentencepiece(vmt_token_decoder *d, bool strip_first_space, vmt_err *err) {
    memset(d, 0, sizeof *d);
    vmt_decode_step *step = NULL;
    VMT_TRY(add_replace(d, VMT_STR(LOWER_BLOCK), VMT_STR(" "), false, err));
    d->strip_first_space = strip_first_space;
    return add_step(d, VMT_DECODE_BYTE_FALLBACK, &step, err);
}

void vmt_token_decoder_reset(vmt_token_decoder *d) {
    for (uint32_t i = 0; i < d->num_steps; i++) {
        vmt_regex_destroy(d->steps[i].regex);
        vmt_buf_free(&d->steps[i].text);
    }
    memset(d, 0, sizeof *d);
}

/* "<0x0A>": 10; -1 for anything else. */
static int byte_token(vmt_str s) {
    if (s.len != 6 || memcmp(s.ptr, "<0x", 3) != 0 || s.ptr[5] != '>') return -1;
    int value = 0;
    for (int i = 3; i < 5; i++) {
        char c = s.ptr[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static vmt_str strip(const vmt_decode_step *step, vmt_str s) {
    vmt_str c = vmt_buf_str(&step->text);
    for (uint32_t i = 0; i < step->start && vmt_str_starts(s, c); i++) s = vmt_str_slice(s, c.len, s.len);
    for (uint32_t i = 0; i < step->stop && vmt_str_ends(s, c); i++) s = vmt_str_slice(s, 0, s.len - c.len);
    return s;
}

/* Runs the steps on one token.  *text may point into bufs. */
static vmt_status decode_token(const vmt_token_decoder *d, vmt_scratch *scratch, vmt_buf bufs[2], vmt_str *text,
                               bool *is_byte) {
    uint32_t turn = 0;
    for (uint32_t i = 0; i < d->num_steps && !*is_byte; i++) {
        const vmt_decode_step *step = &d->steps[i];
        vmt_buf *buf = &bufs[turn];
        vmt_buf_clear(buf);
        if (step->kind == VMT_DECODE_STRIP) {
            *text = strip(step, *text);
            continue;
        }
        if (step->kind == VMT_DECODE_BYTE_LEVEL) {
            if (!vmt_byte_level_unspell(*text, buf)) continue;
        } else if (step->kind == VMT_DECODE_BYTE_FALLBACK) {
            int byte = byte_token(*text);
            if (byte < 0) continue;
            vmt_buf_append_byte(buf, (char)byte);
            *is_byte = true;
        } else {
            size_t copied = 0;
            bool not_empty = false;
            vmt_regex_span m;
            for (;;) {
                vmt_status status = vmt_regex_next(step->regex, scratch, *text, copied, not_empty, &m);
                if (status == VMT_E_NOT_FOUND) break;
                VMT_TRY(status);
                vmt_buf_append(buf, vmt_str_slice(*text, copied, m.begin));
                vmt_buf_append(buf, vmt_buf_str(&step->text));
                copied = m.end;
                not_empty = true;
            }
            if (copied == 0 && buf->len == 0) continue;
            vmt_buf_append(buf, vmt_str_slice(*text, copied, text->len));
        }
        if (buf->failed) return VMT_E_NO_MEMORY;
        *text = vmt_buf_str(buf);
        turn ^= 1;
    }
    return VMT_OK;
}

vmt_status vmt_token_decoder_apply(const vmt_token_decoder *d, vmt_vocab *vocab, const vmt_str *spelling_of,
                                   vmt_scratch *scratch, vmt_err *err) {
    vmt_buf bufs[2];
    vmt_buf_init(&bufs[0], 0);
    vmt_buf_init(&bufs[1], 0);
    vmt_status status = VMT_OK;
    scratch->err = err;
    for (uint32_t id = 0; id < vocab->num_ids && status == VMT_OK; id++) {
        if (!vocab->present[id]) continue;
        bool given = spelling_of && spelling_of[id].ptr;
        vmt_str text = given ? spelling_of[id] : vmt_vocab_slice(vocab, vocab->spelling[id]);
        bool is_byte = false;
        status = decode_token(d, scratch, bufs, &text, &is_byte);
        if (status != VMT_OK) break;
        if (is_byte) vocab->present[id] |= VMT_PRESENT_BYTE;
        /* Most outputs are the key or the spelling again: share their bytes. */
        if (vmt_str_eq(text, vmt_vocab_slice(vocab, vocab->key[id]))) {
            vocab->output[id] = vocab->key[id];
        } else if (vmt_str_eq(text, vmt_vocab_slice(vocab, vocab->spelling[id]))) {
            vocab->output[id] = vocab->spelling[id];
        } else {
            status = vmt_vocab_store(vocab, text, &vocab->output[id], err);
        }
    }
    vmt_buf_free(&bufs[0]);
    vmt_buf_free(&bufs[1]);
    return status;
}
