/* Building a tokenizer from the fields of a GGUF file. */
#include "text/tokenizer_private.h"
#include <stdlib.h>

#define PATTERNS_MAX    4
#define LOWER_BLOCK     "\xE2\x96\x81"
#define CODEPOINT_PUNCT "[\\p{P}\\$\\+<=>\\^~\\|`]+"

typedef struct pre_row {
    const char *name;
    const char *patterns[PATTERNS_MAX]; /* each isolates what it matches, in what the ones before left */
    bool digits_gpt2;                   /* instead of patterns: the fused scanners */
    bool deepseek_v3;
    bool ignore_merges;
    bool add_bos; /* the default if the file does not say */
    bool nfc;     /* the model's own tokenizer normalizes; GGUF has no field for it */
} pre_row;

#define GPT2      .patterns = {VMT_PATTERN_GPT2}
#define DIGITS    .digits_gpt2 = true
#define LLAMA3    .patterns = {VMT_PATTERN_CL100K}
#define QWEN2     .patterns = {VMT_PATTERN_QWEN2}
#define O200K     .patterns = {VMT_PATTERN_O200K}
#define DEEPSEEK3 .deepseek_v3 = true
#define BLOOM     " ?[^(\\s|.,!?…。，、।۔،)]+"

/* Names and facts as llama.cpp's converter writes them to tokenizer.ggml.pre. */
static const pre_row rows[] = {
    {"default", .patterns = {CODEPOINT_PUNCT, VMT_PATTERN_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"llama-bpe", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"llama3", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"llama-v3", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"falcon3", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"falcon-h1", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"pixtral", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"midm-2.0", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"lfm2", LLAMA3, .ignore_merges = true, .add_bos = true},
    {"dbrx", LLAMA3},
    {"smaug-bpe", LLAMA3},
    {"chatglm-bpe", LLAMA3},
    {"glm4", LLAMA3, .ignore_merges = true},
    {"glm5", LLAMA3, .ignore_merges = true},
    {"gpt-4o", O200K},
    {"llama4", O200K},
    {"kanana2", O200K},
    {"minimax-m2", O200K},
    {"tekken", .patterns = {VMT_PATTERN_TEKKEN}, .ignore_merges = true, .add_bos = true},
    {"qwen2", QWEN2, .nfc = true},
    {"deepseek-r1-qwen", QWEN2, .nfc = true},
    {"qwen35", .patterns = {VMT_PATTERN_QWEN35}, .nfc = true},
    {"megrez", QWEN2},
    {"stablelm2", QWEN2},
    {"hunyuan", QWEN2},
    {"solar-open", QWEN2},
    {"grok-2", QWEN2},
    {"deepseek-v3", DEEPSEEK3},
    {"hunyuan-dense", DEEPSEEK3},
    {"joyai-llm", DEEPSEEK3},
    {"deepseek-coder",
     .patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "(?:[一-龥ࠀ-一가-퟿]+|\\p{N})"}},
    {"smollm", DIGITS},
    {"starcoder", DIGITS},
    {"refact", DIGITS},
    {"command-r", DIGITS, .nfc = true},
    {"codeshell", DIGITS},
    {"exaone", DIGITS},
    {"minerva-7b", DIGITS},
    {"mellum2", DIGITS},
    {"gpt-2", GPT2},
    {"phi-2", GPT2},
    {"jina-es", GPT2},
    {"jina-de", GPT2},
    {"gigachat", GPT2},
    {"mellum", GPT2},
    {"exaone4", GPT2},
    {"mpt", GPT2, .nfc = true},
    {"olmo", GPT2, .nfc = true},
    {"jais", GPT2},
    {"trillion", GPT2},
    {"granite-docling", GPT2},
    {"falcon", .patterns = {CODEPOINT_PUNCT, VMT_PATTERN_GPT2, "[0-9][0-9][0-9]"}},
    {"poro-chat", .patterns = {BLOOM}},
    {"bloom", .patterns = {BLOOM}},
    {"gpt3-finnish", .patterns = {BLOOM}},
    {"viking", .patterns = {BLOOM, "\\p{N}"}},
    {"bailingmoe", .patterns = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
                                "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|"
                                "\\s+(?!\\S)|\\s+"}},
    {"seed-coder",
     .patterns = {VMT_CONTRACTIONS
                  "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" VMT_SPACE_TAIL}},
    {"superbpe", .patterns = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
};

struct reader {
    vmt_tokenizer *tok;
    const vmt_tokenizer_gguf *spec;
    vmt_err *err;
    vmt_added_spec *added;
    uint32_t num_added;
    vmt_merge_rule *rules;
    size_t num_rules, rules_cap;
    bool add_bos, add_eos;
};

static const pre_row *find_row(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        if (vmt_str_eq_c(name, rows[i].name)) return &rows[i];
    }
    return NULL;
}

static vmt_token_kind kind_of(const vmt_tokenizer_gguf *spec, uint32_t id) {
    return spec->kinds ? (vmt_token_kind)spec->kinds[id] : VMT_TOKEN_NORMAL;
}

