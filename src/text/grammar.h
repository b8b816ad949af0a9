/* text/grammar.h: structured output: what a model may say next, as a set of tokens.
 *
 *   schema, regex, choice, EBNF, tags ─► rules over bytes ─► automata that call each other ─► vmt_grammar
 *   tokenizer ─► every token's bytes, as a trie ─► vmt_grammar_vocab
 *   both ─► vmt_matcher: one sequence: mask, accept, mask, accept, ... until it can end
 *
 * A grammar is a pushdown automaton over bytes: each rule is a deterministic automaton whose edges are bytes or
 * calls of other rules.  A matcher follows all parses at once, on stacks that share what they have in common, so that
 * ambiguity and left recursion cost little.  A token is allowed when its bytes lead to a state from which the text can
 * be completed: states from which it can't are cut away when the grammar is compiled.
 *
 * What an automaton's state says of the tokens that stay inside its rule does not depend on the stack.  The vocabulary
 * keeps those answers, by content, for all grammars; only where a token leaves the rule is the stack looked at.
 *
 * Grammars and vocabularies are immutable and counted; any number of threads may use them.  A matcher belongs to one
 * thread at a time.  Nothing here recurses on what a client sent; every limit below is an error that names it. */
#ifndef VMT_TEXT_GRAMMAR_H
#define VMT_TEXT_GRAMMAR_H

#include "base/buf.h"
#include "text/tokenizer.h"

typedef struct vmt_grammar vmt_grammar;
typedef struct vmt_grammar_vocab vmt_grammar_vocab;
typedef struct vmt_matcher vmt_matcher;
typedef struct vmt_grammar_cache vmt_grammar_cache;

#define VMT_GRAMMAR_SOURCE_MAX ((size_t)1 << 20) /* bytes of a schema, regex, grammar or list */
#define VMT_GRAMMAR_NODES_MAX  (1u << 19)        /* states before determinization: repeats are copied out */
#define VMT_GRAMMAR_STATES_MAX (1u << 16)        /* states of the automata; (a|b)*a(a|b){16} needs more */
#define VMT_GRAMMAR_RULES_MAX  (1u << 14)
#define VMT_GRAMMAR_NEST_MAX   256u    /* groups within groups */
#define VMT_GRAMMAR_REPEAT_MAX 100000u /* bounds of a repeat that is copied out */

/* ---- grammars */

typedef enum vmt_grammar_space {
    VMT_SPACE_ANY,     /* JSON white space wherever JSON has it */
    VMT_SPACE_COMPACT, /* at most one space, after a comma or colon */
} vmt_grammar_space;

typedef struct vmt_grammar_options {
    vmt_grammar_space space;
    vmt_str space_pattern; /* a regex that replaces the white space of VMT_SPACE_ANY; empty: none */
    bool closed_objects;   /* an object schema that names properties and says nothing of others allows no others */
    const vmt_grammar_vocab *vocab; /* tags spelled like special tokens may then be those; NULL: text only */
} vmt_grammar_options;

/* Each gives a grammar with one reference, for vmt_grammar_release().  options may be NULL.
 * VMT_E_INVALID: the source breaks its rules; VMT_E_UNSUPPORTED: a keyword or construct that is not supported, by
 * name; VMT_E_EXHAUSTED: a limit above, by name. */

/* JSON Schema, draft 2020-12 and the older spellings in use.  Properties come in the order the schema names them.
 * Every text the grammar allows is valid; of two spellings of one value it may allow only one. */
vmt_status vmt_grammar_from_schema(vmt_grammar **out, vmt_str schema, const vmt_grammar_options *options,
                                   vmt_err *err);
vmt_status vmt_grammar_from_json_object(vmt_grammar **out, const vmt_grammar_options *options, vmt_err *err);
/* ECMA-262 syntax without look-around and back-references; the whole text must match. */
vmt_status vmt_grammar_from_regex(vmt_grammar **out, vmt_str pattern, vmt_err *err);
vmt_status vmt_grammar_from_choice(vmt_grammar **out, const vmt_str *choices, size_t num_choices, vmt_err *err);
/* GBNF as llama.cpp has it; a source without `::=` is read as Lark.  The whole text is the rule root, else start, else
 * the first one. */
vmt_status vmt_grammar_from_ebnf(vmt_grammar **out, vmt_str source, vmt_err *err);
/* {"structures": [{"begin", "schema", "end"}], "triggers": [...]} or {"format": {...}}. */
vmt_status vmt_grammar_from_tags(vmt_grammar **out, vmt_str json, const vmt_grammar_options *options,
                                 vmt_err *err);

vmt_grammar *vmt_grammar_acquire(vmt_grammar *grammar);
void vmt_grammar_release(vmt_grammar *grammar); /* NULL is fine; any thread */
size_t vmt_grammar_bytes(const vmt_grammar *grammar);
uint32_t vmt_grammar_num_states(const vmt_grammar *grammar);

