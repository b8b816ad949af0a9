/* Conversations for stricter templates: what is joined, what stays, and which templates need it. */
#include "api/chat_merge.h"
#include "base/test.h"

#define S(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define U(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define A(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define NOTE(x) "<system-reminder>\\n" x "\\n</system-reminder>"

static const struct {
    const char *in, *systems, *users; /* out, by depth; NULL: as in */
} cases_of_merge[] = {
    {"[" S("a") "," U("b") "," A("c") "]", NULL, NULL},
    {"[" S("a") "," S("b") "," U("c") "]", "[" S("a\\n\\nb") "," U("c") "]", "[" S("a\\n\\nb") "," U("c") "]"},
    {"[" U("a") "," U("b") "," A("c") "," U("d") "]", NULL, "[" U("a\\n\\nb") "," A("c") "," U("d") "]"},
    {"[" U("a") "," S("b") "," A("c") "]", "[" U("a") "," U(NOTE("b")) "," A("c") "]",
     "[" U("a\\n\\n" NOTE("b")) "," A("c") "]"},
    {"[" U("a") "," A("b") "," S("<system-reminder>c</system-reminder>") "]",
     "[" U("a") "," A("b") "," U("<system-reminder>c</system-reminder>") "]",
     "[" U("a") "," A("b") "," U("<system-reminder>c</system-reminder>") "]"},
    /* Behind a tool's result it is part of that, so that the tool loop goes on. */
    {"[" U("a") ",{\"role\":\"tool\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}],\"tool_call_id\":\"1\"}," S(
         "b") "," A("c") "]",
     "[" U("a") ",{\"role\":\"tool\",\"content\":\"r\\n\\n" NOTE("b") "\",\"tool_call_id\":\"1\"}," A("c") "]",
     "[" U("a") ",{\"role\":\"tool\",\"content\":\"r\\n\\n" NOTE("b") "\",\"tool_call_id\":\"1\"}," A("c") "]"},
    {"[{\"role\":\"tool\",\"content\":\"r\",\"tool_call_id\":\"1\"},{\"role\":\"tool\",\"content\":\"s\",\"tool_"
     "call_id\":\"2\"}]",
     NULL, NULL},
    {"[3,{\"role\":4}," U("a") "]", NULL, NULL},
    {"[]", NULL, NULL},
};

static void merges(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(cases_of_merge); i++) {
        for (int depth = VMT_MERGE_SYSTEMS; depth <= VMT_MERGE_USERS; depth++) {
            const char *want = depth == VMT_MERGE_SYSTEMS ? cases_of_merge[i].systems : cases_of_merge[i].users;
            vmt_json_doc *doc = NULL;
            vmt_buf out = {0};
            vmt_expect_eq(t, vmt_json_parse(&doc, vmt_str_from(cases_of_merge[i].in), NULL), VMT_OK);
            vmt_chat_merge(vmt_json_root(doc), (vmt_chat_merge_depth)depth, &out);
            vmt_expect_slice(t, vmt_buf_str(&out), vmt_str_from(want ? want : cases_of_merge[i].in));
            vmt_buf_free(&out);
            vmt_json_doc_destroy(doc);
        }
    }
}

static const struct {
    const char *text;
    bool takes;
} templates[] = {
    {"{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", true},
    {"{{ bos_token + 'x' }}{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}",
     true},
    {"{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('no') }}{% endif %}"
     "{{ m.content }}{% endfor %}",
     false},
    {"{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
     "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
     false},
    {"{% for m in messages %}{% if m.role != 'system' or loop.first %}{{ m.content }}{% endif %}{% endfor %}",
     false},
};

static void knows_templates(vmt_test *t) {
    vmt_str tokens[] = {VMT_STR("<s>"), VMT_STR("</s>")};
    const int32_t kinds[] = {VMT_TOKEN_CONTROL, VMT_TOKEN_CONTROL};
    const vmt_tokenizer_gguf spec = {.model = VMT_STR("gpt2"),
                                     .pre = VMT_STR("gpt-2"),
                                     .tokens = tokens,
                                     .kinds = kinds,
                                     .num_tokens = 2,
                                     .bos_id = 0,
                                     .eos_id = 1,
                                     .unk_id = -1,
                                     .pad_id = -1};
    vmt_tokenizer *tok = NULL;
    vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, NULL), VMT_OK);
    for (size_t i = 0; i < VMT_COUNT(templates); i++) {
        vmt_chat_template *tmpl = NULL;
        vmt_expect_eq(t, vmt_chat_template_compile(&tmpl, vmt_str_from(templates[i].text), NULL), VMT_OK);
        vmt_expect_eq(t, vmt_chat_takes_late_systems(tmpl, tok), templates[i].takes);
        vmt_chat_template_destroy(tmpl);
    }
    vmt_tokenizer_destroy(tok);
}

static void knows_late_ones(vmt_test *t) {
    static const struct {
        const char *text;
        bool has;
    } rows[] = {{"[" S("a") "," U("b") "]", false},
                {"[" U("a") "," S("b") "]", true},
                {"[" S("a") "," S("b") "]", true},
                {"[]", false}};
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_json_doc *doc = NULL;
        vmt_expect_eq(t, vmt_json_parse(&doc, vmt_str_from(rows[i].text), NULL), VMT_OK);
        vmt_expect_eq(t, vmt_chat_has_late_systems(vmt_json_root(doc)), rows[i].has);
        vmt_json_doc_destroy(doc);
    }
}

static const vmt_test_case cases[] = {
    {"merges", merges},
    {"knows_templates", knows_templates},
    {"knows_late_ones", knows_late_ones},
    {0},
};
VMT_TEST_MAIN(cases)
