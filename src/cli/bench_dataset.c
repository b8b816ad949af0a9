#include "cli/bench_dataset.h"

#include "base/file.h"
#include "base/rng.h"
#include "json/json.h"

#include <math.h>

#define ARENA_MAX ((size_t)8 << 30)

/* Words that are one token behind a blank in the usual vocabularies. */
static const char *const words[] = {
    "time",      "year",       "people",      "way",       "day",    "man",       "thing",  "woman",   "life",
    "child",     "world",      "school",      "state",     "family", "student",   "group",  "country", "problem",
    "hand",      "part",       "place",       "case",      "week",   "company",   "system", "program", "question",
    "work",      "government", "number",      "night",     "point",  "home",      "water",  "room",    "mother",
    "area",      "money",      "story",       "fact",      "month",  "lot",       "right",  "study",   "book",
    "eye",       "job",        "word",        "business",  "issue",  "side",      "kind",   "head",    "house",
    "service",   "friend",     "father",      "power",     "hour",   "game",      "line",   "end",     "member",
    "law",       "car",        "city",        "community", "name",   "president", "team",   "minute",  "idea",
    "kid",       "body",       "information", "back",      "parent", "face",      "others", "level",   "office",
    "door",      "health",     "person",      "art",       "war",    "history",   "party",  "result",  "change",
    "morning",   "reason",     "research",    "girl",      "guy",    "moment",    "air",    "teacher", "force",
    "education",
};

struct maker {
    vmt_bench_dataset *out;
    const vmt_bench_dataset_options *options;
    uint64_t state; /* of the random numbers */
    bool as_text;
    uint32_t id_min, id_max;
    vmt_err *err;
};

static vmt_status no_memory(struct maker *m) {
    return vmt_fail(m->err, VMT_E_NO_MEMORY, "no memory for %lld prompts", (long long)m->options->num_prompts);
}

/* len, more or less by the range ratio, at least 1. */
static uint32_t vary(struct maker *m, int64_t len) {
    double ratio = m->options->range_ratio;
    if (ratio <= 0) return (uint32_t)VMT_MAX(len, 1);
    int64_t low = (int64_t)floor((double)len * (1 - ratio)), high = (int64_t)ceil((double)len * (1 + ratio));
    low = VMT_MAX(low, 1);
    high = VMT_MAX(high, low);
    return (uint32_t)(low + (int64_t)(vmt_splitmix64(&m->state) % (uint64_t)(high - low + 1)));
}

static void draw(struct maker *m, int32_t *ids, uint32_t num) {
    for (uint32_t i = 0; i < num; i++) {
        ids[i] = (int32_t)(m->id_min + vmt_splitmix64(&m->state) % (m->id_max - m->id_min));
    }
}

