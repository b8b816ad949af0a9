/* text/grammar_vocab.c: the tokens of a vocabulary as tries, and the sets of those that are plain. */
#include "text/grammar_private.h"
#include "base/utf8.h"

#include <stdlib.h>

#define CACHE_BYTES ((size_t)64 << 20)
#define WARM_TOKENS 10000u /* smaller vocabularies are walked in no time */

/* ---- building */

struct entry {
    const char *ptr;
    uint32_t len;
    int32_t id;
};

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = memcmp(x->ptr, y->ptr, VMT_MIN(x->len, y->len));
    if (order != 0) return order;
    if (x->len != y->len) return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static uint32_t common_prefix(const struct entry *a, const struct entry *b) {
    uint32_t n = 0, max = VMT_MIN(a->len, b->len);
    while (n < max && a->ptr[n] == b->ptr[n]) n++;
    return n;
}

/* entries are sorted and distinct. */
static bool build_trie(vmt_trie *trie, const struct entry *entries, uint32_t num_entries) {
    size_t num_nodes = 0;
    for (uint32_t i = 0; i < num_entries; i++) {
        num_nodes += entries[i].len - (i > 0 ? common_prefix(&entries[i - 1], &entries[i]) : 0);
    }
    if (num_nodes >= VMT_NO_INDEX) return false;
    trie->nodes = malloc((num_nodes + 1) * sizeof *trie->nodes);
    if (!trie->nodes) return false;
    uint32_t path[VMT_GRAMMAR_TOKEN_MAX + 1], depth = 0, n = 0;
    for (uint32_t i = 0; i < num_entries; i++) {
        uint32_t shared = i > 0 ? common_prefix(&entries[i - 1], &entries[i]) : 0;
        for (; depth > shared; depth--) trie->nodes[path[depth - 1]].size = n - path[depth - 1];
        for (; depth < entries[i].len; depth++) {
            path[depth] = n;
            trie->nodes[n++] = (vmt_trie_node){
                .token_id = -1, .byte = (uint8_t)entries[i].ptr[depth], .depth = (uint8_t)(depth + 1)};
        }
        trie->nodes[n - 1].token_id = entries[i].id;
    }
    for (; depth > 0; depth--) trie->nodes[path[depth - 1]].size = n - path[depth - 1];
    trie->num_nodes = n;
    return true;
}

/* Characters of a plain token, or 0. */
static uint32_t plain_chars(vmt_str bytes) {
    uint32_t n = 0;
    if (!vmt_utf8_valid(bytes)) return 0;
    for (size_t pos = 0; pos < bytes.len; n++) {
        uint32_t c = vmt_utf8_next(bytes, &pos);
        if (c < 0x20 || c == '"' || c == '\\') return 0;
    }
    return n;
}

