#include "cli/launch_tools.h"

#include "cli/settings_text.h"
#include "json/json_writer.h"

#define PROVIDER "vmetal" /* the name in the tools' lists */
#define KEY_NAME "VMETAL_API_KEY"
/* A tool that knows no better asks for answers as long as a large service gives, and leaves no room for the prompt. */
#define OUTPUT_TOKENS_MAX 32000

static int64_t output_tokens(const vmt_launch_server *server) {
    return server->context_max > 0 ? VMT_MIN(server->context_max / 4, OUTPUT_TOKENS_MAX) : 4096;
}

static void set(vmt_launch_plan *p, const char *name, vmt_str value) {
    VMT_ASSERT(p->num_variables < VMT_LAUNCH_ITEMS_MAX);
    vmt_str copy = value.ptr ? vmt_arena_dup(p->arena, value) : value;
    if (copy.ptr == NULL && value.ptr != NULL) p->failed = true;
    p->variables[p->num_variables++] = (vmt_launch_variable){name, copy};
}

static void set_int(vmt_launch_plan *p, const char *name, int64_t value) {
    vmt_str text = vmt_arena_printf(p->arena, "%lld", (long long)value);
    if (text.ptr == NULL) p->failed = true;
    set(p, name, text);
}

static void unset(vmt_launch_plan *p, const char *name) {
    set(p, name, (vmt_str){0});
}

static void add_arg(vmt_launch_plan *p, vmt_str arg) {
    VMT_ASSERT(p->num_args < VMT_LAUNCH_ITEMS_MAX);
    vmt_str copy = vmt_arena_dup(p->arena, arg);
    if (copy.ptr == NULL) p->failed = true;
    p->args[p->num_args++] = copy.ptr;
}

/* Takes the buffer's text into the plan. */
static vmt_str keep(vmt_launch_plan *p, vmt_buf *text) {
    vmt_str copy = text->failed ? (vmt_str){0} : vmt_arena_dup(p->arena, vmt_buf_str(text));
    if (copy.ptr == NULL) p->failed = true;
    vmt_buf_free(text);
    return copy;
}

/* ---- Claude Code: environment */

/* It sums a conversation up when a share of a window is used, and takes no window below 100,000 tokens: a smaller
 * context becomes a smaller share. */
#define WINDOW_MIN 100000
#define WINDOW_MAX 1000000

static void set_claude_window(vmt_launch_plan *p, const vmt_launch_server *server) {
    if (server->context_max <= 0) return;
    int64_t window = VMT_MIN(VMT_MAX(server->context_max, WINDOW_MIN), WINDOW_MAX);
    int64_t room = VMT_MIN(server->context_max, WINDOW_MAX) - output_tokens(server);
    set_int(p, "CLAUDE_CODE_AUTO_COMPACT_WINDOW", window);
    set_int(p, "CLAUDE_AUTOCOMPACT_PCT_OVERRIDE", VMT_MAX(100 * room / window, 1));
}

static void plan_claude(vmt_launch_plan *p, const vmt_launch_server *server) {
    static const char *const models[] = {"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL",
                                         "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL",
                                         "ANTHROPIC_SMALL_FAST_MODEL"};
    set(p, "ANTHROPIC_BASE_URL", server->url);
    set(p, "ANTHROPIC_AUTH_TOKEN", server->key);
    /* A key for the vendor's own service has no business at this server. */
    unset(p, "ANTHROPIC_API_KEY");
    for (size_t i = 0; i < VMT_COUNT(models); i++) set(p, models[i], server->model);
    set_int(p, "CLAUDE_CODE_MAX_OUTPUT_TOKENS", output_tokens(server));
    set_claude_window(p, server);
    /* Some versions open the system prompt with a line that differs between requests: no prefix would be known. */
    set(p, "CLAUDE_CODE_ATTRIBUTION_HEADER", VMT_STR("0"));
}

/* ---- Codex: -c overrides of its config.toml */

