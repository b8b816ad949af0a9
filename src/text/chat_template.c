/* text/chat_template.c: compiling and rendering; the language itself is in jinja_*.c. */
#include "text/chat_template.h"
#include "base/utf8.h"
#include "text/jinja_ast.h"
#include "text/jinja_run.h"

#include <stdlib.h>

#define TREE_BYTES_MAX ((size_t)256 << 20) /* a megabyte of source has at most as many nodes */

vmt_status vmt_chat_template_compile(vmt_chat_template **out, vmt_str source, vmt_err *err) {
    *out = NULL;
    if (source.len > VMT_TEMPLATE_SOURCE_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "chat template is %zu bytes, the limit is %u", source.len,
                        VMT_TEMPLATE_SOURCE_MAX);
    }
    if (!vmt_utf8_valid(source)) return vmt_fail(err, VMT_E_INVALID, "chat template is not UTF-8");
    vmt_arena *arena = vmt_arena_create(TREE_BYTES_MAX);
    vmt_chat_template *tmpl = arena != NULL ? VMT_ARENA_NEW(arena, vmt_chat_template, 1) : NULL;
    if (tmpl == NULL) {
        vmt_arena_destroy(arena);
        return vmt_fail(err, VMT_E_NO_MEMORY, "chat template: no memory");
    }
    tmpl->arena = arena;
    vmt_status status = vmt_jparse(tmpl, source, err);
    if (status != VMT_OK) {
        vmt_arena_destroy(arena);
        return status;
    }
    tmpl->wants_parts = vmt_jwants_parts(tmpl);
    *out = tmpl;
    return VMT_OK;
}

void vmt_chat_template_destroy(vmt_chat_template *tmpl) {
    if (tmpl != NULL) vmt_arena_destroy(tmpl->arena);
}

static vmt_status value_of(vmt_jrun *run, const vmt_template_var *var, vmt_jval *out) {
    if (vmt_json_exists(var->json)) return vmt_jfrom_json(run, var->json, out);
    if (var->text.ptr != NULL)
        *out = vmt_jstr(var->text);
    else
        *out = var->boolean < 0 ? vmt_jnone() : vmt_jbool(var->boolean != 0);
    return VMT_OK;
}

/* The values of the names that the template uses. */
static vmt_status bind_globals(vmt_jrun *run, const vmt_chat_template *tmpl, const vmt_render_options *options) {
    run->num_globals = tmpl->num_names;
    VMT_TRY(VMT_JNEW(run, tmpl->num_names, &run->globals));
    VMT_TRY(vmt_jrun_charge(run, tmpl->num_names));
    for (uint32_t id = 0; id < tmpl->num_names; id++) {
        const vmt_jbuiltin *row = vmt_jglobal_find(tmpl->names[id]);
        run->globals[id] = (vmt_jval){.kind = row != NULL ? VMT_JFUNCTION : VMT_JABSENT, .builtin = row};
        for (uint32_t i = options->num_vars; i-- > 0;) {
            if (!vmt_str_eq(options->vars[i].name, tmpl->names[id])) continue;
            VMT_TRY(value_of(run, &options->vars[i], &run->globals[id]));
            break;
        }
    }
    return VMT_OK;
}

static vmt_status render(vmt_jrun *run, const vmt_chat_template *tmpl, const vmt_render_options *options) {
    VMT_TRY(bind_globals(run, tmpl, options));
    VMT_TRY(VMT_JNEW(run, VMT_JARGS_MAX, &run->arg_stack));
    VMT_TRY(vmt_jframe_new(run, NULL, 16, &run->frame));
    return vmt_jexec(run, tmpl->body);
}

static vmt_status report(const vmt_jrun *run, vmt_status status, vmt_err *err) {
    if (run->is_raised) return vmt_fail(err, status, "%s", run->msg);
    if (run->line == 0) return vmt_fail(err, status, "chat template: %s", run->msg);
    return vmt_fail(err, status, "chat template, line %u: %s", run->line, run->msg);
}

vmt_status vmt_chat_template_render(const vmt_chat_template *tmpl, const vmt_render_options *options, vmt_buf *out,
                                    vmt_err *err) {
    vmt_jrun run = {.arena = vmt_arena_create(VMT_TEMPLATE_OUTPUT_MAX),
                    .steps_left = VMT_TEMPLATE_STEPS_MAX,
                    .now_unix_s = options->now_unix_s,
                    .hash_key = vmt_hash_key_random()};
    if (run.arena == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "chat template: no memory");
    vmt_buf_init(&run.out, VMT_TEMPLATE_OUTPUT_MAX);
    vmt_status status = render(&run, tmpl, options);
    if (status != VMT_OK) {
        status = report(&run, status, err);
    } else if (!vmt_buf_reserve(out, run.out.len)) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "chat template: no memory for %zu bytes of text", run.out.len);
    } else {
        vmt_buf_append(out, vmt_buf_str(&run.out));
    }
    vmt_buf_free(&run.out);
    vmt_arena_destroy(run.arena);
    return status;
}

bool vmt_chat_template_mentions(const vmt_chat_template *tmpl, vmt_str word) {
    for (uint32_t i = 0; i < tmpl->num_names; i++) {
        if (vmt_str_eq(tmpl->names[i], word)) return true;
    }
    for (const vmt_jtext *text = tmpl->texts; text != NULL; text = text->next) {
        if (vmt_str_find(text->text, word, 0) != SIZE_MAX) return true;
    }
    return false;
}

bool vmt_chat_template_wants_parts(const vmt_chat_template *tmpl) {
    return tmpl->wants_parts;
}
