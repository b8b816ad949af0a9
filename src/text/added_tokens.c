#include "text/added_tokens.h"
#include "text/unicode_class.h"
#include <stdlib.h>

vmt_status vmt_added_set_init(vmt_added_set *set, size_t num_bytes, vmt_err *err) {
    memset(set, 0, sizeof *set);
    if (num_bytes > VMT_ADDED_BYTES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: %zu bytes of added tokens, the limit is %u", num_bytes,
                        VMT_ADDED_BYTES_MAX);
    }
    uint32_t num_edges = 16;
    while (num_edges < 2 * num_bytes) num_edges *= 2;
    set->edge_mask = num_edges - 1;
    set->nodes_cap = (uint32_t)num_bytes + 1;
    set->edges = calloc(num_edges, sizeof *set->edges);
    set->token_of = malloc(set->nodes_cap * sizeof *set->token_of);
    if (!set->edges || !set->token_of)
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for added tokens");
    set->token_of[0] = -1;
    set->num_nodes = 1;
    set->mix = (uint32_t)vmt_hash_key_random().k0 | 1;
    set->only_first = -1;
    return VMT_OK;
}

void vmt_added_set_reset(vmt_added_set *set) {
    free(set->tokens);
    free(set->edges);
    free(set->token_of);
    memset(set, 0, sizeof *set);
}

static inline vmt_trie_edge *edge_of(const vmt_added_set *set, uint32_t node, uint8_t byte) {
    uint32_t key = (node << 8 | byte) + 1;
    uint32_t h = key * set->mix;
    for (uint32_t pos = (h ^ h >> 15) & set->edge_mask;; pos = (pos + 1) & set->edge_mask) {
        vmt_trie_edge *edge = &set->edges[pos];
        if (edge->key == key || edge->key == 0) return edge;
    }
}

vmt_status vmt_added_set_add(vmt_added_set *set, vmt_str text, vmt_added_token token, vmt_err *err) {
    if (text.len == 0) return VMT_OK;
    uint32_t node = 0;
    for (size_t i = 0; i < text.len; i++) {
        vmt_trie_edge *edge = edge_of(set, node, (uint8_t)text.ptr[i]);
        if (edge->key == 0) {
            VMT_ASSERT(set->num_nodes < set->nodes_cap);
            edge->key = (node << 8 | (uint8_t)text.ptr[i]) + 1;
            edge->node = set->num_nodes;
            set->token_of[set->num_nodes++] = -1;
        }
        node = edge->node;
    }
    vmt_status status = vmt_array_grow((void **)&set->tokens, &set->tokens_cap, set->num_tokens + 1,
                                       sizeof *set->tokens, VMT_ADDED_BYTES_MAX);
    if (status != VMT_OK) return vmt_fail(err, status, "tokenizer: no memory for added tokens");
    set->tokens[set->num_tokens] = token;
    set->token_of[node] = (int32_t)set->num_tokens++;
    uint8_t first = (uint8_t)text.ptr[0];
    if (!set->first[first]) {
        set->first[first] = true;
        set->only_first = set->num_tokens == 1 ? first : -1;
    }
    return VMT_OK;
}

static bool is_word(uint32_t c) {
    return (vmt_unicode_facts_of(c) & VMT_UNICODE_WORD) != 0;
}

static uint32_t char_before(vmt_str text, size_t *pos) {
    do (*pos)--;
    while (((uint8_t)text.ptr[*pos] & 0xC0) == 0x80);
    uint32_t n;
    return vmt_utf8_decode_valid((const uint8_t *)text.ptr + *pos, &n);
}

static bool touches_word(vmt_str text, size_t begin, size_t end) {
    uint32_t n;
    if (begin > 0 && is_word(char_before(text, &begin))) return true;
    return end < text.len && is_word(vmt_utf8_decode_valid((const uint8_t *)text.ptr + end, &n));
}

/* The longest token at pos; its end, or 0. */
static size_t longest_at(const vmt_added_set *set, vmt_str text, size_t pos, const vmt_added_token **token) {
    uint32_t node = 0;
    size_t end = 0;
    for (size_t i = pos; i < text.len; i++) {
        const vmt_trie_edge *edge = edge_of(set, node, (uint8_t)text.ptr[i]);
        if (edge->key == 0) break;
        node = edge->node;
        if (set->token_of[node] >= 0) {
            *token = &set->tokens[set->token_of[node]];
            end = i + 1;
        }
    }
    return end;
}

static size_t next_candidate(const vmt_added_set *set, vmt_str text, size_t pos) {
    if (set->only_first >= 0) {
        const char *hit = pos < text.len ? memchr(text.ptr + pos, set->only_first, text.len - pos) : NULL;
        return hit ? (size_t)(hit - text.ptr) : text.len;
    }
    while (pos < text.len && !set->first[(uint8_t)text.ptr[pos]]) pos++;
    return pos;
}

bool vmt_added_next(const vmt_added_set *set, vmt_str text, bool plain_special, vmt_added_iter *it,
                    vmt_added_match *out) {
    if (set->num_tokens == 0) return false;
    for (;;) {
        size_t begin = next_candidate(set, text, it->pos);
        if (begin >= text.len) return false;
        const vmt_added_token *token = NULL;
        size_t end = longest_at(set, text, begin, &token);
        if (end == 0) {
            it->pos = begin + 1;
            continue;
        }
        it->pos = end; /* also when it does not count: its text is then plain */
        if (plain_special && token->special) continue;
        if (token->single_word && touches_word(text, begin, end)) continue;
        size_t stripped = begin;
        while (token->lstrip && stripped > 0) {
            size_t before = stripped;
            if (!vmt_unicode_is_space(char_before(text, &before))) break;
            stripped = before;
        }
        if (token->lstrip) begin = VMT_MAX(stripped, it->done);
        while (token->rstrip && end < text.len) {
            uint32_t n;
            if (!vmt_unicode_is_space(vmt_utf8_decode_valid((const uint8_t *)text.ptr + end, &n))) break;
            end += n;
        }
        *out = (vmt_added_match){token, begin, end};
        return true;
    }
}
