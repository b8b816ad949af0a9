/* serve_flags_test.c: the table of serve's flags is sound, and the usual launchers' command lines pass. */
#include "base/test.h"

#include "base/log.h"
#include "cli/commands.h"
#include "cli/serve_options.h"

static void names_are_unique(vmt_test *t) {
    vmt_expect(t, vmt_serve_command.num_flags <= VMT_FLAGS_MAX);
    for (uint32_t i = 0; i < vmt_serve_command.num_flags; i++) {
        const vmt_flag *a = &vmt_serve_command.flags[i];
        vmt_expect(t, a->group != NULL && strchr(a->name, '_') == NULL);
        for (uint32_t k = i + 1; k < vmt_serve_command.num_flags; k++) {
            const vmt_flag *b = &vmt_serve_command.flags[k];
            bool same = strcmp(a->name, b->name) == 0 || (a->alias && strcmp(a->alias, b->name) == 0) ||
                        (b->alias && strcmp(a->name, b->alias) == 0) ||
                        (a->short_name && b->short_name && strcmp(a->short_name, b->short_name) == 0);
            if (same) vmt_test_fail(t, __FILE__, __LINE__, "--%s and --%s share a name", a->name, b->name);
        }
    }
}

/* Every working row writes inside the options, and no two into one field. */
static void fields_are_distinct(vmt_test *t) {
    bool taken[sizeof(vmt_serve_options)] = {0};
    for (uint32_t i = 0; i < vmt_serve_command.num_flags; i++) {
        const vmt_flag *flag = &vmt_serve_command.flags[i];
        if (flag->ignored != NULL || (flag->refused != NULL && flag->choices == NULL)) continue;
        vmt_expect(t, flag->offset > 0 && flag->offset < sizeof(vmt_serve_options));
        if (taken[flag->offset]) vmt_test_fail(t, __FILE__, __LINE__, "--%s shares its field", flag->name);
        taken[flag->offset] = true;
    }
}

static void default_texts_agree(vmt_test *t) {
    for (uint32_t i = 0; i < vmt_serve_command.num_flags; i++) {
        const vmt_flag *flag = &vmt_serve_command.flags[i];
        bool is_number = flag->kind == VMT_FLAG_INT || flag->kind == VMT_FLAG_SIZE;
        bool is_choice = flag->kind == VMT_FLAG_STR && flag->choices != NULL;
        if (flag->default_text == NULL || flag->ignored != NULL || (!is_number && !is_choice)) continue;
        char *argv[] = {(char *)vmt_arena_printf(t->arena, "--%s=%s", flag->name, flag->default_text).ptr};
        vmt_serve_options got = {0};
        vmt_err err = {0};
        if (vmt_flags_parse(&vmt_serve_command, 1, argv, t->arena, &got, &err) != VMT_OK) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
        }
        const char *have = (const char *)&got + flag->offset;
        const char *want = (const char *)&vmt_serve_defaults + flag->offset;
        bool same = is_number ? memcmp(have, want, sizeof(int64_t)) == 0
                              : vmt_str_eq(*(const vmt_str *)have, *(const vmt_str *)want);
        if (!same) vmt_test_fail(t, __FILE__, __LINE__, "--%s: help shows another default", flag->name);
    }
}

static uint32_t num_warnings;

static void count_warning(void *ctx, vmt_log_level level, const char *line, size_t len) {
    num_warnings++;
}

static const struct {
    const char *line;
    vmt_status status;
    uint32_t num_warnings;
} lines[] = {
    {"m", VMT_OK, 0},
    {"--model m --host 0.0.0.0 --port 8000 --tensor-parallel-size 1 --dtype auto", VMT_OK, 0},
    {"m --gpu-memory-utilization 0.9 --max-model-len 8k --enable-prefix-caching --seed 0", VMT_OK, 0},
    {"m --enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3", VMT_OK, 0},
    {"m --swap-space 4 --disable-log-requests --enforce-eager --trust-remote-code", VMT_OK, 2},
    {"m --served-model-name a b --uds /tmp/x.sock --api-key k", VMT_OK, 0},
    {"m -O3 -cc.mode 3 -q gguf --runner generate", VMT_OK, 1},
    {"m --dtype float16 --uvicorn-log-level warning", VMT_OK, 0},
    {"m -tp 2", VMT_E_INVALID, 0},
    {"m --runner pooling --override-pooler-config {\"pooling_type\":\"MEAN\"}", VMT_OK, 0},
    {"m --runner draft", VMT_E_INVALID, 0},
    {"m -q awq", VMT_E_INVALID, 0},
    {"m --device tpu", VMT_E_INVALID, 0},
    {"m --enable-lora", VMT_E_INVALID, 0},
    {"m --speculative-config {\"method\":\"ngram\"}", VMT_E_INVALID, 0},
    {"m --kv-cache-dtype fp8", VMT_E_INVALID, 0},
};

static void launchers_are_understood(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(lines); i++) {
        char *argv[32], *rest = (char *)vmt_arena_dup(t->arena, vmt_str_from(lines[i].line)).ptr;
        int argc = 0;
        for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) argv[argc++] = word;
        vmt_serve_options got = {0};
        vmt_err err = {0};
        num_warnings = 0;
        vmt_log_set_sink(count_warning, NULL);
        vmt_status status = vmt_flags_parse(&vmt_serve_command, argc, argv, t->arena, &got, &err);
        vmt_log_set_sink(NULL, NULL);
        if (status != lines[i].status || num_warnings != lines[i].num_warnings) {
            vmt_test_fail(t, __FILE__, __LINE__, "\"%s\": status %d, %u warnings, %s", lines[i].line, status,
                          num_warnings, err.msg);
        }
    }
}

static const vmt_test_case cases[] = {
    {"names_are_unique", names_are_unique},
    {"fields_are_distinct", fields_are_distinct},
    {"default_texts_agree", default_texts_agree},
    {"launchers_are_understood", launchers_are_understood},
    {0},
};
VMT_TEST_MAIN(cases)