static vmt_status read_tokens(struct reader *r) {
    const vmt_tokenizer_gguf *spec = r->spec;
    if (spec->num_tokens > VMT_VOCAB_MAX) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer.ggml.tokens: %u tokens, the limit is %u",
                        spec->num_tokens, VMT_VOCAB_MAX);
    }
    r->added = calloc(spec->num_tokens + 1u, sizeof *r->added);
    if (!r->added) return vmt_fail(r->err, VMT_E_NO_MEMORY, "tokenizer: no memory for its tokens");
    VMT_TRY(vmt_vocab_init(&r->tok->vocab, spec->num_tokens, r->err));
    for (uint32_t id = 0; id < spec->num_tokens; id++) {
        VMT_TRY(vmt_tokenizer_set_token(r->tok, (int32_t)id, spec->tokens[id], r->err));
        vmt_token_kind kind = kind_of(spec, id);
        if (kind != VMT_TOKEN_CONTROL && kind != VMT_TOKEN_USER_DEFINED && kind != VMT_TOKEN_UNKNOWN) continue;
        r->added[r->num_added++] = (vmt_added_spec){
            .text = spec->tokens[id],
            .token = {.special = kind != VMT_TOKEN_USER_DEFINED},
        };
    }
    return vmt_tokenizer_finish_vocab(r->tok, true, r->err);
}

static vmt_status add_rule(struct reader *r, vmt_merge_rule rule) {
    vmt_status status =
        vmt_array_grow((void **)&r->rules, &r->rules_cap, r->num_rules + 1, sizeof *r->rules, VMT_MERGES_MAX);
    if (status != VMT_OK) return vmt_fail(r->err, status, "tokenizer: more than %u merges", VMT_MERGES_MAX);
    r->rules[r->num_rules++] = rule;
    return VMT_OK;
}

static vmt_status read_merges(struct reader *r) {
    for (uint32_t i = 0; i < r->spec->num_merges; i++) {
        vmt_str merge = r->spec->merges[i];
        size_t space = merge.len ? vmt_str_find(merge, VMT_STR(" "), 1) : SIZE_MAX;
        if (space == SIZE_MAX) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer.ggml.merges[%u] is no pair of tokens", i);
        }
        const vmt_str pair[1][2] = {{vmt_str_slice(merge, 0, space), vmt_str_slice(merge, space + 1, merge.len)}};
        vmt_merge_rule rule;
        VMT_TRY(vmt_tokenizer_find_merges(r->tok, pair, 1, &rule, r->err));
        rule.rank = i;
        /* Files that were cut down keep merges of tokens that are gone: such a merge can never happen. */
        if (rule.left < 0 || rule.right < 0 || rule.result < 0) continue;
        VMT_TRY(add_rule(r, rule));
    }
    return VMT_OK;
}

struct scored {
    float score;
    int32_t id;
};

static int compare_scores(const void *a, const void *b) {
    float x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x < y) - (x > y);
}

/* SentencePiece BPE joins the neighbours whose joint token has the best score, leftmost first.  As merge rules: every
 * way to cut a token into two tokens, with the place of its score among all scores as rank. */
static vmt_status rules_from_scores(struct reader *r) {
    const vmt_tokenizer_gguf *spec = r->spec;
    struct scored *order = malloc((spec->num_tokens + 1u) * sizeof *order);
    if (!order) return vmt_fail(r->err, VMT_E_NO_MEMORY, "tokenizer: no memory for its scores");
    for (uint32_t id = 0; id < spec->num_tokens; id++) order[id] = (struct scored){spec->scores[id], (int32_t)id};
    qsort(order, spec->num_tokens, sizeof *order, compare_scores);
    uint32_t rank = 0;
    vmt_status status = VMT_OK;
    for (uint32_t i = 0; i < spec->num_tokens && status == VMT_OK; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        vmt_token_kind kind = kind_of(spec, (uint32_t)order[i].id);
        if (kind == VMT_TOKEN_CONTROL || kind == VMT_TOKEN_BYTE || kind == VMT_TOKEN_UNKNOWN) continue;
        vmt_str text = spec->tokens[order[i].id];
        if (text.len > 1024) continue; /* no such word is ever built up */
        for (size_t cut = 1; cut < text.len && status == VMT_OK; cut++) {
            if (((uint8_t)text.ptr[cut] & 0xC0) == 0x80) continue;
            int32_t left = vmt_tokenizer_find(r->tok, vmt_str_slice(text, 0, cut));
            int32_t right = left < 0 ? -1 : vmt_tokenizer_find(r->tok, vmt_str_slice(text, cut, text.len));
            if (right >= 0) status = add_rule(r, (vmt_merge_rule){left, right, order[i].id, rank});
        }
    }
    free(order);
    return status;
}

static vmt_status build_bpe(struct reader *r) {
    r->tok->kind = VMT_MODEL_BPE;
    r->tok->bpe.byte_level = r->tok->pre.byte_level;
    return vmt_bpe_build(&r->tok->bpe, r->rules, (uint32_t)r->num_rules, r->err);
}

