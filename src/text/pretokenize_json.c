/* Pre-tokenizers as tokenizer.json spells them. */
#include "text/pretokenize.h"
#include "text/unicode_class.h"
#include <stdlib.h>

#define NESTING_MAX 8 /* Sequence in Sequence */

static bool is_numeric(uint32_t c) {
    return (vmt_unicode_gc_bit(c) & VMT_GC_MASK_N) != 0;
}
static bool is_punctuation(uint32_t c) {
    return c < 128 ? (c > 32 && c < 127 && (vmt_unicode_gc_bit(c) & (VMT_GC_MASK_P | VMT_GC_MASK_S)))
                   : (vmt_unicode_gc_bit(c) & VMT_GC_MASK_P) != 0;
}

static vmt_status add_stage(vmt_pretokenizer *pre, vmt_stage **out, vmt_err *err) {
    if (pre->byte_level) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: a pre_tokenizer after ByteLevel is not supported");
    }
    if (pre->num_stages == VMT_TEXT_STAGES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: more than %u pre_tokenizers in a row",
                        VMT_TEXT_STAGES_MAX);
    }
    *out = &pre->stages[pre->num_stages++];
    memset(*out, 0, sizeof **out);
    return VMT_OK;
}

static vmt_status add_pattern(vmt_pretokenizer *pre, vmt_str pattern, vmt_stage **out, vmt_err *err) {
    VMT_TRY(add_stage(pre, out, err));
    (*out)->scan = vmt_scan_for_pattern(pattern);
    (*out)->kind = (*out)->scan.match ? VMT_STAGE_SCAN : VMT_STAGE_REGEX;
    return (*out)->scan.match ? VMT_OK : vmt_regex_compile(&(*out)->regex, pattern, err);
}

static vmt_status add_class(vmt_pretokenizer *pre, bool (*in_class)(uint32_t), vmt_split_behavior behavior,
                            vmt_err *err) {
    vmt_stage *stage = NULL;
    VMT_TRY(add_stage(pre, &stage, err));
    stage->kind = VMT_STAGE_CLASS;
    stage->in_class = in_class;
    stage->behavior = behavior;
    return VMT_OK;
}

static vmt_status read_behavior(vmt_json json, vmt_split_behavior *out, vmt_err *err) {
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    vmt_str name;
    if (!vmt_json_get_str(json, &name)) return vmt_fail(err, VMT_E_INVALID, "tokenizer: a behavior is no string");
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        if (vmt_str_eq_c(name, names[i])) return *out = (vmt_split_behavior)i, VMT_OK;
    }
    return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: unknown split behavior '%.*s'", VMT_STR_ARG(name));
}

static vmt_status add_split(vmt_pretokenizer *pre, vmt_json json, vmt_err *err) {
    vmt_json pattern = VMT_JSON_AT(json, "pattern");
    vmt_str text;
    vmt_stage *stage = NULL;
    if (vmt_json_get_str(VMT_JSON_AT(pattern, "Regex"), &text)) {
        VMT_TRY(add_pattern(pre, text, &stage, err));
    } else if (vmt_json_get_str(VMT_JSON_AT(pattern, "String"), &text)) {
        VMT_TRY(add_stage(pre, &stage, err));
        stage->kind = VMT_STAGE_REGEX;
        VMT_TRY(vmt_regex_compile_literal(&stage->regex, text, err));
    } else {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Split pre_tokenizer has no pattern");
    }
    vmt_json_get_bool(VMT_JSON_AT(json, "invert"), &stage->invert);
    stage->only_spaces = stage->kind == VMT_STAGE_REGEX && !stage->invert && vmt_str_eq_c(text, " ");
    return read_behavior(VMT_JSON_AT(json, "behavior"), &stage->behavior, err);
}

