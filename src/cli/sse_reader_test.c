/* The event reader: the same events however the stream is cut. */
#include "base/test.h"
#include "cli/sse_reader.h"

static void collect(void *ctx, vmt_str name, vmt_str data) {
    vmt_buf_printf(ctx, "[%.*s|%.*s]", VMT_STR_ARG(name), VMT_STR_ARG(data));
}

static void reads_events(vmt_test *t) {
    static const struct {
        const char *stream, *events;
    } cases[] = {
        {"data: one\n\ndata:two\n\n", "[|one][|two]"},
        {"data: a\r\ndata: b\r\n\r\n", "[|a\nb]"},
        {"data: a\rdata:  b\r\rdata: c\n\n", "[|a\n b][|c]"},
        {"\xEF\xBB\xBF"
         "data: bom\n\n",
         "[|bom]"},
        {": ping\n\nevent: message_start\ndata: {\"a\":1}\n\n", "[message_start|{\"a\":1}]"},
        {"event: none\n\ndata: x\n\n", "[|x]"},
        {"id: 7\nretry: 1\nnonsense\ndata\n\n", "[|]"},
        {"data: whole\n\ndata: cut off", "[|whole]"},
        {"data: whole\n\ndata: cut off\n", "[|whole]"},
        {"data: [DONE]\n\n\n\n", "[|[DONE]]"},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_str stream = vmt_str_from(cases[i].stream);
        for (size_t piece = 1; piece <= stream.len; piece++) {
            vmt_buf got;
            vmt_buf_init(&got, 0);
            vmt_sse_reader r;
            vmt_sse_reader_init(&r, 100, collect, &got);
            for (size_t at = 0; at < stream.len; at += piece) {
                vmt_str bytes = vmt_str_slice(stream, at, VMT_MIN(at + piece, stream.len));
                vmt_expect_eq(t, vmt_sse_reader_feed(&r, bytes, NULL), VMT_OK);
            }
            vmt_sse_reader_reset(&r);
            vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&got));
            vmt_buf_free(&got);
            vmt_expect_slice(t, copy, vmt_str_from(cases[i].events));
        }
    }
}

static void events_have_a_limit(vmt_test *t) {
    static const char *const streams[] = {"data: 0123456789012345\n\n", "data: 01234567\ndata: 0123456\n\n"};
    for (size_t i = 0; i < VMT_COUNT(streams); i++) {
        vmt_buf got;
        vmt_buf_init(&got, 0);
        vmt_sse_reader r;
        vmt_sse_reader_init(&r, 15, collect, &got);
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_sse_reader_feed(&r, vmt_str_from(streams[i]), &err), VMT_E_EXHAUSTED);
        vmt_expect_str(t, err.msg, "an event of the stream is over 15 bytes");
        vmt_sse_reader_reset(&r);
        vmt_buf_free(&got);
    }
}

static const vmt_test_case cases[] = {
    {"reads_events", reads_events},
    {"events_have_a_limit", events_have_a_limit},
    {0},
};

VMT_TEST_MAIN(cases)
