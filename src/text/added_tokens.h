/* text/added_tokens.h: tokens that are found in the text before anything else is done to it, longest at each place,
 * e.g. "<|im_start|>".  A trie over bytes. */
#ifndef VMT_TEXT_ADDED_TOKENS_H
#define VMT_TEXT_ADDED_TOKENS_H

#include "base/hash.h"
#include "text/tokenizer.h"

#define VMT_ADDED_BYTES_MAX (1u << 24) /* text of all added tokens */

typedef struct vmt_added_token {
    int32_t id;
    bool special;
    bool single_word;    /* only where no word character touches it */
    bool lstrip, rstrip; /* takes the white space before or after it along */
} vmt_added_token;

typedef struct vmt_trie_edge {
    uint32_t key; /* node << 8 | byte, plus 1; 0: empty */
    uint32_t node;
} vmt_trie_edge;

typedef struct vmt_added_set {
    vmt_added_token *tokens;
    size_t num_tokens, tokens_cap;
    vmt_trie_edge *edges;
    uint32_t edge_mask;
    int32_t *token_of; /* [num_nodes] index into tokens, or -1 */
    uint32_t num_nodes, nodes_cap;
    uint32_t mix;
    bool first[256]; /* bytes a token begins with */
    int only_first;  /* that byte if there is just one, else -1 */
} vmt_added_set;

/* Room for tokens of so many bytes in all. */
vmt_status vmt_added_set_init(vmt_added_set *set, size_t num_bytes, vmt_err *err);
void vmt_added_set_reset(vmt_added_set *set);
/* Of two tokens with one text the later counts.  Empty text is ignored. */
vmt_status vmt_added_set_add(vmt_added_set *set, vmt_str text, vmt_added_token token, vmt_err *err);

typedef struct vmt_added_match {
    const vmt_added_token *token;
    size_t begin, end; /* with the white space it takes along */
} vmt_added_match;

typedef struct vmt_added_iter {
    size_t pos;  /* where to search on */
    size_t done; /* text before this has been given out */
} vmt_added_iter;

/* The next match in text; false when there is none. */
bool vmt_added_next(const vmt_added_set *set, vmt_str text, bool plain_special, vmt_added_iter *it,
                    vmt_added_match *out);

#endif
