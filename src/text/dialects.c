/* text/dialects.c: the tables of tool-call dialects and reasoning families, under the names that vLLM gives them.
 *
 * Rows are looked at from the top when a template is asked for its dialect, so the special stand before the general.  A
 * row without `detect` is another name for one above, or can't be told from the template. */
#include "text/output_scan.h"

#define LIST(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define NO_MARKERS ((const char *const[]){NULL})

/* ---- syntax */

static const vmt_json_syntax hermes = {LIST("</tool_call>", "<tool_call>"), 1};
static const vmt_json_syntax granite = {LIST("<|tool_call|>", "<tool_call>"), 0};
static const vmt_json_syntax jamba = {LIST("</tool_calls>", "<tool_calls>"), 1};
static const vmt_json_syntax llama = {LIST("<|python_end|>", "<|python_tag|>"), 1};
static const vmt_json_syntax llama3 = {LIST("<|python_tag|>"), 0};
static const vmt_json_syntax phi4 = {LIST("functools"), 0};
static const vmt_json_syntax mistral = {LIST("[TOOL_CALLS]"), 0};

#define DS_BEGIN    "<｜tool▁calls▁begin｜>"
#define DS_END      "<｜tool▁calls▁end｜>"
#define DS_CALL     "<｜tool▁call▁begin｜>"
#define DS_CALL_END "<｜tool▁call▁end｜>"
#define DS_SEP      "<｜tool▁sep｜>"
#define KIMI_END    "<|tool_calls_section_end|>"
#define DSML(tag)   "<｜DSML｜" tag
#define DSML_E(tag) "</｜DSML｜" tag ">"
static const vmt_named_syntax deepseek_v3 = {
    LIST(DS_CALL, DS_END), LIST("```json"), LIST(DS_CALL_END, DS_END), DS_SEP, false, false,
};
static const vmt_named_syntax deepseek_v31 = {
    LIST(DS_CALL, DS_END), LIST(DS_SEP), LIST(DS_CALL_END, DS_END), NULL, false, false,
};
static const vmt_named_syntax kimi = {
    LIST("<|tool_call_begin|>", KIMI_END),
    LIST("<|tool_call_argument_begin|>"),
    LIST("<|tool_call_end|>", KIMI_END),
    NULL,
    true,
    false,
};

static const vmt_xml_syntax qwen3_coder = {
    LIST("<function=", "</tool_call>"),
    LIST("<parameter=", "</function>", "</tool_call>"),
    LIST("</parameter>", "</function>"),
    false,
    true,
};
static const vmt_xml_syntax seed_oss = {
    LIST("<function=", "</seed:tool_call>"),
    LIST("<parameter=", "</function>", "</seed:tool_call>"),
    LIST("</parameter>", "</function>"),
    false,
    true,
};
static const vmt_xml_syntax minimax = {
    LIST("<invoke name=\"", "</minimax:tool_call>"),
    LIST("<parameter name=\"", "</invoke>", "</minimax:tool_call>"),
    LIST("</parameter>", "</invoke>"),
    true,
    true,
};
static const vmt_xml_syntax dsml = {
    LIST(DSML("invoke name=\""), DSML_E("function_calls"), DSML_E("tool_calls")),
    LIST(DSML("parameter name=\""), DSML_E("invoke"), DSML_E("function_calls"), DSML_E("tool_calls")),
    LIST(DSML_E("parameter"), DSML_E("invoke")),
    true,
    false,
};

static const vmt_pythonic_syntax pythonic = {NO_MARKERS};
static const vmt_pythonic_syntax llama4_pythonic = {LIST("<|python_end|>")};
static const vmt_pythonic_syntax olmo3 = {LIST("</function_calls>")};
static const vmt_pythonic_syntax lfm2 = {LIST("<|tool_call_end|>")};

static const vmt_gemma_syntax gemma4 = {LIST("<|\"|>"), LIST("<tool_call|>", "<turn|>")};
static const vmt_gemma_syntax functiongemma = {LIST("<escape>"), LIST("<end_function_call>")};

/* ---- how calls are written */

