/* Building a tokenizer from the text of a tokenizer.json. */
#include "text/tokenizer_private.h"
#include <stdlib.h>

#define FILE_MAX ((size_t)256 << 20) /* bytes; the largest known one has 33 MB */

struct reader {
    vmt_tokenizer *tok;
    vmt_json root, model;
    vmt_err *err;
    vmt_added_spec *added;
    uint32_t num_added;
    vmt_merge_rule *rules;
    uint32_t num_rules;
};

static bool flag(vmt_json object, const char *key) {
    bool value = false;
    vmt_json_get_bool(vmt_json_member(object, vmt_str_from(key)), &value);
    return value;
}

static vmt_status read_added(struct reader *r) {
    vmt_json list = VMT_JSON_AT(r->root, "added_tokens"), item;
    size_t count = vmt_json_size(list);
    if (count > VMT_VOCAB_MAX) return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: %zu added tokens", count);
    r->added = calloc(count + 1, sizeof *r->added);
    if (!r->added) return vmt_fail(r->err, VMT_E_NO_MEMORY, "tokenizer: no memory for added tokens");
    vmt_str key;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        vmt_added_spec *spec = &r->added[r->num_added++];
        if (!vmt_json_get_str(VMT_JSON_AT(item, "content"), &spec->text)) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: added token %u has no content", r->num_added - 1);
        }
        spec->normalized = !flag(item, "special"); /* the default */
        vmt_json_get_bool(VMT_JSON_AT(item, "normalized"), &spec->normalized);
        spec->token = (vmt_added_token){.special = flag(item, "special"),
                                        .single_word = flag(item, "single_word"),
                                        .lstrip = flag(item, "lstrip"),
                                        .rstrip = flag(item, "rstrip")};
    }
    return VMT_OK;
}

static bool markers_do_not_matter(const struct reader *r) {
    for (uint32_t i = 0; i < r->num_added; i++) {
        vmt_added_token t = r->added[i].token;
        if (r->added[i].normalized && (t.single_word || t.lstrip || t.rstrip)) return false;
    }
    return true;
}

static vmt_status start_vocab(struct reader *r, uint64_t id_max, size_t count) {
    if (id_max >= VMT_VOCAB_MAX || count > VMT_VOCAB_MAX) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: the largest token id is %llu, the limit is %u",
                        (unsigned long long)id_max, VMT_VOCAB_MAX - 1);
    }
    uint64_t num_ids = VMT_MAX(id_max + 1, (uint64_t)count + r->num_added);
    return vmt_vocab_init(&r->tok->vocab, (uint32_t)VMT_MIN(num_ids, (uint64_t)2 * VMT_VOCAB_MAX), r->err);
}

static vmt_status read_vocab_object(struct reader *r) {
    vmt_json list = VMT_JSON_AT(r->model, "vocab"), value;
    if (vmt_json_typeof(list) != VMT_JSON_OBJECT) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: model.vocab is no object");
    }
    vmt_str key;
    uint64_t id, id_max = 0;
    size_t count = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &value); count++) {
        if (!vmt_json_get_u64(value, &id)) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: the id of token '%.*s' is no number",
                            (int)VMT_MIN(key.len, 60), key.ptr);
        }
        id_max = VMT_MAX(id_max, id);
    }
    VMT_TRY(start_vocab(r, id_max, count));
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &value);) {
        vmt_json_get_u64(value, &id);
        VMT_TRY(vmt_tokenizer_set_token(r->tok, (int32_t)id, key, r->err));
    }
    return VMT_OK;
}

/* Unigram: [[token, score], ...], the id is the index. */
static vmt_status read_vocab_scores(struct reader *r) {
    vmt_json list = VMT_JSON_AT(r->model, "vocab"), pair, part;
    if (vmt_json_typeof(list) != VMT_JSON_ARRAY) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: model.vocab is no array");
    }
    size_t count = vmt_json_size(list);
    VMT_TRY(start_vocab(r, count ? count - 1 : 0, count));
    r->tok->unigram.scores = calloc(r->tok->vocab.num_ids + 1u, sizeof(double));
    if (!r->tok->unigram.scores) return vmt_fail(r->err, VMT_E_NO_MEMORY, "tokenizer: no memory for scores");
    vmt_str key;
    int32_t id = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &pair); id++) {
        vmt_str text = {NULL, 0};
        double score = 0;
        vmt_json_iter inner = vmt_json_iter_begin(pair);
        bool ok = vmt_json_iter_next(&inner, &key, &part) && vmt_json_get_str(part, &text) &&
                  vmt_json_iter_next(&inner, &key, &part) && vmt_json_get_f64(part, &score);
        if (!ok) return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: model.vocab[%d] is no [text, score]", id);
        VMT_TRY(vmt_tokenizer_set_token(r->tok, id, text, r->err));
        r->tok->unigram.scores[id] = score;
    }
    return VMT_OK;
}

