/* flags_test.c: command lines as tables: what is read, and what is refused with which words. */
#include "base/test.h"

#include "base/log.h"
#include "cli/flags.h"
#include "cli/nearest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct options {
    vmt_flag_list files;
    bool fast, cache;
    int64_t port, seed, len, bytes;
    double rate;
    vmt_str name, policy, device, config, json;
    vmt_flag_list keys;
} options;

static const options defaults = {.cache = true, .port = 8000, .len = -1, .rate = 1, .policy = {"fcfs", 4}};

#define AT(f) .offset = offsetof(options, f)
static const vmt_flag flags[] = {
    {.name = "fast", .kind = VMT_FLAG_BOOL, .group = "One", .help = "be fast", AT(fast)},
    {.name = "enable-cache",
     .kind = VMT_FLAG_BOOL,
     .group = "One",
     .help = "cache",
     .default_text = "on",
     AT(cache)},
    {.name = "port", .kind = VMT_FLAG_INT, .group = "One", .value = "N", .help = "port", .max = 65535, AT(port)},
    {.name = "seed",
     .short_name = "s",
     .kind = VMT_FLAG_INT,
     .group = "One",
     .value = "N",
     .help = "seed",
     AT(seed)},
    {.name = "max-model-len",
     .kind = VMT_FLAG_SIZE,
     .group = "Two sizes",
     .help = "length",
     .min = -1,
     .max = 1e9,
     AT(len)},
    {.name = "bytes", .short_name = "bb", .kind = VMT_FLAG_SIZE, .group = "Two sizes", .help = "bytes", AT(bytes)},
    {.name = "rate", .kind = VMT_FLAG_FLOAT, .group = "One", .help = "rate", .max = INFINITY, AT(rate)},
    {.name = "name",
     .alias = "old-name",
     .kind = VMT_FLAG_STR,
     .group = "One",
     .value = "TEXT",
     .help = "name",
     AT(name)},
    {.name = "policy",
     .kind = VMT_FLAG_STR,
     .group = "One",
     .help = "policy",
     .choices = "fcfs|priority|lottery",
     AT(policy)},
    {.name = "device",
     .kind = VMT_FLAG_STR,
     .group = "One",
     .help = "device",
     .choices = "auto|cpu",
     .refused = "this build has no other",
     AT(device)},
    {.name = "api-key", .kind = VMT_FLAG_LIST, .group = "One", .help = "keys", AT(keys)},
    {.name = "extra", .short_name = "x", .kind = VMT_FLAG_JSON, .group = "One", .help = "object", AT(json)},
    {.name = "config", .kind = VMT_FLAG_STR, .group = "One", .help = "file", AT(config)},
    {.name = "level",
     .short_name = "O",
     .kind = VMT_FLAG_INT,
     .group = "Old",
     .help = "",
     .ignored = "no levels",
     .harmless = "2"},
    {.name = "swap", .kind = VMT_FLAG_FLOAT, .group = "Old", .help = "", .ignored = "no swap", .harmless = "0"},
    {.name = "tp",
     .short_name = "tp",
     .kind = VMT_FLAG_INT,
     .group = "Old",
     .help = "",
     .refused = "one device",
     .harmless = "1"},
    {.name = "lora",
     .kind = VMT_FLAG_BOOL,
     .group = "Old",
     .help = "",
     .refused = "no adapters",
     .harmless = "false"},
    {.name = "spec", .kind = VMT_FLAG_JSON, .group = "Old", .help = "", .refused = "no drafts", .harmless = "{}"},
};

static const vmt_command command = {
    .name = "try",
    .summary = "tries",
    .usage = "vmetal try FILE [flags]",
    .positional = "file",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(options, files),
    .positionals_max = 2,
    .defaults = &defaults,
    .options_bytes = sizeof(options),
};

struct warnings {
    uint32_t num;
    char text[1024];
};

static void count_warning(void *ctx, vmt_log_level level, const char *line, size_t len) {
    struct warnings *w = ctx;
    w->num++;
    snprintf(w->text, sizeof w->text, "%.*s", (int)len, line);
}

#define WORDS_MAX 16
/* Splits line at blanks; "_" inside a word stands for itself, "''" is the empty word. */
static vmt_status parse(vmt_test *t, const char *line, options *out, struct warnings *warned, vmt_err *err) {
    char *argv[WORDS_MAX];
    int argc = 0;
    char *copy = (char *)vmt_arena_dup(t->arena, vmt_str_from(line)).ptr;
    for (char *rest = copy, *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        VMT_ASSERT(argc < WORDS_MAX);
        argv[argc++] = strcmp(word, "''") == 0 ? (char *)"" : word;
    }
    *out = (options){0};
    *err = (vmt_err){0};
    *warned = (struct warnings){0};
    vmt_log_set_sink(count_warning, warned);
    vmt_status status = vmt_flags_parse(&command, argc, argv, t->arena, out, err);
    vmt_log_set_sink(NULL, NULL);
    return status;
}

