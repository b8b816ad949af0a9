/* text/matcher_test.c: masks against a matcher that knows nothing of automata, and against accepting every token. */
#include "text/grammar.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/test_allocs.h"

#include <stdlib.h>

/* ---- vocabularies */

#define WORDS_MAX VMT_MASK_WORDS(8192u)

static bool has_bit(const uint32_t *bits, uint32_t id) {
    return bits[id / 32] >> (id % 32) & 1;
}

static uint64_t below(vmt_test *t, uint64_t n) {
    return vmt_splitmix64(&t->seed) % n;
}

static vmt_grammar_vocab *vocab_of(vmt_test *t, const vmt_grammar_token *tokens, uint32_t n) {
    vmt_grammar_vocab *vocab;
    vmt_err err = {0};
    int32_t eos = 0;
    vmt_grammar_vocab_config config = {.tokens = tokens, .num_tokens = n, .eos_ids = &eos, .num_eos_ids = 1};
    vmt_expect_eq(t, vmt_grammar_vocab_create(&vocab, &config, &err), VMT_OK);
    return vocab;
}

/* Token 0 ends; then random texts over an alphabet, some of them twice. */
static vmt_grammar_token *random_tokens(vmt_test *t, uint32_t n, const char *alphabet, uint32_t len_max) {
    vmt_grammar_token *tokens = VMT_ARENA_NEW(t->arena, vmt_grammar_token, n);
    size_t num_letters = strlen(alphabet);
    tokens[0] = (vmt_grammar_token){VMT_STR("</s>"), true};
    for (uint32_t i = 1; i < n; i++) {
        char *text = vmt_arena_alloc(t->arena, len_max);
        uint32_t len = i <= num_letters ? 1 : 1 + (uint32_t)below(t, len_max);
        for (uint32_t k = 0; k < len; k++) text[k] = alphabet[i <= num_letters ? i - 1 : below(t, num_letters)];
        tokens[i].bytes = (vmt_str){text, len};
    }
    return tokens;
}

/* ---- a naive matcher: a set of stacks of symbols, written out.  Its grammars begin every alternative with a letter,
 * so that a step pops one symbol and pushes the rest of an alternative. */

#define RULES    5u
#define ALTS     3u
#define TAIL_MAX 3u
#define STACK    48u
#define STACKS   4096u

struct naive_alt {
    char letter;
    uint8_t tail[TAIL_MAX], len; /* rules */
};

struct naive_grammar {
    struct naive_alt alts[RULES][ALTS];
};

struct naive_set {
    uint8_t stacks[STACKS][STACK]; /* top last */
    uint8_t lens[STACKS];
    uint32_t num;
    bool is_full; /* something was lost: no statement can be made */
};

static void naive_add(struct naive_set *set, const uint8_t *stack, uint32_t len) {
    for (uint32_t i = 0; i < set->num; i++) {
        if (set->lens[i] == len && memcmp(set->stacks[i], stack, len) == 0) return;
    }
    if (set->num == STACKS || len > STACK) {
        set->is_full = true;
        return;
    }
    memcpy(set->stacks[set->num], stack, len);
    set->lens[set->num++] = (uint8_t)len;
}

static void naive_step(const struct naive_grammar *g, const struct naive_set *from, char letter,
                       struct naive_set *to) {
    to->num = 0;
    to->is_full = from->is_full;
    for (uint32_t i = 0; i < from->num; i++) {
        uint32_t len = from->lens[i];
        if (len == 0) continue;
        for (uint32_t k = 0; k < ALTS; k++) {
            const struct naive_alt *alt = &g->alts[from->stacks[i][len - 1]][k];
            uint8_t stack[STACK + TAIL_MAX];
            if (alt->letter != letter) continue;
            memcpy(stack, from->stacks[i], len - 1);
            for (uint32_t j = 0; j < alt->len; j++) stack[len - 1 + j] = alt->tail[alt->len - 1 - j];
            naive_add(to, stack, len - 1 + alt->len);
        }
    }
}

static bool naive_is_complete(const struct naive_set *set) {
    for (uint32_t i = 0; i < set->num; i++) {
        if (set->lens[i] == 0) return true;
    }
    return false;
}

