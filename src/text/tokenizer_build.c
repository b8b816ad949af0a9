/* What tokenizer.json and GGUF have in common: tokens to vocabulary, keys, added tokens. */
#include "text/tokenizer_private.h"
#include <stdlib.h>

#define LOWER_BLOCK     "\xE2\x96\x81" /* U+2581 */
#define LOWER_BLOCK_LEN 3u
#define AHEAD           16u /* words whose slots are fetched ahead */

vmt_status vmt_tokenizer_set_token(vmt_tokenizer *tok, int32_t id, vmt_str spelling, vmt_err *err) {
    vmt_vocab *vocab = &tok->vocab;
    if (id < 0 || (uint32_t)id >= vocab->num_ids) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: token id %d is outside 0 to %u", id, vocab->num_ids);
    }
    if (spelling.len > VMT_TOKEN_BYTES_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: token %d is %zu bytes long, the limit is %u", id,
                        spelling.len, VMT_TOKEN_BYTES_MAX);
    }
    if (vocab->present[id]) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: two tokens have the id %d", id);
    }
    VMT_TRY(vmt_vocab_store(vocab, spelling, &vocab->spelling[id], err));
    vocab->present[id] = VMT_PRESENT_MODEL;
    vocab->num_model++;
    return VMT_OK;
}

/* The model sees spaces in place of markers if nothing before it could tell the difference. */
static void choose_spaces(vmt_tokenizer *tok, bool may_use_spaces) {
    vmt_pretokenizer *pre = &tok->pre;
    if (!may_use_spaces || pre->byte_level) return;
    if (pre->metaspace) {
        vmt_stage *last = &pre->stages[pre->num_stages - 1];
        last->marker[0] = ' ';
        last->marker_len = 1;
        tok->spaces_for_markers = true;
        return;
    }
    for (uint32_t i = 0; i < pre->num_stages; i++) {
        if (!pre->stages[i].only_spaces) return;
    }
    if (!vmt_normalizer_take_marker(&tok->normalizer)) return;
    vmt_pretokenizer_reset(pre);
    tok->spaces_for_markers = true;
}

static vmt_status make_key(vmt_tokenizer *tok, uint32_t id, vmt_buf *work, vmt_err *err) {
    vmt_vocab *vocab = &tok->vocab;
    vmt_str spelling = vmt_vocab_slice(vocab, vocab->spelling[id]);
    vmt_buf_clear(work);
    if (tok->pre.byte_level) {
        /* A spelling with other characters can't come out of any text: it gets no key. */
        if (!vmt_byte_level_unspell(spelling, work)) return VMT_OK;
    } else if (tok->spaces_for_markers) {
        if (memchr(spelling.ptr, ' ', spelling.len)) return VMT_OK; /* no text the model sees has spaces then */
        size_t copied = 0;
        for (size_t hit; (hit = vmt_str_find(spelling, VMT_STR(LOWER_BLOCK), copied)) != SIZE_MAX;) {
            vmt_buf_append(work, vmt_str_slice(spelling, copied, hit));
            vmt_buf_append_byte(work, ' ');
            copied = hit + LOWER_BLOCK_LEN;
        }
        vmt_buf_append(work, vmt_str_slice(spelling, copied, spelling.len));
    } else {
        vocab->key[id] = vocab->spelling[id];
        return VMT_OK;
    }
    if (work->failed) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for the vocabulary's text");
    if (vmt_str_eq(vmt_buf_str(work), spelling)) {
        vocab->key[id] = vocab->spelling[id];
        return VMT_OK;
    }
    return vmt_vocab_store(vocab, vmt_buf_str(work), &vocab->key[id], err);
}

vmt_status vmt_tokenizer_finish_vocab(vmt_tokenizer *tok, bool may_use_spaces, vmt_err *err) {
    vmt_vocab *vocab = &tok->vocab;
    choose_spaces(tok, may_use_spaces);
    VMT_TRY(vmt_word_table_init(&vocab->words, vocab->num_model, err));
    VMT_TRY(vmt_word_table_init(&vocab->spellings, vocab->num_ids, err));
    vmt_buf work;
    vmt_buf_init(&work, 0);
    vmt_status status = VMT_OK;
    for (uint32_t id = 0; id < vocab->num_ids && status == VMT_OK; id++) {
        if (vocab->present[id]) status = make_key(tok, id, &work, err);
    }
    vmt_buf_free(&work);
    VMT_TRY(status);
    /* The blob has stopped growing as far as the model goes. */
    for (uint32_t id = 0; id < vocab->num_ids; id++) {
        if (id + AHEAD < vocab->num_ids) {
            vmt_vocab_ref key = vocab->key[id + AHEAD], spelling = vocab->spelling[id + AHEAD];
            vmt_word_table_prefetch(&vocab->words, vocab->blob.ptr + key.begin, key.len);
            vmt_word_table_prefetch(&vocab->spellings, vocab->blob.ptr + spelling.begin, spelling.len);
        }
        if (!vocab->present[id]) continue;
        vmt_word_table_put(&vocab->words, vocab->blob.ptr, vocab->key, (int32_t)id);
        vmt_word_table_put(&vocab->spellings, vocab->blob.ptr, vocab->spelling, (int32_t)id);
    }
    return VMT_OK;
}