/* The options as one line, only what differs from the defaults. */
static const char *show(vmt_test *t, const options *o) {
    vmt_buf b;
    vmt_buf_init(&b, 0);
    for (uint32_t i = 0; i < o->files.num; i++) vmt_buf_printf(&b, "%.*s ", VMT_STR_ARG(o->files.items[i]));
    if (o->fast) vmt_buf_printf(&b, "fast ");
    if (!o->cache) vmt_buf_printf(&b, "uncached ");
    if (o->port != 8000) vmt_buf_printf(&b, "port=%lld ", (long long)o->port);
    if (o->seed != 0) vmt_buf_printf(&b, "seed=%lld ", (long long)o->seed);
    if (o->len != -1) vmt_buf_printf(&b, "len=%lld ", (long long)o->len);
    if (o->bytes != 0) vmt_buf_printf(&b, "bytes=%lld ", (long long)o->bytes);
    if (o->rate != 1) vmt_buf_printf(&b, "rate=%g ", o->rate);
    if (o->name.ptr) vmt_buf_printf(&b, "name=[%.*s] ", VMT_STR_ARG(o->name));
    if (!vmt_str_eq_c(o->policy, "fcfs")) vmt_buf_printf(&b, "policy=%.*s ", VMT_STR_ARG(o->policy));
    if (o->device.ptr) vmt_buf_printf(&b, "device=%.*s ", VMT_STR_ARG(o->device));
    for (uint32_t i = 0; i < o->keys.num; i++) vmt_buf_printf(&b, "key=%.*s ", VMT_STR_ARG(o->keys.items[i]));
    if (o->json.ptr) vmt_buf_printf(&b, "json=%.*s ", VMT_STR_ARG(o->json));
    vmt_str text = vmt_arena_dup(t->arena, vmt_str_trim(vmt_buf_str(&b)));
    vmt_buf_free(&b);
    return text.ptr;
}

static const struct {
    const char *line, *want;
} good[] = {
    {"", ""},
    {"a b", "a b"},
    {"a --fast b", "a b fast"},
    {"--fast --no-fast", ""},
    {"--no-enable-cache", "uncached"},
    {"--no_enable_cache", "uncached"},
    {"--enable-cache=false", "uncached"},
    {"--no-enable-cache=false", ""},
    {"--port 80", "port=80"},
    {"--port=80 --port 81", "port=81"},
    {"--seed -1", "seed=-1"},
    {"-s 7", "seed=7"},
    {"-s7", "seed=7"},
    {"-s=7", "seed=7"},
    {"--max_model_len 4k", "len=4000"},
    {"--max-model-len 4K", "len=4096"},
    {"--max-model-len 1.5k", "len=1500"},
    {"--max-model-len auto", ""},
    {"--max-model-len 5 --max-model-len -1", ""},
    {"-bb 2G", "bytes=2147483648"},
    {"--rate inf", "rate=inf"},
    {"--rate 0.5", "rate=0.5"},
    {"--name ''", "name=[]"},
    {"--name=", "name=[]"},
    {"--name=--odd", "name=[--odd]"},
    {"--name -", "name=[-]"},
    {"--old-name x=y", "name=[x=y]"},
    {"--policy priority", "policy=priority"},
    {"--device cpu", "device=cpu"},
    {"--api-key a b --fast c", "c fast key=a key=b"},
    {"--api-key a -- b", "b key=a"},
    {"--api-key=a b", "b key=a"},
    {"-- --fast", "--fast"},
    {"--extra {\"a\":1}", "json={\"a\":1}"},
    {"--extra {\"a\":1,\"b\":2} --extra.a 3", "json={\"b\":2,\"a\":3}"},
    {"--extra.a.b 1 --extra.a.c=x --extra.d true", "json={\"a\":{\"b\":1,\"c\":\"x\"},\"d\":true}"},
    {"-x.a.list+ 1 -x.a.list+=2,z", "json={\"a\":{\"list\":[1,2,\"z\"]}}"},
    {"--extra.a 1 --extra {}", "json={}"},
    {"-O2", ""},
    {"-O 2 --swap 0 --tp 1 -tp 1 --no-lora --spec {}", ""},
};