/* The first alternative of a rule is a letter alone, so everything can be completed. */
static vmt_str random_grammar(vmt_test *t, struct naive_grammar *g, vmt_buf *out) {
    vmt_buf_clear(out);
    for (uint32_t r = 0; r < RULES; r++) {
        vmt_buf_printf(out, r == 0 ? "root ::=" : "r%u ::=", r);
        for (uint32_t k = 0; k < ALTS; k++) {
            struct naive_alt *alt = &g->alts[r][k];
            *alt = (struct naive_alt){.letter = (char)('a' + below(t, 3)), .len = (uint8_t)(k ? below(t, 4) : 0)};
            vmt_buf_printf(out, "%s \"%c\"", k ? " |" : "", alt->letter);
            for (uint32_t j = 0; j < alt->len; j++) {
                alt->tail[j] = (uint8_t)below(t, RULES);
                vmt_buf_printf(out, alt->tail[j] == 0 ? " root" : " r%u", alt->tail[j]);
            }
        }
        vmt_buf_append_byte(out, '\n');
    }
    return vmt_buf_str(out);
}

static void masks_equal_the_naive_ones(vmt_test *t) {
    enum { NUM_TOKENS = 60 };
    vmt_grammar_token *tokens = random_tokens(t, NUM_TOKENS, "abcd", 5);
    vmt_grammar_vocab *vocab = vocab_of(t, tokens, NUM_TOKENS);
    struct naive_grammar g;
    struct naive_set *sets = calloc(7, sizeof *sets), *now = &sets[6];
    vmt_buf source;
    vmt_buf_init(&source, 0);
    for (uint32_t round = 0; round < 150; round++) {
        vmt_grammar *grammar;
        vmt_matcher *m;
        vmt_err err = {0};
        uint32_t bits[VMT_MASK_WORDS(NUM_TOKENS)];
        vmt_expect_eq(t, vmt_grammar_from_ebnf(&grammar, random_grammar(t, &g, &source), &err), VMT_OK);
        vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
        *now = (struct naive_set){.num = 1, .lens = {1}};
        for (uint32_t step = 0; step < 12; step++) {
            uint32_t num_allowed = 0, chosen = 0;
            vmt_expect_eq(t, vmt_matcher_mask(m, bits, VMT_COUNT(bits), &err), VMT_OK);
            vmt_expect_eq(t, has_bit(bits, 0), naive_is_complete(now));
            vmt_expect_eq(t, vmt_matcher_can_end(m), naive_is_complete(now));
            for (uint32_t id = 1; id < NUM_TOKENS; id++) {
                const struct naive_set *at = now;
                for (size_t k = 0; k < tokens[id].bytes.len && at->num > 0; k++) {
                    naive_step(&g, at, tokens[id].bytes.ptr[k], &sets[k]);
                    at = &sets[k];
                }
                if (at->is_full) break;
                if (has_bit(bits, id) != (at->num > 0)) {
                    vmt_test_fail(t, __FILE__, __LINE__, "round %u step %u token \"%.*s\" of\n%s", round, step,
                                  VMT_STR_ARG(tokens[id].bytes), source.ptr);
                }
                if (at->num > 0 && below(t, ++num_allowed) == 0) chosen = id;
            }
            if (num_allowed == 0 || chosen == 0) break;
            vmt_expect_eq(t, vmt_matcher_accept(m, (int32_t)chosen, &err), VMT_OK);
            for (size_t k = 0; k < tokens[chosen].bytes.len; k++) {
                naive_step(&g, now, tokens[chosen].bytes.ptr[k], &sets[0]);
                *now = sets[0];
            }
            if (now->is_full) break;
        }
        vmt_matcher_destroy(m);
        vmt_grammar_release(grammar);
    }
    vmt_buf_free(&source);
    free(sets);
    vmt_grammar_vocab_release(vocab);
}

/* ---- masks against accepting each token, over JSON and a vocabulary with all that such masks take short cuts for */

