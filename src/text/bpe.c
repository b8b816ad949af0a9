#include "text/bpe.h"
#include "base/huge.h"
#include "text/scratch.h"
#include "text/unicode_class.h"
#include <stdio.h>
#include <stdlib.h>

#define NO_PAIR     UINT64_MAX
#define ID_BITS     21
#define MAYBE_BITS  3   /* 2^3 bits for each slot of the merge table */
#define AHEAD       16u /* merges whose slots are fetched ahead while the table is filled */
#define SHORT_MAX   48u /* symbols up to which scanning an array beats a heap */
#define WHOLE_YES   1u
#define WHOLE_NO    2u
#define HEAP_FANOUT 4u

_Static_assert(VMT_VOCAB_MAX <= 1u << ID_BITS && 2 * ID_BITS < 64, "a pair is never NO_PAIR");
static const vmt_merge no_merge = {VMT_NO_RANK, -1};

static inline uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << ID_BITS | (uint32_t)right;
}

static inline vmt_merge find_merge(const vmt_bpe *bpe, int32_t left, int32_t right) {
    uint64_t pair = pair_of(left, right), hash = pair * bpe->mix, bit = hash >> (bpe->shift - MAYBE_BITS);
    if (!(bpe->maybe[bit >> 6] >> (bit & 63) & 1)) return no_merge;
    for (uint32_t pos = (uint32_t)(hash >> bpe->shift);; pos = (pos + 1) & bpe->mask) {
        const vmt_merge_slot *slot = &bpe->slots[pos];
        if (slot->pair == pair) return slot->merge;
        if (slot->pair == NO_PAIR) return no_merge;
    }
}

static void put_merge(vmt_bpe *bpe, const vmt_merge_rule *rule) {
    uint64_t pair = pair_of(rule->left, rule->right), hash = pair * bpe->mix,
             bit = hash >> (bpe->shift - MAYBE_BITS);
    bpe->maybe[bit >> 6] |= (uint64_t)1 << (bit & 63);
    uint32_t pos = (uint32_t)(hash >> bpe->shift);
    while (bpe->slots[pos].pair != NO_PAIR && bpe->slots[pos].pair != pair) pos = (pos + 1) & bpe->mask;
    bpe->slots[pos] = (vmt_merge_slot){pair, {rule->rank, rule->result}}; /* of equal pairs the last counts */
}

static void note_joins(vmt_bpe *bpe, vmt_str text) {
    const uint8_t *p = (const uint8_t *)text.ptr;
    for (size_t i = 1; i < text.len; i++) bpe->joins[p[i - 1]][p[i] >> 3] |= (uint8_t)(1u << (p[i] & 7));
}

/* Cutting is allowed when no character can vanish or melt into its neighbour: see vmt_bpe.can_cut. */
static bool cuts_are_safe(const vmt_bpe *bpe, const vmt_merge_rule *rules, uint32_t num_rules) {
    if (!bpe->byte_level && !bpe->byte_fallback) return false;
    for (uint32_t b = 0; b < 256; b++) {
        if (bpe->byte_ids[b] < 0) return false;
    }
    if (bpe->byte_level) return true;
    uint8_t *is_byte = calloc(bpe->vocab->num_ids, 1);
    if (!is_byte) return false;
    for (uint32_t b = 0; b < 256; b++) is_byte[bpe->byte_ids[b]] = 1;
    bool safe = true;
    for (uint32_t i = 0; i < num_rules && safe; i++) {
        safe = !is_byte[rules[i].left] && !is_byte[rules[i].right] && !is_byte[rules[i].result];
    }
    free(is_byte);
    return safe;
}

static void find_first_symbols(vmt_bpe *bpe) {
    for (uint32_t b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        char name[8];
        if (bpe->byte_level) {
            bpe->byte_ids[b] = vmt_vocab_find_key(bpe->vocab, &byte, 1);
        } else {
            int len = snprintf(name, sizeof name, "<0x%02X>", b);
            bpe->byte_ids[b] = vmt_vocab_find_key(bpe->vocab, name, (size_t)len);
        }
        if (b < 128) bpe->ascii_ids[b] = vmt_vocab_find_key(bpe->vocab, &byte, 1);
    }
}

