/* text/chat_template_golden_test.c: whole templates against what jinja2 makes of them, byte for byte.
 * tests/golden/make_template_vectors.py wrote the vectors. */
#include "text/chat_template.h"
#include "base/file.h"
#include "base/test.h"

#include <stdlib.h>
#include <time.h>

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define VARS_MAX       32u

typedef struct vectors {
    vmt_buf text;
    vmt_json_doc *first; /* the line with the cases */
    vmt_json cases[128];
    size_t num_cases;
    int64_t now;
} vectors;

static bool next_line(vmt_str text, size_t *pos, vmt_str *line) {
    if (*pos >= text.len) return false;
    size_t end = vmt_str_find(text, VMT_STR("\n"), *pos);
    if (end == SIZE_MAX) end = text.len;
    *line = vmt_str_slice(text, *pos, end);
    *pos = end + 1;
    return true;
}

static vmt_status render_case(const vmt_chat_template *tmpl, const vectors *v, size_t i, vmt_buf *out,
                              vmt_err *err) {
    vmt_template_var vars[VARS_MAX];
    vmt_render_options options = {.vars = vars, .now_unix_s = v->now};
    vmt_str key;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(v->cases[i], "vars"));
         vmt_json_iter_next(&it, &key, &value);) {
        VMT_ASSERT(options.num_vars < VARS_MAX);
        vars[options.num_vars++] = (vmt_template_var){.name = key, .json = value};
    }
    return vmt_chat_template_render(tmpl, &options, out, err);
}

static void check_case(vmt_test *t, const vmt_chat_template *tmpl, const vectors *v, size_t i, vmt_str want,
                       vmt_json verdict) {
    vmt_buf out;
    vmt_err err = {0};
    vmt_str raised;
    vmt_buf_init(&out, 0);
    vmt_status status = render_case(tmpl, v, i, &out, &err);
    if (want.ptr != NULL) {
        vmt_expect_str(t, err.msg, "");
        vmt_expect_slice(t, vmt_buf_str(&out), want);
    } else {
        vmt_expect(t, status != VMT_OK);
        vmt_expect_eq(t, out.len, 0);
        if (vmt_json_get_str(VMT_JSON_AT(verdict, "raised"), &raised)) {
            vmt_expect(t, vmt_str_starts(raised, vmt_str_from(err.msg)));
        }
    }
    vmt_buf_free(&out);
}

static void check_template(vmt_test *t, const vectors *v, vmt_json line) {
    vmt_str name, wants[128];
    vmt_buf source;
    vmt_err err = {0};
    vmt_chat_template *tmpl;
    vmt_json verdict;
    size_t i = 0;
    vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(line, "template"), &name));
    vmt_buf_init(&source, 0);
    vmt_str path = vmt_arena_printf(t->arena, "tests/golden/templates/%.*s", VMT_STR_ARG(name));
    vmt_file_read(&source, path.ptr, FILE_BYTES_MAX, &err);
    vmt_chat_template_compile(&tmpl, vmt_buf_str(&source), &err);
    vmt_expect_str(t, err.msg, "");
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(line, "wants"));
         vmt_json_iter_next(&it, NULL, &verdict);) {
        int64_t same;
        wants[i] = (vmt_str){0};
        vmt_json_get_str(verdict, &wants[i]);
        if (vmt_json_get_i64(VMT_JSON_AT(verdict, "same"), &same)) wants[i] = wants[same];
        check_case(t, tmpl, v, i, wants[i], verdict);
        i++;
    }
    vmt_expect_eq(t, i, v->num_cases);
    vmt_chat_template_destroy(tmpl);
    vmt_buf_free(&source);
}

static void renders_as_jinja2_does(vmt_test *t) {
    vectors v = {0};
    vmt_err err = {0};
    size_t pos = 0, num_templates = 0;
    vmt_str line;
    vmt_json item;
    setenv("TZ", "UTC", 1);
    tzset();
    vmt_buf_init(&v.text, 0);
    vmt_file_read(&v.text, "tests/golden/template_vectors.jsonl", FILE_BYTES_MAX, &err);
    vmt_expect_str(t, err.msg, "");
    vmt_expect(t, next_line(vmt_buf_str(&v.text), &pos, &line));
    vmt_expect_eq(t, vmt_json_parse(&v.first, line, &err), VMT_OK);
    vmt_json_get_i64(VMT_JSON_AT(vmt_json_root(v.first), "now"), &v.now);
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(v.first), "cases"));
         vmt_json_iter_next(&it, NULL, &item);) {
        vmt_expect(t, v.num_cases < VMT_COUNT(v.cases));
        v.cases[v.num_cases++] = item;
    }
    while (next_line(vmt_buf_str(&v.text), &pos, &line)) {
        vmt_json_doc *doc;
        vmt_expect_eq(t, vmt_json_parse(&doc, line, &err), VMT_OK);
        check_template(t, &v, vmt_json_root(doc));
        vmt_json_doc_destroy(doc);
        num_templates++;
    }
    vmt_expect(t, num_templates >= 20);
    vmt_json_doc_destroy(v.first);
    vmt_buf_free(&v.text);
}

static const vmt_test_case cases[] = {{"renders_as_jinja2_does", renders_as_jinja2_does}, {NULL, NULL}};
VMT_TEST_MAIN(cases)
