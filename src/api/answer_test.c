/* api/answer_test.c: what a stream shows at its end is the same however the text was cut into deltas. */
#include "api/messages_blocks.h"
#include "api/response_items.h"
#include "base/test.h"

#define CALL  "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"P\"}}\n</tool_call>"
#define TORN  "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": P}}\n</tool_call>"
#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"

/* Blocks as <text>... and <call>..., neighbours of one kind joined, calls that are void left out. */
static const struct answer_case {
    const char *said, *shown;
} answers[] = {
    {"Hi", "<text>Hi"},
    {TORN, "<text>" TORN},
    {"Let me\n" TORN, "<text>Let me\n" TORN},
    {"Let me\n" CALL, "<text>Let me\n<call>{\"s\": \"P\"}"},
    {CALL "\n" CALL, "<call>{\"s\": \"P\"}<call>{\"s\": \"P\"}"},
    {TORN " " TORN, "<text>" TORN " " TORN},
    {TORN CALL, "<text>" TORN "<call>{\"s\": \"P\"}"},
    {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"P", /* the end is a break, too */
     "<text><tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"P"},
};

/* What a client sees of a stream. */
struct seen {
    vmt_buf story;
    bool ends_in_text; /* the story does */
    bool is_call, last_is_call;
};

static void see_text(struct seen *s, vmt_str text) {
    if (!s->ends_in_text) vmt_buf_append_c(&s->story, "<text>");
    s->ends_in_text = true;
    vmt_buf_append(&s->story, text);
}

static void see_call(struct seen *s, vmt_str args) {
    vmt_json_doc *doc = NULL;
    if (vmt_json_parse(&doc, args, NULL) == VMT_OK) {
        vmt_buf_printf(&s->story, "<call>%.*s", VMT_STR_ARG(args));
        s->ends_in_text = false;
    }
    vmt_json_doc_destroy(doc);
}

struct client {
    struct seen seen;
    vmt_buf args;
};

static vmt_str member(vmt_json object, const char *key) {
    vmt_str text = {0};
    (void)vmt_json_get_str(vmt_json_member(object, vmt_str_from(key)), &text);
    return text;
}

static void on_block_event(void *ctx, const char *name, const vmt_buf *data) {
    struct client *c = ctx;
    vmt_json_doc *doc = NULL;
    VMT_ASSERT(vmt_json_parse(&doc, vmt_buf_str(data), NULL) == VMT_OK);
    vmt_json delta = VMT_JSON_AT(vmt_json_root(doc), "delta");
    if (strcmp(name, "content_block_start") == 0) {
        vmt_json block = VMT_JSON_AT(vmt_json_root(doc), "content_block");
        c->seen.is_call = c->seen.last_is_call = vmt_str_eq_c(member(block, "type"), "tool_use");
        vmt_buf_clear(&c->args);
    } else if (strcmp(name, "content_block_delta") == 0) {
        if (!c->seen.is_call) see_text(&c->seen, member(delta, "text"));
        if (c->seen.is_call) vmt_buf_append(&c->args, member(delta, "partial_json"));
    } else if (c->seen.is_call) {
        see_call(&c->seen, c->args.len ? vmt_buf_str(&c->args) : VMT_STR("?"));
    }
    vmt_json_doc_destroy(doc);
}

static void ignore_event(void *ctx, const char *name, const vmt_buf *data) {
    (void)ctx, (void)name, (void)data;
}

static void see_items(struct seen *s, vmt_test *t, const vmt_response_items *items) {
    vmt_json_doc *doc = NULL;
    vmt_json item;
    vmt_str json = vmt_arena_printf(t->arena, "[%.*s]", VMT_STR_ARG(vmt_buf_str(&items->output)));
    vmt_expect(t, vmt_json_parse(&doc, json, NULL) == VMT_OK);
    for (vmt_json_iter it = vmt_json_iter_begin(vmt_json_root(doc)); vmt_json_iter_next(&it, NULL, &item);) {
        s->last_is_call = vmt_str_eq_c(member(item, "type"), "function_call");
        if (!s->last_is_call) {
            vmt_json part;
            vmt_json_iter parts = vmt_json_iter_begin(VMT_JSON_AT(item, "content"));
            while (vmt_json_iter_next(&parts, NULL, &part)) see_text(s, member(part, "text"));
        } else if (vmt_str_eq_c(member(item, "status"), "completed")) {
            see_call(s, member(item, "arguments"));
        }
    }
    vmt_json_doc_destroy(doc);
}

/* Deltas end before each of the ends; the generation's end comes with the last one, or in one of its own. */
static void check(vmt_test *t, const struct answer_case *c, const size_t *ends, size_t num_ends, bool ends_apart) {
    vmt_json_doc *tools = NULL;
    VMT_ASSERT(vmt_json_parse(&tools, VMT_STR(TOOLS), NULL) == VMT_OK);
    const vmt_output_wish wish = {
        .dialect = vmt_tool_dialect_find(VMT_STR("hermes")), .has_tools = true, .tools = tools};
    struct client client = {0};
    struct seen seen = {0};
    vmt_blocks blocks = {.send = on_block_event, .ctx = &client};
    vmt_response_items items = {.send = ignore_event};
    vmt_choice both[2] = {0};
    void *sinks[] = {&blocks, &items};
    for (size_t k = 0; k < 2; k++) {
        vmt_choice *choice = &both[k];
        vmt_answer_sink sink = k == 0 ? vmt_blocks_take : vmt_response_items_take;
        VMT_ASSERT(vmt_choice_output_init(&choice->output, &wish, t->arena, &choice->text));
        for (size_t i = 0, at = 0; i < num_ends + ends_apart; i++) {
            bool is_last = i + 1 == num_ends + ends_apart;
            size_t end = i < num_ends ? ends[i] : at;
            vmt_choice_output_push(&choice->output, vmt_str_slice(vmt_str_from(c->said), at, end));
            at = end;
            if (is_last) vmt_choice_output_finish(&choice->output, true);
            choice->is_finished = is_last;
            vmt_answer_read(NULL, choice, sink, sinks[k]);
            vmt_buf_clear(&choice->text);
            vmt_choice_output_clear(&choice->output);
        }
    }
    vmt_blocks_finish(&blocks);
    vmt_response_items_finish(&items, "completed");
    see_items(&seen, t, &items);
    bool is_call = strstr(c->shown, "<call>") != NULL;
    vmt_expect_slice(t, vmt_buf_str(&client.seen.story), vmt_str_from(c->shown));
    vmt_expect_slice(t, vmt_buf_str(&seen.story), vmt_str_from(c->shown));
    vmt_expect_eq(t, client.seen.last_is_call, is_call);
    vmt_expect_eq(t, seen.last_is_call, is_call);
    for (size_t k = 0; k < 2; k++) {
        vmt_choice_output_free(&both[k].output);
        vmt_buf_free(&both[k].text);
    }
    vmt_buf_free(&client.seen.story);
    vmt_buf_free(&client.args);
    vmt_buf_free(&seen.story);
    vmt_blocks_free(&blocks);
    vmt_response_items_free(&items);
    vmt_json_doc_destroy(tools);
}

static void a_cut_changes_nothing(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(answers); i++) {
        size_t len = strlen(answers[i].said), bytes[256];
        VMT_ASSERT(len <= VMT_COUNT(bytes));
        for (size_t k = 0; k < len; k++) bytes[k] = k + 1;
        for (size_t apart = 0; apart < 2; apart++) {
            check(t, &answers[i], bytes, len, apart);
            for (size_t a = 0; a <= len; a++) {
                check(t, &answers[i], (const size_t[]){a, len}, 2, apart);
                check(t, &answers[i], (const size_t[]){a, VMT_MIN(a + 12, len), len}, 3, apart);
            }
        }
    }
}

static const vmt_test_case cases[] = {
    {"a_cut_changes_nothing", a_cut_changes_nothing},
    {0},
};
VMT_TEST_MAIN(cases)
