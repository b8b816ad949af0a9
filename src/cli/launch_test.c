/* launch_test.c: settings of other programs: what is added, that the rest stays, and that it can be undone. */
#include "base/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "cli/launch_tools.h"
#include "cli/settings_file.h"
#include "cli/settings_text.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const zed_path[] = {"language_models", "openai_compatible"};
#define VALUE "{\"api_url\":\"u\"}"

/* The text with the member added, or the error's sentence. */
static vmt_str added(vmt_test *t, const char *text) {
    vmt_buf out;
    vmt_err err = {0};
    vmt_buf_init(&out, 0);
    vmt_status status =
        vmt_settings_add_member(vmt_str_from(text), zed_path, 2, "vmetal", VMT_STR(VALUE), &out, &err);
    vmt_str result = vmt_arena_dup(t->arena, status == VMT_OK ? vmt_buf_str(&out) : vmt_str_from(err.msg));
    vmt_buf_free(&out);
    return result;
}

static vmt_str removed(vmt_test *t, vmt_str text, bool *found) {
    vmt_buf out;
    vmt_err err = {0};
    vmt_buf_init(&out, 0);
    vmt_status status = vmt_settings_remove_block(text, &out, found, &err);
    vmt_str result = vmt_arena_dup(t->arena, status == VMT_OK ? vmt_buf_str(&out) : vmt_str_from(err.msg));
    vmt_buf_free(&out);
    return result;
}

static void a_member_joins_the_deepest_object_there_is(vmt_test *t) {
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "{\n  // >>> vmetal\n  \"language_models\": {\"openai_compatible\": {\"vmetal\": " VALUE
             "}}\n  // <<< vmetal\n}\n"},
        {"{\n  \"theme\": \"One\"\n}\n",
         "{\n  // >>> vmetal\n  \"language_models\": {\"openai_compatible\": {\"vmetal\": " VALUE
         "}},\n  // <<< vmetal\n  \"theme\": \"One\"\n}\n"},
        {"{\"language_models\":{}}",
         "{\"language_models\":{\n    // >>> vmetal, joined\n    \"openai_compatible\": {\"vmetal\": " VALUE
         "}\n    // <<< vmetal\n}}"},
        {"{\n  \"language_models\": {\n    \"openai_compatible\": { // mine\n      \"a\": {},\n    },\n  },\n}",
         "{\n  \"language_models\": {\n    \"openai_compatible\": { // mine\n      // >>> vmetal\n      "
         "\"vmetal\": " VALUE ",\n      // <<< vmetal\n      \"a\": {},\n    },\n  },\n}"},
        /* Names in strings, in comments and at another depth are not the path. */
        {"{\n\"a\": [\"language_models\", {\"language_models\": {}}], // \"language_models\": {\n\"b\": "
         "\"\\\"{\"}",
         "{\n  // >>> vmetal\n  \"language_models\": {\"openai_compatible\": {\"vmetal\": " VALUE
         "}},\n  // <<< vmetal\n\"a\": [\"language_models\", {\"language_models\": {}}], // \"language_models\": "
         "{\n\"b\": \"\\\"{\"}"},
        {"// only this", "// only this\n{\n  // >>> vmetal\n  \"language_models\": {\"openai_compatible\": "
                         "{\"vmetal\": " VALUE "}}\n  // <<< vmetal\n}\n"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++)
        vmt_expect_slice(t, added(t, rows[i].text), vmt_str_from(rows[i].want));
}

static void what_cannot_be_merged_is_refused(vmt_test *t) {
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{\"a\": }", "it is not JSON with comments: "},
        {"{\"a\": 1 \"b\": 2}", "it is not JSON with comments: "},
        {"{\"a\": \"x", "it is not JSON with comments: "},
        {"/* open", "it is not JSON with comments: "},
        {"[1]", "it holds no JSON object"},
        {"{\"language_models\": [1]}", "its \"language_models\" is not an object"},
        {"{\"language_models\": {\"openai_compatible\": {\"vmetal\": {}}}}",
         "it has settings called \"vmetal\" that vmetal did not write"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_str got = added(t, rows[i].text);
        if (!vmt_str_starts(got, vmt_str_from(rows[i].want))) vmt_expect_slice(t, got, vmt_str_from(rows[i].want));
    }
}

