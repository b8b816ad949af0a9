/* vmetal launch: starts a coding tool against a running server. */
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/launch_tools.h"
#include "cli/nearest.h"
#include "cli/openai_request.h"
#include "cli/settings_file.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#define ARENA_MAX     ((size_t)4 << 20) /* the plan: variables, arguments, a settings block */
#define ARGS_MAX      1024              /* words for the tool */
#define WITHOUT_A_KEY "vmetal"          /* what a server that asks for none is sent */

typedef struct launch_options {
    vmt_flag_list words; /* the tool, then its own arguments */
    vmt_str url, model, api_key;
    bool print, restore;
} launch_options;

static const launch_options defaults = {.url = {"http://127.0.0.1:8000", 21}};

#define AT(field) .offset = offsetof(launch_options, field)
static const vmt_flag flags[] = {
    {.name = "url",
     .kind = VMT_FLAG_STR,
     .group = "Options",
     .value = "URL",
     .help = "the server",
     .default_text = "http://127.0.0.1:8000",
     AT(url)},
    {.name = "model",
     .alias = "model-name",
     .kind = VMT_FLAG_STR,
     .group = "Options",
     .value = "NAME",
     .help = "the model to use",
     .default_text = "the server's first",
     AT(model)},
    {.name = "api-key",
     .kind = VMT_FLAG_STR,
     .group = "Options",
     .value = "KEY",
     .help = "the server's key",
     .default_text = "VLLM_API_KEY",
     AT(api_key)},
    {.name = "print",
     .kind = VMT_FLAG_BOOL,
     .group = "Options",
     .help = "show what would be set and started; write and start nothing",
     AT(print)},
    {.name = "restore",
     .kind = VMT_FLAG_BOOL,
     .group = "Options",
     .help = "undo what an earlier launch wrote into the tool's settings",
     AT(restore)},
};

struct launch {
    const launch_options *options;
    const vmt_launch_tool *tool;
    vmt_arena *arena;
    vmt_launch_server server;
    vmt_launch_plan plan;
    const char *file; /* the tool's settings, or NULL */
};

/* ---- the server */

static vmt_str without(vmt_str s, vmt_str ending) {
    return vmt_str_ends(s, ending) ? vmt_str_slice(s, 0, s.len - ending.len) : s;
}

/* The wanted model's entry in the list, or the first. */
static vmt_status choose_model(struct launch *l, vmt_json list, vmt_err *err) {
    vmt_json model;
    vmt_str wanted = l->options->model, id = {0}, first = {0};
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &model);) {
        if (!vmt_json_get_str(VMT_JSON_AT(model, "id"), &id)) continue;
        if (first.len == 0) first = id;
        if (wanted.len > 0 && !vmt_str_eq(id, wanted)) continue;
        l->server.model = vmt_arena_dup(l->arena, id);
        vmt_json_get_i64(VMT_JSON_AT(model, "max_model_len"), &l->server.context_max);
        return l->server.model.ptr ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the model's name");
    }
    if (first.len == 0) return vmt_fail(err, VMT_E_NOT_FOUND, "the server lists no model");
    return vmt_fail(err, VMT_E_NOT_FOUND, "the server has no model \"%.80s\"; its first is \"%.*s\"", wanted.ptr,
                    (int)VMT_MIN(first.len, 80), first.ptr);
}