static vmt_status rate_byte_pairs(vmt_bpe *bpe, vmt_err *err) {
    bpe->byte_pairs = malloc(256 * 256 * sizeof *bpe->byte_pairs);
    if (!bpe->byte_pairs) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for its merges");
    for (uint32_t a = 0; a < 256; a++) {
        for (uint32_t b = 0; b < 256; b++) {
            int32_t left = bpe->byte_level ? bpe->byte_ids[a] : a < 128 ? bpe->ascii_ids[a] : -1;
            int32_t right = bpe->byte_level ? bpe->byte_ids[b] : b < 128 ? bpe->ascii_ids[b] : -1;
            bpe->byte_pairs[a << 8 | b] = left < 0 || right < 0 ? no_merge : find_merge(bpe, left, right);
        }
    }
    return VMT_OK;
}

vmt_status vmt_bpe_build(vmt_bpe *bpe, const vmt_merge_rule *rules, uint32_t num_rules, vmt_err *err) {
    if (num_rules > VMT_MERGES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: %u merges, the limit is %u", num_rules,
                        VMT_MERGES_MAX);
    }
    uint32_t num_slots = 64, bits = 6;
    while (num_slots < num_rules + num_rules / 2) num_slots *= 2, bits++;
    bpe->slots = vmt_huge_calloc(num_slots, sizeof *bpe->slots);
    bpe->maybe = calloc(((size_t)num_slots << MAYBE_BITS) / 64, sizeof *bpe->maybe);
    bpe->whole = calloc(bpe->vocab->num_ids + 1u, 1);
    if (!bpe->slots || !bpe->maybe || !bpe->whole)
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for its merges");
    memset(bpe->slots, 0xFF, num_slots * sizeof *bpe->slots);
    bpe->mask = num_slots - 1;
    bpe->shift = 64 - bits;
    bpe->num_merges = num_rules;
    bpe->mix = vmt_hash_key_random().k0 | 1;
    find_first_symbols(bpe);
    for (uint32_t i = 0; i < num_rules; i++) {
        if (i + AHEAD < num_rules) {
            uint64_t pair = pair_of(rules[i + AHEAD].left, rules[i + AHEAD].right);
            __builtin_prefetch(&bpe->slots[(pair * bpe->mix) >> bpe->shift]);
            __builtin_prefetch(&bpe->vocab->key[rules[i + AHEAD].result]);
        }
        put_merge(bpe, &rules[i]);
        note_joins(bpe, vmt_vocab_slice(bpe->vocab, bpe->vocab->key[rules[i].result]));
    }
    if (!bpe->byte_level) { /* a cut never falls inside a character */
        for (uint32_t a = 0; a < 256; a++) memset(&bpe->joins[a][0x80 >> 3], 0xFF, 0x40 >> 3);
    }
    bpe->can_cut = cuts_are_safe(bpe, rules, num_rules);
    return rate_byte_pairs(bpe, err);
}

void vmt_bpe_reset(vmt_bpe *bpe) {
    free(bpe->slots);
    free(bpe->maybe);
    free(bpe->byte_pairs);
    free((void *)bpe->whole);
    memset(bpe, 0, sizeof *bpe);
}

/* The symbols of a word before any merge, into s->ids.  Returns their number.  *plain: each is one byte of the word,
 * and in a model of characters an ASCII one. */
static size_t split_characters(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word, size_t len, bool *plain) {
    size_t n = 0;
    *plain = false;
    if (bpe->byte_level) {
        for (size_t i = 0; i < len; i++) {
            int32_t id = bpe->byte_ids[word[i]];
            if (VMT_LIKELY(id >= 0)) s->ids[n++] = id;
        }
        *plain = n == len;
        if (VMT_LIKELY(n == len || bpe->unk_id < 0)) return n;
        n = 0;
    } else {
        while (n < len && word[n] < 0x80 && bpe->ascii_ids[word[n]] >= 0) s->ids[n] = bpe->ascii_ids[word[n]], n++;
        *plain = n == len;
        if (n == len) return n;
        n = 0;
    }
    bool unk_pending = false;
    for (size_t i = 0; i < len;) {
        uint32_t num_bytes = bpe->byte_level ? 1 : vmt_utf8_len_valid(word[i]);
        int32_t id = num_bytes == 1 ? (bpe->byte_level ? bpe->byte_ids[word[i]] : bpe->ascii_ids[word[i]])
                                    : vmt_vocab_find_key(bpe->vocab, word + i, num_bytes);
        if (id >= 0) {
            if (unk_pending) s->ids[n++] = bpe->unk_id;
            unk_pending = false;
            s->ids[n++] = id;
        } else {
            bool have_bytes = bpe->byte_fallback && !bpe->byte_level;
            for (uint32_t k = 0; k < num_bytes && have_bytes; k++) have_bytes = bpe->byte_ids[word[i + k]] >= 0;
            if (have_bytes) { /* goes before a pending unknown, as in the reference */
                for (uint32_t k = 0; k < num_bytes; k++) s->ids[n++] = bpe->byte_ids[word[i + k]];
            } else if (bpe->unk_id >= 0) {
                if (unk_pending && !bpe->fuse_unk) s->ids[n++] = bpe->unk_id;
                unk_pending = true;
            }
        }
        i += num_bytes;
    }
    if (unk_pending) s->ids[n++] = bpe->unk_id;
    return n;
}