static int compare_long(const void *a, const void *b) {
    const uint32_t *x = a, *y = b; /* (characters, id) */
    if (x[0] != y[0]) return x[0] > y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

static bool note_plain(vmt_grammar_vocab *vocab, const uint16_t *chars) {
    uint32_t num_long = 0;
    for (uint32_t k = 0; k <= VMT_PLAIN_COUNTS; k++) {
        vocab->plain[k] = calloc(vocab->num_words, sizeof *vocab->plain[k]);
        if (!vocab->plain[k]) return false;
    }
    for (uint32_t id = 0; id < vocab->num_tokens; id++) {
        if (chars[id] == 0) continue;
        vmt_mask_set(vocab->plain[0], id);
        for (uint32_t k = chars[id]; k <= VMT_PLAIN_COUNTS; k++) vmt_mask_set(vocab->plain[k], id);
        num_long += chars[id] > VMT_PLAIN_COUNTS;
    }
    uint32_t(*longs)[2] = malloc((num_long + 1) * sizeof *longs), n = 0;
    vocab->long_plain = malloc((num_long + 1) * sizeof *vocab->long_plain);
    vocab->long_plain_chars = malloc((num_long + 1) * sizeof *vocab->long_plain_chars);
    bool ok = longs && vocab->long_plain && vocab->long_plain_chars;
    for (uint32_t id = 0; ok && id < vocab->num_tokens; id++) {
        if (chars[id] <= VMT_PLAIN_COUNTS) continue;
        longs[n][0] = chars[id];
        longs[n++][1] = id;
    }
    if (ok) qsort(longs, n, sizeof *longs, compare_long);
    for (uint32_t i = 0; ok && i < n; i++) {
        vocab->long_plain_chars[i] = (uint16_t)longs[i][0];
        vocab->long_plain[i] = (int32_t)longs[i][1];
    }
    vocab->num_long_plain = n;
    free(longs);
    return ok;
}

static bool is_member(uint32_t set, vmt_str bytes, uint32_t num_plain_chars) {
    if (set == VMT_SET_NONE) return false;
    if (set == VMT_SET_PLAIN) return num_plain_chars > 0;
    if (set != VMT_SET_SPACE && bytes.len > VMT_WORD_BYTES) return false;
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = (uint8_t)bytes.ptr[i], letter = set == VMT_SET_WORD ? c | 0x20 : c;
        bool is_word = (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z');
        bool is_space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (!(set == VMT_SET_SPACE ? is_space : is_word)) return false;
    }
    return true;
}

/* Sorts, links twins, and builds both tries and the plain sets. */
static bool index_tokens(vmt_grammar_vocab *vocab) {
    struct entry *entries = malloc(((size_t)vocab->num_tokens + 1) * sizeof *entries);
    uint16_t *chars = calloc((size_t)vocab->num_tokens + 1, sizeof *chars);
    bool ok = entries && chars;
    uint32_t n = 0, num_distinct = 0;
    for (uint32_t id = 0; ok && id < vocab->num_tokens; id++) {
        vmt_str bytes = vmt_vocab_token(vocab, (int32_t)id);
        vocab->twin[id] = -1;
        if (bytes.len == 0) continue;
        entries[n++] = (struct entry){bytes.ptr, (uint32_t)bytes.len, (int32_t)id};
        chars[id] = (uint16_t)plain_chars(bytes);
    }
    if (ok) qsort(entries, n, sizeof *entries, compare_entries);
    for (uint32_t i = 0; i < n; i++) {
        struct entry *last = num_distinct > 0 ? &entries[num_distinct - 1] : NULL;
        if (last && last->len == entries[i].len && memcmp(last->ptr, entries[i].ptr, last->len) == 0) {
            vocab->twin[entries[i].id] = vocab->twin[last->id];
            vocab->twin[last->id] = entries[i].id;
            continue;
        }
        entries[num_distinct++] = entries[i];
    }
    struct entry *rest = malloc(((size_t)num_distinct + 1) * sizeof *rest);
    ok = ok && rest && note_plain(vocab, chars);
    for (uint32_t set = 0; ok && set < VMT_NUM_SETS; set++) {
        uint32_t num_rest = 0;
        vocab->members[set] = calloc(vocab->num_words, sizeof *vocab->members[set]);
        ok = vocab->members[set] != NULL;
        for (uint32_t i = 0; ok && i < num_distinct; i++) {
            const struct entry *e = &entries[i];
            if (is_member(set, (vmt_str){e->ptr, e->len}, chars[e->id])) {
                vmt_mask_set_token(vocab, vocab->members[set], e->id);
            } else {
                rest[num_rest++] = *e;
            }
        }
        ok = ok && build_trie(&vocab->tries[set], rest, num_rest);
    }
    free(rest);
    free(entries);
    free(chars);
    return ok;
}

static bool copy_tokens(vmt_grammar_vocab *vocab, const vmt_grammar_vocab_config *config) {
    vmt_buf_init(&vocab->blob, 0);
    vocab->begin = malloc(((size_t)vocab->num_tokens + 1) * sizeof *vocab->begin);
    vocab->twin = malloc(((size_t)vocab->num_tokens + 1) * sizeof *vocab->twin);
    vocab->eos_ids = malloc(((size_t)config->num_eos_ids + 1) * sizeof *vocab->eos_ids);
    if (!vocab->begin || !vocab->twin || !vocab->eos_ids) return false;
    for (uint32_t i = 0; i < config->num_eos_ids; i++) {
        int32_t id = config->eos_ids[i];
        if (id >= 0 && (uint32_t)id < vocab->num_tokens) vocab->eos_ids[vocab->num_eos_ids++] = id;
    }
    for (uint32_t id = 0; id < vocab->num_tokens; id++) {
        const vmt_grammar_token *token = &config->tokens[id];
        vocab->begin[id] = (uint32_t)vocab->blob.len;
        if (token->bytes.len == 0 || token->bytes.len + token->is_special > VMT_GRAMMAR_TOKEN_MAX) continue;
        if (token->is_special) vmt_buf_append_byte(&vocab->blob, VMT_SPECIAL_BYTE);
        vmt_buf_append(&vocab->blob, token->bytes);
    }
    vocab->begin[vocab->num_tokens] = (uint32_t)vocab->blob.len;
    return !vocab->blob.failed;
}

/* Asks for the answers that nearly every grammar needs: within strings, of any length and near their end; and those of
 * the formats that are used most, whose states allow few of the tokens and take long to find them. */
static void warm_up(vmt_grammar_vocab *vocab) {
    static const struct {
        const char *schema, *text;
        uint32_t num_more; /* letters after the text */
    } uses[] = {
        {"{\"type\":\"string\"}", "\"a\\", 0},
        {"{\"type\":\"string\",\"maxLength\":1000}", "\"a\\", 0},
        {"{\"type\":\"string\",\"maxLength\":40}", "\"", 40},
        {"{\"type\":\"number\"}", "-1.5e1", 0},
        {"{\"type\":\"integer\"}", "-1", 0},
        {"{\"type\":\"string\",\"format\":\"email\"}", "\"ada@example.org", 0},
        {"{\"type\":\"string\",\"format\":\"uri\"}", "\"http://foo.bar/a?b#c", 0},
    };
    uint32_t *bits = malloc((vocab->num_words + 1) * sizeof *bits);
    for (size_t i = 0; bits && i < VMT_COUNT(uses); i++) {
        vmt_grammar *grammar;
        vmt_matcher *m = NULL;
        vmt_str text = vmt_str_from(uses[i].text);
        if (vmt_grammar_from_schema(&grammar, vmt_str_from(uses[i].schema), NULL, NULL) != VMT_OK) continue;
        if (vmt_matcher_create(&m, grammar, vocab, NULL) == VMT_OK) {
            for (size_t k = 0; k < text.len + uses[i].num_more; k++) {
                vmt_str next = k < text.len ? vmt_str_slice(text, k, k + 1) : VMT_STR("a");
                if (vmt_matcher_accept_bytes(m, next, NULL) != VMT_OK) break;
                if (vmt_matcher_mask(m, bits, vocab->num_words, NULL) != VMT_OK) break;
            }
        }
        vmt_matcher_destroy(m);
        vmt_grammar_release(grammar);
    }
    free(bits);
}

vmt_status vmt_grammar_vocab_create(vmt_grammar_vocab **out, const vmt_grammar_vocab_config *config,
                                    vmt_err *err) {
    *out = NULL;
    VMT_ASSERT(config->num_tokens <= VMT_VOCAB_MAX);
    vmt_grammar_vocab *vocab = calloc(1, sizeof *vocab);
    if (!vocab) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the grammar vocabulary");
    atomic_init(&vocab->num_refs, 1);
    vocab->num_tokens = config->num_tokens;
    vocab->num_words = VMT_MASK_WORDS(config->num_tokens);
    vocab->cache = vmt_mask_cache_create(config->cache_bytes_max ? config->cache_bytes_max : CACHE_BYTES);
    if (!vocab->cache || !copy_tokens(vocab, config) || !index_tokens(vocab)) {
        vmt_grammar_vocab_release(vocab);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the grammar vocabulary");
    }
    if (config->num_tokens >= WARM_TOKENS) warm_up(vocab);
    *out = vocab;
    return VMT_OK;
}

vmt_status vmt_grammar_vocab_from_tokenizer(vmt_grammar_vocab **out, const vmt_tokenizer *tokenizer,
                                            const int32_t *eos_ids, uint32_t num_eos_ids, vmt_err *err) {
    *out = NULL;
    uint32_t n = vmt_tokenizer_vocab_size(tokenizer);
    vmt_grammar_token *tokens = calloc((size_t)n + 1, sizeof *tokens);
    if (!tokens) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the grammar vocabulary");
    for (uint32_t id = 0; id < n; id++) {
        tokens[id].is_special = vmt_tokenizer_is_special(tokenizer, (int32_t)id);
        tokens[id].bytes = tokens[id].is_special ? vmt_tokenizer_spelling(tokenizer, (int32_t)id)
                                                 : vmt_tokenizer_bytes(tokenizer, (int32_t)id);
    }
    vmt_grammar_vocab_config config = {
        .tokens = tokens, .num_tokens = n, .eos_ids = eos_ids, .num_eos_ids = num_eos_ids};
    vmt_status status = vmt_grammar_vocab_create(out, &config, err);
    free(tokens);
    return status;
}

vmt_grammar_vocab *vmt_grammar_vocab_acquire(vmt_grammar_vocab *vocab) {
    atomic_fetch_add(&vocab->num_refs, 1);
    return vocab;
}

void vmt_grammar_vocab_release(vmt_grammar_vocab *vocab) {
    if (!vocab || atomic_fetch_sub(&vocab->num_refs, 1) != 1) return;
    vmt_mask_cache_destroy(vocab->cache);
    for (uint32_t k = 0; k <= VMT_PLAIN_COUNTS; k++) free(vocab->plain[k]);
    free(vocab->long_plain);
    free(vocab->long_plain_chars);
    for (uint32_t set = 0; set < VMT_NUM_SETS; set++) {
        free(vocab->tries[set].nodes);
        free(vocab->members[set]);
    }
    free(vocab->begin);
    free(vocab->twin);
    free(vocab->eos_ids);
    vmt_buf_free(&vocab->blob);
    free(vocab);
}

uint32_t vmt_grammar_vocab_size(const vmt_grammar_vocab *vocab) {
    return vocab->num_tokens;
}

bool vmt_vocab_has_special(const vmt_grammar_vocab *vocab, vmt_str text) {
    uint32_t at = 0, end = vocab->tries[VMT_SET_NONE].num_nodes;
    for (size_t i = 0; i <= text.len; i++) {
        uint8_t want = (uint8_t)(i == 0 ? VMT_SPECIAL_BYTE : text.ptr[i - 1]);
        while (at < end && vocab->tries[VMT_SET_NONE].nodes[at].byte != want)
            at += vocab->tries[VMT_SET_NONE].nodes[at].size;
        if (at >= end) return false;
        if (i == text.len) return vocab->tries[VMT_SET_NONE].nodes[at].token_id >= 0;
        end = at + vocab->tries[VMT_SET_NONE].nodes[at].size;
        at++;
    }
    return false;
}