#define JSON_CALL .call = "", .call_end = "", .args_member = "arguments"
static const vmt_call_frame hermes_frame = {
    .open = "<tool_call>\n", .close = "\n</tool_call>", .between = "\n", .separator = "", JSON_CALL};
static const vmt_call_frame granite_frame = {.open = "<|tool_call|>[", .close = "]", .separator = ", ", JSON_CALL};
static const vmt_call_frame jamba_frame = {
    .open = "<tool_calls>[", .close = "]</tool_calls>", .separator = ", ", JSON_CALL};
static const vmt_call_frame phi4_frame = {.open = "functools[", .close = "]", .separator = ", ", JSON_CALL};
static const vmt_call_frame mistral_frame = {.open = "[TOOL_CALLS][", .close = "]", .separator = ", ", JSON_CALL};
static const vmt_call_frame llama_frame = {
    .open = "", .close = "", .separator = "; ", .call = "", .call_end = "", .args_member = "parameters"};

static const vmt_call_frame deepseek_v3_frame = {
    .open = DS_BEGIN,
    .close = DS_END,
    .separator = "\n",
    .call = DS_CALL "function" DS_SEP,
    .after_name = "\n```json\n",
    .call_end = "\n```" DS_CALL_END,
};
static const vmt_call_frame deepseek_v31_frame = {
    .open = DS_BEGIN,
    .close = DS_END,
    .separator = "",
    .call = DS_CALL,
    .after_name = DS_SEP,
    .call_end = DS_CALL_END,
};
static const vmt_call_frame kimi_frame = {
    .open = "<|tool_calls_section_begin|>",
    .close = KIMI_END,
    .separator = "",
    .call = "<|tool_call_begin|>functions.",
    .after_name = ":",
    .index_end = "<|tool_call_argument_begin|>",
    .call_end = "<|tool_call_end|>",
};

#define XML_PARAMETER(ends)                                                                       \
    .after_name = ">\n", .key = "<parameter=", .key_end = ">\n", .value_end = "\n</parameter>\n", \
    .excludes = (ends)
static const vmt_call_frame qwen3_coder_frame = {
    .open = "<tool_call>\n",
    .close = "\n</tool_call>",
    .between = "\n",
    .separator = "",
    .call = "<function=",
    .call_end = "</function>",
    XML_PARAMETER(LIST("</parameter>", "</function>")),
};
static const vmt_call_frame seed_oss_frame = {
    .open = "<seed:tool_call>\n",
    .close = "\n</seed:tool_call>",
    .between = "\n",
    .separator = "",
    .call = "<function=",
    .call_end = "</function>",
    XML_PARAMETER(LIST("</parameter>", "</function>")),
};
static const vmt_call_frame minimax_frame = {
    .open = "<minimax:tool_call>\n",
    .close = "\n</minimax:tool_call>",
    .separator = "\n",
    .call = "<invoke name=\"",
    .after_name = "\">\n",
    .call_end = "</invoke>",
    .key = "<parameter name=\"",
    .key_end = "\">\n",
    .value_end = "\n</parameter>\n",
    .excludes = LIST("</parameter>", "</invoke>"),
};
#define DSML_FRAME(tag)                                          \
    {                                                            \
        .open = DSML(tag) ">\n",                                 \
        .close = "\n" DSML_E(tag),                               \
        .separator = "\n",                                       \
        .call = DSML("invoke name=\""),                          \
        .after_name = "\">\n",                                   \
        .call_end = DSML_E("invoke"),                            \
        .key = DSML("parameter name=\""),                        \
        .key_end = "\" string=\"true\">",                        \
        .key_end_json = "\" string=\"false\">",                  \
        .value_end = DSML_E("parameter") "\n",                   \
        .excludes = LIST(DSML_E("parameter"), DSML_E("invoke")), \
    }