static vmt_grammar_token *json_tokens(vmt_test *t, uint32_t n) {
    static const char *const pieces[] = {
        "\"",
        "\":",
        "\": ",
        "\",",
        "\"}",
        "\"]",
        "{\"",
        "[\"",
        "}",
        "]",
        ",",
        ", ",
        ":",
        " ",
        "  ",
        "\n",
        "\n\n  ",
        "\t\r",
        "\\",
        "\\n",
        "\\\"",
        "\\u",
        "\\u00",
        "\xC3",
        "\xA9",
        "\xC3\xA9",
        "\xE2\x82",
        "\xAC",
        "\xF0\x9F",
        "\x98\x80",
        "a",
        "b",
        "name",
        "the",
        "Hello",
        "x1",
        "_",
        "-",
        ".",
        "0",
        "12",
        "-3",
        ".5",
        "e",
        "1e",
        "true",
        "fal",
        "se",
        "null",
        "id",
        "0123456789abcdefXYZ",
        "aVeryLongWordOfMany",
        "\x01",
        "\x7F",
        "\xFF",
        "/",
        "@",
        "%",
        "\",\"",
        "\":\"",
        "}]}",
        "\\ud83d\\ude00",
    };
    vmt_grammar_token *tokens = VMT_ARENA_NEW(t->arena, vmt_grammar_token, n);
    tokens[0] = (vmt_grammar_token){VMT_STR("</s>"), true};
    for (uint32_t i = 1; i < n; i++) {
        vmt_buf buf;
        vmt_buf_init(&buf, 0);
        if (i <= 256) vmt_buf_append_byte(&buf, (char)(i - 1));
        for (uint32_t k = i <= 256 ? 0 : 1 + (uint32_t)below(t, 4); k > 0; k--) {
            vmt_buf_append_c(&buf, pieces[below(t, VMT_COUNT(pieces))]);
        }
        tokens[i].bytes = vmt_arena_dup(t->arena, vmt_buf_str(&buf));
        vmt_buf_free(&buf);
    }
    return tokens;
}

/* Compares every bit, then goes on with a random token; false when nothing is allowed. */
static bool check_mask(vmt_test *t, vmt_matcher *m, const vmt_grammar_token *tokens, uint32_t n,
                       const char *what) {
    uint32_t bits[WORDS_MAX], chosen = 0, num_allowed = 0;
    vmt_err err = {0};
    vmt_matcher *probe;
    vmt_expect_eq(t, vmt_matcher_mask(m, bits, VMT_MASK_WORDS(n), &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_clone(&probe, m, &err), VMT_OK);
    for (uint32_t id = 1; id < n; id++) {
        bool is_accepted = vmt_matcher_accept(probe, (int32_t)id, NULL) == VMT_OK;
        if (is_accepted != has_bit(bits, id)) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: token %u \"%.*s\": mask %d, accept %d", what, id,
                          VMT_STR_ARG(tokens[id].bytes), has_bit(bits, id), is_accepted);
        }
        if (is_accepted && below(t, ++num_allowed) == 0) chosen = id;
        if (!is_accepted) continue;
        vmt_matcher_destroy(probe);
        vmt_expect_eq(t, vmt_matcher_clone(&probe, m, &err), VMT_OK);
    }
    vmt_matcher_destroy(probe);
    vmt_expect_eq(t, has_bit(bits, 0), vmt_matcher_can_end(m));
    if (num_allowed == 0) return false;
    vmt_expect_eq(t, vmt_matcher_accept(m, (int32_t)chosen, &err), VMT_OK);
    return true;
}

static const char *const schemas[] = {
    "{}",
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"id\":{\"type\":\"integer\",\"minimum\":"
    "3,\"maximum\":120}},"
    "\"required\":[\"name\"]}",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":7},\"minItems\":1,\"maxItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":4,\"maxLength\":40}}",
    "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_.-]+$\"}",
    "{\"type\":\"string\",\"pattern\":\"^[a-z][a-z0-9]{0,20}(/[a-z0-9]{3,})*$\"}",
    "{\"type\":\"string\",\"pattern\":\"the\"}",
    "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"type\":\"number\"},{\"enum\":[\"a\",\"the\","
    "\"name\"]}]}}",
    "{\"type\":\"object\",\"properties\":{\"name\":{\"$ref\":\"#\"},\"the\":{\"type\":\"null\"}},"
    "\"maxProperties\":1}",
};

static void masks_say_what_is_accepted(vmt_test *t) {
    enum { NUM_TOKENS = 1500 };
    vmt_grammar_token *tokens = json_tokens(t, NUM_TOKENS);
    vmt_grammar_vocab *vocab = vocab_of(t, tokens, NUM_TOKENS);
    for (size_t i = 0; i < VMT_COUNT(schemas); i++) {
        vmt_grammar *grammar;
        vmt_err err = {0};
        vmt_grammar_options options = {.space = i % 2 ? VMT_SPACE_COMPACT : VMT_SPACE_ANY};
        vmt_expect_eq(t, vmt_grammar_from_schema(&grammar, vmt_str_from(schemas[i]), &options, &err), VMT_OK);
        for (uint32_t round = 0; round < 6; round++) {
            vmt_matcher *m;
            vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
            for (uint32_t step = 0; step < 10; step++) {
                if (!check_mask(t, m, tokens, NUM_TOKENS, schemas[i])) break;
            }
            vmt_matcher_destroy(m);
        }
        vmt_grammar_release(grammar);
    }
    vmt_grammar_vocab_release(vocab);
}