/* ---- compiled grammars by source, least recently used out first.  Any thread. */

typedef enum vmt_grammar_kind {
    VMT_GRAMMAR_SCHEMA,
    VMT_GRAMMAR_JSON_OBJECT, /* source is empty */
    VMT_GRAMMAR_REGEX,
    VMT_GRAMMAR_CHOICE, /* source is a JSON list of strings */
    VMT_GRAMMAR_EBNF,
    VMT_GRAMMAR_TAGS,
} vmt_grammar_kind;

vmt_grammar_cache *vmt_grammar_cache_create(size_t bytes_max); /* NULL for lack of memory */
void vmt_grammar_cache_destroy(vmt_grammar_cache *cache);      /* grammars given out live on */
/* Compiles on the caller's thread unless the same source and options were compiled before. */
vmt_status vmt_grammar_cache_get(vmt_grammar_cache *cache, vmt_grammar **out, vmt_grammar_kind kind,
                                 vmt_str source, const vmt_grammar_options *options, vmt_err *err);

/* ---- vocabularies */

#define VMT_GRAMMAR_TOKEN_MAX 255u /* bytes; no mask has a longer token */

typedef struct vmt_grammar_token {
    vmt_str bytes;   /* empty: never allowed */
    bool is_special; /* allowed only where a grammar names it */
} vmt_grammar_token;

typedef struct vmt_grammar_vocab_config {
    const vmt_grammar_token *tokens; /* [num_tokens] borrowed for the call */
    uint32_t num_tokens;
    const int32_t *eos_ids; /* [num_eos_ids] allowed when the text may end */
    uint32_t num_eos_ids;
    size_t cache_bytes_max; /* of kept answers; 0: 64 MiB */
} vmt_grammar_vocab_config;

vmt_status vmt_grammar_vocab_create(vmt_grammar_vocab **out, const vmt_grammar_vocab_config *config, vmt_err *err);
/* eos_ids as above; the tokenizer may go afterwards. */
vmt_status vmt_grammar_vocab_from_tokenizer(vmt_grammar_vocab **out, const vmt_tokenizer *tokenizer,
                                            const int32_t *eos_ids, uint32_t num_eos_ids, vmt_err *err);
vmt_grammar_vocab *vmt_grammar_vocab_acquire(vmt_grammar_vocab *vocab);
void vmt_grammar_vocab_release(vmt_grammar_vocab *vocab);
uint32_t vmt_grammar_vocab_size(const vmt_grammar_vocab *vocab); /* tokens */

/* ---- matchers */

#define VMT_MATCHER_CONFIGS_MAX 1024u      /* parses followed at once */
#define VMT_MATCHER_STACK_MAX   (1u << 16) /* entries of all stacks: nesting of the text */
#define VMT_MATCHER_WORK_MAX    (1u << 24) /* steps of one mask */
#define VMT_MASK_WORDS(num_ids) (((num_ids) + 31u) / 32u)

/* Both are held until destroy(). */
vmt_status vmt_matcher_create(vmt_matcher **out, vmt_grammar *grammar, vmt_grammar_vocab *vocab, vmt_err *err);
vmt_status vmt_matcher_clone(vmt_matcher **out, const vmt_matcher *matcher, vmt_err *err);
void vmt_matcher_destroy(vmt_matcher *matcher);
void vmt_matcher_reset(vmt_matcher *matcher); /* back to the beginning of the text */

/* Writes bits [num_words]: bit id is set when token id may come next.  Ids at num_words * 32 and above are left out,
 * ids above the vocabulary are 0.  VMT_E_EXHAUSTED: the grammar is too ambiguous here. */
vmt_status vmt_matcher_mask(vmt_matcher *matcher, uint32_t *bits, uint32_t num_words, vmt_err *err);
/* VMT_E_INVALID: the token is not allowed here, and nothing has changed. */
vmt_status vmt_matcher_accept(vmt_matcher *matcher, int32_t token_id, vmt_err *err);
/* The same for text that does not come as tokens; after an error the matcher must be reset. */
vmt_status vmt_matcher_accept_bytes(vmt_matcher *matcher, vmt_str bytes, vmt_err *err);
bool vmt_matcher_can_end(const vmt_matcher *matcher); /* the text is complete as it is */
/* It is complete and nothing may follow, or an end-of-sequence token was accepted. */
bool vmt_matcher_is_ended(const vmt_matcher *matcher);
/* Appends the bytes that must come next whatever the model says, at most bytes_max.  Nothing changes. */
void vmt_matcher_forced(vmt_matcher *matcher, size_t bytes_max, vmt_buf *out);

#endif