static vmt_status add_metaspace(vmt_pretokenizer *pre, vmt_json json, vmt_err *err) {
    vmt_stage *stage = NULL;
    VMT_TRY(add_stage(pre, &stage, err));
    stage->kind = VMT_STAGE_METASPACE;
    stage->prepend = 2;
    stage->split = true;
    vmt_str marker = VMT_STR("\xE2\x96\x81"), scheme;
    vmt_json_get_str(VMT_JSON_AT(json, "replacement"), &marker);
    if (marker.len == 0 || marker.len > 4 || marker.len != vmt_utf8_len_valid((uint8_t)marker.ptr[0])) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: the replacement of Metaspace is not one character");
    }
    memcpy(stage->marker, marker.ptr, marker.len);
    stage->marker_len = (uint8_t)marker.len;
    if (vmt_json_get_str(VMT_JSON_AT(json, "prepend_scheme"), &scheme)) {
        if (vmt_str_eq_c(scheme, "never")) {
            stage->prepend = 0;
        } else if (vmt_str_eq_c(scheme, "first")) {
            stage->prepend = 1;
        } else if (!vmt_str_eq_c(scheme, "always")) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: unknown prepend_scheme '%.*s'",
                            VMT_STR_ARG(scheme));
        }
    }
    bool add_prefix = true;
    if (vmt_json_get_bool(VMT_JSON_AT(json, "add_prefix_space"), &add_prefix) && !add_prefix) stage->prepend = 0;
    vmt_json_get_bool(VMT_JSON_AT(json, "split"), &stage->split);
    return VMT_OK;
}

static vmt_status add_byte_level(vmt_pretokenizer *pre, vmt_json json, vmt_err *err) {
    bool add_prefix = true, use_regex = true;
    vmt_json_get_bool(VMT_JSON_AT(json, "add_prefix_space"), &add_prefix);
    vmt_json_get_bool(VMT_JSON_AT(json, "use_regex"), &use_regex);
    vmt_stage *stage = NULL;
    if (add_prefix) {
        VMT_TRY(add_stage(pre, &stage, err));
        stage->kind = VMT_STAGE_PREFIX;
    }
    if (use_regex) VMT_TRY(add_pattern(pre, VMT_STR(VMT_PATTERN_GPT2), &stage, err));
    pre->byte_level = true;
    return VMT_OK;
}

static vmt_status add_from_json(vmt_pretokenizer *pre, vmt_json json, uint32_t nesting, vmt_err *err) {
    vmt_str type;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "type"), &type)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a pre_tokenizer has no type");
    }
    if (vmt_str_eq_c(type, "Sequence")) {
        if (nesting == NESTING_MAX) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: pre_tokenizers nest deeper than %d", NESTING_MAX);
        }
        vmt_json item;
        vmt_str key;
        vmt_json list = VMT_JSON_AT(json, "pretokenizers");
        for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
            VMT_TRY(add_from_json(pre, item, nesting + 1, err));
        }
        return VMT_OK;
    }
    vmt_stage *stage = NULL;
    if (vmt_str_eq_c(type, "ByteLevel")) return add_byte_level(pre, json, err);
    if (vmt_str_eq_c(type, "Split")) return add_split(pre, json, err);
    if (vmt_str_eq_c(type, "Metaspace")) return add_metaspace(pre, json, err);
    if (vmt_str_eq_c(type, "Digits")) {
        bool individual = false;
        vmt_json_get_bool(VMT_JSON_AT(json, "individual_digits"), &individual);
        return add_class(pre, is_numeric, individual ? VMT_SPLIT_ISOLATED : VMT_SPLIT_CONTIGUOUS, err);
    }
    if (vmt_str_eq_c(type, "Punctuation")) {
        vmt_split_behavior behavior = VMT_SPLIT_ISOLATED;
        vmt_json given = VMT_JSON_AT(json, "behavior");
        if (vmt_json_exists(given)) VMT_TRY(read_behavior(given, &behavior, err));
        return add_class(pre, is_punctuation, behavior, err);
    }
    if (vmt_str_eq_c(type, "WhitespaceSplit")) return add_class(pre, vmt_unicode_is_space, VMT_SPLIT_REMOVED, err);
    if (vmt_str_eq_c(type, "BertPreTokenizer")) {
        VMT_TRY(add_class(pre, vmt_unicode_is_space, VMT_SPLIT_REMOVED, err));
        return add_class(pre, is_punctuation, VMT_SPLIT_ISOLATED, err);
    }
    if (vmt_str_eq_c(type, "Whitespace")) {
        VMT_TRY(add_stage(pre, &stage, err));
        stage->kind = VMT_STAGE_WORDS;
        return VMT_OK;
    }
    return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: pre_tokenizer '%.*s' is not supported", VMT_STR_ARG(type));
}

