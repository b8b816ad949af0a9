/* The tokenizers of tests/golden against the vectors made with the `tokenizers` library, and what must hold for any
 * tokenizer: streaming equals decoding, limits, clear refusals, no crash on damaged files. */
#include "text/tokenizer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/utf8.h"
#include "json/json.h"
#include "text/detokenizer.h"
#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 26)

static vmt_buf read_file(vmt_test *t, const char *path) {
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    vmt_err err = {0};
    if (vmt_file_read(&buf, path, FILE_MAX, &err) != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    return buf;
}

static vmt_tokenizer *load(vmt_test *t, const char *path) {
    vmt_buf text = read_file(t, path);
    vmt_tokenizer *tok = NULL;
    vmt_err err = {0};
    if (vmt_tokenizer_from_json(&tok, vmt_buf_str(&text), &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", path, err.msg);
    }
    vmt_buf_free(&text);
    return tok;
}

static vmt_tokenizer *load_fixture(vmt_test *t, const char *name) {
    return load(t, vmt_arena_printf(t->arena, "tests/golden/tokenizers/%s.json", name).ptr);
}

static void check_streaming(vmt_test *t, const vmt_tokenizer *tok, const vmt_tokens *tokens, vmt_str want) {
    vmt_detokenizer d;
    vmt_detokenizer_init(&d, tok, false);
    vmt_buf out;
    vmt_buf_init(&out, 0);
    for (size_t i = 0; i < tokens->len; i++) {
        vmt_detokenizer_push(&d, tokens->ids[i], &out);
        vmt_expect_eq(t, vmt_utf8_complete_prefix(vmt_buf_str(&out)), out.len);
    }
    vmt_detokenizer_flush(&d, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), want);
    vmt_buf_free(&out);
}

static void check_case(vmt_test *t, const vmt_tokenizer *tok, const char *name, vmt_str text, vmt_json want,
                       const vmt_str *want_text) {
    vmt_tokens tokens = {0};
    vmt_err err = {0};
    if (vmt_tokenizer_encode(tok, text, (vmt_encode_options){.add_special = true}, &tokens, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", name, err.msg);
    }
    vmt_json item;
    vmt_str key;
    size_t n = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(want); vmt_json_iter_next(&it, &key, &item); n++) {
        int64_t id = -1;
        vmt_json_get_i64(item, &id);
        if (n >= tokens.len || tokens.ids[n] != id) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: token %zu of '%.*s' is %d, not %d", name, n,
                          VMT_STR_ARG(text), n < tokens.len ? tokens.ids[n] : -1, (int)id);
        }
    }
    vmt_expect_eq(t, n, tokens.len);
    vmt_buf decoded;
    vmt_buf_init(&decoded, 0);
    vmt_tokenizer_decode(tok, tokens.ids, tokens.len, true, &decoded);
    if (want_text) vmt_expect_slice(t, vmt_buf_str(&decoded), *want_text);
    vmt_buf_clear(&decoded);
    vmt_tokenizer_decode(tok, tokens.ids, tokens.len, false, &decoded);
    check_streaming(t, tok, &tokens, vmt_buf_str(&decoded));
    vmt_buf_free(&decoded);
    vmt_tokens_free(&tokens);
}

