/* Grammars: how fast they compile and mask, and a way to ask them from a script.
 *
 *   grammar_bench TOKENIZER      for each line of stdin, a JSON object, a line with a JSON object.  In:
 *     kind, source, compact, closed, space      the grammar; kind is schema, object, regex, choice, ebnf or tags
 *     texts: [...]                              are they allowed, from first to last byte?
 *     generate: n, seed                         n random texts: a token of the mask each time, then on to the end
 *     time: [...]                               tokenize, mask and accept token by token, and say how long masks took
 *   out: error, or states, bytes, compile_ns, allowed: [bool], generated: [text or null], mask_ns: [...]
 *
 * Times are of this thread's processor: on a busy machine the one clock that tells programs apart. */
#include "base/file.h"
#include "base/rng.h"
#include "json/json_writer.h"
#include "text/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define CLOSE_AFTER    60u /* tokens of a random text; then it is steered to its end */
#define GIVE_UP_AFTER  3000u

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct bench {
    vmt_tokenizer *tokenizer;
    vmt_grammar_vocab *vocab;
    int32_t eos;
    uint32_t num_ids, num_words;
    uint32_t *bits;
    int32_t *ids;
    int32_t closers[5];
};

static bool has_bit(const uint32_t *bits, int32_t id) {
    return id >= 0 && (bits[id / 32] >> (id % 32) & 1);
}

static uint32_t list_bits(const struct bench *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->num_words; i++) {
        for (uint32_t word = b->bits[i]; word != 0; word &= word - 1) {
            b->ids[n++] = (int32_t)(i * 32 + (uint32_t)__builtin_ctz(word));
        }
    }
    return n;
}

/* White space is most of what may stand between two values. */
static bool is_space(const struct bench *b, int32_t id) {
    return id < 0 || vmt_str_trim(vmt_tokenizer_bytes(b->tokenizer, id)).len == 0;
}

static int32_t pick(const struct bench *b, uint32_t num_tokens, uint64_t *seed) {
    uint32_t n = list_bits(b);
    if (n == 0) return -1;
    if (num_tokens > CLOSE_AFTER) {
        if (has_bit(b->bits, b->eos)) return b->eos;
        bool is_steered = vmt_splitmix64(seed) % 2 != 0;
        for (size_t i = 0; i < VMT_COUNT(b->closers) && is_steered; i++) {
            if (has_bit(b->bits, b->closers[i])) return b->closers[i];
        }
        /* Short tokens leave the fewest things open; now and then a pattern wants a space. */
        bool may_be_space = vmt_splitmix64(seed) % 4 == 0;
        for (size_t len = 1; len <= 4; len++) {
            int32_t found = -1;
            uint32_t num = 0;
            for (uint32_t i = 0; i < n; i++) {
                bool fits = vmt_tokenizer_bytes(b->tokenizer, b->ids[i]).len <= len &&
                            (may_be_space || !is_space(b, b->ids[i]));
                if (fits && vmt_splitmix64(seed) % ++num == 0) found = b->ids[i];
            }
            if (found >= 0) return found;
        }
    }
    /* Half of the time something rare: long tokens are most of what a string allows. */
    uint32_t limit = vmt_splitmix64(seed) % 2 ? n : VMT_MIN(n, 100u);
    int32_t id = -1;
    for (uint32_t tries = 0; tries < 3 && is_space(b, id); tries++) id = b->ids[vmt_splitmix64(seed) % limit];
    return id;
}

/* false: it did not end, or the engine contradicted itself; why says which. */
static bool generate(struct bench *b, vmt_grammar *grammar, uint64_t *seed, vmt_buf *out, const char **why) {
    vmt_matcher *m;
    vmt_err err = {0};
    *why = "no memory";
    if (vmt_matcher_create(&m, grammar, b->vocab, &err) != VMT_OK) return false;
    bool ok = false;
    for (uint32_t n = 0; n < GIVE_UP_AFTER; n++) {
        *why = "mask failed";
        if (vmt_matcher_mask(m, b->bits, b->num_words, &err) != VMT_OK) break;
        int32_t id = pick(b, n, seed);
        *why = "dead end";
        if (id < 0) break;
        *why = "a token of the mask was refused";
        if (vmt_matcher_accept(m, id, &err) != VMT_OK) break;
        if (id == b->eos) {
            ok = true;
            break;
        }
        vmt_buf_append(out, vmt_tokenizer_bytes(b->tokenizer, id));
        *why = "no end";
    }
    vmt_matcher_destroy(m);
    return ok;
}