static vmt_status build_gpt2(struct reader *r) {
    vmt_tokenizer *tok = r->tok;
    vmt_str name = r->spec->pre.len ? r->spec->pre : VMT_STR("default");
    const pre_row *row = find_row(name);
    if (!row) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer.ggml.pre '%.*s' is not supported",
                        VMT_STR_ARG(name));
    }
    if (row->digits_gpt2 || row->deepseek_v3) {
        tok->pre.stages[0].kind = VMT_STAGE_SCAN;
        tok->pre.stages[0].scan = row->deepseek_v3 ? vmt_scan_deepseek_v3() : vmt_scan_digits_gpt2();
        tok->pre.num_stages = 1;
        tok->pre.byte_level = true;
    } else {
        uint32_t num_patterns = 0;
        while (num_patterns < PATTERNS_MAX && row->patterns[num_patterns]) num_patterns++;
        VMT_TRY(vmt_pretokenizer_from_patterns(&tok->pre, row->patterns, num_patterns, r->err));
    }
    if (row->nfc) tok->normalizer.steps[tok->normalizer.num_steps++].kind = VMT_NORM_NFC;
    vmt_token_decoder_set_byte_level(&tok->decoder);
    tok->bpe.ignore_merges = row->ignore_merges;
    r->add_bos = row->add_bos;
    VMT_TRY(read_tokens(r));
    VMT_TRY(read_merges(r));
    return build_bpe(r);
}

static vmt_status build_sentencepiece(struct reader *r, bool from_scores) {
    vmt_tokenizer *tok = r->tok;
    const vmt_tokenizer_gguf *spec = r->spec;
    if (from_scores && !spec->scores) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer.ggml.scores is missing");
    }
    bool prefix = spec->add_space_prefix < 0 ? from_scores : spec->add_space_prefix > 0;
    if (prefix) VMT_TRY(vmt_normalizer_add_prepend(&tok->normalizer, VMT_STR(LOWER_BLOCK), r->err));
    VMT_TRY(vmt_normalizer_add_replace(&tok->normalizer, VMT_STR(" "), VMT_STR(LOWER_BLOCK), r->err));
    VMT_TRY(vmt_token_decoder_set_sentencepiece(&tok->decoder, prefix, r->err));
    tok->bpe.byte_fallback = tok->bpe.fuse_unk = true;
    tok->bpe.unk_id = spec->unk_id;
    r->add_bos = from_scores;
    VMT_TRY(read_tokens(r));
    VMT_TRY(from_scores ? rules_from_scores(r) : read_merges(r));
    return build_bpe(r);
}

static vmt_status check_id(struct reader *r, int32_t id, const char *what) {
    if (id < -1 || (id >= 0 && (uint32_t)id >= r->spec->num_tokens)) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer.ggml.%s_token_id %d is outside the %u tokens", what, id,
                        r->spec->num_tokens);
    }
    return VMT_OK;
}

static vmt_status build(struct reader *r) {
    const vmt_tokenizer_gguf *spec = r->spec;
    vmt_tokenizer *tok = r->tok;
    VMT_TRY(check_id(r, spec->bos_id, "bos"));
    VMT_TRY(check_id(r, spec->eos_id, "eos"));
    VMT_TRY(check_id(r, spec->unk_id, "unknown"));
    if (vmt_str_eq_c(spec->model, "gpt2")) {
        VMT_TRY(build_gpt2(r));
    } else if (vmt_str_eq_c(spec->model, "llama")) {
        VMT_TRY(build_sentencepiece(r, true));
    } else if (vmt_str_eq_c(spec->model, "gemma4")) {
        VMT_TRY(build_sentencepiece(r, false));
    } else {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer.ggml.model '%.*s' is not supported",
                        VMT_STR_ARG(spec->model));
    }
    VMT_TRY(vmt_tokenizer_finish_added(tok, r->added, r->num_added, r->err));
    if (spec->add_bos >= 0) r->add_bos = spec->add_bos != 0;
    if (spec->add_eos >= 0) r->add_eos = spec->add_eos != 0;
    tok->bos_id = spec->bos_id;
    tok->eos_id = spec->eos_id;
    if (r->add_bos && tok->bos_id >= 0) tok->prefix[tok->num_prefix++] = tok->bos_id;
    if (r->add_eos && tok->eos_id >= 0) tok->suffix[tok->num_suffix++] = tok->eos_id;
    return VMT_OK;
}

vmt_status vmt_tokenizer_from_gguf(vmt_tokenizer **out, const vmt_tokenizer_gguf *spec, vmt_err *err) {
    *out = NULL;
    struct reader r = {.tok = vmt_tokenizer_create(err), .spec = spec, .err = err};
    vmt_status status = r.tok ? build(&r) : VMT_E_NO_MEMORY;
    free(r.added);
    free(r.rules);
    if (status == VMT_OK) {
        *out = r.tok;
    } else {
        vmt_tokenizer_destroy(r.tok);
    }
    return status;
}
