#include "text/tokenizer_private.h"
#include "base/utf8.h"
#include <stdlib.h>

vmt_tokenizer *vmt_tokenizer_create(vmt_err *err) {
    vmt_tokenizer *tok = calloc(1, sizeof *tok);
    if (!tok) {
        vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory");
        return NULL;
    }
    tok->bos_id = tok->eos_id = -1;
    tok->bpe.vocab = tok->unigram.vocab = &tok->vocab;
    tok->bpe.unk_id = tok->unigram.unk_id = -1;
    return tok;
}

void vmt_tokenizer_destroy(vmt_tokenizer *tok) {
    if (!tok) return;
    for (uint32_t i = 0; i < VMT_SCRATCH_KEPT; i++) vmt_scratch_destroy(atomic_load(&tok->idle[i]));
    vmt_bpe_reset(&tok->bpe);
    vmt_unigram_reset(&tok->unigram);
    vmt_normalizer_reset(&tok->normalizer);
    vmt_pretokenizer_reset(&tok->pre);
    vmt_token_decoder_reset(&tok->decoder);
    vmt_added_set_reset(&tok->added_raw);
    vmt_added_set_reset(&tok->added_normalized);
    vmt_vocab_reset(&tok->vocab);
    free(tok);
}

void vmt_tokens_free(vmt_tokens *tokens) {
    free(tokens->ids);
    *tokens = (vmt_tokens){0};
}

vmt_scratch *vmt_tokenizer_take_scratch(const vmt_tokenizer *tok) {
    /* The pool is the one thing that changes after creation; each slot is swapped as a whole. */
    vmt_tokenizer *pool = (vmt_tokenizer *)tok;
    for (uint32_t i = 0; i < VMT_SCRATCH_KEPT; i++) {
        if (!atomic_load_explicit(&pool->idle[i], memory_order_relaxed)) continue;
        vmt_scratch *scratch = atomic_exchange_explicit(&pool->idle[i], NULL, memory_order_acquire);
        if (scratch) return scratch;
    }
    return vmt_scratch_create(tok->kind == VMT_MODEL_BPE);
}