static bool is_allowed(struct bench *b, vmt_grammar *grammar, vmt_str text) {
    vmt_matcher *m;
    vmt_err err = {0};
    if (vmt_matcher_create(&m, grammar, b->vocab, &err) != VMT_OK) return false;
    bool ok = vmt_matcher_accept_bytes(m, text, &err) == VMT_OK && vmt_matcher_can_end(m);
    vmt_matcher_destroy(m);
    return ok;
}

static void time_text(struct bench *b, vmt_grammar *grammar, vmt_str text, vmt_json_writer *w) {
    vmt_matcher *m;
    vmt_err err = {0};
    vmt_tokens tokens = {0};
    if (vmt_matcher_create(&m, grammar, b->vocab, &err) != VMT_OK) return;
    (void)vmt_tokenizer_encode(b->tokenizer, text, (vmt_encode_options){0}, &tokens, &err);
    for (size_t i = 0; i <= tokens.len; i++) {
        uint64_t begin = clock_ns();
        (void)vmt_matcher_mask(m, b->bits, b->num_words, &err);
        uint64_t end = clock_ns();
        int32_t id = i < tokens.len ? tokens.ids[i] : b->eos;
        if (!has_bit(b->bits, id)) {
            fprintf(stderr, "token %zu of %.60s is not in the mask\n", i, text.ptr);
            break;
        }
        vmt_json_u64(w, end - begin);
        if (vmt_matcher_accept(m, id, &err) != VMT_OK) break;
    }
    vmt_tokens_free(&tokens);
    vmt_matcher_destroy(m);
}

static vmt_status compile(vmt_json in, vmt_grammar_vocab *vocab, vmt_grammar **out, vmt_err *err) {
    vmt_str kind = {0}, source = {0};
    vmt_grammar_options options = {.vocab = vocab};
    bool compact = false;
    vmt_json_get_str(VMT_JSON_AT(in, "kind"), &kind);
    vmt_json_get_str(VMT_JSON_AT(in, "source"), &source);
    vmt_json_get_bool(VMT_JSON_AT(in, "compact"), &compact);
    vmt_json_get_bool(VMT_JSON_AT(in, "closed"), &options.closed_objects);
    vmt_json_get_str(VMT_JSON_AT(in, "space"), &options.space_pattern);
    if (compact) options.space = VMT_SPACE_COMPACT;
    if (vmt_str_eq_c(kind, "ebnf")) return vmt_grammar_from_ebnf(out, source, err);
    if (vmt_str_eq_c(kind, "tags")) return vmt_grammar_from_tags(out, source, &options, err);
    if (vmt_str_eq_c(kind, "object")) return vmt_grammar_from_json_object(out, &options, err);
    if (vmt_str_eq_c(kind, "regex")) return vmt_grammar_from_regex(out, source, err);
    return vmt_grammar_from_schema(out, source, &options, err);
}