/* The ids themselves, or a word for each. */
static vmt_status finish_prompt(struct maker *m, int32_t *ids, uint32_t num_ids, uint32_t output_len) {
    vmt_bench_prompt *prompt = &m->out->prompts[m->out->num++];
    *prompt = (vmt_bench_prompt){.output_len = output_len};
    if (!m->as_text) {
        prompt->ids = ids;
        prompt->num_ids = num_ids;
        return VMT_OK;
    }
    vmt_buf text;
    vmt_buf_init(&text, 0);
    for (uint32_t i = 0; i < num_ids; i++) {
        vmt_buf_printf(&text, "%s%s", i > 0 ? " " : "", words[(uint32_t)ids[i] % VMT_COUNT(words)]);
    }
    prompt->text = text.failed ? (vmt_str){0} : vmt_arena_dup(m->out->arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return prompt->text.ptr ? VMT_OK : no_memory(m);
}

/* prefix ids, then own ids that no other prompt has. */
static vmt_status add_prompt(struct maker *m, const int32_t *prefix, uint32_t prefix_len, uint32_t len,
                             uint32_t output_len) {
    int32_t *ids = VMT_ARENA_NEW(m->out->arena, int32_t, (size_t)prefix_len + len);
    if (ids == NULL) return no_memory(m);
    if (prefix_len > 0) memcpy(ids, prefix, prefix_len * sizeof *ids);
    draw(m, ids + prefix_len, len);
    return finish_prompt(m, ids, prefix_len + len, output_len);
}

static vmt_status make_random(struct maker *m) {
    const vmt_bench_dataset_options *o = m->options;
    uint32_t prefix_len = (uint32_t)o->prefix_len;
    int32_t *prefix = VMT_ARENA_NEW(m->out->arena, int32_t, prefix_len);
    if (prefix == NULL) return no_memory(m);
    draw(m, prefix, prefix_len);
    for (int64_t i = 0; i < o->num_prompts; i++) {
        uint32_t len = vary(m, o->input_len), output_len = vary(m, o->output_len);
        VMT_TRY(add_prompt(m, prefix, prefix_len, len, output_len));
    }
    return VMT_OK;
}

/* Prompts that share a prefix do not follow each other: the cache has to keep it, not only the last request's. */
static vmt_status make_prefix_repetition(struct maker *m) {
    const vmt_bench_dataset_options *o = m->options;
    uint32_t num = (uint32_t)o->repetition_num_prefixes, len = (uint32_t)o->repetition_prefix_len;
    int32_t *prefixes = VMT_ARENA_NEW(m->out->arena, int32_t, (size_t)num *len);
    if (prefixes == NULL) return no_memory(m);
    for (uint32_t i = 0; i < num; i++) draw(m, prefixes + (size_t)i * len, len);
    for (int64_t i = 0; i < o->num_prompts; i++) {
        const int32_t *prefix = prefixes + (size_t)(i % num) * len;
        VMT_TRY(
            add_prompt(m, prefix, len, (uint32_t)o->repetition_suffix_len, (uint32_t)o->repetition_output_len));
    }
    return VMT_OK;
}

static vmt_status add_line(struct maker *m, vmt_str line, uint64_t number) {
    vmt_json_doc *doc = NULL;
    vmt_err why = {0};
    vmt_str text;
    int64_t output_len = m->options->custom_output_len;
    vmt_status status = vmt_json_parse(&doc, line, &why);
    if (status == VMT_OK && !vmt_json_get_str(VMT_JSON_AT(vmt_json_root(doc), "prompt"), &text)) {
        status = vmt_fail(&why, VMT_E_INVALID, "it has no string called prompt");
    }
    if (status == VMT_OK) {
        if (output_len < 0) vmt_json_get_i64(VMT_JSON_AT(vmt_json_root(doc), "output_tokens"), &output_len);
        output_len = VMT_MIN(VMT_MAX(output_len, 1), VMT_BENCH_LEN_MAX);
        vmt_bench_prompt *prompt = &m->out->prompts[m->out->num++];
        *prompt =
            (vmt_bench_prompt){.text = vmt_arena_dup(m->out->arena, text), .output_len = (uint32_t)output_len};
        if (prompt->text.ptr == NULL) status = no_memory(m);
    }
    vmt_json_doc_destroy(doc);
    if (status == VMT_E_INVALID) {
        return vmt_fail(m->err, status, "%.*s, line %llu: %.120s", VMT_STR_ARG(m->options->path),
                        (unsigned long long)number, why.msg);
    }
    return status;
}

static vmt_status make_custom(struct maker *m) {
    const vmt_bench_dataset_options *o = m->options;
    if (o->path.len == 0)
        return vmt_fail(m->err, VMT_E_INVALID, "--dataset-name custom needs --dataset-path FILE");
    vmt_buf text;
    vmt_buf_init(&text, VMT_BENCH_FILE_MAX);
    vmt_str path = vmt_arena_dup(m->out->arena, o->path);
    vmt_status status = path.ptr ? vmt_file_read(&text, path.ptr, VMT_BENCH_FILE_MAX, m->err) : no_memory(m);
    uint64_t number = 0;
    for (size_t at = 0; status == VMT_OK && at < text.len && m->out->num < (uint32_t)o->num_prompts;) {
        size_t newline = vmt_str_find(vmt_buf_str(&text), VMT_STR("\n"), at);
        size_t end = newline == SIZE_MAX ? text.len : newline;
        vmt_str line = vmt_str_trim(vmt_str_slice(vmt_buf_str(&text), at, end));
        number++;
        if (line.len > 0) status = add_line(m, line, number);
        at = end + 1;
    }
    vmt_buf_free(&text);
    if (status == VMT_OK && m->out->num == 0) {
        status = vmt_fail(m->err, VMT_E_INVALID, "%.*s has no prompts", VMT_STR_ARG(o->path));
    }
    return status;
}

vmt_status vmt_bench_dataset_create(vmt_bench_dataset *out, const vmt_bench_dataset_options *options, bool as_text,
                                    uint32_t id_max, vmt_err *err) {
    static const struct {
        const char *name;
        vmt_status (*make)(struct maker *m);
    } makers[] = {{"random", make_random}, {"prefix_repetition", make_prefix_repetition}, {"custom", make_custom}};
    VMT_ASSERT(options->num_prompts > 0 && options->num_prompts <= VMT_BENCH_PROMPTS_MAX);
    *out = (vmt_bench_dataset){.arena = vmt_arena_create(ARENA_MAX)};
    struct maker m = {.out = out, .options = options, .as_text = as_text, .err = err};
    m.state = (uint64_t)options->seed;
    m.id_max = id_max > 0 ? VMT_MIN(id_max, VMT_BENCH_ID_MAX) : VMT_BENCH_ID_MAX;
    m.id_min = VMT_MIN(VMT_BENCH_ID_MIN, m.id_max / 2);
    if (out->arena != NULL)
        out->prompts = VMT_ARENA_NEW(out->arena, vmt_bench_prompt, (size_t)options->num_prompts);
    if (out->prompts == NULL) return no_memory(&m);
    for (size_t i = 0; i < VMT_COUNT(makers); i++) {
        if (vmt_str_eq_c(options->name, makers[i].name)) return makers[i].make(&m);
    }
    return vmt_fail(err, VMT_E_INVALID, "--dataset-name is \"%.*s\"; choose random, prefix_repetition or custom",
                    VMT_STR_ARG(options->name));
}

void vmt_bench_dataset_free(vmt_bench_dataset *dataset) {
    vmt_arena_destroy(dataset->arena);
    *dataset = (vmt_bench_dataset){0};
}
