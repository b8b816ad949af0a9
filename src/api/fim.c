#include "api/fim.h"

/* Each marker stands before its text, and the last one where the model goes on. */
struct vmt_fim_style {
    const char *prefix, *suffix, *middle;
    bool suffix_first;
    const char *end; /* NULL: the model's own */
};

static const vmt_fim_style styles[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", false, NULL}, /* Qwen2.5-Coder, Granite 4, CodeGemma */
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>", false, NULL},       /* StarCoder */
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>", false, NULL},       /* SantaCoder */
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", false, NULL}, /* DeepSeek-Coder */
    {"▁<PRE>", "▁<SUF>", "▁<MID>", false, "▁<EOT>"},                     /* CodeLlama */
    {"[PREFIX]", "[SUFFIX]", "[MIDDLE]", true, NULL},                    /* Codestral; [MIDDLE] is not written */
};

static bool has(const vmt_tokenizer *tok, const char *marker) {
    return vmt_tokenizer_find(tok, vmt_str_from(marker)) >= 0;
}

const vmt_fim_style *vmt_fim_find(const vmt_tokenizer *tok) {
    for (size_t i = 0; i < VMT_COUNT(styles); i++) {
        const vmt_fim_style *style = &styles[i];
        if (has(tok, style->prefix) && has(tok, style->suffix) &&
            (style->suffix_first || has(tok, style->middle))) {
            return style;
        }
    }
    return NULL;
}

void vmt_fim_write(const vmt_fim_style *style, vmt_str prefix, vmt_str suffix, vmt_buf *out) {
    const struct {
        const char *marker;
        vmt_str text;
    } parts[] = {{style->prefix, prefix}, {style->suffix, suffix}};
    for (size_t i = 0; i < VMT_COUNT(parts); i++) {
        size_t idx = style->suffix_first ? VMT_COUNT(parts) - 1 - i : i;
        vmt_buf_append_c(out, parts[idx].marker);
        vmt_buf_append(out, parts[idx].text);
    }
    if (!style->suffix_first) vmt_buf_append_c(out, style->middle);
}

int32_t vmt_fim_end(const vmt_fim_style *style, const vmt_tokenizer *tok) {
    return style->end ? vmt_tokenizer_find(tok, vmt_str_from(style->end)) : -1;
}