static void answer(struct bench *b, vmt_json in, vmt_buf *out) {
    vmt_json_writer w;
    vmt_grammar *grammar;
    vmt_err err = {0};
    vmt_str key, text;
    vmt_json item;
    vmt_json_writer_init(&w, out);
    vmt_json_begin_object(&w);
    uint64_t begin = clock_ns();
    vmt_status status = compile(in, b->vocab, &grammar, &err);
    uint64_t compile_ns = clock_ns() - begin;
    vmt_json_key(&w, "compile_ns");
    vmt_json_u64(&w, compile_ns);
    if (status != VMT_OK) {
        vmt_json_key(&w, "error");
        vmt_json_c_str(&w, err.msg);
        vmt_json_end_object(&w);
        return;
    }
    vmt_json_key(&w, "states");
    vmt_json_u64(&w, vmt_grammar_num_states(grammar));
    vmt_json_key(&w, "bytes");
    vmt_json_u64(&w, vmt_grammar_bytes(grammar));
    vmt_json_key(&w, "allowed");
    vmt_json_begin_array(&w);
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(in, "texts")); vmt_json_iter_next(&it, &key, &item);) {
        vmt_json_bool(&w, vmt_json_get_str(item, &text) && is_allowed(b, grammar, text));
    }
    vmt_json_end_array(&w);
    uint64_t count = 0, seed = 1;
    vmt_json_get_u64(VMT_JSON_AT(in, "generate"), &count);
    vmt_json_get_u64(VMT_JSON_AT(in, "seed"), &seed);
    vmt_json_key(&w, "generated");
    vmt_json_begin_array(&w);
    for (uint64_t i = 0; i < count; i++) {
        vmt_buf made;
        const char *why;
        vmt_buf_init(&made, 0);
        bool ok = generate(b, grammar, &seed, &made, &why);
        vmt_json_begin_array(&w);
        if (ok)
            vmt_json_null(&w);
        else
            vmt_json_c_str(&w, why);
        vmt_json_str(&w, vmt_buf_str(&made));
        vmt_json_end_array(&w);
        vmt_buf_free(&made);
    }
    vmt_json_end_array(&w);
    vmt_json_key(&w, "mask_ns");
    vmt_json_begin_array(&w);
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(in, "time")); vmt_json_iter_next(&it, &key, &item);) {
        if (vmt_json_get_str(item, &text)) time_text(b, grammar, text, &w);
    }
    vmt_json_end_array(&w);
    vmt_json_end_object(&w);
    vmt_grammar_release(grammar);
}

static bool load(struct bench *b, const char *path, vmt_err *err) {
    vmt_buf json;
    vmt_buf_init(&json, 0);
    bool ok = vmt_file_read(&json, path, (size_t)1 << 30, err) == VMT_OK &&
              vmt_tokenizer_from_json(&b->tokenizer, vmt_buf_str(&json), err) == VMT_OK;
    vmt_buf_free(&json);
    if (!ok) return false;
    static const char *const ends[] = {"<|im_end|>", "</s>", "<|endoftext|>"};
    b->eos = vmt_tokenizer_eos(b->tokenizer);
    for (size_t i = 0; i < VMT_COUNT(ends) && b->eos < 0; i++) {
        b->eos = vmt_tokenizer_find(b->tokenizer, vmt_str_from(ends[i]));
    }
    b->num_ids = vmt_tokenizer_vocab_size(b->tokenizer);
    b->num_words = VMT_MASK_WORDS(b->num_ids);
    b->bits = calloc(b->num_words, sizeof *b->bits);
    b->ids = calloc((size_t)b->num_words * 32, sizeof *b->ids);
    static const char *const closers[] = {"\"", "}", "]", ",", "0"};
    for (size_t i = 0; i < VMT_COUNT(closers); i++) {
        b->closers[i] = vmt_tokenizer_find(b->tokenizer, vmt_str_from(closers[i]));
    }
    uint64_t begin = clock_ns();
    ok = vmt_grammar_vocab_from_tokenizer(&b->vocab, b->tokenizer, &b->eos, 1, err) == VMT_OK;
    fprintf(stderr, "vocabulary of %u: %.1f ms, end id %d\n", b->num_ids, (double)(clock_ns() - begin) / 1e6,
            b->eos);
    return ok && b->bits && b->ids;
}

int main(int argc, char **argv) {
    struct bench b = {0};
    vmt_err err = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: grammar_bench TOKENIZER < LINES\n");
        return 2;
    }
    if (!load(&b, argv[1], &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) > 0) {
        vmt_json_doc *doc;
        vmt_buf out;
        err = (vmt_err){0};
        vmt_buf_init(&out, 0);
        if (vmt_json_parse(&doc, (vmt_str){line, (size_t)len}, &err) == VMT_OK) {
            answer(&b, vmt_json_root(doc), &out);
            vmt_json_doc_destroy(doc);
        } else {
            vmt_buf_printf(&out, "{\"error\":\"the line is no JSON\"}");
        }
        printf("%.*s\n", (int)out.len, out.ptr ? out.ptr : "");
        fflush(stdout);
        vmt_buf_free(&out);
    }
    free(line);
    free(b.bits);
    free(b.ids);
    vmt_grammar_vocab_release(b.vocab);
    vmt_tokenizer_destroy(b.tokenizer);
    return 0;
}