static vmt_status ask_server(struct launch *l, vmt_err *err) {
    vmt_http_client *client = NULL;
    vmt_json_doc *doc = NULL;
    vmt_str key = l->options->api_key.ptr ? l->options->api_key : vmt_environment_get("VLLM_API_KEY");
    l->server.url = without(without(without(l->options->url, VMT_STR("/")), VMT_STR("/v1")), VMT_STR("/"));
    l->server.key = key.len > 0 ? key : VMT_STR(WITHOUT_A_KEY);
    vmt_openai_target target = {vmt_arena_printf(l->arena, "%.*s/v1", VMT_STR_ARG(l->server.url)), key};
    if (target.url.ptr == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the server's address");
    vmt_status status = vmt_http_client_create(&client, NULL, err);
    if (status == VMT_OK) status = vmt_openai_get(client, &target, "models", &doc, err);
    if (status == VMT_OK) status = choose_model(l, VMT_JSON_AT(vmt_json_root(doc), "data"), err);
    vmt_json_doc_destroy(doc);
    vmt_http_client_destroy(client);
    return status;
}

/* ---- the tool */

/* The program's path from PATH, or NULL. */
static const char *find_program(vmt_arena *arena, const char *program) {
    vmt_str path = vmt_environment_get("PATH");
    for (size_t at = 0; at < path.len;) {
        size_t end = VMT_MIN(vmt_str_find(path, VMT_STR(":"), at), path.len);
        vmt_str folder = vmt_str_slice(path, at, end);
        vmt_str file = vmt_arena_printf(arena, "%.*s/%s", VMT_STR_ARG(folder), program);
        if (folder.len > 0 && file.ptr != NULL && access(file.ptr, X_OK) == 0) return file.ptr;
        at = end + 1;
    }
    return NULL;
}

static vmt_status find_file(struct launch *l, vmt_err *err) {
    if (!vmt_launch_tool_has_file(l->tool)) return VMT_OK;
    vmt_str home = vmt_environment_get("HOME"), config = vmt_environment_get("XDG_CONFIG_HOME"), path;
    if (home.len == 0) return vmt_fail(err, VMT_E_NOT_FOUND, "HOME is not set: where are the tool's settings?");
    if (l->tool->home_file != NULL) {
        path = vmt_arena_printf(l->arena, "%.*s/%s", VMT_STR_ARG(home), l->tool->home_file);
    } else if (config.len > 0) {
        path = vmt_arena_printf(l->arena, "%.*s/%s", VMT_STR_ARG(config), l->tool->config_file);
    } else {
        path = vmt_arena_printf(l->arena, "%.*s/.config/%s", VMT_STR_ARG(home), l->tool->config_file);
    }
    l->file = path.ptr;
    return path.ptr ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a path");
}

/* A word as a shell reads it back. */
static void print_word(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/@%+";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            fputs("'\\''", stdout);
        } else {
            putchar(*word);
        }
    }
    putchar('\'');
}

static vmt_status print_plan(const struct launch *l, vmt_err *err) {
    const vmt_launch_plan *p = &l->plan;
    if (l->file != NULL) {
        vmt_buf text;
        vmt_launch_edit edit = {l->tool, p};
        vmt_buf_init(&text, 0);
        vmt_status status = vmt_launch_tool_edit(&edit, (vmt_str){0}, &text, err);
        if (status == VMT_OK) {
            printf("# added to %s (what it holds stays):\n", l->file);
            fwrite(text.ptr, 1, text.len, stdout);
            printf("\n");
        }
        vmt_buf_free(&text);
        VMT_TRY(status);
    }
    for (uint32_t i = 0; i < p->num_variables; i++) {
        const vmt_launch_variable *v = &p->variables[i];
        printf(v->value.ptr ? "export %s=" : "unset %s", v->name);
        if (v->value.ptr != NULL) print_word(v->value.ptr);
        printf("\n");
    }
    fputs(l->tool->program, stdout);
    for (uint32_t i = 0; i < p->num_args; i++) {
        putchar(' ');
        print_word(p->args[i]);
    }
    for (uint32_t i = 1; i < l->options->words.num; i++) {
        putchar(' ');
        print_word(l->options->words.items[i].ptr);
    }
    printf("\n");
    return VMT_OK;
}

/* Becomes the program; comes back only with an error. */
static vmt_status start(const struct launch *l, const char *program, vmt_err *err) {
    const vmt_launch_plan *p = &l->plan;
    const char *argv[ARGS_MAX + 2];
    uint32_t num = 0, num_words = l->options->words.num;
    if (p->num_args + num_words > ARGS_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "%u arguments, the limit is %u", num_words, ARGS_MAX);
    }
    argv[num++] = l->tool->program;
    for (uint32_t i = 0; i < p->num_args; i++) argv[num++] = p->args[i];
    for (uint32_t i = 1; i < num_words; i++) argv[num++] = l->options->words.items[i].ptr;
    argv[num] = NULL;
    for (uint32_t i = 0; i < p->num_variables; i++) {
        const vmt_launch_variable *v = &p->variables[i];
        int failed = v->value.ptr ? setenv(v->name, v->value.ptr, 1) : unsetenv(v->name);
        if (failed != 0) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the environment");
    }
    fflush(NULL);
    execv(program, (char *const *)argv);
    return vmt_fail(err, VMT_E_IO, "%.160s can't be started: %s", program, strerror(errno));
}