static void plan_codex(vmt_launch_plan *p, const vmt_launch_server *server) {
    vmt_buf text;
    set(p, KEY_NAME, server->key);
    vmt_buf_init(&text, 0);
    /* Basic strings of TOML take JSON's escapes. */
    vmt_buf_printf(&text, "model_providers." PROVIDER "={name=\"" PROVIDER "\", base_url=\"%.*s/v1\", env_key=\"",
                   VMT_STR_ARG(server->url));
    vmt_buf_append_c(&text, KEY_NAME "\", wire_api=\"responses\"}");
    add_arg(p, VMT_STR("-c"));
    add_arg(p, keep(p, &text));
    add_arg(p, VMT_STR("-c"));
    add_arg(p, VMT_STR("model_provider=\"" PROVIDER "\""));
    add_arg(p, VMT_STR("-c"));
    vmt_buf_append_c(&text, "model=");
    vmt_json_escape(&text, server->model);
    add_arg(p, keep(p, &text));
    if (server->context_max == 0) return;
    add_arg(p, VMT_STR("-c"));
    vmt_buf_printf(&text, "model_context_window=%lld", (long long)server->context_max);
    add_arg(p, keep(p, &text));
}

/* ---- OpenCode: a configuration in the environment, merged over its files */

static void opencode_model(vmt_json_writer *w, const vmt_launch_server *server) {
    vmt_json_key_str(w, server->model);
    vmt_json_begin_object(w);
    vmt_json_key(w, "name");
    vmt_json_str(w, server->model);
    vmt_json_key(w, "tool_call");
    vmt_json_bool(w, true);
    if (server->context_max > 0) {
        vmt_json_key(w, "limit");
        vmt_json_begin_object(w);
        vmt_json_key(w, "context");
        vmt_json_i64(w, server->context_max);
        vmt_json_key(w, "output");
        vmt_json_i64(w, output_tokens(server));
        vmt_json_end_object(w);
    }
    vmt_json_end_object(w);
}

static void plan_opencode(vmt_launch_plan *p, const vmt_launch_server *server) {
    vmt_buf text;
    vmt_json_writer w;
    vmt_str v1 = vmt_arena_printf(p->arena, "%.*s/v1", VMT_STR_ARG(server->url));
    vmt_str model = vmt_arena_printf(p->arena, PROVIDER "/%.*s", VMT_STR_ARG(server->model));
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "provider");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, PROVIDER);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "npm");
    vmt_json_c_str(&w, "@ai-sdk/openai-compatible");
    vmt_json_key(&w, "name");
    vmt_json_c_str(&w, PROVIDER);
    vmt_json_key(&w, "options");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "baseURL");
    vmt_json_str(&w, v1);
    vmt_json_key(&w, "apiKey");
    vmt_json_str(&w, server->key);
    vmt_json_end_object(&w);
    vmt_json_key(&w, "models");
    vmt_json_begin_object(&w);
    opencode_model(&w, server);
    vmt_json_end_object(&w);
    vmt_json_end_object(&w);
    vmt_json_end_object(&w);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, model);
    vmt_json_key(&w, "small_model");
    vmt_json_str(&w, model);
    vmt_json_end_object(&w);
    set(p, "OPENCODE_CONFIG_CONTENT", keep(p, &text));
}

/* ---- Zed: settings.json; the key comes from a variable named after the provider */

static void plan_zed(vmt_launch_plan *p, const vmt_launch_server *server) {
    vmt_buf text;
    vmt_json_writer w;
    vmt_str v1 = vmt_arena_printf(p->arena, "%.*s/v1", VMT_STR_ARG(server->url));
    set(p, KEY_NAME, server->key);
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "api_url");
    vmt_json_str(&w, v1);
    vmt_json_key(&w, "available_models");
    vmt_json_begin_array(&w);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "name");
    vmt_json_str(&w, server->model);
    vmt_json_key(&w, "display_name");
    vmt_json_str(&w, server->model);
    vmt_json_key(&w, "max_tokens");
    vmt_json_i64(&w, server->context_max > 0 ? server->context_max : 8192);
    vmt_json_key(&w, "max_output_tokens");
    vmt_json_i64(&w, output_tokens(server));
    vmt_json_key(&w, "capabilities");
    vmt_json_raw(
        &w, VMT_STR("{\"tools\":true,\"images\":false,\"parallel_tool_calls\":true,\"prompt_cache_key\":false}"));
    vmt_json_end_object(&w);
    vmt_json_end_array(&w);
    vmt_json_end_object(&w);
    p->settings = keep(p, &text);
}