static bool is_isolated_regex(const vmt_json *list, size_t idx, const char *pattern) {
    vmt_str type, text, behavior;
    bool invert = false;
    vmt_json_get_bool(VMT_JSON_AT(list[idx], "invert"), &invert);
    return !invert && vmt_json_get_str(VMT_JSON_AT(list[idx], "type"), &type) && vmt_str_eq_c(type, "Split") &&
           vmt_json_get_str(VMT_JSON_AT(list[idx], "behavior"), &behavior) && vmt_str_eq_c(behavior, "Isolated") &&
           vmt_json_get_str(VMT_JSON_AT(VMT_JSON_AT(list[idx], "pattern"), "Regex"), &text) &&
           vmt_str_eq_c(text, pattern);
}

static bool is_byte_level(vmt_json json, bool want_regex) {
    vmt_str type;
    bool add_prefix = true, use_regex = true;
    vmt_json_get_bool(VMT_JSON_AT(json, "add_prefix_space"), &add_prefix);
    vmt_json_get_bool(VMT_JSON_AT(json, "use_regex"), &use_regex);
    return vmt_json_get_str(VMT_JSON_AT(json, "type"), &type) && vmt_str_eq_c(type, "ByteLevel") && !add_prefix &&
           use_regex == want_regex;
}

/* Sequences that one scanner does in one pass. */
static bool fuse(vmt_pretokenizer *pre, vmt_json json) {
    vmt_json list[4], item;
    vmt_str key, type;
    size_t n = 0;
    vmt_json given = VMT_JSON_AT(json, "pretokenizers");
    for (vmt_json_iter it = vmt_json_iter_begin(given); vmt_json_iter_next(&it, &key, &item);) {
        if (n == VMT_COUNT(list)) return false;
        list[n++] = item;
    }
    vmt_scan scan = {0};
    bool individual = false;
    if (n == 4 && is_isolated_regex(list, 0, VMT_PATTERN_DEEPSEEK_NUMBERS) &&
        is_isolated_regex(list, 1, VMT_PATTERN_DEEPSEEK_CJK) &&
        is_isolated_regex(list, 2, VMT_PATTERN_DEEPSEEK_WORDS) && is_byte_level(list[3], false)) {
        scan = vmt_scan_deepseek_v3();
    } else if (n == 2 && vmt_json_get_str(VMT_JSON_AT(list[0], "type"), &type) && vmt_str_eq_c(type, "Digits") &&
               vmt_json_get_bool(VMT_JSON_AT(list[0], "individual_digits"), &individual) && individual &&
               is_byte_level(list[1], true)) {
        scan = vmt_scan_digits_gpt2();
    }
    if (!scan.match) return false;
    pre->stages[0] = (vmt_stage){.kind = VMT_STAGE_SCAN, .behavior = VMT_SPLIT_ISOLATED, .scan = scan};
    pre->num_stages = 1;
    pre->byte_level = true;
    return true;
}

vmt_status vmt_pretokenizer_from_json(vmt_pretokenizer *pre, vmt_json json, vmt_err *err) {
    memset(pre, 0, sizeof *pre);
    if (!vmt_json_exists(json) || vmt_json_is_null(json)) return VMT_OK;
    if (fuse(pre, json)) return VMT_OK;
    VMT_TRY(add_from_json(pre, json, 0, err));
    if (pre->num_stages > 0) {
        const vmt_stage *last = &pre->stages[pre->num_stages - 1];
        pre->metaspace = last->kind == VMT_STAGE_METASPACE && !pre->byte_level && last->marker_len == 3 &&
                         memcmp(last->marker, "\xE2\x96\x81", 3) == 0;
    }
    return VMT_OK;
}

vmt_status vmt_pretokenizer_from_patterns(vmt_pretokenizer *pre, const char *const *patterns,
                                          uint32_t num_patterns, vmt_err *err) {
    memset(pre, 0, sizeof *pre);
    for (uint32_t i = 0; i < num_patterns; i++) {
        vmt_stage *stage = NULL;
        VMT_TRY(add_pattern(pre, vmt_str_from(patterns[i]), &stage, err));
        stage->behavior = VMT_SPLIT_ISOLATED;
    }
    pre->byte_level = true;
    return VMT_OK;
}

void vmt_pretokenizer_reset(vmt_pretokenizer *pre) {
    for (uint32_t i = 0; i < pre->num_stages; i++) vmt_regex_destroy(pre->stages[i].regex);
    memset(pre, 0, sizeof *pre);
}