vmt_status vmt_tokenizer_find_merges(const vmt_tokenizer *tok, const vmt_str (*pairs)[2], uint32_t num_pairs,
                                     vmt_merge_rule *rules, vmt_err *err) {
    VMT_ASSERT(num_pairs <= VMT_MERGE_BATCH);
    const vmt_word_table *table = &tok->vocab.spellings;
    vmt_str joined[VMT_MERGE_BATCH];
    vmt_buf text;
    vmt_buf_init(&text, 0);
    size_t total = 0;
    for (uint32_t i = 0; i < num_pairs; i++) total += pairs[i][0].len + pairs[i][1].len;
    if (!vmt_buf_reserve(&text, total + 1))
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for merges");
    for (uint32_t i = 0; i < num_pairs; i++) {
        joined[i] = (vmt_str){text.ptr + text.len, pairs[i][0].len + pairs[i][1].len};
        for (uint32_t side = 0; side < 2; side++) {
            vmt_buf_append(&text, pairs[i][side]);
            vmt_word_table_prefetch(table, pairs[i][side].ptr, pairs[i][side].len);
        }
        vmt_word_table_prefetch(table, joined[i].ptr, joined[i].len);
    }
    for (uint32_t i = 0; i < num_pairs; i++) {
        rules[i].left = vmt_tokenizer_find(tok, pairs[i][0]);
        rules[i].right = vmt_tokenizer_find(tok, pairs[i][1]);
        rules[i].result = vmt_tokenizer_find(tok, joined[i]);
    }
    vmt_buf_free(&text);
    return VMT_OK;
}

/* As the reference: the id of the model if it has the token, else the next one past the vocabulary. */
static vmt_status assign_id(vmt_tokenizer *tok, const vmt_added_spec *spec, uint32_t *next_id, int32_t *out,
                            vmt_err *err) {
    vmt_vocab *vocab = &tok->vocab;
    if (spec->text.len > VMT_TOKEN_BYTES_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: an added token is %zu bytes long, the limit is %u",
                        spec->text.len, VMT_TOKEN_BYTES_MAX);
    }
    int32_t id = vmt_tokenizer_find(tok, spec->text);
    if (id < 0) {
        id = (int32_t)(*next_id)++;
        VMT_ASSERT((uint32_t)id < vocab->num_ids);
        if (!vocab->present[id]) { /* else the model's ids have gaps, and the reference shadows one of them too */
            VMT_TRY(vmt_vocab_store(vocab, spec->text, &vocab->spelling[id], err));
            vmt_word_table_put(&vocab->spellings, vocab->blob.ptr, vocab->spelling, id);
        }
    }
    vocab->present[id] |= VMT_PRESENT_ADDED | (spec->token.special ? VMT_PRESENT_SPECIAL : 0u);
    *out = id;
    return VMT_OK;
}

struct added_work {
    int32_t *ids;
    vmt_str *decoded; /* [num_ids] what a normalized added token is decoded from */
    vmt_arena *arena;
    vmt_scratch *scratch;
};

static vmt_status add_all(vmt_tokenizer *tok, const vmt_added_spec *added, uint32_t num_added,
                          struct added_work *work, vmt_err *err) {
    uint32_t next_id = tok->vocab.num_model;
    size_t raw_bytes = 0, normalized_bytes = 0;
    for (uint32_t i = 0; i < num_added; i++) {
        work->ids[i] = -1;
        if (added[i].text.len == 0) continue;
        VMT_TRY(assign_id(tok, &added[i], &next_id, &work->ids[i], err));
        if (!added[i].normalized) {
            raw_bytes += added[i].text.len;
            continue;
        }
        vmt_str text;
        work->scratch->err = err;
        VMT_TRY(vmt_normalize(&tok->normalizer, work->scratch, added[i].text, &text));
        vmt_str *decoded = &work->decoded[work->ids[i]];
        *decoded = vmt_arena_dup(work->arena, text);
        if (!decoded->ptr) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for added tokens");
        normalized_bytes += text.len;
    }
    VMT_TRY(vmt_added_set_init(&tok->added_raw, raw_bytes, err));
    VMT_TRY(vmt_added_set_init(&tok->added_normalized, normalized_bytes, err));
    for (uint32_t i = 0; i < num_added; i++) {
        if (work->ids[i] < 0) continue;
        vmt_added_token token = added[i].token;
        token.id = work->ids[i];
        VMT_TRY(added[i].normalized
                    ? vmt_added_set_add(&tok->added_normalized, work->decoded[token.id], token, err)
                    : vmt_added_set_add(&tok->added_raw, added[i].text, token, err));
    }
    return vmt_token_decoder_apply(&tok->decoder, &tok->vocab, work->decoded, work->scratch, err);
}

vmt_status vmt_tokenizer_finish_added(vmt_tokenizer *tok, const vmt_added_spec *added, uint32_t num_added,
                                      vmt_err *err) {
    struct added_work work = {
        .ids = calloc(num_added + 1u, sizeof(int32_t)),
        .decoded = calloc(tok->vocab.num_ids + 1u, sizeof(vmt_str)),
        .arena = vmt_arena_create(4 * (size_t)VMT_ADDED_BYTES_MAX),
        .scratch = vmt_scratch_create(false),
    };
    vmt_status status = VMT_OK;
    if (!work.ids || !work.decoded || !work.arena || !work.scratch) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for added tokens");
    }
    if (status == VMT_OK) status = add_all(tok, added, num_added, &work, err);
    free(work.ids);
    free(work.decoded);
    vmt_arena_destroy(work.arena);
    vmt_scratch_destroy(work.scratch);
    while (tok->vocab.num_ids > 0 && !tok->vocab.present[tok->vocab.num_ids - 1]) tok->vocab.num_ids--;
    return status;
}