static inline void rate_pair(const vmt_bpe *bpe, vmt_scratch *s, size_t at, int32_t left, int32_t right) {
    vmt_merge merge = find_merge(bpe, left, right);
    s->ranks[at] = merge.rank;
    s->merged[at] = merge.id;
}

/* The pairs of a word as it starts out.  word: its bytes, if each of its n symbols is one; else NULL. */
static void rate_first_pairs(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word, size_t n) {
    if (word) {
        for (size_t i = 0; i + 1 < n; i++) {
            vmt_merge merge = bpe->byte_pairs[word[i] << 8 | word[i + 1]];
            s->ranks[i] = merge.rank;
            s->merged[i] = merge.id;
        }
    } else {
        for (size_t i = 0; i + 1 < n; i++) rate_pair(bpe, s, i, s->ids[i], s->ids[i + 1]);
    }
}

static size_t merge_short(const vmt_bpe *bpe, vmt_scratch *s, size_t n) {
    int32_t *ids = s->ids, *merged = s->merged;
    uint32_t *ranks = s->ranks;
    while (n > 1) {
        uint32_t best = VMT_NO_RANK;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            if (ranks[i] < best) best = ranks[i], at = i;
        }
        if (best == VMT_NO_RANK) break;
        ids[at] = merged[at];
        for (size_t i = at + 1; i + 1 < n; i++) ids[i] = ids[i + 1];
        n--;
        for (size_t i = at + 1; i + 1 < n; i++) ranks[i] = ranks[i + 1], merged[i] = merged[i + 1];
        if (at > 0) rate_pair(bpe, s, at - 1, ids[at - 1], ids[at]);
        if (at + 1 < n) rate_pair(bpe, s, at, ids[at], ids[at + 1]);
    }
    return n;
}

static void sift_up(uint64_t *heap, size_t i) {
    uint64_t key = heap[i];
    while (i > 0) {
        size_t parent = (i - 1) / HEAP_FANOUT;
        if (heap[parent] <= key) break;
        heap[i] = heap[parent];
        i = parent;
    }
    heap[i] = key;
}

static void sift_down(uint64_t *heap, size_t n, size_t i) {
    uint64_t key = heap[i];
    for (;;) {
        size_t child = HEAP_FANOUT * i + 1;
        if (child >= n) break;
        size_t end = VMT_MIN(child + HEAP_FANOUT, n), least = child;
        for (size_t c = child + 1; c < end; c++) {
            if (heap[c] < heap[least]) least = c;
        }
        if (heap[least] >= key) break;
        heap[i] = heap[least];
        i = least;
    }
    heap[i] = key;
}

/* Keys of the heap are rank << 32 | position.  An entry is stale when its rank is no longer the pair's. */
static size_t merge_long(const vmt_bpe *bpe, vmt_scratch *s, size_t n) {
    uint64_t *heap = s->heap;
    size_t num_heap = 0;
    for (size_t i = 0; i < n; i++) {
        s->prev[i] = (int32_t)i - 1;
        s->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
        if (i + 1 == n) s->ranks[i] = VMT_NO_RANK;
        if (s->ranks[i] != VMT_NO_RANK) heap[num_heap++] = (uint64_t)s->ranks[i] << 32 | i;
    }
    for (size_t i = num_heap / HEAP_FANOUT + 1; i-- > 0;) {
        if (i < num_heap) sift_down(heap, num_heap, i);
    }
    while (num_heap > 0) {
        uint64_t top = heap[0];
        heap[0] = heap[--num_heap];
        if (num_heap > 0) sift_down(heap, num_heap, 0);
        size_t at = (uint32_t)top;
        if (s->ranks[at] != (uint32_t)(top >> 32)) continue;
        int32_t right = s->next[at], after = s->next[right], before = s->prev[at];
        s->ids[at] = s->merged[at];
        s->next[at] = after;
        s->ranks[right] = s->ranks[at] = VMT_NO_RANK;
        if (after >= 0) {
            s->prev[after] = (int32_t)at;
            rate_pair(bpe, s, at, s->ids[at], s->ids[after]);
            if (s->ranks[at] != VMT_NO_RANK) {
                heap[num_heap] = (uint64_t)s->ranks[at] << 32 | at;
                sift_up(heap, num_heap++);
            }
        }
        if (before >= 0) {
            rate_pair(bpe, s, (size_t)before, s->ids[before], s->ids[at]);
            if (s->ranks[before] != VMT_NO_RANK) {
                heap[num_heap] = (uint64_t)s->ranks[before] << 32 | (uint32_t)before;
                sift_up(heap, num_heap++);
            }
        }
    }
    size_t num_out = 0;
    for (int32_t i = 0; i >= 0; i = s->next[i]) s->ids[num_out++] = s->ids[i];
    return num_out;
}