static void taking_the_block_out_gives_the_text_back(vmt_test *t) {
    static const char *const texts[] = {
        "{}",
        "{ }\n",
        "{\n}\n",
        "{\r\n  \"a\": 1,\r\n}\r\n",
        "{ // here\n  \"a\": 1\n}",
        "{ /* two\nlines */ \"a\": 1 }",
        "// head\n{\"a\": {\"b\": [1, 2,],},}\n// foot",
        "{\"language_models\": {\"openai_compatible\": {\n\n\"x\": {}}}}",
        "{\n  \"language_models\": {}, \"n\": -1.5e3\n}",
    };
    for (size_t i = 0; i < VMT_COUNT(texts); i++) {
        bool found = false;
        vmt_expect_slice(t, removed(t, added(t, texts[i]), &found), vmt_str_from(texts[i]));
        vmt_expect(t, found);
        vmt_expect_slice(t, removed(t, vmt_str_from(texts[i]), &found), vmt_str_from(texts[i]));
        vmt_expect(t, !found);
    }
    bool found = false;
    vmt_expect_slice(t, removed(t, VMT_STR("{\n// >>> vmetal\n}"), &found),
                     VMT_STR("its line \">>> vmetal\" has no \"<<< vmetal\" after it"));
}

/* Whatever the text: either it is refused, or the result is JSON of which the block comes out without a trace. */
static void survives_mutation(vmt_test *t) {
    static const char text[] = "// c\n{\n  \"a\": [1, {\"b\": \"x\\\"}\"},], /* y */\n  \"language_models\": "
                               "{\"openai_compatible\": {\"q\": null,},},\n  \"z\": -1e3\n}\n";
    static const char alphabet[] = "{}[],:\"\\/* \n#a>";
    uint64_t state = t->seed;
    uint32_t num_merged = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        for (uint32_t i = 0; i < 1 + round % 3; i++) {
            copy[vmt_splitmix64(&state) % (sizeof text - 1)] =
                alphabet[vmt_splitmix64(&state) % (sizeof alphabet - 1)];
        }
        vmt_buf out, back;
        bool found = false;
        vmt_buf_init(&out, 0);
        vmt_buf_init(&back, 0);
        vmt_str before = {copy, sizeof text - 1};
        if (vmt_settings_add_member(before, zed_path, 2, "vmetal", VMT_STR(VALUE), &out, NULL) == VMT_OK) {
            num_merged++;
            vmt_expect_eq(t, vmt_settings_remove_block(vmt_buf_str(&out), &back, &found, NULL), VMT_OK);
            vmt_expect_slice(t, vmt_buf_str(&back), before);
            vmt_buf_clear(&back);
            vmt_expect(t, vmt_settings_add_member(vmt_buf_str(&out), zed_path, 2, "vmetal", VMT_STR(VALUE), &back,
                                                  NULL) == VMT_E_INVALID);
        }
        vmt_buf_free(&out);
        vmt_buf_free(&back);
    }
    vmt_expect(t, num_merged > 100);
}

static vmt_str with_item(vmt_test *t, const char *text) {
    vmt_buf out;
    vmt_err err = {0};
    vmt_buf_init(&out, 0);
    vmt_status status = vmt_settings_add_item(vmt_str_from(text), "models", VMT_STR("name: v\nmodel: \"m\""),
                                              VMT_STR("schema: v1\n"), &out, &err);
    vmt_str result = vmt_arena_dup(t->arena, status == VMT_OK ? vmt_buf_str(&out) : vmt_str_from(err.msg));
    vmt_buf_free(&out);
    return result;
}

static void an_item_joins_the_list(vmt_test *t) {
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "# >>> vmetal\nschema: v1\nmodels:\n  - name: v\n    model: \"m\"\n# <<< vmetal\n"},
        {"name: A\nrules: []", "name: A\nrules: []\n# >>> vmetal, joined\nmodels:\n  - name: v\n    model: \"m\"\n"
                               "# <<< vmetal\n"},
        {"models: # mine\n\n- name: a\n",
         "models: # mine\n# >>> vmetal\n- name: v\n  model: \"m\"\n# <<< vmetal\n\n"
         "- name: a\n"},
        {"a: 1\nmodels:\n    - name: a\nz: 1\n",
         "a: 1\nmodels:\n    # >>> vmetal\n    - name: v\n      model: \"m\"\n"
         "    # <<< vmetal\n    - name: a\nz: 1\n"},
        {"models:\nz: 1\n", "models:\n  # >>> vmetal\n  - name: v\n    model: \"m\"\n  # <<< vmetal\nz: 1\n"},
        {"models:", "models:\n  # >>> vmetal, joined\n  - name: v\n    model: \"m\"\n  # <<< vmetal\n"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        bool found = false;
        vmt_str got = with_item(t, rows[i].text);
        vmt_expect_slice(t, got, vmt_str_from(rows[i].want));
        vmt_expect_slice(t, removed(t, got, &found), vmt_str_from(rows[i].text));
        vmt_expect(t, found);
    }
    vmt_expect_slice(t, with_item(t, "models: []\n"), VMT_STR("its models are not written as a list of lines"));
    vmt_expect_slice(t, with_item(t, "{models: []}\n"), VMT_STR("its models are not written as a list of lines"));
}