static vmt_status write_settings(struct launch *l, vmt_err *err) {
    vmt_err reason = {0};
    vmt_launch_edit edit = {l->tool, &l->plan};
    vmt_status status = vmt_settings_apply(l->file, vmt_launch_tool_edit, &edit, &reason);
    if (status == VMT_OK) {
        fprintf(stderr, "%s is set up in %s; undo it with: vmetal launch %s --restore\n", l->tool->title, l->file,
                l->tool->name);
        if (l->tool->after != NULL) fprintf(stderr, "%s\n", l->tool->after);
        return VMT_OK;
    }
    if (status != VMT_E_INVALID) return vmt_fail(err, status, "%s", reason.msg);
    return vmt_fail(err, status,
                    "%.90s is left as it was: %.90s; \"vmetal launch %s --print\" shows what to add by hand",
                    l->file, reason.msg, l->tool->name);
}

static vmt_status restore(struct launch *l, vmt_err *err) {
    static const char *const sentences[] = {
        [VMT_SETTINGS_UNTOUCHED] = "%s holds nothing of vmetal's\n",
        [VMT_SETTINGS_BLOCK_GONE] = "%s is without vmetal's lines again\n",
        [VMT_SETTINGS_BACKUP_PUT] = "%s is the backup again: vmetal's lines in it were damaged\n",
        [VMT_SETTINGS_FILE_GONE] = "%s was made for vmetal and is removed\n",
    };
    vmt_settings_undo what;
    if (l->file == NULL) {
        printf("nothing to undo: %s gets its settings by environment and arguments only\n", l->tool->title);
        return VMT_OK;
    }
    VMT_TRY(vmt_settings_restore(l->file, &what, err));
    printf(sentences[what], l->file);
    return VMT_OK;
}

static void warn_of_a_small_context(const struct launch *l) {
    if (l->server.context_max == 0 || l->server.context_max >= l->tool->context_wanted) return;
    fprintf(stderr, "vmetal launch: the model's context is %lld tokens; %s wants %lld or more, and may fail\n",
            (long long)l->server.context_max, l->tool->title, (long long)l->tool->context_wanted);
}

static vmt_status launch(struct launch *l, vmt_err *err) {
    VMT_TRY(find_file(l, err));
    if (l->options->restore) return restore(l, err);
    const char *program = find_program(l->arena, l->tool->program);
    if (program == NULL && !l->options->print && !l->tool->program_is_optional) {
        return vmt_fail(err, VMT_E_NOT_FOUND, "%s (%s) is not on this machine; %s", l->tool->title,
                        l->tool->program, l->tool->install);
    }
    VMT_TRY(ask_server(l, err));
    l->plan.arena = l->arena;
    l->tool->plan(&l->plan, &l->server);
    if (l->plan.failed) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the tool's settings");
    warn_of_a_small_context(l);
    if (l->options->print) return print_plan(l, err);
    if (l->file != NULL) VMT_TRY(write_settings(l, err));
    return program != NULL ? start(l, program, err) : VMT_OK;
}

static int unknown_tool(vmt_flag_list words) {
    fprintf(stderr, "vmetal launch: %s%.*s%s; there are", words.num > 0 ? "no tool \"" : "which tool",
            words.num > 0 ? (int)VMT_MIN(words.items[0].len, 80) : 0, words.num > 0 ? words.items[0].ptr : "",
            words.num > 0 ? "\"" : "");
    for (uint32_t i = 0; i < vmt_num_launch_tools; i++) fprintf(stderr, " %s", vmt_launch_tools[i].name);
    fprintf(stderr, "\n");
    return VMT_EXIT_USAGE;
}

static int run(const void *options) {
    struct launch l = {.options = options};
    vmt_err err = {0};
    if (l.options->words.num > 0) l.tool = vmt_launch_tool_find(l.options->words.items[0]);
    if (l.tool == NULL) return unknown_tool(l.options->words);
    l.arena = vmt_arena_create(ARENA_MAX);
    vmt_status status = l.arena != NULL ? launch(&l, &err) : VMT_E_NO_MEMORY;
    vmt_arena_destroy(l.arena);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("launch", status, &err);
}

const vmt_command vmt_launch_command = {
    .name = "launch",
    .summary = "starts a coding tool against a running server",
    .usage = "vmetal launch claude|codex|opencode|zed|continue [flags] [-- the tool's own arguments]",
    .positional = "TOOL",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(launch_options, words),
    .positionals_max = ARGS_MAX,
    .example = "vmetal launch claude -- -p \"What does this repository do?\"",
    .run = run,
    .defaults = &defaults,
    .options_bytes = sizeof(launch_options),
};