/* Leaves the word's ids in s->ids. */
static vmt_status merge_word(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word, size_t len,
                             size_t *num_ids) {
    VMT_TRY(vmt_scratch_reserve_merge(s, len));
    bool plain;
    size_t n = split_characters(bpe, s, word, len, &plain);
    rate_first_pairs(bpe, s, plain ? word : NULL, n);
    *num_ids = n <= 1 ? n : n <= SHORT_MAX ? merge_short(bpe, s, n) : merge_long(bpe, s, n);
    return VMT_OK;
}

/* As merge_word, but a word that is known to merge into one token skips the merging. */
static vmt_status find_word(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word, size_t len, bool trust_vocab,
                            size_t *num_ids) {
    int32_t id = vmt_vocab_find_key(bpe->vocab, word, len);
    if (id >= 0) {
        if (trust_vocab || atomic_load_explicit(&bpe->whole[id], memory_order_relaxed) == WHOLE_YES) {
            VMT_TRY(vmt_scratch_reserve_merge(s, 1));
            s->ids[0] = id;
            *num_ids = 1;
            return VMT_OK;
        }
    }
    VMT_TRY(merge_word(bpe, s, word, len, num_ids));
    if (id >= 0) {
        bool is_whole = *num_ids == 1 && s->ids[0] == id;
        atomic_store_explicit(&bpe->whole[id], is_whole ? WHOLE_YES : WHOLE_NO, memory_order_relaxed);
    }
    return VMT_OK;
}

static vmt_status emit_all(vmt_scratch *s, const int32_t *ids, size_t n) {
    vmt_tokens *out = s->out;
    if (out->cap - out->len < n) VMT_TRY(vmt_scratch_grow_out(s, n));
    memcpy(out->ids + out->len, ids, n * sizeof *ids);
    out->len += n;
    return VMT_OK;
}

static inline vmt_status emit_short(vmt_scratch *s, const vmt_short_entry *entry) {
    vmt_tokens *out = s->out;
    if (VMT_UNLIKELY(out->cap - out->len < VMT_CACHE_SHORT_IDS)) {
        VMT_TRY(vmt_scratch_grow_out(s, VMT_CACHE_SHORT_IDS));
    }
    /* All three, wanted or not: one store of fixed size is cheaper than a loop. */
    memcpy(out->ids + out->len, entry->ids, sizeof entry->ids);
    out->len += entry->num_ids;
    return VMT_OK;
}

/* A word of up to VMT_CACHE_LONG_MAX bytes that is too long, or has too many ids, to be among the short ones. */
static vmt_status encode_medium(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word, size_t len) {
    bool hit;
    vmt_long_entry *slot = vmt_long_slot(&s->cache, word, len, bpe->vocab->words.seed, &hit);
    if (hit) return emit_all(s, slot->ids, slot->num_ids);
    size_t num_ids;
    VMT_TRY(find_word(bpe, s, word, len, bpe->ignore_merges, &num_ids));
    vmt_long_put(slot, word, len, s->ids, num_ids);
    return emit_all(s, s->ids, num_ids);
}

/* A short word that its set does not have. */
static __attribute__((noinline)) vmt_status encode_new(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word,
                                                       size_t len, vmt_short_set *set, vmt_short_key key) {
    size_t num_ids;
    VMT_TRY(find_word(bpe, s, word, len, bpe->ignore_merges, &num_ids));
    vmt_short_put(set, key, s->ids, num_ids);
    if (num_ids > VMT_CACHE_SHORT_IDS) {
        bool hit;
        vmt_long_put(vmt_long_slot(&s->cache, word, len, bpe->vocab->words.seed, &hit), word, len, s->ids,
                     num_ids);
    }
    return emit_all(s, s->ids, num_ids);
}