/* ---- the rest of a matcher's life */

static vmt_matcher *matcher_of(vmt_test *t, const char *schema, vmt_grammar_vocab *vocab) {
    vmt_grammar *grammar;
    vmt_matcher *m;
    vmt_err err = {0};
    vmt_grammar_options options = {.space = VMT_SPACE_COMPACT};
    vmt_expect_eq(t, vmt_grammar_from_schema(&grammar, vmt_str_from(schema), &options, &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
    vmt_grammar_release(grammar); /* the matcher holds it */
    return m;
}

static void forced_text_is_told(vmt_test *t) {
    vmt_grammar_vocab *vocab = vocab_of(t, random_tokens(t, 10, "ab{\"", 2), 10);
    vmt_matcher *m =
        matcher_of(t,
                   "{\"type\":\"object\",\"properties\":{\"city\":{\"enum\":[\"Paris\",\"Parma\"]}},\"required\":"
                   "[\"city\"],\"additionalProperties\":false}",
                   vocab);
    vmt_buf out;
    vmt_buf_init(&out, 0);
    vmt_matcher_forced(m, 100, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("{\"city\":"));
    vmt_expect_eq(t, vmt_matcher_accept_bytes(m, VMT_STR("{\"city\": "), NULL), VMT_OK);
    vmt_buf_clear(&out);
    vmt_matcher_forced(m, 100, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("\"Par"));
    vmt_expect_eq(t, vmt_matcher_accept_bytes(m, VMT_STR("\"Parm"), NULL), VMT_OK);
    vmt_buf_clear(&out);
    vmt_matcher_forced(m, 2, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("a\""));
    vmt_buf_clear(&out);
    vmt_matcher_forced(m, 100, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("a\"}"));
    vmt_expect(t, !vmt_matcher_is_ended(m));
    vmt_expect_eq(t, vmt_matcher_accept_bytes(m, VMT_STR("a\"}"), NULL), VMT_OK);
    vmt_expect(t, vmt_matcher_is_ended(m) && vmt_matcher_can_end(m));
    vmt_buf_free(&out);
    vmt_matcher_destroy(m);
    vmt_grammar_vocab_release(vocab);
}

static void refused_tokens_change_nothing(vmt_test *t) {
    vmt_grammar_token tokens[] = {{VMT_STR("</s>"), true}, {VMT_STR("[1"), false}, {VMT_STR("1]"), false},
                                  {VMT_STR("]"), false},   {VMT_STR(""), false},   {VMT_STR("[1]x"), false}};
    vmt_grammar_vocab *vocab = vocab_of(t, tokens, VMT_COUNT(tokens));
    vmt_matcher *m = matcher_of(t, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", vocab), *copy;
    uint32_t bits[2];
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_matcher_accept(m, 0, &err), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_matcher_accept(m, 5, NULL), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_matcher_accept(m, 4, NULL), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_matcher_accept(m, 99, NULL), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_matcher_accept(m, 1, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_mask(m, bits, 2, &err), VMT_OK);
    vmt_expect_eq(t, bits[0], 1u << 2 | 1u << 3);
    vmt_expect_eq(t, bits[1], 0);
    vmt_expect_eq(t, vmt_matcher_clone(&copy, m, &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_accept(m, 3, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_accept(copy, 2, NULL), VMT_OK);
    vmt_expect(t, vmt_matcher_is_ended(m) && vmt_matcher_is_ended(copy));
    vmt_expect_eq(t, vmt_matcher_mask(m, bits, 1, &err), VMT_OK);
    vmt_expect_eq(t, bits[0], 1);
    vmt_expect_eq(t, vmt_matcher_accept(m, 0, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_accept(m, 3, NULL), VMT_E_INVALID);
    vmt_matcher_reset(m);
    vmt_expect(t, !vmt_matcher_can_end(m));
    vmt_expect_eq(t, vmt_matcher_accept(m, 1, NULL), VMT_OK);
    vmt_matcher_destroy(m);
    vmt_matcher_destroy(copy);
    vmt_grammar_vocab_release(vocab);
}

static void steady_steps_allocate_nothing(vmt_test *t) {
    enum { NUM_TOKENS = 1500, STEPS = 300 };
    vmt_grammar_token *tokens = json_tokens(t, NUM_TOKENS);
    vmt_grammar_vocab *vocab = vocab_of(t, tokens, NUM_TOKENS);
    vmt_matcher *m = matcher_of(t, schemas[7], vocab);
    uint32_t bits[VMT_MASK_WORDS(NUM_TOKENS)], ids[STEPS], num = 0;
    uint64_t num_before = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        vmt_matcher_reset(m);
        num_before = vmt_test_num_allocs();
        for (uint32_t i = 0; i < (pass ? num : STEPS); i++) {
            vmt_expect_eq(t, vmt_matcher_mask(m, bits, VMT_COUNT(bits), NULL), VMT_OK);
            uint32_t id = pass ? ids[i] : 1 + (uint32_t)below(t, NUM_TOKENS - 1), tries = 0;
            while (!has_bit(bits, id) && tries++ < NUM_TOKENS) id = id + 1 < NUM_TOKENS ? id + 1 : 1;
            ids[i] = id;
            if (pass == 0) num = i + 1;
            if (tries > NUM_TOKENS)
                vmt_matcher_reset(m); /* the text is complete */
            else
                vmt_expect_eq(t, vmt_matcher_accept(m, (int32_t)id, NULL), VMT_OK);
        }
    }
    vmt_expect_eq(t, num, STEPS);
    vmt_expect_eq(t, vmt_test_num_allocs() - num_before, 0);
    vmt_matcher_destroy(m);
    vmt_grammar_vocab_release(vocab);
}

static void deep_texts_stop_at_the_limit(vmt_test *t) {
    vmt_grammar_vocab *vocab = vocab_of(t, random_tokens(t, 10, "[]12", 2), 10);
    vmt_matcher *m = matcher_of(t, "{\"type\":\"array\"}", vocab);
    uint32_t bits[1], depth = 0;
    while (depth < VMT_MATCHER_STACK_MAX && vmt_matcher_accept(m, 1, NULL) == VMT_OK) depth++;
    vmt_expect(t, depth > 1000 && depth < VMT_MATCHER_STACK_MAX);
    vmt_expect_eq(t, vmt_matcher_mask(m, bits, 1, NULL), VMT_OK);
    for (uint32_t i = 0; i < depth; i++) vmt_expect_eq(t, vmt_matcher_accept(m, 2, NULL), VMT_OK);
    vmt_expect(t, vmt_matcher_is_ended(m));
    vmt_matcher_destroy(m);
    vmt_grammar_vocab_release(vocab);
}

static void too_much_ambiguity_is_an_error(vmt_test *t) {
    vmt_grammar_vocab *vocab = vocab_of(t, random_tokens(t, 200, "a", 60), 200);
    vmt_buf source;
    vmt_grammar *grammar;
    vmt_matcher *m;
    vmt_err err = {0};
    vmt_buf_init(&source, 0);
    /* Every rule may end anywhere and begin any other. */
    vmt_buf_append_c(&source, "root ::= r0+\n");
    for (uint32_t i = 0; i < 40; i++) {
        vmt_buf_printf(&source, "r%u ::= \"a\"{1,%u} (", i, 2 + i);
        for (uint32_t k = 0; k < 40; k++)
            vmt_buf_printf(&source, "%sr%u r%u", k ? " | " : "", k, (k * 7 + i) % 40);
        vmt_buf_append_c(&source, ")?\n");
    }
    vmt_expect_eq(t, vmt_grammar_from_ebnf(&grammar, vmt_buf_str(&source), &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
    vmt_status status = VMT_OK;
    uint32_t bits[VMT_MASK_WORDS(200)];
    for (uint32_t i = 0; i < 30 && status == VMT_OK; i++) {
        status = vmt_matcher_mask(m, bits, VMT_COUNT(bits), &err);
        if (status == VMT_OK) status = vmt_matcher_accept(m, 1, &err);
    }
    vmt_expect_eq(t, status, VMT_E_EXHAUSTED);
    vmt_expect(t, vmt_str_find(vmt_str_from(err.msg), VMT_STR("too ambiguous"), 0) != SIZE_MAX);
    vmt_buf_free(&source);
    vmt_matcher_destroy(m);
    vmt_grammar_release(grammar);
    vmt_grammar_vocab_release(vocab);
}

static const vmt_test_case cases[] = {
    {"masks_equal_the_naive_ones", masks_equal_the_naive_ones},
    {"masks_say_what_is_accepted", masks_say_what_is_accepted},
    {"forced_text_is_told", forced_text_is_told},
    {"refused_tokens_change_nothing", refused_tokens_change_nothing},
    {"steady_steps_allocate_nothing", steady_steps_allocate_nothing},
    {"deep_texts_stop_at_the_limit", deep_texts_stop_at_the_limit},
    {"too_much_ambiguity_is_an_error", too_much_ambiguity_is_an_error},
    {0},
};

VMT_TEST_MAIN(cases)