static void check_vectors(vmt_test *t, bool fixtures, const char *dir) {
    vmt_buf file = read_file(t, "tests/golden/tokenizer_vectors.json");
    vmt_json_doc *doc;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_json_parse(&doc, vmt_buf_str(&file), &err), VMT_OK);
    vmt_json root = vmt_json_root(doc), texts = VMT_JSON_AT(root, "texts"), entry, ids, text_item;
    vmt_str key, ids_key, path, name;
    uint32_t num_checked = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(root, "tokenizers"));
         vmt_json_iter_next(&it, &key, &entry);) {
        vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(entry, "path"), &path));
        vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(entry, "name"), &name));
        if (vmt_str_starts(path, VMT_STR("tokenizers/")) != fixtures) continue;
        vmt_str full = vmt_arena_printf(t->arena, "%s/%.*s", dir, VMT_STR_ARG(path));
        if (!fixtures && !vmt_file_exists(full.ptr)) continue;
        vmt_tokenizer *tok = load(t, full.ptr);
        const char *c_name = vmt_arena_dup(t->arena, name).ptr;
        vmt_json decoded = VMT_JSON_AT(entry, "decoded");
        vmt_json_iter text_it = vmt_json_iter_begin(texts),
                      ids_it = vmt_json_iter_begin(VMT_JSON_AT(entry, "ids"));
        for (uint32_t i = 0;
             vmt_json_iter_next(&text_it, &key, &text_item) && vmt_json_iter_next(&ids_it, &ids_key, &ids); i++) {
            vmt_str text;
            vmt_expect(t, vmt_json_get_str(text_item, &text));
            vmt_str want = text, number = vmt_arena_printf(t->arena, "%u", i);
            vmt_json_get_str(vmt_json_member(decoded, number), &want);
            check_case(t, tok, c_name, text, ids, fixtures ? &want : NULL);
        }
        num_checked++;
        vmt_tokenizer_destroy(tok);
    }
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&file);
    vmt_expect(t, num_checked > 0);
}

static void fixtures_equal_the_reference(vmt_test *t) {
    check_vectors(t, true, "tests/golden");
}

static void real_tokenizers_equal_the_reference(vmt_test *t) {
    const char *dir = getenv("VMT_TOKENIZER_DIR");
    if (!dir) vmt_test_skip(t, "VMT_TOKENIZER_DIR is not set");
    check_vectors(t, false, dir);
}

