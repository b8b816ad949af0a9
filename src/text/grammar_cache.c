/* text/grammar_cache.c: compiled grammars by what they were compiled from.
 *
 * Two threads that want the same new grammar both compile it; the second one's is dropped.  Waiting would tie a thread
 * to another request's work, and it happens once per grammar at most. */
#include "json/json.h"
#include "text/grammar_private.h"
#include "base/recency.h"

#include <stdlib.h>

#define NUM_BUCKETS 1024u

struct entry {
    vmt_hash128 key;
    vmt_grammar *grammar;
    size_t bytes;
    vmt_recency_link use;
    struct entry *next; /* in its bucket */
};

struct vmt_grammar_cache {
    pthread_mutex_t lock;
    vmt_hash_key seed;
    size_t bytes, bytes_max;
    vmt_recency uses;
    struct entry *buckets[NUM_BUCKETS];
};

vmt_grammar_cache *vmt_grammar_cache_create(size_t bytes_max) {
    vmt_grammar_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    VMT_ASSERT(pthread_mutex_init(&cache->lock, NULL) == 0);
    cache->seed = vmt_hash_key_random();
    cache->bytes_max = bytes_max;
    return cache;
}

static void evict(vmt_grammar_cache *cache, struct entry *e) {
    struct entry **at = &cache->buckets[e->key.lo % NUM_BUCKETS];
    while (*at != e) at = &(*at)->next;
    *at = e->next;
    vmt_recency_remove(&cache->uses, &e->use);
    cache->bytes -= e->bytes;
    vmt_grammar_release(e->grammar);
    free(e);
}

static struct entry *oldest(const vmt_grammar_cache *cache) {
    return VMT_RECENCY_ENTRY(cache->uses.oldest, struct entry, use);
}

void vmt_grammar_cache_destroy(vmt_grammar_cache *cache) {
    if (!cache) return;
    while (cache->uses.oldest) evict(cache, oldest(cache));
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static struct entry *look_up(vmt_grammar_cache *cache, vmt_hash128 key) {
    struct entry *e = cache->buckets[key.lo % NUM_BUCKETS];
    while (e && !vmt_hash128_eq(e->key, key)) e = e->next;
    return e;
}

/* Kind, options and source in one text; lengths keep them apart. */
static bool key_of(vmt_grammar_cache *cache, vmt_grammar_kind kind, vmt_str source,
                   const vmt_grammar_options *options, vmt_hash128 *out) {
    vmt_grammar_options o = options ? *options : (vmt_grammar_options){0};
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    vmt_buf_printf(&buf, "%d %d %d %p %zu ", (int)kind, (int)o.space, (int)o.closed_objects, (const void *)o.vocab,
                   o.space_pattern.len);
    vmt_buf_append(&buf, o.space_pattern);
    vmt_buf_append(&buf, source);
    bool ok = !buf.failed;
    if (ok) *out = vmt_siphash128(cache->seed, buf.ptr, buf.len);
    vmt_buf_free(&buf);
    return ok;
}

static vmt_status compile_choice(vmt_grammar **out, vmt_str source, vmt_err *err) {
    vmt_json_doc *doc;
    VMT_TRY(vmt_json_parse(&doc, source, err));
    vmt_json root = vmt_json_root(doc), item;
    vmt_str key;
    size_t n = 0, num = vmt_json_size(root);
    vmt_str *choices = calloc(num + 1, sizeof *choices);
    vmt_status status = choices ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the grammar");
    for (vmt_json_iter it = vmt_json_iter_begin(root); status == VMT_OK && vmt_json_iter_next(&it, &key, &item);
         n++) {
        if (!vmt_json_get_str(item, &choices[n])) {
            status = vmt_fail(err, VMT_E_INVALID, "choice: it must be a list of strings");
        }
    }
    if (status == VMT_OK) status = vmt_grammar_from_choice(out, choices, n, err);
    free(choices);
    vmt_json_doc_destroy(doc);
    return status;
}

static vmt_status compile(vmt_grammar **out, vmt_grammar_kind kind, vmt_str source,
                          const vmt_grammar_options *options, vmt_err *err) {
    switch (kind) {
    case VMT_GRAMMAR_SCHEMA: return vmt_grammar_from_schema(out, source, options, err);
    case VMT_GRAMMAR_JSON_OBJECT: return vmt_grammar_from_json_object(out, options, err);
    case VMT_GRAMMAR_REGEX: return vmt_grammar_from_regex(out, source, err);
    case VMT_GRAMMAR_CHOICE: return compile_choice(out, source, err);
    case VMT_GRAMMAR_EBNF: return vmt_grammar_from_ebnf(out, source, err);
    case VMT_GRAMMAR_TAGS: return vmt_grammar_from_tags(out, source, options, err);
    }
    return VMT_E_INTERNAL;
}

static vmt_grammar *find(vmt_grammar_cache *cache, vmt_hash128 key) {
    vmt_grammar *grammar = NULL;
    pthread_mutex_lock(&cache->lock);
    struct entry *e = look_up(cache, key);
    if (e) {
        grammar = vmt_grammar_acquire(e->grammar);
        vmt_recency_touch(&cache->uses, &e->use);
    }
    pthread_mutex_unlock(&cache->lock);
    return grammar;
}

/* Keeps a reference of its own, if there is room at all. */
static void put(vmt_grammar_cache *cache, vmt_hash128 key, vmt_grammar *grammar) {
    size_t bytes = sizeof(struct entry) + vmt_grammar_bytes(grammar);
    struct entry *e = bytes <= cache->bytes_max ? malloc(sizeof *e) : NULL;
    if (!e) return;
    *e = (struct entry){.key = key, .grammar = grammar, .bytes = bytes};
    pthread_mutex_lock(&cache->lock);
    if (look_up(cache, key)) {
        free(e);
    } else {
        while (cache->bytes + bytes > cache->bytes_max) evict(cache, oldest(cache));
        vmt_grammar_acquire(grammar);
        e->next = cache->buckets[key.lo % NUM_BUCKETS];
        cache->buckets[key.lo % NUM_BUCKETS] = e;
        vmt_recency_add(&cache->uses, &e->use);
        cache->bytes += bytes;
    }
    pthread_mutex_unlock(&cache->lock);
}

vmt_status vmt_grammar_cache_get(vmt_grammar_cache *cache, vmt_grammar **out, vmt_grammar_kind kind,
                                 vmt_str source, const vmt_grammar_options *options, vmt_err *err) {
    vmt_hash128 key;
    *out = NULL;
    if (source.len > VMT_GRAMMAR_SOURCE_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the grammar is %zu bytes, the limit is %zu", source.len,
                        VMT_GRAMMAR_SOURCE_MAX);
    }
    if (!key_of(cache, kind, source, options, &key))
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a grammar");
    *out = find(cache, key);
    if (*out) return VMT_OK;
    VMT_TRY(compile(out, kind, source, options, err));
    put(cache, key, *out);
    return VMT_OK;
}