/* ---- files */

static const char *temp_dir(vmt_test *t) {
    char *dir = (char *)vmt_arena_dup(t->arena, VMT_STR("/tmp/vmetal-launch-XXXXXX")).ptr;
    vmt_expect(t, mkdtemp(dir) != NULL);
    return dir;
}

static const char *path_in(vmt_test *t, const char *dir, const char *name) {
    return vmt_arena_printf(t->arena, "%s/%s", dir, name).ptr;
}

static void put(vmt_test *t, const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    vmt_expect(t, f != NULL);
    vmt_expect(t, fwrite(text, 1, strlen(text), f) == strlen(text));
    vmt_expect_eq(t, fclose(f), 0);
}

static vmt_str get(vmt_test *t, const char *path) {
    vmt_buf text;
    vmt_err err = {0};
    vmt_buf_init(&text, 0);
    if (vmt_file_read(&text, path, VMT_SETTINGS_BYTES_MAX, &err) != VMT_OK) return vmt_str_from("(none)");
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return copy;
}

static const vmt_launch_server server = {
    .url = {"http://127.0.0.1:8000", 21}, .model = {"org/\"m\"", 7}, .key = {"k", 1}, .context_max = 8192};

static vmt_launch_plan plan_for(vmt_test *t, const char *name) {
    vmt_launch_plan plan = {.arena = t->arena};
    vmt_launch_tool_find(vmt_str_from(name))->plan(&plan, &server);
    vmt_expect(t, !plan.failed);
    return plan;
}

static vmt_status apply(vmt_test *t, const char *name, const char *path, vmt_err *err) {
    vmt_launch_plan plan = plan_for(t, name);
    vmt_launch_edit edit = {vmt_launch_tool_find(vmt_str_from(name)), &plan};
    *err = (vmt_err){0};
    return vmt_settings_apply(path, vmt_launch_tool_edit, &edit, err);
}

