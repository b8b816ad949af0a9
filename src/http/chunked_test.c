/* The chunked body decoder: bodies in any pieces, and what is not a chunked body. */
#include "base/buf.h"
#include "base/rng.h"
#include "base/test.h"
#include "http/chunked.h"

#include <stdio.h>

static vmt_chunked_result decode(vmt_str text, size_t piece, vmt_buf *body, size_t *used) {
    vmt_chunked c = {0};
    vmt_chunked_result result = VMT_CHUNKED_MORE;
    *used = 0;
    while (*used < text.len && (result == VMT_CHUNKED_MORE || result == VMT_CHUNKED_DATA)) {
        size_t took;
        vmt_str data;
        result = vmt_chunked_next(&c, vmt_str_slice(text, *used, VMT_MIN(*used + piece, text.len)), &took, &data);
        if (result == VMT_CHUNKED_DATA) vmt_buf_append(body, data);
        *used += took;
    }
    return result;
}

static void decodes(vmt_test *t) {
    static const struct {
        const char *text, *body;
    } cases[] = {
        {"0\r\n\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world"},
        {"0000000000000005;a=\"b c\";d\r\nhello\r\n0;x\r\n\r\n", "hello"},
        {"a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", "0\r\n\r\n0\r\n\r\n"},
        {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        char text[256];
        int len = snprintf(text, sizeof text, "%sNEXT", cases[i].text);
        for (size_t piece = 1; piece <= (size_t)len; piece++) {
            vmt_buf body;
            vmt_buf_init(&body, 0);
            size_t used;
            vmt_expect_eq(t, decode((vmt_str){text, (size_t)len}, piece, &body, &used), VMT_CHUNKED_DONE);
            vmt_expect_eq(t, used, (size_t)len - 4);
            vmt_expect_slice(t, vmt_buf_str(&body), vmt_str_from(cases[i].body));
            vmt_buf_free(&body);
        }
    }
}

static void refuses(vmt_test *t) {
    static const char *const cases[] = {
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "5g\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rXhello\r\n0\r\n\r\n",
        "5;a\x01\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\n\rX",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\rC: d\r\n\r\n",
        "0\r\nA: b\r\n folded\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nA: \x7f\r\n\r\n",
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_str text = vmt_str_from(cases[i]);
        for (size_t piece = 1; piece <= text.len; piece++) {
            vmt_buf body;
            vmt_buf_init(&body, 0);
            size_t used;
            if (decode(text, piece, &body, &used) != VMT_CHUNKED_BAD) {
                vmt_test_fail(t, __FILE__, __LINE__, "accepted: %s", cases[i]);
            }
            vmt_buf_free(&body);
        }
    }
}

static void counts_extensions_and_trailers(vmt_test *t) {
    for (int is_trailer = 0; is_trailer < 2; is_trailer++) {
        vmt_chunked c = {0};
        size_t used;
        vmt_str data;
        vmt_str begin = is_trailer ? VMT_STR("0\r\nA:") : VMT_STR("1;");
        vmt_expect_eq(t, vmt_chunked_next(&c, begin, &used, &data), VMT_CHUNKED_MORE);
        vmt_chunked_result result = VMT_CHUNKED_MORE;
        uint32_t num_fed = 0;
        for (; result == VMT_CHUNKED_MORE; num_fed++) result = vmt_chunked_next(&c, VMT_STR("x"), &used, &data);
        vmt_expect_eq(t, result, VMT_CHUNKED_BAD);
        vmt_expect(t, num_fed <= VMT_CHUNKED_META_BYTES_MAX + 1);
    }
}

static void any_body_comes_back(vmt_test *t) {
    uint64_t rng = t->seed;
    for (int round = 0; round < 300; round++) {
        vmt_buf text, want, got;
        vmt_buf_init(&text, 0);
        vmt_buf_init(&want, 0);
        vmt_buf_init(&got, 0);
        for (uint64_t n = vmt_splitmix64(&rng) % 20; n > 0; n--) {
            char piece[64];
            size_t len = 1 + vmt_splitmix64(&rng) % sizeof piece;
            for (size_t i = 0; i < len; i++) piece[i] = (char)vmt_splitmix64(&rng);
            vmt_buf_printf(&text, vmt_splitmix64(&rng) % 2 ? "%zx\r\n" : "%03zX;e=1\r\n", len);
            vmt_buf_append(&text, (vmt_str){piece, len});
            vmt_buf_append(&want, (vmt_str){piece, len});
            vmt_buf_append_c(&text, "\r\n");
        }
        vmt_buf_append_c(&text, "0\r\n\r\n");
        size_t used;
        vmt_expect_eq(t, decode(vmt_buf_str(&text), 1 + vmt_splitmix64(&rng) % 50, &got, &used), VMT_CHUNKED_DONE);
        vmt_expect_eq(t, used, text.len);
        vmt_expect(t, vmt_str_eq(vmt_buf_str(&got), vmt_buf_str(&want)));
        vmt_buf_free(&text);
        vmt_buf_free(&want);
        vmt_buf_free(&got);
    }
}

static const vmt_test_case cases[] = {
    {"decodes", decodes},
    {"refuses", refuses},
    {"counts_extensions_and_trailers", counts_extensions_and_trailers},
    {"any_body_comes_back", any_body_comes_back},
    {0},
};

VMT_TEST_MAIN(cases)