static void reads_command_lines(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(good); i++) {
        options o;
        vmt_err err;
        struct warnings warned;
        if (parse(t, good[i].line, &o, &warned, &err) != VMT_OK) {
            vmt_test_fail(t, __FILE__, __LINE__, "\"%s\": %s", good[i].line, err.msg);
        }
        vmt_expect_str(t, show(t, &o), good[i].want);
        vmt_expect_eq(t, warned.num, 0);
    }
}

static const struct {
    const char *line, *message;
} bad[] = {
    {"--max-model-length 5", "unknown flag --max-model-length; did you mean --max-model-len?"},
    {"--prot=5", "unknown flag --prot; did you mean --port?"},
    {"--max-mod 5", "unknown flag --max-mod; did you mean --max-model-len?"},
    {"--zzzzzz", "unknown flag --zzzzzz; \"vmetal try --help=all\" lists the flags"},
    {"-Z", "unknown flag -Z; \"vmetal try --help=all\" lists the flags"},
    {"--no-port", "unknown flag --no-port: that flag takes a value and has no --no- form"},
    {"--port", "--port needs a value: N"},
    {"--port --fast", "--port needs a value: N"},
    {"--port x", "--port is \"x\", it must be a whole number"},
    {"--port 99999", "--port is 99999, allowed are 0 to 65535"},
    {"--rate -1", "--rate is -1, it must be at least 0"},
    {"--rate nan", "--rate is \"nan\", it must be a number"},
    {"--bytes -1", "--bytes is \"-1\", it must be a size such as 8192, 8k or 8K"},
    {"--bytes 1.5K", "--bytes is \"1.5K\", it must be a size such as 8192, 8k or 8K"},
    {"--bytes 99999999999T", "--bytes is \"99999999999T\", it must be a size such as 8192, 8k or 8K"},
    {"--max-model-len x", "--max-model-len is \"x\", it must be a size such as 8192, 8k, 8K or auto"},
    {"--fast=maybe", "--fast is \"maybe\"; it takes no value, or true or false"},
    {"--policy lifo", "--policy is \"lifo\"; choose fcfs, priority or lottery"},
    {"--device metal", "--device metal is not available: this build has no other"},
    {"--extra [1]", "--extra: it must be a JSON object, not an array"},
    {"--extra.a..b 1", "--extra: an empty key in \"a..b\""},
    {"--extra. 1", "--extra. needs a key behind the dot"},
    {"--port.a 1", "unknown flag --port.a; did you mean --port?"},
    {"-tp 2", "--tp 2 is not available: one device"},
    {"--lora", "--lora is not available: no adapters"},
    {"--spec.method ngram", "--spec is not available: no drafts"},
    {"a b c", "try takes at most 2 file, got also \"c\""},
};

static void refuses_with_reasons(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(bad); i++) {
        options o;
        vmt_err err;
        struct warnings warned;
        vmt_expect_eq(t, parse(t, bad[i].line, &o, &warned, &err), VMT_E_INVALID);
        vmt_expect_str(t, err.msg, bad[i].message);
    }
}

static void warns_once_about_what_it_ignores(vmt_test *t) {
    options o;
    vmt_err err;
    struct warnings warned;
    vmt_expect_eq(t, parse(t, "-O3 --swap 4 -O1", &o, &warned, &err), VMT_OK);
    vmt_expect_eq(t, warned.num, 2);
    vmt_expect_str(t, warned.text, "event=flag_ignored flag=--swap reason=\"no swap\"");
}

static void knows_what_was_given(vmt_test *t) {
    options o;
    vmt_err err;
    struct warnings warned;
    vmt_expect_eq(t, parse(t, "--port 8000 --old-name x", &o, &warned, &err), VMT_OK);
    vmt_expect(t, vmt_flags_given(&command, "port"));
    vmt_expect(t, vmt_flags_given(&command, "name"));
    vmt_expect(t, !vmt_flags_given(&command, "seed"));
}

