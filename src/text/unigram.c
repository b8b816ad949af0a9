#include "text/unigram.h"
#include "text/scratch.h"
#include "text/unicode_class.h"
#include <stdio.h>
#include <stdlib.h>

#define UNK_PENALTY 10.0
#define NODES_MAX   (1u << 27)

/* One step of the best path that ends at a byte. */
struct path {
    double score;
    int32_t from; /* where the step begins; -1: not reached */
    int32_t id;
};

struct word {
    vmt_str key;
    int32_t id;
};

static int compare_words(const void *a, const void *b) {
    return vmt_str_compare(((const struct word *)a)->key, ((const struct word *)b)->key);
}

/* Builds the trie from the sorted keys, one level of a range at a time: a queue of (range, depth, node). */
struct range {
    uint32_t begin, end, depth, node;
};

static vmt_status build_trie(vmt_unigram *u, const struct word *sorted, uint32_t n, size_t total_bytes,
                             vmt_err *err) {
    size_t cap = total_bytes + 1;
    if (cap > NODES_MAX) return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: the vocabulary's text is too long");
    u->nodes = malloc(cap * sizeof *u->nodes);
    u->edge_bytes = malloc(cap);
    u->edge_nodes = malloc(cap * sizeof *u->edge_nodes);
    struct range *queue = malloc(cap * sizeof *queue);
    if (!u->nodes || !u->edge_bytes || !u->edge_nodes || !queue) {
        free(queue);
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for the vocabulary's trie");
    }
    queue[0] = (struct range){0, n, 0, 0};
    u->num_nodes = 1;
    for (uint32_t head = 0; head < u->num_nodes; head++) {
        struct range r = queue[head];
        vmt_unigram_node *node = &u->nodes[r.node];
        *node = (vmt_unigram_node){(int32_t)u->num_edges, 0, -1};
        uint32_t i = r.begin;
        while (i < r.end && sorted[i].key.len == r.depth) node->id = sorted[i++].id;
        while (i < r.end) {
            uint8_t byte = (uint8_t)sorted[i].key.ptr[r.depth];
            uint32_t end = i + 1;
            while (end < r.end && (uint8_t)sorted[end].key.ptr[r.depth] == byte) end++;
            u->edge_bytes[u->num_edges] = byte;
            u->edge_nodes[u->num_edges++] = (int32_t)u->num_nodes;
            queue[u->num_nodes] = (struct range){i, end, r.depth + 1, u->num_nodes};
            u->num_nodes++;
            node->num_edges++;
            i = end;
        }
    }
    free(queue);
    return VMT_OK;
}

vmt_status vmt_unigram_build(vmt_unigram *u, vmt_err *err) {
    const vmt_vocab *vocab = u->vocab;
    struct word *sorted = malloc((vocab->num_ids + 1u) * sizeof *sorted);
    if (!sorted) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for the vocabulary");
    uint32_t n = 0;
    size_t total = 0;
    double min_score = 0;
    bool any = false;
    for (uint32_t id = 0; id < vocab->num_ids; id++) {
        if (!(vocab->present[id] & 1)) continue;
        if (!any || u->scores[id] < min_score) min_score = u->scores[id];
        any = true;
        if (vocab->key[id].len == 0) continue;
        sorted[n++] = (struct word){vmt_vocab_slice(vocab, vocab->key[id]), (int32_t)id};
        total += vocab->key[id].len;
    }
    qsort(sorted, n, sizeof *sorted, compare_words);
    u->unk_score = min_score - UNK_PENALTY;
    u->have_bytes = u->byte_fallback;
    for (uint32_t b = 0; b < 256 && u->byte_fallback; b++) {
        char name[8];
        int len = snprintf(name, sizeof name, "<0x%02X>", b);
        u->byte_ids[b] = vmt_vocab_find_key(vocab, name, (size_t)len);
    }
    vmt_status status = build_trie(u, sorted, n, total, err);
    free(sorted);
    return status;
}

void vmt_unigram_reset(vmt_unigram *u) {
    free(u->scores);
    free(u->nodes);
    free(u->edge_bytes);
    free(u->edge_nodes);
    memset(u, 0, sizeof *u);
}

