#include "text/vocab.h"
#include "base/huge.h"
#include "base/utf8.h"
#include <stdlib.h>

vmt_status vmt_vocab_init(vmt_vocab *vocab, uint32_t num_ids, vmt_err *err) {
    memset(vocab, 0, sizeof *vocab);
    if (num_ids > VMT_VOCAB_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: the largest token id is %u, the limit is %u",
                        num_ids - 1, VMT_VOCAB_MAX - 1);
    }
    vmt_buf_init(&vocab->blob, VMT_VOCAB_BLOB_MAX);
    vocab->num_ids = num_ids;
    size_t count = num_ids ? num_ids : 1;
    vocab->spelling = calloc(count, sizeof *vocab->spelling);
    vocab->key = calloc(count, sizeof *vocab->key);
    vocab->output = calloc(count, sizeof *vocab->output);
    vocab->present = calloc(count, 1);
    if (!vocab->spelling || !vocab->key || !vocab->output || !vocab->present ||
        !vmt_buf_reserve(&vocab->blob, 1)) {
        vmt_vocab_reset(vocab);
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for a vocabulary of %u tokens", num_ids);
    }
    return VMT_OK;
}

void vmt_vocab_reset(vmt_vocab *vocab) {
    free(vocab->spelling);
    free(vocab->key);
    free(vocab->output);
    free(vocab->present);
    vmt_buf_free(&vocab->blob);
    vmt_word_table_reset(&vocab->words);
    vmt_word_table_reset(&vocab->spellings);
    memset(vocab, 0, sizeof *vocab);
}

vmt_status vmt_vocab_store(vmt_vocab *vocab, vmt_str bytes, vmt_vocab_ref *out, vmt_err *err) {
    *out = (vmt_vocab_ref){(uint32_t)vocab->blob.len, (uint32_t)bytes.len};
    vmt_buf_append(&vocab->blob, bytes);
    if (vocab->blob.failed)
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for the vocabulary's text");
    return VMT_OK;
}

vmt_status vmt_word_table_init(vmt_word_table *table, uint32_t num_words, vmt_err *err) {
    uint32_t num_slots = 16;
    while (num_slots < num_words + num_words / 2) num_slots *= 2; /* at most two thirds full */
    table->slots = vmt_huge_calloc(num_slots, sizeof *table->slots);
    if (!table->slots) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for %u words", num_words);
    table->mask = num_slots - 1;
    table->num_used = 0;
    table->seed = vmt_hash_key_random();
    return VMT_OK;
}

void vmt_word_table_reset(vmt_word_table *table) {
    free(table->slots);
    memset(table, 0, sizeof *table);
}

uint64_t vmt_word_hash_long(vmt_hash_key seed, const void *word, size_t len) {
    const uint8_t *p = word;
    uint64_t h = seed.k0 ^ len;
    size_t i = 0;
    for (; i + 16 <= len; i += 16) {
        uint64_t a, b;
        memcpy(&a, p + i, 8);
        memcpy(&b, p + i + 8, 8);
        h = vmt_mix64(a ^ h, b ^ seed.k1);
    }
    uint64_t a = vmt_load_upto8(p + i, VMT_MIN(len - i, 8));
    uint64_t b = len - i > 8 ? vmt_load_upto8(p + i + 8, len - i - 8) : 0;
    return vmt_mix64(a ^ h ^ 0x9E3779B97F4A7C15u, b ^ seed.k1);
}

struct probe {
    uint64_t key;
    uint32_t pos;
};

static inline struct probe probe_of(const vmt_word_table *table, const void *word, size_t len) {
    struct probe p;
    uint64_t h;
    if (len <= 8) {
        p.key = vmt_load_upto8(word, len);
        h = vmt_mix64(p.key ^ table->seed.k0, table->seed.k1 ^ (uint64_t)len << 56);
    } else {
        p.key = h = vmt_word_hash_long(table->seed, word, len);
    }
    p.pos = (uint32_t)h & table->mask;
    return p;
}

void vmt_word_table_put(vmt_word_table *table, const char *blob, const vmt_vocab_ref *refs, int32_t id) {
    vmt_vocab_ref ref = refs[id];
    if (ref.len == 0) return;
    VMT_ASSERT(table->num_used < table->mask);
    struct probe p = probe_of(table, blob + ref.begin, ref.len);
    for (;; p.pos = (p.pos + 1) & table->mask) {
        vmt_word_slot *slot = &table->slots[p.pos];
        if (slot->len == 0) {
            *slot = (vmt_word_slot){p.key, ref.len, id};
            table->num_used++;
            return;
        }
        if (slot->key == p.key && slot->len == ref.len &&
            (ref.len <= 8 || memcmp(blob + refs[slot->id].begin, blob + ref.begin, ref.len) == 0)) {
            slot->id = id;
            return;
        }
    }
}

void vmt_word_table_prefetch(const vmt_word_table *table, const void *word, size_t len) {
    if (len > 0 && len <= VMT_TOKEN_BYTES_MAX) __builtin_prefetch(&table->slots[probe_of(table, word, len).pos]);
}

int32_t vmt_word_table_find(const vmt_word_table *table, const char *blob, const vmt_vocab_ref *refs,
                            const void *word, size_t len) {
    if (len == 0 || len > VMT_TOKEN_BYTES_MAX || !table->slots) return -1;
    struct probe p = probe_of(table, word, len);
    for (;; p.pos = (p.pos + 1) & table->mask) {
        const vmt_word_slot *slot = &table->slots[p.pos];
        if (slot->len == 0) return -1;
        if (slot->key == p.key && slot->len == len &&
            (len <= 8 || memcmp(blob + refs[slot->id].begin, word, len) == 0)) {
            return slot->id;
        }
    }
}

static bool stands_for_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

uint32_t vmt_byte_level_char(uint8_t byte) {
    if (stands_for_itself(byte)) return byte;
    /* The others in order: 0x00-0x20, 0x7F-0xA0, 0xAD. */
    if (byte <= 0x20) return 0x100 + byte;
    if (byte <= 0xA0) return 0x100 + 33 + (byte - 0x7Fu);
    return 0x100 + 67;
}

int vmt_byte_level_byte(uint32_t code_point) {
    if (code_point < 0x100) return stands_for_itself(code_point) ? (int)code_point : -1;
    uint32_t n = code_point - 0x100;
    if (n <= 0x20) return (int)n;
    if (n < 67) return (int)(n - 33 + 0x7F);
    return n == 67 ? 0xAD : -1;
}

bool vmt_byte_level_unspell(vmt_str spelling, vmt_buf *out) {
    size_t len_before = out->len;
    if (!vmt_buf_reserve(out, spelling.len)) return false;
    for (size_t pos = 0; pos < spelling.len;) {
        uint8_t lead = (uint8_t)spelling.ptr[pos];
        uint32_t c = lead;
        if (lead < 0x80) {
            pos++;
        } else {
            c = vmt_utf8_next(spelling, &pos);
        }
        int byte = vmt_byte_level_byte(c);
        if (byte < 0) {
            out->len = len_before;
            return false;
        }
        out->ptr[out->len++] = (char)byte;
    }
    return true;
}
