/* Normalizers as tokenizer.json spells them. */
#include "text/normalizer.h"

#define NESTING_MAX 8 /* Sequence in Sequence */

static vmt_status add_plain(vmt_normalizer *norm, vmt_norm_kind kind, vmt_norm_step **out, vmt_err *err) {
    if (norm->num_steps == VMT_TEXT_STAGES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: more than %u normalizers in a row",
                        VMT_TEXT_STAGES_MAX);
    }
    *out = &norm->steps[norm->num_steps++];
    memset(*out, 0, sizeof **out);
    (*out)->kind = kind;
    return VMT_OK;
}

static vmt_status add_replace(vmt_normalizer *norm, vmt_json json, vmt_err *err) {
    vmt_json pattern = VMT_JSON_AT(json, "pattern");
    vmt_str what, with;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "content"), &with)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Replace normalizer has no content");
    }
    if (vmt_json_get_str(VMT_JSON_AT(pattern, "String"), &what)) {
        return vmt_normalizer_add_replace(norm, what, with, err);
    }
    if (!vmt_json_get_str(VMT_JSON_AT(pattern, "Regex"), &what)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Replace normalizer has no pattern");
    }
    vmt_norm_step *step = NULL;
    VMT_TRY(add_plain(norm, VMT_NORM_REPLACE, &step, err));
    vmt_buf_append(&step->text, with);
    return vmt_regex_compile(&step->regex, what, err);
}

static vmt_status add_bert(vmt_normalizer *norm, vmt_json json, vmt_err *err) {
    bool clean = true, chinese = true, lower = true;
    vmt_json_get_bool(VMT_JSON_AT(json, "clean_text"), &clean);
    vmt_json_get_bool(VMT_JSON_AT(json, "handle_chinese_chars"), &chinese);
    vmt_json_get_bool(VMT_JSON_AT(json, "lowercase"), &lower);
    bool accents = lower;
    vmt_json_get_bool(VMT_JSON_AT(json, "strip_accents"), &accents);
    vmt_norm_step *step = NULL;
    if (clean) VMT_TRY(add_plain(norm, VMT_NORM_CLEAN, &step, err));
    if (chinese) VMT_TRY(add_plain(norm, VMT_NORM_CHINESE, &step, err));
    if (accents) {
        VMT_TRY(add_plain(norm, VMT_NORM_NFD, &step, err));
        VMT_TRY(add_plain(norm, VMT_NORM_STRIP_ACCENTS, &step, err));
    }
    return lower ? add_plain(norm, VMT_NORM_LOWERCASE, &step, err) : VMT_OK;
}

static vmt_status add_from_json(vmt_normalizer *norm, vmt_json json, uint32_t nesting, vmt_err *err) {
    static const struct {
        const char *name;
        vmt_norm_kind kind;
    } plain[] = {
        {"NFC", VMT_NORM_NFC},
        {"NFD", VMT_NORM_NFD},
        {"NFKC", VMT_NORM_NFKC},
        {"NFKD", VMT_NORM_NFKD},
        {"Lowercase", VMT_NORM_LOWERCASE},
        {"StripAccents", VMT_NORM_STRIP_MARKS},
        {"Nmt", VMT_NORM_NMT},
    };
    vmt_str type, text;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "type"), &type)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: a normalizer has no type");
    }
    vmt_norm_step *step = NULL;
    for (size_t i = 0; i < VMT_COUNT(plain); i++) {
        if (vmt_str_eq_c(type, plain[i].name)) return add_plain(norm, plain[i].kind, &step, err);
    }
    if (vmt_str_eq_c(type, "Sequence")) {
        if (nesting == NESTING_MAX) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: normalizers nest deeper than %d", NESTING_MAX);
        }
        vmt_json item, list = VMT_JSON_AT(json, "normalizers");
        vmt_str key;
        for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
            VMT_TRY(add_from_json(norm, item, nesting + 1, err));
        }
        return VMT_OK;
    }
    if (vmt_str_eq_c(type, "Replace")) return add_replace(norm, json, err);
    if (vmt_str_eq_c(type, "BertNormalizer")) return add_bert(norm, json, err);
    if (vmt_str_eq_c(type, "Prepend")) {
        if (!vmt_json_get_str(VMT_JSON_AT(json, "prepend"), &text)) {
            return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Prepend normalizer has no text");
        }
        return vmt_normalizer_add_prepend(norm, text, err);
    }
    if (vmt_str_eq_c(type, "Strip")) {
        VMT_TRY(add_plain(norm, VMT_NORM_STRIP, &step, err));
        step->left = step->right = true;
        vmt_json_get_bool(VMT_JSON_AT(json, "strip_left"), &step->left);
        vmt_json_get_bool(VMT_JSON_AT(json, "strip_right"), &step->right);
        return VMT_OK;
    }
    if (vmt_str_eq_c(type, "Precompiled")) {
        if (!vmt_json_get_str(VMT_JSON_AT(json, "precompiled_charsmap"), &text)) {
            return vmt_fail(err, VMT_E_INVALID, "tokenizer: a Precompiled normalizer has no precompiled_charsmap");
        }
        if (text.len == 0) return VMT_OK;
        VMT_TRY(add_plain(norm, VMT_NORM_CHARSMAP, &step, err));
        return vmt_charsmap_create(&step->map, text, err);
    }
    return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: normalizer '%.*s' is not supported", VMT_STR_ARG(type));
}

vmt_status vmt_normalizer_from_json(vmt_normalizer *norm, vmt_json json, vmt_err *err) {
    memset(norm, 0, sizeof *norm);
    if (!vmt_json_exists(json) || vmt_json_is_null(json)) return VMT_OK;
    return add_from_json(norm, json, 0, err);
}
