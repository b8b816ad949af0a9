/* tools/render_template.c: renders chat templates for tools/compare_jinja.py.
 *
 * Standard input: one JSON object per line, {"template": "...", "vars": {...}, "now": 0}.  Standard output: one per
 * line, {"text": "..."} or {"error": "..."}. */
#include "json/json_writer.h"
#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>

#define VARS_MAX 64

static vmt_status render(vmt_json request, vmt_buf *text, bool *wants_parts, vmt_err *err) {
    vmt_str source = VMT_STR("");
    vmt_template_var vars[VARS_MAX];
    vmt_render_options options = {.vars = vars};
    vmt_chat_template *tmpl;
    vmt_str key;
    vmt_json value;
    vmt_json_get_str(VMT_JSON_AT(request, "template"), &source);
    vmt_json_get_i64(VMT_JSON_AT(request, "now"), &options.now_unix_s);
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(request, "vars"));
         vmt_json_iter_next(&it, &key, &value) && options.num_vars < VARS_MAX;) {
        vars[options.num_vars++] = (vmt_template_var){.name = key, .json = value};
    }
    VMT_TRY(vmt_chat_template_compile(&tmpl, source, err));
    *wants_parts = vmt_chat_template_wants_parts(tmpl);
    vmt_status status = vmt_chat_template_render(tmpl, &options, text, err);
    vmt_chat_template_destroy(tmpl);
    return status;
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t len; (len = getline(&line, &cap, stdin)) > 0;) {
        vmt_err err = {0};
        vmt_json_doc *doc;
        vmt_buf text, reply;
        bool wants_parts = false;
        vmt_buf_init(&text, 0);
        vmt_buf_init(&reply, 0);
        vmt_status status = vmt_json_parse(&doc, (vmt_str){line, (size_t)len}, &err);
        if (status == VMT_OK) {
            status = render(vmt_json_root(doc), &text, &wants_parts, &err);
            vmt_json_writer w;
            vmt_json_writer_init(&w, &reply);
            vmt_json_begin_object(&w);
            vmt_json_key(&w, status == VMT_OK ? "text" : "error");
            vmt_json_str(&w, status == VMT_OK ? vmt_buf_str(&text) : vmt_str_from(err.msg));
            vmt_json_key(&w, "wants_parts");
            vmt_json_bool(&w, wants_parts);
            vmt_json_end_object(&w);
            vmt_json_doc_destroy(doc);
        } else {
            vmt_buf_printf(&reply, "{\"error\":\"bad request\"}");
        }
        printf("%.*s\n", VMT_STR_ARG(vmt_buf_str(&reply)));
        fflush(stdout);
        vmt_buf_free(&text);
        vmt_buf_free(&reply);
    }
    free(line);
    return 0;
}