void vmt_tokenizer_return_scratch(const vmt_tokenizer *tok, vmt_scratch *scratch) {
    vmt_tokenizer *pool = (vmt_tokenizer *)tok;
    scratch->out = NULL;
    scratch->err = NULL;
    for (uint32_t i = 0; i < VMT_SCRATCH_KEPT; i++) {
        vmt_scratch *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&pool->idle[i], &none, scratch, memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    vmt_scratch_destroy(scratch);
}

static vmt_status encode_words_bpe(const void *model, vmt_scratch *scratch, const uint8_t *text, size_t begin,
                                   const size_t *ends, uint32_t num_words) {
    return vmt_bpe_encode(model, scratch, text, begin, ends, num_words);
}
static vmt_status encode_words_unigram(const void *model, vmt_scratch *scratch, const uint8_t *text, size_t begin,
                                       const size_t *ends, uint32_t num_words) {
    for (uint32_t i = 0; i < num_words; begin = ends[i++]) {
        VMT_TRY(vmt_unigram_encode(model, scratch, text + begin, ends[i] - begin));
    }
    return VMT_OK;
}

static vmt_status encode_normalized(const vmt_tokenizer *tok, vmt_scratch *s, vmt_str text, bool at_start) {
    vmt_word_sink sink = tok->kind == VMT_MODEL_BPE ? (vmt_word_sink){encode_words_bpe, &tok->bpe}
                                                    : (vmt_word_sink){encode_words_unigram, &tok->unigram};
    return text.len ? vmt_pretokenize(&tok->pre, s, text, at_start, sink) : VMT_OK;
}

/* Text between added tokens: normalize, look for the added tokens that are found only then, encode the rest. */
static vmt_status encode_between(const vmt_tokenizer *tok, vmt_scratch *s, vmt_str text, bool at_start,
                                 bool plain_special) {
    vmt_str norm;
    VMT_TRY(vmt_normalize(&tok->normalizer, s, text, &norm));
    s->readable_end = (const uint8_t *)norm.ptr + norm.len;
    vmt_added_iter it = {0, 0};
    vmt_added_match m;
    while (vmt_added_next(&tok->added_normalized, norm, plain_special, &it, &m)) {
        if (it.done < m.begin) {
            VMT_TRY(encode_normalized(tok, s, vmt_str_slice(norm, it.done, m.begin), at_start && it.done == 0));
        }
        VMT_TRY(vmt_scratch_emit(s, m.token->id));
        it.done = m.end;
    }
    if (it.done >= norm.len) return VMT_OK;
    return encode_normalized(tok, s, vmt_str_slice(norm, it.done, norm.len), at_start && it.done == 0);
}

static vmt_status encode_text(const vmt_tokenizer *tok, vmt_scratch *s, vmt_str text, bool plain_special) {
    vmt_added_iter it = {0, 0};
    vmt_added_match m;
    while (vmt_added_next(&tok->added_raw, text, plain_special, &it, &m)) {
        if (it.done < m.begin) {
            VMT_TRY(encode_between(tok, s, vmt_str_slice(text, it.done, m.begin), it.done == 0, plain_special));
        }
        VMT_TRY(vmt_scratch_emit(s, m.token->id));
        it.done = m.end;
    }
    if (it.done >= text.len) return VMT_OK;
    return encode_between(tok, s, vmt_str_slice(text, it.done, text.len), it.done == 0, plain_special);
}

static size_t ascii_prefix(vmt_str s, size_t pos) {
    for (; pos + 32 <= s.len; pos += 32) {
        uint64_t v[4];
        memcpy(v, s.ptr + pos, 32);
        if ((v[0] | v[1] | v[2] | v[3]) & 0x8080808080808080u) break;
    }
    while (pos < s.len && (uint8_t)s.ptr[pos] < 0x80) pos++;
    return pos;
}

/* A character is either one ASCII byte or only bytes above, so that runs of the latter can be checked alone. */
static bool is_utf8(vmt_str s) {
    for (size_t pos = ascii_prefix(s, 0); pos < s.len;) {
        size_t end = pos;
        while (end < s.len && (uint8_t)s.ptr[end] >= 0x80) end++;
        if (!vmt_utf8_valid(vmt_str_slice(s, pos, end))) return false;
        pos = ascii_prefix(s, end);
    }
    return true;
}

/* *text becomes UTF-8: itself, or a copy in which U+FFFD stands for what is not. */
static vmt_status make_valid(vmt_scratch *s, vmt_str *text, vmt_err *err) {
    if (is_utf8(*text)) return VMT_OK;
    vmt_buf_clear(&s->valid);
    for (size_t pos = 0; pos < text->len;) {
        char bytes[4];
        uint32_t c = vmt_utf8_next(*text, &pos);
        vmt_buf_append(&s->valid, (vmt_str){bytes, vmt_utf8_encode(c, bytes)});
    }
    if (s->valid.failed) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a text of %zu bytes", text->len);
    *text = vmt_buf_str(&s->valid);
    return VMT_OK;
}

vmt_status vmt_tokenizer_encode(const vmt_tokenizer *tok, vmt_str text, vmt_encode_options options,
                                vmt_tokens *out, vmt_err *err) {
    vmt_scratch *s = vmt_tokenizer_take_scratch(tok);
    if (!s) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to encode text");
    size_t len_before = out->len;
    s->out = out;
    s->err = err;
    s->out_max = options.tokens_max ? len_before + options.tokens_max : SIZE_MAX;
    vmt_status status = make_valid(s, &text, err);
    for (uint32_t i = 0; i < tok->num_prefix && options.add_special && status == VMT_OK; i++) {
        status = vmt_scratch_emit(s, tok->prefix[i]);
    }
    if (status == VMT_OK) status = encode_text(tok, s, text, options.plain_special);
    for (uint32_t i = 0; i < tok->num_suffix && options.add_special && status == VMT_OK; i++) {
        status = vmt_scratch_emit(s, tok->suffix[i]);
    }
    if (status == VMT_OK && out->len > s->out_max) {
        status = vmt_fail(err, VMT_E_EXHAUSTED, "text is %zu tokens, the limit is %u", out->len - len_before,
                          options.tokens_max);
    }
    if (status != VMT_OK) out->len = len_before;
    vmt_tokenizer_return_scratch(tok, s);
    return status;
}

uint32_t vmt_tokenizer_vocab_size(const vmt_tokenizer *tok) {
    return tok->vocab.num_ids;
}

static bool has(const vmt_tokenizer *tok, int32_t id) {
    return id >= 0 && (uint32_t)id < tok->vocab.num_ids && tok->vocab.present[id] != 0;
}

bool vmt_tokenizer_is_special(const vmt_tokenizer *tok, int32_t id) {
    return has(tok, id) && (tok->vocab.present[id] & VMT_PRESENT_SPECIAL) != 0;
}

vmt_str vmt_tokenizer_spelling(const vmt_tokenizer *tok, int32_t id) {
    return has(tok, id) ? vmt_vocab_slice(&tok->vocab, tok->vocab.spelling[id]) : (vmt_str){NULL, 0};
}

vmt_str vmt_tokenizer_bytes(const vmt_tokenizer *tok, int32_t id) {
    return has(tok, id) ? vmt_vocab_slice(&tok->vocab, tok->vocab.output[id]) : (vmt_str){NULL, 0};
}

int32_t vmt_tokenizer_find(const vmt_tokenizer *tok, vmt_str token_text) {
    const vmt_vocab *vocab = &tok->vocab;
    return vmt_word_table_find(&vocab->spellings, vocab->blob.ptr, vocab->spelling, token_text.ptr,
                               token_text.len);
}

int32_t vmt_tokenizer_bos(const vmt_tokenizer *tok) {
    return tok->bos_id;
}
int32_t vmt_tokenizer_eos(const vmt_tokenizer *tok) {
    return tok->eos_id;
}