/* "a b" or ["a", "b"]. */
static bool read_merge(vmt_json merge, vmt_str *left, vmt_str *right) {
    vmt_str text;
    if (vmt_json_get_str(merge, &text)) {
        size_t space = vmt_str_find(text, VMT_STR(" "), 0);
        if (space == SIZE_MAX || vmt_str_find(text, VMT_STR(" "), space + 1) != SIZE_MAX) return false;
        *left = vmt_str_slice(text, 0, space);
        *right = vmt_str_slice(text, space + 1, text.len);
        return true;
    }
    vmt_json part;
    vmt_str key;
    vmt_json_iter it = vmt_json_iter_begin(merge);
    return vmt_json_iter_next(&it, &key, &part) && vmt_json_get_str(part, left) &&
           vmt_json_iter_next(&it, &key, &part) && vmt_json_get_str(part, right);
}

static vmt_status add_merges(struct reader *r, const vmt_str (*pairs)[2], uint32_t num_pairs) {
    vmt_merge_rule *rules = r->rules + r->num_rules;
    VMT_TRY(vmt_tokenizer_find_merges(r->tok, pairs, num_pairs, rules, r->err));
    for (uint32_t i = 0; i < num_pairs; i++) {
        rules[i].rank = r->num_rules + i;
        if (rules[i].left >= 0 && rules[i].right >= 0 && rules[i].result >= 0) continue;
        vmt_str left = pairs[i][0], right = pairs[i][1];
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: merge %u, '%.*s' with '%.*s', is not in the vocabulary",
                        rules[i].rank, (int)VMT_MIN(left.len, 40), left.ptr, (int)VMT_MIN(right.len, 40),
                        right.ptr);
    }
    r->num_rules += num_pairs;
    return VMT_OK;
}

static vmt_status read_merges(struct reader *r) {
    vmt_json list = VMT_JSON_AT(r->model, "merges"), item;
    if (vmt_json_typeof(list) != VMT_JSON_ARRAY) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: model.merges is no array");
    }
    size_t count = vmt_json_size(list);
    if (count > VMT_MERGES_MAX) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: %zu merges, the limit is %u", count,
                        VMT_MERGES_MAX);
    }
    r->rules = malloc((count + 1) * sizeof *r->rules);
    if (!r->rules) return vmt_fail(r->err, VMT_E_NO_MEMORY, "tokenizer: no memory for %zu merges", count);
    vmt_str key, text, pairs[VMT_MERGE_BATCH][2];
    uint32_t num_pairs = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        if (vmt_json_get_str(item, &text) && vmt_str_starts(text, VMT_STR("#version"))) continue;
        if (!read_merge(item, &pairs[num_pairs][0], &pairs[num_pairs][1])) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: merge %u is no pair of tokens",
                            r->num_rules + num_pairs);
        }
        if (++num_pairs < VMT_MERGE_BATCH) continue;
        VMT_TRY(add_merges(r, pairs, num_pairs));
        num_pairs = 0;
    }
    return add_merges(r, pairs, num_pairs);
}

static vmt_status read_bpe(struct reader *r) {
    vmt_tokenizer *tok = r->tok;
    vmt_str text;
    double dropout = 0;
    if (vmt_json_get_f64(VMT_JSON_AT(r->model, "dropout"), &dropout) && dropout > 0) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: dropout %g is not supported", dropout);
    }
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < VMT_COUNT(affixes); i++) {
        if (vmt_json_get_str(vmt_json_member(r->model, vmt_str_from(affixes[i])), &text) && text.len > 0) {
            return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: %s '%.*s' is not supported", affixes[i],
                            VMT_STR_ARG(text));
        }
    }
    VMT_TRY(read_vocab_object(r));
    VMT_TRY(vmt_tokenizer_finish_vocab(tok, markers_do_not_matter(r), r->err));
    tok->kind = VMT_MODEL_BPE;
    tok->bpe.byte_level = tok->pre.byte_level;
    tok->bpe.ignore_merges = flag(r->model, "ignore_merges");
    tok->bpe.byte_fallback = flag(r->model, "byte_fallback");
    tok->bpe.fuse_unk = flag(r->model, "fuse_unk");
    if (vmt_json_get_str(VMT_JSON_AT(r->model, "unk_token"), &text))
        tok->bpe.unk_id = vmt_tokenizer_find(tok, text);
    VMT_TRY(read_merges(r));
    return vmt_bpe_build(&tok->bpe, r->rules, r->num_rules, r->err);
}