static vmt_tokens encode(vmt_test *t, const vmt_tokenizer *tok, vmt_str text, vmt_encode_options options) {
    vmt_tokens tokens = {0};
    vmt_err err = {0};
    if (vmt_tokenizer_encode(tok, text, options, &tokens, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    return tokens;
}

/* A line that ends in a letter and a newline is followed by one that begins with a letter: no word, and so no token,
 * reaches across.  Wherever a line lies among the words that are looked at together, its tokens are the same. */
static void lines_encode_alone_as_together(vmt_test *t) {
    static const char *const names[] = {"qwen2", "qwen35", "o200k", "tekken", "digits", "deepseek"};
    static const char *const pieces[] = {"the ",  "word",     " of",        "\n\n", "    ", "don't ",
                                         "x1234", ", ",       "unseenword", "({",   "});",  "\n//",
                                         "ABC",   "\xC3\xA9", "camelCase",  "\t",   "'s",   "--------"};
    for (size_t n = 0; n < VMT_COUNT(names); n++) {
        vmt_tokenizer *tok = load_fixture(t, names[n]);
        vmt_tokens alone = {0};
        vmt_err err = {0};
        vmt_buf text;
        vmt_buf_init(&text, 0);
        uint64_t rng = t->seed + n;
        for (int line = 0; line < 400; line++) {
            size_t begin = text.len;
            vmt_buf_append(&text, VMT_STR("L"));
            for (uint64_t k = vmt_splitmix64(&rng) % 40; k > 0; k--) {
                vmt_buf_append(&text, vmt_str_from(pieces[vmt_splitmix64(&rng) % VMT_COUNT(pieces)]));
            }
            vmt_buf_append(&text, VMT_STR("e\n"));
            vmt_str added = vmt_str_slice(vmt_buf_str(&text), begin, text.len);
            vmt_expect_eq(t, vmt_tokenizer_encode(tok, added, (vmt_encode_options){0}, &alone, &err), VMT_OK);
        }
        vmt_tokens together = encode(t, tok, vmt_buf_str(&text), (vmt_encode_options){0});
        vmt_expect_eq(t, together.len, alone.len);
        vmt_expect(t, memcmp(together.ids, alone.ids, alone.len * sizeof *alone.ids) == 0);
        vmt_tokens_free(&together);
        vmt_tokens_free(&alone);
        vmt_buf_free(&text);
        vmt_tokenizer_destroy(tok);
    }
}

static void random_ids_stream_as_they_decode(vmt_test *t) {
    static const char *const names[] = {"qwen2", "llama2", "gemma", "unigram", "mistral", "words", "gpt2"};
    for (size_t n = 0; n < VMT_COUNT(names); n++) {
        vmt_tokenizer *tok = load_fixture(t, names[n]);
        uint64_t rng = t->seed + n;
        for (int round = 0; round < 300; round++) {
            int32_t ids[40];
            vmt_tokens tokens = {ids, vmt_splitmix64(&rng) % VMT_COUNT(ids), VMT_COUNT(ids)};
            for (size_t i = 0; i < tokens.len; i++) {
                /* One past either end too: those are skipped. */
                ids[i] = (int32_t)(vmt_splitmix64(&rng) % (vmt_tokenizer_vocab_size(tok) + 2)) - 1;
            }
            vmt_buf whole;
            vmt_buf_init(&whole, 0);
            vmt_tokenizer_decode(tok, ids, tokens.len, false, &whole);
            vmt_expect(t, vmt_utf8_valid(vmt_buf_str(&whole)));
            check_streaming(t, tok, &tokens, vmt_buf_str(&whole));
            vmt_buf_free(&whole);
        }
        vmt_tokenizer_destroy(tok);
    }
}

static void special_tokens_can_be_plain_text(vmt_test *t) {
    vmt_tokenizer *tok = load_fixture(t, "qwen2");
    int32_t start = vmt_tokenizer_find(tok, VMT_STR("<|im_start|>"));
    vmt_expect(t, start >= 0 && vmt_tokenizer_is_special(tok, start));
    vmt_tokens special = encode(t, tok, VMT_STR("<|im_start|>x"), (vmt_encode_options){0});
    vmt_tokens plain = encode(t, tok, VMT_STR("<|im_start|>x"), (vmt_encode_options){.plain_special = true});
    vmt_expect_eq(t, special.ids[0], start);
    for (size_t i = 0; i < plain.len; i++) vmt_expect(t, plain.ids[i] != start);
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_tokenizer_decode(tok, special.ids, special.len, true, &text);
    vmt_expect_slice(t, vmt_buf_str(&text), VMT_STR("x"));
    vmt_buf_free(&text);
    vmt_tokens_free(&special);
    vmt_tokens_free(&plain);
    vmt_tokenizer_destroy(tok);
}

static void tokens_max_is_a_limit(vmt_test *t) {
    vmt_tokenizer *tok = load_fixture(t, "gpt2");
    vmt_tokens tokens = {0};
    vmt_err err = {0};
    char text[4096];
    memset(text, '~', sizeof text);
    vmt_str s = {text, sizeof text};
    vmt_expect_eq(t, vmt_tokenizer_encode(tok, s, (vmt_encode_options){.tokens_max = 9}, &tokens, &err),
                  VMT_E_EXHAUSTED);
    vmt_expect_eq(t, tokens.len, 0);
    vmt_expect(t, err.msg[0] != 0);
    err = (vmt_err){0};
    vmt_expect_eq(
        t, vmt_tokenizer_encode(tok, VMT_STR("ab"), (vmt_encode_options){.tokens_max = 9}, &tokens, &err), VMT_OK);
    vmt_tokens_free(&tokens);
    vmt_tokenizer_destroy(tok);
}

static void bad_utf8_reads_as_replacement(vmt_test *t) {
    vmt_tokenizer *tok = load_fixture(t, "qwen2");
    vmt_tokens bad = encode(t, tok, VMT_STR("a\xFF\xE4\xB8z"), (vmt_encode_options){0});
    vmt_tokens good = encode(t, tok, VMT_STR("a\xEF\xBF\xBD\xEF\xBF\xBDz"), (vmt_encode_options){0});
    vmt_expect_eq(t, bad.len, good.len);
    vmt_expect(t, memcmp(bad.ids, good.ids, bad.len * sizeof *bad.ids) == 0);
    vmt_tokens_free(&bad);
    vmt_tokens_free(&good);
    vmt_tokenizer_destroy(tok);
}

static void one_word_of_a_million_letters_is_quick(vmt_test *t) {
    static const char *const names[] = {"qwen2", "o200k", "llama2", "gemma", "unigram", "regex"};
    size_t len = 1000000;
    char *text = malloc(len);
    memset(text, 'a', len);
    for (size_t n = 0; n < VMT_COUNT(names); n++) {
        vmt_tokenizer *tok = load_fixture(t, names[n]);
        uint64_t begin = vmt_clock_ns();
        vmt_tokens tokens = encode(t, tok, (vmt_str){text, len}, (vmt_encode_options){0});
        vmt_expect(t, vmt_clock_ns() - begin < 20000000000u); /* sanitizers and busy machines included */
        vmt_expect(t, tokens.len > 0);
        vmt_tokens_free(&tokens);
        vmt_tokenizer_destroy(tok);
    }
    free(text);
}

static void spellings_and_bytes(vmt_test *t) {
    vmt_tokenizer *tok = load_fixture(t, "llama2");
    int32_t newline = vmt_tokenizer_find(tok, VMT_STR("<0x0A>"));
    vmt_expect_slice(t, vmt_tokenizer_bytes(tok, newline), VMT_STR("\n"));
    vmt_expect_slice(t, vmt_tokenizer_spelling(tok, newline), VMT_STR("<0x0A>"));
    int32_t marker = vmt_tokenizer_find(tok, VMT_STR("\xE2\x96\x81"));
    vmt_expect_slice(t, vmt_tokenizer_bytes(tok, marker), VMT_STR(" "));
    vmt_expect_eq(t, vmt_tokenizer_bos(tok), vmt_tokenizer_find(tok, VMT_STR("<s>")));
    vmt_expect_eq(t, vmt_tokenizer_find(tok, VMT_STR("no such token")), -1);
    vmt_expect_eq(t, vmt_tokenizer_bytes(tok, -1).len, 0);
    vmt_tokenizer_destroy(tok);
}

static void a_reply_in_mid_text_keeps_its_space(vmt_test *t) {
    vmt_tokenizer *tok = load_fixture(t, "llama2");
    int32_t marker = vmt_tokenizer_find(tok, VMT_STR("\xE2\x96\x81"));
    vmt_detokenizer d;
    vmt_buf out;
    vmt_buf_init(&out, 0);
    vmt_detokenizer_init(&d, tok, true);
    vmt_detokenizer_push(&d, marker, &out);
    vmt_expect_eq(t, out.len, 0);
    vmt_detokenizer_init_mid_text(&d, tok, true);
    vmt_detokenizer_push(&d, marker, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR(" "));
    vmt_buf_free(&out);
    vmt_tokenizer_destroy(tok);
}

static const struct {
    const char *json, *message;
} refused[] = {
    {"[]", "tokenizer: tokenizer.json is an array, not an object"},
    {"{}", "tokenizer: there is no model"},
    {"{\"model\":{\"type\":\"WordPiece\"}}", "tokenizer: model 'WordPiece' is not supported"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", "tokenizer: model.vocab is no object"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
     "tokenizer: two tokens have the id 0"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2097152},\"merges\":[]}}",
     "tokenizer: the largest token id is 2097152, the limit is 2097151"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
     "tokenizer: merge 0, 'a' with 'b', is not in the vocabulary"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"dropout\":0.5}}",
     "tokenizer: dropout 0.5 is not supported"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}",
     "tokenizer: end_of_word_suffix '</w>' is not supported"},
    {"{\"normalizer\":{\"type\":\"Magic\"},\"model\":{}}", "tokenizer: normalizer 'Magic' is not supported"},
    {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},\"model\":{}}",
     "tokenizer: pre_tokenizer 'UnicodeScripts' is not supported"},
    {"{\"decoder\":{\"type\":\"CTC\"},\"model\":{}}", "tokenizer: decoder 'CTC' is not supported"},
    {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"},\"model\":{}}",
     "tokenizer: precompiled_charsmap is damaged"},
};