/* ---- Continue: config.yaml; double-quoted scalars of YAML take JSON's escapes */

static void plan_continue(vmt_launch_plan *p, const vmt_launch_server *server) {
    vmt_buf text;
    vmt_str v1 = vmt_arena_printf(p->arena, "%.*s/v1", VMT_STR_ARG(server->url));
    vmt_buf_init(&text, 0);
    vmt_buf_append_c(&text, "name: " PROVIDER "\nprovider: openai\nmodel: ");
    vmt_json_escape(&text, server->model);
    vmt_buf_append_c(&text, "\napiBase: ");
    vmt_json_escape(&text, v1);
    vmt_buf_append_c(&text, "\napiKey: ");
    vmt_json_escape(&text, server->key);
    vmt_buf_append_c(&text, "\nroles: [chat, edit, apply]\ncapabilities: [tool_use]\ndefaultCompletionOptions:\n");
    if (server->context_max > 0) {
        vmt_buf_printf(&text, "  contextLength: %lld\n", (long long)server->context_max);
    }
    vmt_buf_printf(&text, "  maxTokens: %lld", (long long)output_tokens(server));
    p->settings = keep(p, &text);
}

/* context_wanted: the first request of Claude Code 2.1.330 is 76 kB of JSON, that of Codex 0.169.0 is 40 kB: about
 * 18,000 and 10,000 tokens before any work begins. */
const vmt_launch_tool vmt_launch_tools[] = {
    {.name = "claude",
     .title = "Claude Code",
     .program = "claude",
     .install = "get it with: npm install -g @anthropic-ai/claude-code",
     .context_wanted = 32768,
     .plan = plan_claude},
    {.name = "codex",
     .title = "Codex",
     .program = "codex",
     .install = "get it with: npm install -g @openai/codex",
     .context_wanted = 16384,
     .plan = plan_codex},
    {.name = "opencode",
     .title = "OpenCode",
     .program = "opencode",
     .install = "get it with: npm install -g opencode-ai",
     .context_wanted = 16384,
     .plan = plan_opencode},
    {.name = "zed",
     .title = "Zed",
     .program = "zed",
     .install = "get it from https://zed.dev, and on a Mac run \"cli: install\" in its command palette",
     .config_file = "zed/settings.json",
     .json_path = {"language_models", "openai_compatible"},
     .after = "choose the model in the agent panel; a Zed that runs already has to be restarted once, so that it "
              "sees " KEY_NAME,
     .plan = plan_zed},
    {.name = "continue",
     .title = "Continue",
     .program = "cn",
     .program_is_optional = true,
     .install = "get its terminal program with: npm install -g @continuedev/cli",
     .home_file = ".continue/config.yaml",
     .yaml_list = "models",
     .yaml_head = "name: Local\nversion: 1.0.0\nschema: v1\n",
     .after = "choose the model \"" PROVIDER "\" in the editor's Continue panel",
     .plan = plan_continue},
};
const uint32_t vmt_num_launch_tools = VMT_COUNT(vmt_launch_tools);

const vmt_launch_tool *vmt_launch_tool_find(vmt_str name) {
    for (uint32_t i = 0; i < vmt_num_launch_tools; i++) {
        if (vmt_str_eq_c(name, vmt_launch_tools[i].name)) return &vmt_launch_tools[i];
    }
    return NULL;
}

vmt_status vmt_launch_tool_edit(void *edit, vmt_str text, vmt_buf *out, vmt_err *err) {
    const vmt_launch_edit *e = edit;
    const vmt_launch_tool *tool = e->tool;
    if (tool->yaml_list != NULL) {
        return vmt_settings_add_item(text, tool->yaml_list, e->plan->settings, vmt_str_from(tool->yaml_head), out,
                                     err);
    }
    uint32_t depth = 0;
    while (tool->json_path[depth] != NULL) depth++;
    return vmt_settings_add_member(text, tool->json_path, depth, PROVIDER, e->plan->settings, out, err);
}