static vmt_status read_unigram(struct reader *r) {
    vmt_tokenizer *tok = r->tok;
    if (tok->pre.byte_level) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: Unigram with ByteLevel is not supported");
    }
    VMT_TRY(read_vocab_scores(r));
    VMT_TRY(vmt_tokenizer_finish_vocab(tok, markers_do_not_matter(r), r->err));
    tok->kind = VMT_MODEL_UNIGRAM;
    tok->unigram.byte_fallback = flag(r->model, "byte_fallback");
    int64_t unk_id;
    if (vmt_json_get_i64(VMT_JSON_AT(r->model, "unk_id"), &unk_id)) {
        if (unk_id < 0 || unk_id >= (int64_t)tok->vocab.num_model) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: unk_id %lld is outside the vocabulary",
                            (long long)unk_id);
        }
        tok->unigram.unk_id = (int32_t)unk_id;
    }
    return vmt_unigram_build(&tok->unigram, r->err);
}

static vmt_status read_model(struct reader *r) {
    vmt_str type = VMT_STR("BPE");
    if (vmt_json_typeof(r->model) != VMT_JSON_OBJECT) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: there is no model");
    }
    if (!vmt_json_get_str(VMT_JSON_AT(r->model, "type"), &type) &&
        !vmt_json_exists(VMT_JSON_AT(r->model, "merges"))) {
        type = VMT_STR("Unigram"); /* files of before the type was written */
    }
    if (vmt_str_eq_c(type, "BPE")) return read_bpe(r);
    if (vmt_str_eq_c(type, "Unigram")) return read_unigram(r);
    return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: model '%.*s' is not supported", VMT_STR_ARG(type));
}

static vmt_status put_around(struct reader *r, const int32_t *before, uint32_t num_before, const int32_t *after,
                             uint32_t num_after) {
    vmt_tokenizer *tok = r->tok;
    if (tok->num_prefix + num_before > VMT_TEMPLATE_IDS_MAX ||
        tok->num_suffix + num_after > VMT_TEMPLATE_IDS_MAX) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: the post_processor adds more than %u tokens",
                        VMT_TEMPLATE_IDS_MAX);
    }
    memmove(tok->prefix + num_before, tok->prefix, tok->num_prefix * sizeof *tok->prefix);
    memcpy(tok->prefix, before, num_before * sizeof *before);
    tok->num_prefix += num_before;
    memcpy(tok->suffix + tok->num_suffix, after, num_after * sizeof *after);
    tok->num_suffix += num_after;
    return VMT_OK;
}

static vmt_status read_template(struct reader *r, vmt_json json) {
    int32_t ids[2][VMT_TEMPLATE_IDS_MAX];
    uint32_t num[2] = {0, 0}, side = 0;
    vmt_json item, id_item;
    vmt_str key, name;
    vmt_json list = VMT_JSON_AT(json, "single"), table = VMT_JSON_AT(json, "special_tokens");
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        if (vmt_json_exists(VMT_JSON_AT(item, "Sequence"))) {
            if (side++) return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: a template with two texts");
            continue;
        }
        if (!vmt_json_get_str(VMT_JSON_AT(VMT_JSON_AT(item, "SpecialToken"), "id"), &name)) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: a template has an unknown piece");
        }
        vmt_json given = VMT_JSON_AT(vmt_json_member(table, name), "ids");
        for (vmt_json_iter ids_it = vmt_json_iter_begin(given); vmt_json_iter_next(&ids_it, &key, &id_item);) {
            int64_t id;
            if (!vmt_json_get_i64(id_item, &id) || id < 0 || id >= VMT_VOCAB_MAX ||
                num[side] == VMT_TEMPLATE_IDS_MAX) {
                return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: the ids of template token '%.*s' are wrong",
                                VMT_STR_ARG(name));
            }
            ids[side][num[side]++] = (int32_t)id;
        }
    }
    if (side == 0) return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: a template without a place for the text");
    return put_around(r, ids[0], num[0], ids[1], num[1]);
}