static void a_file_comes_back_as_it_was(vmt_test *t) {
    static const char *const before = "{\n  \"theme\": \"One\", // dark\n}\n";
    const char *dir = temp_dir(t), *path = path_in(t, dir, "real.json"), *link = path_in(t, dir, "settings.json");
    const char *backup = path_in(t, dir, "real.json" VMT_SETTINGS_BACKUP);
    vmt_settings_undo what;
    vmt_err err;
    struct stat info;
    put(t, path, before);
    vmt_expect_eq(t, chmod(path, 0640), 0);
    vmt_expect_eq(t, symlink("real.json", link), 0);
    for (int round = 0; round < 2; round++) { /* the second launch replaces the first one's block */
        vmt_expect_eq(t, apply(t, "zed", link, &err), VMT_OK);
        vmt_expect_slice(t, get(t, backup), vmt_str_from(before));
        vmt_expect(t, vmt_str_find(get(t, path), VMT_STR("// dark"), 0) != SIZE_MAX);
    }
    vmt_expect(t, lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    vmt_expect(t, stat(path, &info) == 0 && (info.st_mode & 0777) == 0640);
    vmt_expect_eq(t, vmt_settings_restore(link, &what, &err), VMT_OK);
    vmt_expect_eq(t, what, VMT_SETTINGS_BLOCK_GONE);
    vmt_expect_slice(t, get(t, path), vmt_str_from(before));
    vmt_expect(t, !vmt_file_exists(backup));
    vmt_expect(t, stat(path, &info) == 0 && (info.st_mode & 0777) == 0640);
    vmt_expect_eq(t, vmt_settings_restore(link, &what, &err), VMT_OK);
    vmt_expect_eq(t, what, VMT_SETTINGS_UNTOUCHED);
    unlink(link);
    unlink(path);
    vmt_expect_eq(t, rmdir(dir), 0); /* nothing else was left there */
}

static void a_change_made_meanwhile_survives_the_undoing(vmt_test *t) {
    const char *dir = temp_dir(t), *path = path_in(t, dir, "config.yaml");
    vmt_settings_undo what;
    vmt_err err;
    put(t, path, "models:\n  - name: a\n");
    vmt_expect_eq(t, apply(t, "continue", path, &err), VMT_OK);
    put(t, path, vmt_arena_printf(t->arena, "%sname: B\n", get(t, path).ptr).ptr);
    vmt_expect_eq(t, vmt_settings_restore(path, &what, &err), VMT_OK);
    vmt_expect_slice(t, get(t, path), VMT_STR("models:\n  - name: a\nname: B\n"));
    unlink(path);
    vmt_expect_eq(t, rmdir(dir), 0);
}

static void a_damaged_block_brings_the_backup(vmt_test *t) {
    const char *dir = temp_dir(t), *path = path_in(t, dir, "config.yaml");
    vmt_settings_undo what;
    vmt_err err;
    put(t, path, "name: A\n");
    vmt_expect_eq(t, apply(t, "continue", path, &err), VMT_OK);
    put(t, path, "name: A\n# >>> vmetal\nmodels:\n");
    vmt_expect_eq(t, apply(t, "continue", path, &err), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_settings_restore(path, &what, &err), VMT_OK);
    vmt_expect_eq(t, what, VMT_SETTINGS_BACKUP_PUT);
    vmt_expect_slice(t, get(t, path), VMT_STR("name: A\n"));
    unlink(path);
    vmt_expect_eq(t, rmdir(dir), 0);
}

static void a_file_made_for_the_block_goes_with_it(vmt_test *t) {
    const char *dir = temp_dir(t), *path = path_in(t, dir, "a/b/settings.json");
    vmt_settings_undo what;
    vmt_err err;
    struct stat info;
    vmt_expect_eq(t, apply(t, "zed", path, &err), VMT_OK);
    vmt_expect(t, stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
    vmt_expect_eq(t, vmt_settings_restore(path, &what, &err), VMT_OK);
    vmt_expect_eq(t, what, VMT_SETTINGS_FILE_GONE);
    vmt_expect_eq(t, rmdir(path_in(t, dir, "a/b")), 0);
    rmdir(path_in(t, dir, "a"));
    vmt_expect_eq(t, rmdir(dir), 0);
}

static void a_refusal_touches_nothing(vmt_test *t) {
    const char *dir = temp_dir(t), *path = path_in(t, dir, "settings.json");
    vmt_err err;
    put(t, path, "{ theme: One }");
    vmt_expect_eq(t, apply(t, "zed", path, &err), VMT_E_INVALID);
    vmt_expect_slice(t, get(t, path), VMT_STR("{ theme: One }"));
    unlink(path);
    vmt_expect_eq(t, rmdir(dir), 0);
}

/* ---- plans */

static vmt_str variable(const vmt_launch_plan *plan, const char *name) {
    for (uint32_t i = 0; i < plan->num_variables; i++) {
        if (strcmp(plan->variables[i].name, name) == 0) return plan->variables[i].value;
    }
    return VMT_STR("(not there)");
}

static void claude_is_told_by_its_environment(vmt_test *t) {
    vmt_launch_plan plan = plan_for(t, "claude");
    vmt_expect_slice(t, variable(&plan, "ANTHROPIC_BASE_URL"), VMT_STR("http://127.0.0.1:8000"));
    vmt_expect_slice(t, variable(&plan, "ANTHROPIC_AUTH_TOKEN"), VMT_STR("k"));
    vmt_expect_slice(t, variable(&plan, "ANTHROPIC_DEFAULT_HAIKU_MODEL"), VMT_STR("org/\"m\""));
    vmt_expect_slice(t, variable(&plan, "CLAUDE_CODE_MAX_OUTPUT_TOKENS"), VMT_STR("2048"));
    vmt_expect(t, variable(&plan, "ANTHROPIC_API_KEY").ptr == NULL);
    vmt_expect_eq(t, plan.num_args, 0);
}

static void claude_sums_up_before_the_context_is_full(vmt_test *t) {
    static const struct {
        int64_t context;
        const char *output, *window, *percent;
    } rows[] = {
        {8192, "2048", "100000", "6"},
        {65536, "16384", "100000", "49"},
        {131072, "32000", "131072", "75"},
        {4000000, "32000", "1000000", "96"},
        {0, "4096", "(not there)", "(not there)"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_launch_plan plan = {.arena = t->arena};
        vmt_launch_server s = server;
        s.context_max = rows[i].context;
        vmt_launch_tool_find(VMT_STR("claude"))->plan(&plan, &s);
        vmt_expect_slice(t, variable(&plan, "CLAUDE_CODE_MAX_OUTPUT_TOKENS"), vmt_str_from(rows[i].output));
        vmt_expect_slice(t, variable(&plan, "CLAUDE_CODE_AUTO_COMPACT_WINDOW"), vmt_str_from(rows[i].window));
        vmt_expect_slice(t, variable(&plan, "CLAUDE_AUTOCOMPACT_PCT_OVERRIDE"), vmt_str_from(rows[i].percent));
    }
}

static void codex_is_told_by_overrides(vmt_test *t) {
    static const char *const want[] = {
        "-c",
        "model_providers.vmetal={name=\"vmetal\", base_url=\"http://127.0.0.1:8000/v1\", "
        "env_key=\"VMETAL_API_KEY\", "
        "wire_api=\"responses\"}",
        "-c",
        "model_provider=\"vmetal\"",
        "-c",
        "model=\"org/\\\"m\\\"\"",
        "-c",
        "model_context_window=8192",
    };
    vmt_launch_plan plan = plan_for(t, "codex");
    vmt_expect_eq(t, plan.num_args, VMT_COUNT(want));
    for (uint32_t i = 0; i < plan.num_args; i++) vmt_expect_str(t, plan.args[i], want[i]);
    vmt_expect_slice(t, variable(&plan, "VMETAL_API_KEY"), VMT_STR("k"));
}

static void opencode_gets_json_in_a_variable(vmt_test *t) {
    vmt_launch_plan plan = plan_for(t, "opencode");
    vmt_json_doc *doc = NULL;
    vmt_err err = {0};
    vmt_str text;
    int64_t context = 0;
    vmt_expect_eq(t, vmt_json_parse(&doc, variable(&plan, "OPENCODE_CONFIG_CONTENT"), &err), VMT_OK);
    vmt_json provider = VMT_JSON_AT(VMT_JSON_AT(vmt_json_root(doc), "provider"), "vmetal");
    vmt_json model = vmt_json_member(VMT_JSON_AT(provider, "models"), server.model);
    vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(VMT_JSON_AT(provider, "options"), "baseURL"), &text));
    vmt_expect_slice(t, text, VMT_STR("http://127.0.0.1:8000/v1"));
    vmt_expect(t, vmt_json_get_i64(VMT_JSON_AT(VMT_JSON_AT(model, "limit"), "context"), &context));
    vmt_expect_eq(t, context, 8192);
    vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(vmt_json_root(doc), "model"), &text));
    vmt_expect_slice(t, text, VMT_STR("vmetal/org/\"m\""));
    vmt_json_doc_destroy(doc);
}

static const vmt_test_case cases[] = {
    {"a_member_joins_the_deepest_object_there_is", a_member_joins_the_deepest_object_there_is},
    {"what_cannot_be_merged_is_refused", what_cannot_be_merged_is_refused},
    {"taking_the_block_out_gives_the_text_back", taking_the_block_out_gives_the_text_back},
    {"survives_mutation", survives_mutation},
    {"an_item_joins_the_list", an_item_joins_the_list},
    {"a_file_comes_back_as_it_was", a_file_comes_back_as_it_was},
    {"a_change_made_meanwhile_survives_the_undoing", a_change_made_meanwhile_survives_the_undoing},
    {"a_damaged_block_brings_the_backup", a_damaged_block_brings_the_backup},
    {"a_file_made_for_the_block_goes_with_it", a_file_made_for_the_block_goes_with_it},
    {"a_refusal_touches_nothing", a_refusal_touches_nothing},
    {"claude_is_told_by_its_environment", claude_is_told_by_its_environment},
    {"claude_sums_up_before_the_context_is_full", claude_sums_up_before_the_context_is_full},
    {"codex_is_told_by_overrides", codex_is_told_by_overrides},
    {"opencode_gets_json_in_a_variable", opencode_gets_json_in_a_variable},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