static const struct {
    const char *yaml, *line, *want, *message;
} files[] = {
    {"port: 81\nmax_model_len: 4K\n", "", "port=81 len=4096", NULL},
    {"port: 81\n", "--port 82", "port=82", NULL},
    {"fast: true\nenable-cache: no\n", "", "fast uncached", NULL},
    {"api-key: [a, 'b c']\n", "", "key=a key=b c", NULL},
    {"api-key: a\n", "--api-key b", "key=b", NULL},
    {"extra:\n  a: 1\n  b: [x, 2.5, null, \"3\"]\n  c: {d: yes}\n", "",
     "json={\"a\":1,\"b\":[\"x\",2.5,null,\"3\"],\"c\":{\"d\":true}}", NULL},
    {"extra: {a: 1}\n", "--extra.b 2", "json={\"a\":1,\"b\":2}", NULL},
    {"extra: '{\"a\": 1}'\n", "", "json={\"a\": 1}", NULL},
    {"name: [\"*\"]\n", "", "name=[[\"*\"]]", NULL},
    {"", "a", "a", NULL},
    {"# nothing\nname:\n", "", "", NULL},
    {"prot: 1\n", "", NULL, "unknown key prot; did you mean port?"},
    {"port: 1\nport: 2\n", "", NULL, "port is given twice"},
    {"port: [1, 2]\n", "", NULL, "port takes one value"},
    {"config: x\n", "", NULL, "a config file can't name another one"},
    {"name: &a x\npolicy: *a\n", "", NULL, "line 2: aliases are not allowed"},
    {"- a\n", "", NULL, "line 1: it must hold \"flag: value\" lines"},
    {"extra: [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "", NULL, "line 1: nested more than 16 deep"},
    {"a: b: c\n", "", NULL, "line 1: mapping values are not allowed in this context"},
    {"tp: 2\n", "", NULL, "--tp 2 is not available: one device"},
};

static void reads_config_files(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(files); i++) {
        char path[] = "/tmp/vmt_flags_test_XXXXXX";
        int fd = mkstemp(path);
        vmt_expect(t,
                   fd >= 0 && write(fd, files[i].yaml, strlen(files[i].yaml)) == (ssize_t)strlen(files[i].yaml));
        close(fd);
        options o;
        vmt_err err;
        struct warnings warned;
        vmt_str line = vmt_arena_printf(t->arena, "--config %s %s", path, files[i].line);
        vmt_status status = parse(t, line.ptr, &o, &warned, &err);
        unlink(path);
        if (files[i].message != NULL) {
            vmt_expect_eq(t, status, VMT_E_INVALID);
            vmt_expect(t, vmt_str_ends(vmt_str_from(err.msg), vmt_str_from(files[i].message)));
            continue;
        }
        if (status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "case %zu: %s", i, err.msg);
        vmt_expect_str(t, show(t, &o), files[i].want);
    }
    options o;
    vmt_err err;
    struct warnings warned;
    vmt_expect_eq(t, parse(t, "--config /nonexistent.yaml", &o, &warned, &err), VMT_E_NOT_FOUND);
    vmt_expect_eq(t, parse(t, "--config a --config b", &o, &warned, &err), VMT_E_INVALID);
}

static const struct {
    const char *topic, *has, *has_not;
} topics[] = {
    {NULL, "--port N", "--swap"},           {"all", "no effect: no swap", NULL},
    {"two", "--max-model-len", "--port"},   {"--max_model_len", "Range: -1 to 1000000000", "--bytes"},
    {"model", "--max-model-len", "--port"}, {"tp", "not available: one device", NULL},
};

static void explains(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(topics); i++) {
        vmt_buf out;
        vmt_err err = {0};
        vmt_buf_init(&out, 0);
        vmt_expect_eq(t, vmt_flags_help(&command, topics[i].topic, &out, &err), VMT_OK);
        vmt_expect(t, vmt_str_find(vmt_buf_str(&out), vmt_str_from(topics[i].has), 0) != SIZE_MAX);
        if (topics[i].has_not != NULL) {
            vmt_expect(t, vmt_str_find(vmt_buf_str(&out), vmt_str_from(topics[i].has_not), 0) == SIZE_MAX);
        }
        vmt_buf_free(&out);
    }
    vmt_buf out;
    vmt_err err = {0};
    vmt_buf_init(&out, 0);
    vmt_expect_eq(t, vmt_flags_help(&command, "porrt", &out, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "no flag or group \"porrt\"; did you mean --help=port?");
    vmt_buf_free(&out);
}

static void measures_edits(vmt_test *t) {
    static const struct {
        const char *a, *b;
        uint32_t want;
    } cases[] = {{"", "", 0}, {"abc", "", 3}, {"port", "prot", 1}, {"a_b", "a-b", 0}, {"kitten", "sitting", 3}};
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_expect_eq(t, vmt_edit_distance(vmt_str_from(cases[i].a), vmt_str_from(cases[i].b)), cases[i].want);
    }
}

static const vmt_test_case cases[] = {
    {"reads_command_lines", reads_command_lines},
    {"refuses_with_reasons", refuses_with_reasons},
    {"warns_once_about_what_it_ignores", warns_once_about_what_it_ignores},
    {"knows_what_was_given", knows_what_was_given},
    {"reads_config_files", reads_config_files},
    {"explains", explains},
    {"measures_edits", measures_edits},
    {0},
};
VMT_TEST_MAIN(cases)