static void what_is_not_supported_is_refused_by_name(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(refused); i++) {
        vmt_tokenizer *tok = NULL;
        vmt_err err = {0};
        vmt_expect(t, vmt_tokenizer_from_json(&tok, vmt_str_from(refused[i].json), &err) != VMT_OK);
        vmt_expect(t, tok == NULL);
        vmt_expect_str(t, err.msg, refused[i].message);
    }
}

/* Files with a few bytes changed, cut or doubled either load and then work, or are refused with a sentence. */
static void damaged_files_do_no_harm(vmt_test *t) {
    static const char *const names[] = {"gpt2", "llama2", "unigram_bytes", "o200k", "words", "qwen2", "mistral"};
    vmt_str sample = VMT_STR("Hello  w\xC3\xB6rld 123\n\n<s>it's \xE4\xB8\xAD\xE6\x96\x87 a b word");
    uint64_t rng = t->seed, deadline = vmt_clock_ns() + 1500000000u;
    vmt_buf files[VMT_COUNT(names)];
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        files[i] = read_file(t, vmt_arena_printf(t->arena, "tests/golden/tokenizers/%s.json", names[i]).ptr);
    }
    vmt_buf work;
    vmt_buf_init(&work, 0);
    for (uint32_t round = 0; round < 2000 && vmt_clock_ns() < deadline; round++) {
        const vmt_buf *file = &files[round % VMT_COUNT(names)];
        vmt_buf_clear(&work);
        vmt_buf_append(&work, vmt_buf_str(file));
        for (uint64_t n = 1 + vmt_splitmix64(&rng) % 6; n > 0; n--) {
            size_t at = vmt_splitmix64(&rng) % work.len, pick = vmt_splitmix64(&rng) % 5;
            static const char interesting[] = "\"{}[]:,0123456789-e\\ntu";
            if (pick < 2) work.ptr[at] = interesting[vmt_splitmix64(&rng) % (sizeof interesting - 1)];
            if (pick == 2) work.ptr[at] ^= (char)(1u << vmt_splitmix64(&rng) % 7);
            if (pick == 3 && vmt_splitmix64(&rng) % 8 == 0) work.len = at + 1;
            if (pick == 4) {
                size_t len = vmt_splitmix64(&rng) % 40;
                len = VMT_MIN(len, work.len - at);
                memmove(work.ptr + vmt_splitmix64(&rng) % (work.len - len + 1), work.ptr + at, len);
            }
        }
        vmt_tokenizer *tok = NULL;
        vmt_err err = {0};
        vmt_status status = vmt_tokenizer_from_json(&tok, vmt_buf_str(&work), &err);
        vmt_expect(t, (status == VMT_OK) == (tok != NULL));
        if (status != VMT_OK) {
            vmt_expect(t, err.msg[0] != 0);
            continue;
        }
        vmt_tokens tokens = {0};
        vmt_buf text;
        vmt_buf_init(&text, 0);
        if (vmt_tokenizer_encode(tok, sample, (vmt_encode_options){.add_special = true}, &tokens, &err) ==
            VMT_OK) {
            vmt_tokenizer_decode(tok, tokens.ids, tokens.len, false, &text);
        }
        vmt_buf_free(&text);
        vmt_tokens_free(&tokens);
        vmt_tokenizer_destroy(tok);
    }
    vmt_buf_free(&work);
    for (size_t i = 0; i < VMT_COUNT(names); i++) vmt_buf_free(&files[i]);
}

static const vmt_test_case cases[] = {
    {"fixtures_equal_the_reference", fixtures_equal_the_reference},
    {"real_tokenizers_equal_the_reference", real_tokenizers_equal_the_reference},
    {"lines_encode_alone_as_together", lines_encode_alone_as_together},
    {"random_ids_stream_as_they_decode", random_ids_stream_as_they_decode},
    {"special_tokens_can_be_plain_text", special_tokens_can_be_plain_text},
    {"tokens_max_is_a_limit", tokens_max_is_a_limit},
    {"bad_utf8_reads_as_replacement", bad_utf8_reads_as_replacement},
    {"one_word_of_a_million_letters_is_quick", one_word_of_a_million_letters_is_quick},
    {"spellings_and_bytes", spellings_and_bytes},
    {"a_reply_in_mid_text_keeps_its_space", a_reply_in_mid_text_keeps_its_space},
    {"what_is_not_supported_is_refused_by_name", what_is_not_supported_is_refused_by_name},
    {"damaged_files_do_no_harm", damaged_files_do_no_harm},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