static inline int32_t child_of(const vmt_unigram *u, int32_t node, uint8_t byte) {
    const vmt_unigram_node *n = &u->nodes[node];
    const uint8_t *bytes = u->edge_bytes + n->first_edge;
    uint32_t lo = 0, hi = n->num_edges;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (bytes[mid] < byte) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < n->num_edges && bytes[lo] == byte ? u->edge_nodes[n->first_edge + (int32_t)lo] : -1;
}

static void walk(const vmt_unigram *u, struct path *paths, const uint8_t *word, size_t len) {
    for (size_t i = 0; i <= len; i++) paths[i].from = -1;
    paths[0].score = 0;
    for (size_t at = 0; at < len;) {
        uint32_t char_len = vmt_utf8_len_valid(word[at]);
        double here = paths[at].score;
        bool have_char = false;
        int32_t node = 0;
        for (size_t i = at; i < len && (node = child_of(u, node, word[i])) >= 0; i++) {
            int32_t id = u->nodes[node].id;
            if (id < 0) continue;
            struct path *target = &paths[i + 1];
            double score = u->scores[id] + here;
            if (target->from < 0 || score > target->score) *target = (struct path){score, (int32_t)at, id};
            if (i + 1 - at == char_len) have_char = true;
        }
        if (!have_char) {
            struct path *target = &paths[at + char_len];
            double score = u->unk_score + here;
            if (target->from < 0 || score > target->score) *target = (struct path){score, (int32_t)at, u->unk_id};
        }
        at += char_len;
    }
}

static vmt_status emit_unknown(const vmt_unigram *u, vmt_scratch *s, const uint8_t *text, size_t len) {
    /* A run of unknown characters may by chance be a word: the reference looks it up again. */
    int32_t id = vmt_vocab_find_key(u->vocab, text, len);
    if (id >= 0) return vmt_scratch_emit(s, id);
    bool have_bytes = u->byte_fallback;
    for (size_t i = 0; i < len && have_bytes; i++) have_bytes = u->byte_ids[text[i]] >= 0;
    if (!have_bytes) {
        if (u->unk_id < 0) {
            return vmt_fail(s->err, VMT_E_INVALID, "the tokenizer has no token for unknown characters");
        }
        return vmt_scratch_emit(s, u->unk_id);
    }
    for (size_t i = 0; i < len; i++) VMT_TRY(vmt_scratch_emit(s, u->byte_ids[text[i]]));
    return VMT_OK;
}

vmt_status vmt_unigram_encode(const vmt_unigram *u, vmt_scratch *s, const uint8_t *word, size_t len) {
    if (len == 0) return VMT_OK;
    if (len >= INT32_MAX) return vmt_fail(s->err, VMT_E_EXHAUSTED, "a word of %zu bytes is too long", len);
    if (len + 1 > s->lattice_cap) {
        size_t cap = len + len / 2 + 256;
        free(s->lattice);
        s->lattice_cap = 0;
        s->lattice = malloc(cap * sizeof(struct path));
        if (!s->lattice) return vmt_fail(s->err, VMT_E_NO_MEMORY, "no memory to encode a word of %zu bytes", len);
        s->lattice_cap = cap;
    }
    struct path *paths = s->lattice;
    walk(u, paths, word, len);
    /* Turn the path around: paths[i].score's place is free to note where the step that begins at i ends. */
    int32_t end = (int32_t)len;
    while (end > 0) {
        struct path *step = &paths[end];
        int32_t from = step->from, id = step->id;
        paths[from].score = (double)end;
        step->from = from;
        step->id = id;
        end = from;
    }
    for (size_t at = 0; at < len;) {
        size_t to = (size_t)paths[at].score;
        int32_t id = paths[to].id;
        if (id >= 0 && id != u->unk_id) {
            VMT_TRY(vmt_scratch_emit(s, id));
            at = to;
            continue;
        }
        while (to < len && paths[(size_t)paths[to].score].id == u->unk_id) to = (size_t)paths[to].score;
        VMT_TRY(emit_unknown(u, s, word + at, to - at));
        at = to;
    }
    return VMT_OK;
}
