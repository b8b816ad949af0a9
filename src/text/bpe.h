/* text/bpe.h: byte-pair encoding of one word: merge the pair of lowest rank, leftmost first, until none is left.
 *
 * Two ways that give the same ids: a scan over a short array, and a heap for long words (O(n log n)).  Words are cut
 * first where no merge can reach across (see vmt_bpe.joins), so that a text without white space is short words too. */
#ifndef VMT_TEXT_BPE_H
#define VMT_TEXT_BPE_H

#include "text/vocab.h"
#include <stdatomic.h>

#define VMT_MERGES_MAX ((1u << 22) - 1)
#define VMT_NO_RANK    UINT32_MAX

typedef struct vmt_merge {
    uint32_t rank; /* VMT_NO_RANK: no merge */
    int32_t id;    /* what the pair becomes */
} vmt_merge;

/* A merge and its pair in one place, so that a look-up waits for one cache line. */
typedef struct vmt_merge_slot {
    uint64_t pair; /* left << 21 | right; all ones: empty */
    vmt_merge merge;
} vmt_merge_slot;

typedef struct vmt_bpe {
    const vmt_vocab *vocab;
    vmt_merge_slot *slots;
    uint64_t
        *maybe; /* a bit per hash of a pair: not set, no such merge.  Small enough to stay in a core's cache */
    vmt_merge *byte_pairs; /* [256 * 256] of two bytes (of two ASCII characters in a model of characters) */
    uint32_t mask, shift, num_merges;
    uint64_t mix;       /* odd, random */
    bool byte_level;    /* symbols start as bytes, else as characters */
    bool ignore_merges; /* a word of the vocabulary is its own token, whatever the merges say */
    bool byte_fallback;
    bool fuse_unk;
    bool can_cut;           /* every character has a symbol of its own: words may be cut where no merge joins */
    int32_t unk_id;         /* -1: unknown characters vanish */
    int32_t byte_ids[256];  /* byte-level: of each byte; byte fallback: <0x00> to <0xFF>; -1 if missing */
    int32_t ascii_ids[128]; /* character-level: the tokens of one ASCII character, or -1 */
    /* joins[a][b], a bit: some merge makes a token in which a character that ends in byte a is followed by one that
     * begins with byte b.  Without it a word can be cut between them: no merge ever looks across. */
    uint8_t joins[256][32];
    /* Per token: does merging its own text give that one token?  0 not known yet, 1 yes, 2 no.  A pure function of
     * the tables, so that threads racing to fill it in write the same. */
    _Atomic uint8_t *whole;
} vmt_bpe;

typedef struct vmt_merge_rule {
    int32_t left, right, result;
    uint32_t rank;
} vmt_merge_rule;

/* Takes the flags of *bpe as set by the caller, and builds the tables.  vocab must outlive it. */
vmt_status vmt_bpe_build(vmt_bpe *bpe, const vmt_merge_rule *rules, uint32_t num_rules, vmt_err *err);
void vmt_bpe_reset(vmt_bpe *bpe);

struct vmt_scratch;
/* Appends the ids of consecutive words, text[begin, ends[0]), text[ends[0], ends[1]), ..., to the scratch's output.
 * num_words <= VMT_WORD_BATCH. */
vmt_status vmt_bpe_encode(const vmt_bpe *bpe, struct vmt_scratch *scratch, const uint8_t *text, size_t begin,
                          const size_t *ends, uint32_t num_words);

#endif
