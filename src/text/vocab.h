/* text/vocab.h: the tokens of a vocabulary, each in three spellings, and the way from bytes to an id.
 *
 *   spelling   as the file has it: "Ġthe", "▁the", "<0x0A>"
 *   key        the bytes of text it stands for, which encoding looks up: " the", " the", "<0x0A>"
 *   output     the bytes decoding writes: " the", " the", "\n"
 *
 * All three are slices of one blob.  Built once, then read-only. */
#ifndef VMT_TEXT_VOCAB_H
#define VMT_TEXT_VOCAB_H

#include "base/buf.h"
#include "base/hash.h"
#include "text/tokenizer.h"

#define VMT_VOCAB_BLOB_MAX (1u << 30) /* bytes of all spellings */

typedef struct vmt_vocab_ref {
    uint32_t begin, len; /* a slice of the blob */
} vmt_vocab_ref;

/* Keys of up to 8 bytes are kept whole, so that most look-ups touch this slot and nothing else. */
typedef struct vmt_word_slot {
    uint64_t key; /* len <= 8: the bytes, zero-padded; else their hash */
    uint32_t len; /* 0: an empty slot */
    int32_t id;
} vmt_word_slot;

typedef struct vmt_word_table {
    vmt_word_slot *slots;
    uint32_t mask; /* a power of two, minus one */
    uint32_t num_used;
    vmt_hash_key seed;
} vmt_word_table;

typedef struct vmt_vocab {
    uint32_t num_ids;                       /* one past the largest id */
    uint32_t num_model;                     /* tokens of the model itself: where ids for new added tokens begin */
    vmt_vocab_ref *spelling, *key, *output; /* [num_ids] */
    uint8_t *present;                       /* [num_ids] 1: the model has it, 2: an added token, 3: both */
    vmt_buf blob;
    vmt_word_table words;     /* key -> id, tokens of the model */
    vmt_word_table spellings; /* spelling -> id, for spellings that differ from their keys, and added tokens */
} vmt_vocab;

vmt_status vmt_vocab_init(vmt_vocab *vocab, uint32_t num_ids, vmt_err *err);
void vmt_vocab_reset(vmt_vocab *vocab);
/* Appends bytes to the blob. */
vmt_status vmt_vocab_store(vmt_vocab *vocab, vmt_str bytes, vmt_vocab_ref *out, vmt_err *err);
static inline vmt_str vmt_vocab_slice(const vmt_vocab *vocab, vmt_vocab_ref ref) {
    return (vmt_str){vocab->blob.ptr + ref.begin, ref.len};
}

vmt_status vmt_word_table_init(vmt_word_table *table, uint32_t num_words, vmt_err *err);
void vmt_word_table_reset(vmt_word_table *table);
/* The word must lie in refs[id] of the blob.  A word that is there already gets the new id.  Empty words are not
 * kept. */
void vmt_word_table_put(vmt_word_table *table, const char *blob, const vmt_vocab_ref *refs, int32_t id);
/* Starts to fetch what a find or put of this word will touch. */
void vmt_word_table_prefetch(const vmt_word_table *table, const void *word, size_t len);
int32_t vmt_word_table_find(const vmt_word_table *table, const char *blob, const vmt_vocab_ref *refs,
                            const void *word, size_t len);

/* The id of text by its key, or -1. */
static inline int32_t vmt_vocab_find_key(const vmt_vocab *vocab, const void *word, size_t len) {
    return vmt_word_table_find(&vocab->words, vocab->blob.ptr, vocab->key, word, len);
}

/* The 256 characters that byte-level vocabularies spell bytes with (GPT-2): printable Latin-1 stands for itself,
 * the rest is U+0100 and up. */
uint32_t vmt_byte_level_char(uint8_t byte);
/* Back: -1 for a character that stands for no byte. */
int vmt_byte_level_byte(uint32_t code_point);
/* Appends the bytes that a byte-level spelling stands for; false, with nothing appended, if a character of it is
 * outside the alphabet. */
bool vmt_byte_level_unspell(vmt_str spelling, vmt_buf *out);

/* Loads up to 8 bytes, little end first, zero-padded. */
static inline uint64_t vmt_load_upto8(const void *ptr, size_t len) {
    const uint8_t *p = ptr;
    uint64_t v = 0;
    if (len >= 8) {
        memcpy(&v, p, 8);
    } else if (len >= 4) {
        uint32_t lo, hi;
        memcpy(&lo, p, 4);
        memcpy(&hi, p + len - 4, 4);
        v = lo | (uint64_t)hi << 8 * (len - 4);
    } else if (len > 0) {
        v = p[0] | (uint64_t)p[len / 2] << 8 * (len / 2) | (uint64_t)p[len - 1] << 8 * (len - 1);
    }
    return v;
}
static inline uint64_t vmt_mix64(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 r = (unsigned __int128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}
/* A keyed multiply-fold hash of any length. */
uint64_t vmt_word_hash_long(vmt_hash_key seed, const void *word, size_t len);

#endif