static const vmt_call_frame dsml_frame = DSML_FRAME("function_calls"), dsml_v4_frame = DSML_FRAME("tool_calls");
static const vmt_call_frame glm_frame = {
    .open = "<tool_call>",
    .close = "</tool_call>",
    .between = "\n",
    .separator = "",
    .call = "",
    .after_name = "\n",
    .call_end = "",
    .key = "<arg_key>",
    .key_end = "</arg_key>\n<arg_value>",
    .value_end = "</arg_value>\n",
    .excludes = LIST("</arg_value>"),
};

#define PYTHON_CALL                                                                                            \
    .call = "", .after_name = "(", .call_end = ")", .key = "", .key_end = "=", .value_end = "", .comma = ", ", \
    .strings_are_json = true
static const vmt_call_frame pythonic_frame = {.open = "[", .close = "]", .separator = ", ", PYTHON_CALL};
static const vmt_call_frame lfm2_frame = {
    .open = "<|tool_call_start|>[", .close = "]<|tool_call_end|>", .separator = ", ", PYTHON_CALL};
static const vmt_call_frame olmo3_frame = {
    .open = "<function_calls>", .close = "</function_calls>", .separator = "\n", PYTHON_CALL};

#define GEMMA_CALL(mark)                                                                                       \
    .between = "", .separator = "", .call = "", .after_name = "{", .call_end = "}", .key = "", .key_end = ":", \
    .value_end = "", .comma = ",", .quote = (mark), .excludes = LIST(mark)
static const vmt_call_frame gemma4_frame = {
    .open = "<|tool_call>call:", .close = "<tool_call|>", GEMMA_CALL("<|\"|>")};
static const vmt_call_frame functiongemma_frame = {
    .open = "<start_function_call>call:", .close = "<end_function_call>", GEMMA_CALL("<escape>")};

/* ---- tool calls */

