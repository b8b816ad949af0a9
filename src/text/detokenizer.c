#include "text/detokenizer.h"
#include "base/utf8.h"
#include "text/tokenizer_private.h"

void vmt_detokenizer_init(vmt_detokenizer *d, const vmt_tokenizer *tok, bool skip_special) {
    *d = (vmt_detokenizer){.tok = tok, .skip_special = skip_special, .at_start = true};
}

void vmt_detokenizer_init_mid_text(vmt_detokenizer *d, const vmt_tokenizer *tok, bool skip_special) {
    *d = (vmt_detokenizer){.tok = tok, .skip_special = skip_special, .at_start = false};
}

static void emit(vmt_detokenizer *d, vmt_str text, vmt_buf *out) {
    if (text.len == 0) return;
    if (d->at_start && d->tok->decoder.strip_first_space && text.ptr[0] == ' ')
        text = vmt_str_slice(text, 1, text.len);
    d->at_start = false;
    vmt_buf_append(out, text);
}

/* What is held and can't become a character any more.  As the reference: a byte-level text gets one U+FFFD for it,
 * byte tokens one each. */
static void give_up_held(vmt_detokenizer *d, vmt_buf *out) {
    uint32_t times = d->tok->decoder.byte_level ? d->num_held > 0 : d->num_held;
    d->num_held = 0;
    for (uint32_t i = 0; i < times; i++) emit(d, VMT_STR("\xEF\xBF\xBD"), out);
}

/* One byte of a character of several, or one that belongs to none. */
static void push_byte(vmt_detokenizer *d, uint8_t byte, vmt_buf *out) {
    d->held[d->num_held++] = byte;
    vmt_str held = {(const char *)d->held, d->num_held};
    if (vmt_utf8_complete_prefix(held) == 0) return; /* may still grow into a character */
    if (vmt_utf8_valid(held)) {
        d->num_held = 0;
        emit(d, held, out);
        return;
    }
    /* The byte does not continue what was held: that is lost, and the byte starts anew. */
    d->num_held--;
    if (d->num_held == 0) {
        emit(d, VMT_STR("\xEF\xBF\xBD"), out);
        return;
    }
    give_up_held(d, out);
    push_byte(d, byte, out);
}

static void push_bytes(vmt_detokenizer *d, vmt_str bytes, vmt_buf *out) {
    size_t pos = 0;
    while (pos < bytes.len) {
        if (d->num_held > 0 || (uint8_t)bytes.ptr[pos] >= 0x80) {
            push_byte(d, (uint8_t)bytes.ptr[pos++], out);
            continue;
        }
        size_t end = pos + 1;
        while (end < bytes.len && (uint8_t)bytes.ptr[end] < 0x80) end++;
        emit(d, vmt_str_slice(bytes, pos, end), out);
        pos = end;
    }
}

/* The first token shows no markers at all, as Metaspace has it. */
static void push_without_markers(vmt_detokenizer *d, vmt_str text, vmt_buf *out) {
    const vmt_regex *marker = d->tok->decoder.steps[0].regex;
    size_t copied = 0;
    vmt_regex_span m;
    d->at_start = false;
    while (vmt_regex_next(marker, NULL, text, copied, false, &m) == VMT_OK && m.end > m.begin) {
        vmt_buf_append(out, vmt_str_slice(text, copied, m.begin));
        copied = m.end;
    }
    vmt_buf_append(out, vmt_str_slice(text, copied, text.len));
}

void vmt_detokenizer_push(vmt_detokenizer *d, int32_t id, vmt_buf *out) {
    const vmt_tokenizer *tok = d->tok;
    const vmt_vocab *vocab = &tok->vocab;
    if (id < 0 || (uint32_t)id >= vocab->num_ids || !vocab->present[id]) return;
    if (d->skip_special && (vocab->present[id] & VMT_PRESENT_SPECIAL)) return;
    vmt_str text = vmt_vocab_slice(vocab, vocab->output[id]);
    if (tok->decoder.byte_level || (vocab->present[id] & VMT_PRESENT_BYTE)) {
        push_bytes(d, text, out);
        return;
    }
    give_up_held(d, out);
    if (tok->decoder.first_loses_marker && d->at_start) {
        push_without_markers(d, vmt_vocab_slice(vocab, vocab->spelling[id]), out);
        return;
    }
    if (tok->decoder.join_with_spaces) {
        if (!d->at_start) vmt_buf_append_byte(out, ' ');
        d->at_start = false;
    }
    emit(d, text, out);
}

void vmt_detokenizer_flush(vmt_detokenizer *d, vmt_buf *out) {
    give_up_held(d, out);
}

void vmt_tokenizer_decode(const vmt_tokenizer *tok, const int32_t *ids, size_t num_ids, bool skip_special,
                          vmt_buf *out) {
    vmt_detokenizer d;
    vmt_detokenizer_init(&d, tok, skip_special);
    for (size_t i = 0; i < num_ids; i++) vmt_detokenizer_push(&d, ids[i], out);
    vmt_detokenizer_flush(&d, out);
}
