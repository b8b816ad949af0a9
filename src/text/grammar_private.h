/* text/grammar_private.h: the insides of grammars, vocabularies and matchers, shared by their files. */
#ifndef VMT_TEXT_GRAMMAR_PRIVATE_H
#define VMT_TEXT_GRAMMAR_PRIVATE_H

#include "text/grammar.h"
#include "text/grammar_automaton.h"
#include "text/grammar_parse.h"

#include <pthread.h>
#include <stdatomic.h>

struct vmt_grammar {
    _Atomic uint32_t num_refs;
    vmt_automaton automaton; /* rule 0 is the whole text */
    size_t bytes;
};

/* Takes the rules: compiles and frees them.  status is what building them came to. */
vmt_status vmt_grammar_finish(vmt_grammar **out, vmt_rules *rules, uint32_t root, vmt_status status, vmt_err *err);

/* The rules of a GBNF or Lark source, added to others. */
vmt_status vmt_rules_add_ebnf(vmt_rules *rules, vmt_str source, uint32_t *root, vmt_err *err);

/* ---- the vocabulary */

/* Tokens in the order of their bytes, each byte a node; a node's subtree follows it. */
typedef struct vmt_trie_node {
    uint32_t size;    /* nodes of the subtree, this one included */
    int32_t token_id; /* that ends here, or -1 */
    uint8_t byte;
    uint8_t depth; /* 1 for the first byte */
} vmt_trie_node;

typedef struct vmt_trie {
    vmt_trie_node *nodes;
    uint32_t num_nodes;
} vmt_trie;

/* Most tokens are of one of few kinds.  A state that allows all of a kind takes them at once, and walks a trie without
 * them:
 *   plain   characters that stand for themselves in a JSON string: no quote, backslash or control character
 *   word    at most VMT_WORD_BYTES letters and digits of ASCII
 *   lower   the same without capitals
 *   space   JSON white space */
#define VMT_PLAIN_COUNTS 24u
#define VMT_WORD_BYTES   12u

typedef enum vmt_token_set {
    VMT_SET_NONE,
    VMT_SET_PLAIN,
    VMT_SET_WORD,
    VMT_SET_LOWER,
    VMT_SET_SPACE,
    VMT_NUM_SETS
} vmt_token_set;

/* The token bytes that special tokens have in the trie: no text contains it. */
#define VMT_SPECIAL_BYTE ((char)0xFF)

typedef struct vmt_mask_cache vmt_mask_cache;

struct vmt_grammar_vocab {
    _Atomic uint32_t num_refs;
    uint32_t num_tokens, num_words;
    int32_t *eos_ids;
    uint32_t num_eos_ids;
    vmt_buf blob;                          /* all tokens' bytes */
    uint32_t *begin;                       /* [num_tokens + 1] of the blob */
    int32_t *twin;                         /* [num_tokens] the next token with the same bytes, or -1 */
    vmt_trie tries[VMT_NUM_SETS];          /* the tokens that are not in the set */
    uint32_t *members[VMT_NUM_SETS];       /* [num_words] those that are; none for plain, which counts */
    uint32_t *plain[VMT_PLAIN_COUNTS + 1]; /* [num_words] plain tokens of at most k characters; 0: of any number */
    int32_t *long_plain; /* plain tokens of more than VMT_PLAIN_COUNTS characters, longest first */
    uint16_t *long_plain_chars;
    uint32_t num_long_plain;
    vmt_mask_cache *cache;
};

static inline vmt_str vmt_vocab_token(const vmt_grammar_vocab *vocab, int32_t id) {
    return (vmt_str){vocab->blob.ptr + vocab->begin[id], vocab->begin[id + 1] - vocab->begin[id]};
}
static inline void vmt_mask_set(uint32_t *bits, uint32_t id) {
    bits[id / 32] |= (uint32_t)1 << (id % 32);
}
/* Sets a trie node's token and those spelled the same. */
static inline void vmt_mask_set_token(const vmt_grammar_vocab *vocab, uint32_t *bits, int32_t id) {
    for (; id >= 0; id = vocab->twin[id]) vmt_mask_set(bits, (uint32_t)id);
}
/* Does the vocabulary have a special token of that text? */
bool vmt_vocab_has_special(const vmt_grammar_vocab *vocab, vmt_str text);

/* ---- answers kept for all grammars */

/* A state of a rule, and how near its counter is to its bounds; both are capped at VMT_COUNT_FAR. */
#define VMT_COUNT_FAR 256u
typedef struct vmt_mask_key {
    vmt_hash128 rule;
    uint32_t state;      /* within the rule */
    uint16_t room, need; /* how often the counter can, and must, go up */
} vmt_mask_key;

#define VMT_ANSWER_LIST_MAX 1024u /* tokens of an answer kept as a list */

/* What a state says without its stack.  Immutable once in the cache. */
typedef struct vmt_mask_answer {
    vmt_mask_key key;
    _Atomic uint32_t num_refs;
    uint32_t hash;
    struct vmt_mask_answer *newer, *older, *next; /* the cache's */
    size_t bytes;
    vmt_token_set set;   /* taken as a whole beside tokens; exits are nodes of its trie */
    bool is_list;        /* tokens are ids, else words */
    uint32_t num_tokens; /* ids or words */
    uint32_t num_exits;
    uint32_t *tokens; /* [num_tokens] */
    uint32_t *exits;  /* [num_exits] nodes with children, where the rule was complete */
} vmt_mask_answer;

vmt_mask_cache *vmt_mask_cache_create(size_t bytes_max);
void vmt_mask_cache_destroy(vmt_mask_cache *cache);
/* With a reference, or NULL. */
vmt_mask_answer *vmt_mask_cache_find(vmt_mask_cache *cache, const vmt_mask_key *key);
/* Copies what it is given; without memory it keeps nothing. */
void vmt_mask_cache_put(vmt_mask_cache *cache, const vmt_mask_answer *answer);
void vmt_mask_answer_release(vmt_mask_answer *answer);

/* ---- matchers */

struct vmt_matcher {
    vmt_grammar *grammar;
    vmt_grammar_vocab *vocab;
    vmt_parse parse;
    vmt_parse_frame now; /* where the text has come to */
    bool is_ended;       /* an end-of-sequence token was accepted */

    vmt_parse_frame frames[VMT_GRAMMAR_TOKEN_MAX + 1];
    uint32_t *bits;  /* [num_words] scratch of one answer */
    uint32_t *whole; /* [num_words] the mask, when its reader has fewer words */
    uint32_t *exits; /* scratch */
    size_t exits_cap;
    uint32_t num_exits;
    uint32_t *ids; /* [VMT_ANSWER_LIST_MAX] scratch */
    uint32_t num_ids;
    bool is_list; /* the answer's tokens are ids as yet, else bits */
};

#endif