#define TAGGED(row_name, kind, row_syntax, row_opens, ...) \
    {.name = (row_name), .scanner = &vmt_scan_##kind, .syntax = (row_syntax), .opens = (row_opens), __VA_ARGS__}
#define FRAME(row_frame) .frame = &row_frame##_frame
#define DETECT(...)      .detect = {__VA_ARGS__}

#define QWEN_OPENS LIST("<tool_call>", "<function=")
#define DSML_OPENS LIST(DSML("function_calls>"), DSML("tool_calls>"))
#define LLAMA_ROW  .bare_open = '{', .names_known = true
#define PYTHON_ROW .bare_open = '[', .names_known = true
static const vmt_tool_dialect dialects[] = {
    {.name = "openai", .scanner = &vmt_scan_harmony, .from_start = true, DETECT("<|channel|>", "commentary")},
    TAGGED("gemma4", gemma, &gemma4, LIST("<|tool_call>"), FRAME(gemma4), DETECT("<|tool_call>")),
    TAGGED("functiongemma", gemma, &functiongemma, LIST("<start_function_call>"), FRAME(functiongemma),
           DETECT("<start_function_call>")),
    TAGGED("glm45", glm, NULL, LIST("<tool_call>"), FRAME(glm), DETECT("<arg_key>")),
    TAGGED("glm47", glm, NULL, LIST("<tool_call>"), FRAME(glm), .detect = {0}),
    TAGGED("deepseek_v32", xml, &dsml, DSML_OPENS, FRAME(dsml), DETECT("｜DSML｜")),
    TAGGED("deepseek_v4", xml, &dsml, DSML_OPENS, FRAME(dsml_v4), .detect = {0}),
    TAGGED("deepseek_v3", named, &deepseek_v3, LIST(DS_BEGIN, DS_CALL), FRAME(deepseek_v3),
           DETECT(DS_SEP, "```json")),
    TAGGED("deepseek_v31", named, &deepseek_v31, LIST(DS_BEGIN, DS_CALL), FRAME(deepseek_v31), DETECT(DS_SEP)),
    TAGGED("kimi_k2", named, &kimi, LIST("<|tool_calls_section_begin|>", "<|tool_call_begin|>"),
           .id_style = VMT_CALL_ID_KIMI, FRAME(kimi), DETECT("<|tool_call_argument_begin|>")),
    TAGGED("minimax_m2", xml, &minimax, LIST("<minimax:tool_call>"), FRAME(minimax),
           DETECT("<minimax:tool_call>")),
    TAGGED("seed_oss", xml, &seed_oss, LIST("<seed:tool_call>"), FRAME(seed_oss), DETECT("<seed:tool_call>")),
    TAGGED("qwen3_coder", xml, &qwen3_coder, QWEN_OPENS, FRAME(qwen3_coder), DETECT("<tool_call>", "<function=")),
    TAGGED("qwen3_xml", xml, &qwen3_coder, QWEN_OPENS, FRAME(qwen3_coder), .detect = {0}),
    TAGGED("mimo", xml, &qwen3_coder, QWEN_OPENS, FRAME(qwen3_coder), .detect = {0}),
    TAGGED("nemotron_v3", xml, &qwen3_coder, QWEN_OPENS, FRAME(qwen3_coder), .detect = {0}),
    TAGGED("granite", json, &granite, LIST("<|tool_call|>", "<tool_call>"), FRAME(granite),
           DETECT("<|tool_call|>")),
    TAGGED("hermes", json, &hermes, LIST("<tool_call>"), FRAME(hermes), DETECT("<tool_call>")),
    TAGGED("granite4", json, &hermes, LIST("<tool_call>"), FRAME(hermes), .detect = {0}),
    TAGGED("mistral", mistral, &mistral, LIST("[TOOL_CALLS]"), .id_style = VMT_CALL_ID_MISTRAL, FRAME(mistral),
           DETECT("[TOOL_CALLS]")),
    TAGGED("jamba", json, &jamba, LIST("<tool_calls>"), FRAME(jamba), DETECT("<tool_calls>")),
    TAGGED("lfm2", pythonic, &lfm2, LIST("<|tool_call_start|>"), FRAME(lfm2), DETECT("<|tool_call_start|>")),
    TAGGED("lfm2", pythonic, &lfm2, LIST("<|tool_call_start|>"), FRAME(lfm2), DETECT("<|tool_list_start|>")),
    TAGGED("olmo3", pythonic, &olmo3, LIST("<function_calls>"), FRAME(olmo3), DETECT("<function_calls>")),
    TAGGED("phi4_mini_json", json, &phi4, LIST("functools["), FRAME(phi4), DETECT("<|tool|>", "<|/tool|>")),
    TAGGED("llama4_pythonic", pythonic, &llama4_pythonic, LIST("<|python_start|>"), PYTHON_ROW, FRAME(pythonic),
           DETECT("<|python_start|>")),
    TAGGED("llama4_json", json, &llama, LIST("<|python_start|>", "<|python_tag|>"), LLAMA_ROW, FRAME(llama),
           .detect = {0}),
    TAGGED("llama3_json", json, &llama3, LIST("<|python_tag|>"), LLAMA_ROW, FRAME(llama),
           DETECT("<|python_tag|>")),
    TAGGED("llama3_json", json, &llama3, LIST("<|python_tag|>"), LLAMA_ROW, FRAME(llama),
           DETECT("\"parameters\": dictionary")),
    TAGGED("pythonic", pythonic, &pythonic, NO_MARKERS, PYTHON_ROW, FRAME(pythonic), .detect = {0}),
};

/* ---- reasoning */

#define THINK(row_name, inside, ...) \
    {.name = (row_name), .open = "<think>", .close = "</think>", .begins_inside = (inside), __VA_ARGS__}
static const vmt_reasoning_style styles[] = {
    {.name = "openai_gptoss", .open = "<|channel|>analysis", .close = "<|end|>", .detect = "<|channel|>analysis"},
    {.name = "openai_gptoss", .open = "<|channel|>analysis", .close = "<|end|>", .detect = "<|channel|>"},
    {.name = "gemma4",
     .open = "<|channel>",
     .close = "<channel|>",
     .ends_at = "<|tool_call>",
     .skip_line = "thought\n",
     .detect = "<|channel>"},
    {.name = "mistral", .open = "[THINK]", .close = "[/THINK]", .ends_at = "[TOOL_CALLS]", .detect = "[THINK]"},
    {.name = "seed_oss",
     .open = "<seed:think>",
     .close = "</seed:think>",
     .ends_at = "<seed:tool_call>",
     .begins_inside = true,
     .detect = "<seed:think>"},
    {.name = "cohere_command3",
     .open = "<|START_THINKING|>",
     .close = "<|END_THINKING|>",
     .detect = "<|START_THINKING|>"},
    {.name = "granite",
     .open = "Here is my thought process:",
     .close = "Here is my response:",
     .detect = "Here is my thought process:"},
    THINK("qwen3", true, .ends_at = "<tool_call>", .detect = "</think>"),
    THINK("nemotron_v3", true, .ends_at = "<tool_call>"),
    THINK("mimo", true, .ends_at = "<tool_call>"),
    THINK("holo2", true, .ends_at = "<tool_call>"),
    THINK("deepseek_r1", true, .detect = "<think>"),
    THINK("deepseek_v3", false, .detect = NULL),
    THINK("deepseek_v4", false, .detect = NULL),
    THINK("kimi_k2", false, .ends_at = "<|tool_calls_section_begin|>"),
    THINK("glm45", true, .ends_at = "<tool_call>"),
    THINK("glm47", true, .ends_at = "<tool_call>"),
    THINK("minimax_m2", true, .ends_at = "<minimax:tool_call>"),
    THINK("minimax_m2_append_think", false, .keeps_markers = true),
    THINK("olmo3", true, .ends_at = "<function_calls>"),
    THINK("step3", true, .detect = NULL),
    THINK("ernie45", true, .detect = NULL),
};

/* ---- verbs */

const vmt_tool_dialect *vmt_tool_dialect_find(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(dialects); i++) {
        if (vmt_str_eq_c(name, dialects[i].name)) return &dialects[i];
    }
    return NULL;
}