/* A stretch of a long word between two cuts.  The cache knows words by their text, and under ignore_merges a word of
 * the vocabulary is not what its merges give: stretches then go past it. */
static vmt_status encode_uncached(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word, size_t len) {
    size_t num_ids;
    VMT_TRY(find_word(bpe, s, word, len, false, &num_ids));
    return emit_all(s, s->ids, num_ids);
}

static vmt_status encode_batch(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *text, size_t begin,
                               const size_t *ends, uint32_t num_words, bool may_cut);

static __attribute__((noinline)) vmt_status encode_long(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *word,
                                                        size_t len) {
    if (bpe->ignore_merges) {
        int32_t id = vmt_vocab_find_key(bpe->vocab, word, len);
        if (id >= 0) return vmt_scratch_emit(s, id);
    }
    if (!bpe->can_cut) return encode_uncached(bpe, s, word, len);
    size_t begin = 0, ends[VMT_WORD_BATCH];
    uint32_t num_ends = 0;
    for (size_t i = 1; i <= len; i++) {
        if (i < len && bpe->joins[word[i - 1]][word[i] >> 3] >> (word[i] & 7) & 1) continue;
        if (bpe->ignore_merges) {
            VMT_TRY(encode_uncached(bpe, s, word + begin, i - begin));
            begin = i;
            continue;
        }
        ends[num_ends++] = i;
        if (num_ends < VMT_WORD_BATCH && i < len) continue;
        VMT_TRY(encode_batch(bpe, s, word, begin, ends, num_ends, false));
        num_ends = 0;
        begin = i;
    }
    return VMT_OK;
}

static vmt_status encode_batch(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *text, size_t begin,
                               const size_t *ends, uint32_t num_words, bool may_cut) {
    vmt_short_key keys[VMT_WORD_BATCH];
    vmt_short_set *sets[VMT_WORD_BATCH];
    VMT_ASSERT(num_words <= VMT_WORD_BATCH);
    size_t at = begin;
    for (uint32_t i = 0; i < num_words; at = ends[i++]) {
        size_t len = ends[i] - at;
        if (VMT_UNLIKELY(len > VMT_CACHE_SHORT_MAX)) continue;
        keys[i] = vmt_short_key_of(text + at, len, s->readable_end);
        sets[i] = vmt_short_set_of(&s->cache, keys[i], bpe->mix);
        __builtin_prefetch(sets[i]);
    }
    at = begin;
    for (uint32_t i = 0; i < num_words; at = ends[i++]) {
        size_t len = ends[i] - at;
        if (VMT_UNLIKELY(len > VMT_CACHE_LONG_MAX)) {
            VMT_TRY(may_cut ? encode_long(bpe, s, text + at, len) : encode_uncached(bpe, s, text + at, len));
        } else if (VMT_UNLIKELY(len > VMT_CACHE_SHORT_MAX)) {
            VMT_TRY(encode_medium(bpe, s, text + at, len));
        } else {
            const vmt_short_entry *entry = vmt_short_find(sets[i], keys[i]);
            if (VMT_UNLIKELY(!entry)) {
                VMT_TRY(encode_new(bpe, s, text + at, len, sets[i], keys[i]));
            } else if (VMT_UNLIKELY(entry->num_ids > VMT_CACHE_SHORT_IDS)) {
                VMT_TRY(encode_medium(bpe, s, text + at, len));
            } else {
                VMT_TRY(emit_short(s, entry));
            }
        }
    }
    return VMT_OK;
}

vmt_status vmt_bpe_encode(const vmt_bpe *bpe, vmt_scratch *s, const uint8_t *text, size_t begin,
                          const size_t *ends, uint32_t num_words) {
    /* Without byte-level words a "word" is often a whole line or text: its parts are what comes again. */
    if (bpe->can_cut && !bpe->byte_level && !bpe->ignore_merges) {
        for (uint32_t i = 0; i < num_words; begin = ends[i++]) {
            VMT_TRY(encode_long(bpe, s, text + begin, ends[i] - begin));
        }
        return VMT_OK;
    }
    return encode_batch(bpe, s, text, begin, ends, num_words, true);
}