/* ["</s>", 2] */
static bool read_named_id(vmt_json pair, int32_t *out) {
    vmt_json part;
    vmt_str key;
    int64_t id = -1;
    vmt_json_iter it = vmt_json_iter_begin(pair);
    bool ok = vmt_json_iter_next(&it, &key, &part) && vmt_json_iter_next(&it, &key, &part) &&
              vmt_json_get_i64(part, &id) && id >= 0 && id < VMT_VOCAB_MAX;
    *out = (int32_t)id;
    return ok;
}

static vmt_status read_post(struct reader *r, vmt_json json, uint32_t nesting) {
    if (!vmt_json_exists(json) || vmt_json_is_null(json)) return VMT_OK;
    vmt_str type, key;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "type"), &type)) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: a post_processor has no type");
    }
    if (vmt_str_eq_c(type, "ByteLevel")) return VMT_OK; /* only moves offsets */
    if (vmt_str_eq_c(type, "TemplateProcessing")) return read_template(r, json);
    if (vmt_str_eq_c(type, "BertProcessing") || vmt_str_eq_c(type, "RobertaProcessing")) {
        int32_t cls, sep;
        if (!read_named_id(VMT_JSON_AT(json, "cls"), &cls) || !read_named_id(VMT_JSON_AT(json, "sep"), &sep)) {
            return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: %.*s without cls and sep", VMT_STR_ARG(type));
        }
        return put_around(r, &cls, 1, &sep, 1);
    }
    if (!vmt_str_eq_c(type, "Sequence") || nesting == 8) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "tokenizer: post_processor '%.*s' is not supported",
                        VMT_STR_ARG(type));
    }
    vmt_json item, list = VMT_JSON_AT(json, "processors");
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        VMT_TRY(read_post(r, item, nesting + 1));
    }
    return VMT_OK;
}

static vmt_status read_all(struct reader *r) {
    vmt_tokenizer *tok = r->tok;
    if (vmt_json_typeof(r->root) != VMT_JSON_OBJECT) {
        return vmt_fail(r->err, VMT_E_INVALID, "tokenizer: tokenizer.json is %s, not an object",
                        vmt_json_type_name(vmt_json_typeof(r->root)));
    }
    r->model = VMT_JSON_AT(r->root, "model");
    VMT_TRY(vmt_normalizer_from_json(&tok->normalizer, VMT_JSON_AT(r->root, "normalizer"), r->err));
    VMT_TRY(vmt_pretokenizer_from_json(&tok->pre, VMT_JSON_AT(r->root, "pre_tokenizer"), r->err));
    VMT_TRY(vmt_token_decoder_from_json(&tok->decoder, VMT_JSON_AT(r->root, "decoder"), r->err));
    VMT_TRY(read_added(r));
    VMT_TRY(read_model(r));
    VMT_TRY(vmt_tokenizer_finish_added(tok, r->added, r->num_added, r->err));
    VMT_TRY(read_post(r, VMT_JSON_AT(r->root, "post_processor"), 0));
    if (tok->num_prefix > 0) tok->bos_id = tok->prefix[0];
    if (tok->num_suffix > 0) tok->eos_id = tok->suffix[tok->num_suffix - 1];
    return VMT_OK;
}

vmt_status vmt_tokenizer_from_json(vmt_tokenizer **out, vmt_str tokenizer_json, vmt_err *err) {
    *out = NULL;
    if (tokenizer_json.len > FILE_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer.json is %zu bytes, the limit is %zu",
                        tokenizer_json.len, FILE_MAX);
    }
    vmt_json_doc *doc = NULL;
    VMT_TRY(vmt_json_parse(&doc, tokenizer_json, err));
    struct reader r = {.tok = vmt_tokenizer_create(err), .root = vmt_json_root(doc), .err = err};
    vmt_status status = r.tok ? read_all(&r) : VMT_E_NO_MEMORY;
    free(r.added);
    free(r.rules);
    vmt_json_doc_destroy(doc);
    if (status == VMT_OK) {
        *out = r.tok;
    } else {
        vmt_tokenizer_destroy(r.tok);
    }
    return status;
}