const vmt_reasoning_style *vmt_reasoning_find(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(styles); i++) {
        if (vmt_str_eq_c(name, styles[i].name)) return &styles[i];
    }
    return NULL;
}

const char *vmt_tool_dialect_name(const vmt_tool_dialect *dialect) {
    return dialect->name;
}

const char *vmt_reasoning_name(const vmt_reasoning_style *style) {
    return style->name;
}

const char *vmt_reasoning_close(const vmt_reasoning_style *style) {
    return style->close;
}

vmt_call_id_style vmt_tool_dialect_id_style(const vmt_tool_dialect *dialect) {
    return dialect->id_style;
}

static void add_name(vmt_buf *out, const char *name, const char *before) {
    if (before && strcmp(name, before) == 0) return;
    if (before) vmt_buf_append_c(out, ", ");
    vmt_buf_append_c(out, name);
}

void vmt_tool_dialect_names(vmt_buf *out) {
    for (size_t i = 0; i < VMT_COUNT(dialects); i++) {
        add_name(out, dialects[i].name, i ? dialects[i - 1].name : NULL);
    }
}

void vmt_reasoning_names(vmt_buf *out) {
    for (size_t i = 0; i < VMT_COUNT(styles); i++) add_name(out, styles[i].name, i ? styles[i - 1].name : NULL);
}

const vmt_tool_dialect *vmt_tool_dialect_detect(const vmt_template_facts *facts) {
    for (size_t i = 0; i < VMT_COUNT(dialects); i++) {
        bool fits = dialects[i].detect[0] != NULL;
        for (size_t m = 0; fits && m < VMT_COUNT(dialects[i].detect) && dialects[i].detect[m]; m++) {
            fits = facts->mentions(facts->ctx, vmt_str_from(dialects[i].detect[m]));
        }
        if (fits) return &dialects[i];
    }
    return NULL;
}

const vmt_reasoning_style *vmt_reasoning_detect(const vmt_template_facts *facts) {
    for (size_t i = 0; i < VMT_COUNT(styles); i++) {
        if (styles[i].detect && facts->mentions(facts->ctx, vmt_str_from(styles[i].detect))) return &styles[i];
    }
    return NULL;
}

bool vmt_tool_dialect_is_whole_answer(const vmt_tool_dialect *dialect) {
    return dialect && dialect->from_start;
}
