/* h1 heads: what is accepted, what is refused and with which status, and that the cut into pieces does not matter. */
#include "base/rng.h"
#include "base/test.h"
#include "http/h1.h"

#include <stdio.h>

#define HEAD_BYTES_MAX 512
#define FIELDS_MAX     8

static vmt_h1_result feed(vmt_h1_head *head, vmt_str text, size_t piece, size_t *used) {
    *used = 0;
    vmt_h1_result result = VMT_H1_MORE;
    while (result == VMT_H1_MORE && *used < text.len) {
        size_t took;
        size_t end = VMT_MIN(*used + piece, text.len);
        result = vmt_h1_head_feed(head, vmt_str_slice(text, *used, end), &took);
        *used += took;
    }
    return result;
}

static void reads_a_request(vmt_test *t) {
    static const char text[] = "POST /v1/chat%20x/%C3%A9?a=b%20c HTTP/1.1\r\nHost: h:80\r\nX-Empty:\r\n"
                               "content-TYPE: \t application/json \t\r\nContent-Length: 12\r\n\r\nBODY";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        vmt_h1_head head;
        vmt_h1_head_init(&head, HEAD_BYTES_MAX, FIELDS_MAX);
        size_t used;
        vmt_expect_eq(t, feed(&head, VMT_STR(text), piece, &used), VMT_H1_DONE);
        vmt_expect_eq(t, used, sizeof text - 1 - 4);
        vmt_expect_slice(t, head.method, VMT_STR("POST"));
        vmt_expect_slice(t, head.path, VMT_STR("/v1/chat x/\xC3\xA9"));
        vmt_expect_slice(t, head.query, VMT_STR("a=b%20c"));
        vmt_expect_slice(t, vmt_h1_head_get(&head, VMT_STR("Content-Type")), VMT_STR("application/json"));
        vmt_expect(t, vmt_h1_head_get(&head, VMT_STR("x-empty")).ptr != NULL);
        vmt_expect(t, vmt_h1_head_get(&head, VMT_STR("x-none")).ptr == NULL);
        vmt_expect_eq(t, head.content_length, 12);
        vmt_expect(t, head.keep_alive && !head.is_chunked && head.minor == 1);
        vmt_h1_head_reset(&head);
    }
}

#define H "Host: a\r\n"

static void accepts(vmt_test *t) {
    static const struct {
        const char *text, *path, *query;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", "/", "", true},
        {"GET /a?b?c HTTP/1.1\r\n" H "\r\n", "/a", "b?c", true},
        {"GET http://a/x?y HTTP/1.1\r\n" H "\r\n", "/x", "y", true},
        {"GET http://a?y HTTP/1.1\r\n" H "\r\n", "/", "y", true},
        {"GET HTTPS://a HTTP/1.1\r\n" H "\r\n", "/", "", true},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "*", "", true},
        {"GET /..a/b.. HTTP/1.1\r\n" H "\r\n", "/..a/b..", "", true},
        {"GET /models/org%2Fname HTTP/1.1\r\n" H "\r\n", "/models/org/name", "", true},
        {"GET / HTTP/1.0\r\n\r\n", "/", "", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", true},
        {"GET / HTTP/1.1\r\nHost:\r\nConnection: foo, Close\r\n\r\n", "/", "", false},
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "/", "", true},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\nX: \xC3\xA9\r\n\r\n", "/", "", true},
        {"PATCH /x HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED\r\n\r\n", "/x", "", true},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_h1_head head;
        vmt_h1_head_init(&head, HEAD_BYTES_MAX, FIELDS_MAX);
        size_t used;
        vmt_h1_result result = feed(&head, vmt_str_from(cases[i].text), SIZE_MAX / 2, &used);
        if (result != VMT_H1_DONE) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", cases[i].text, head.reason ? head.reason : "more");
        }
        vmt_expect_slice(t, head.path, vmt_str_from(cases[i].path));
        vmt_expect_slice(t, head.query, vmt_str_from(cases[i].query));
        vmt_expect_eq(t, head.keep_alive, cases[i].keep_alive);
        vmt_h1_head_reset(&head);
    }
}

static void refuses(vmt_test *t) {
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET / HTTP/1.1\r\n" H "host: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X: a\r\n\tfolded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X(y): x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X y: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "X\xC3\xA9: x\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: +4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: -4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 4 4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length : 4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
         "chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 417},
        {"get / HTTP/1.1\r\n" H "\r\n", 400},
        {"G\xC3T / HTTP/1.1\r\n" H "\r\n", 400},
        {" GET / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
        {"GET\t/ HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\tx HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\xC3\xA9 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET a HTTP/1.1\r\n" H "\r\n", 400},
        {"GET * HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http:///x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET ftp://a/x HTTP/1.1\r\n" H "\r\n", 400},
        {"CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /% HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /%4 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /%zz HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /%00 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /%0d%0a HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a/../b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /%2e%2E/b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a%2f.. HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\r\n\r\n", 505}, /* HTTP/0.9 */
        {"GET / HTTP/1.9\r\n" H "\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/0.9\r\n" H "\r\n", 505},
        {"GET / HTTP/01.1\r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"GET / HTTPS/1.1\r\n" H "\r\n", 400},
        {"SOURCE /x ICE/1.0\r\n" H "\r\n", 400},
        {"\x16\x03\x01\x02", 400}, /* TLS */
        {"GET / HTTP/1.1\r\n" H "A:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\nF:1\r\nG:1\r\nI:1\r\n\r\n", 431},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_str text = vmt_str_from(cases[i].text);
        for (size_t piece = 1; piece <= text.len; piece += text.len - 1) {
            vmt_h1_head head;
            vmt_h1_head_init(&head, HEAD_BYTES_MAX, FIELDS_MAX);
            size_t used;
            vmt_h1_result result = feed(&head, text, piece, &used);
            bool is_right = result == VMT_H1_REFUSED && head.reason && head.status == cases[i].status;
            if (!is_right) {
                vmt_test_fail(t, __FILE__, __LINE__, "case %zu: result %d status %d %s", i, (int)result,
                              head.status, cases[i].text);
            }
            vmt_h1_head_reset(&head);
        }
    }
}

static void refuses_nul(vmt_test *t) {
    vmt_h1_head head;
    vmt_h1_head_init(&head, HEAD_BYTES_MAX, FIELDS_MAX);
    size_t used;
    vmt_expect_eq(t, feed(&head, VMT_STR("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"), 1000, &used),
                  VMT_H1_REFUSED);
    vmt_expect_eq(t, head.status, 400);
    vmt_h1_head_reset(&head);
}

static void stops_at_the_limit(vmt_test *t) {
    char text[HEAD_BYTES_MAX + 2];
    int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + len, 'x', sizeof text - (size_t)len);
    memcpy(text + HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    for (int over = 0; over < 2; over++) {
        if (over) {
            text[HEAD_BYTES_MAX - 4] = 'x';
            memcpy(text + HEAD_BYTES_MAX - 3, "\r\n\r\n", 4);
        }
        vmt_h1_head head;
        vmt_h1_head_init(&head, HEAD_BYTES_MAX, FIELDS_MAX);
        size_t used;
        vmt_h1_result result = feed(&head, (vmt_str){text, HEAD_BYTES_MAX + 1}, 7, &used);
        vmt_expect_eq(t, result, over ? VMT_H1_REFUSED : VMT_H1_DONE);
        vmt_expect_eq(t, head.status, over ? 431 : 0);
        vmt_h1_head_reset(&head);
    }
}

/* Whatever the bytes, the pieces they come in change nothing. */
static void pieces_do_not_matter(vmt_test *t) {
    static const char *const seeds[] = {
        "POST /v1/x%20y?q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        "POST http://a/b HTTP/1.0\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    };
    static const char spice[] = "\r\n\r\n :\t%/?#.,0aA\x00\x7f\xff";
    uint64_t rng = t->seed;
    for (int round = 0; round < 20000; round++) {
        char text[256];
        const char *seed = seeds[vmt_splitmix64(&rng) % VMT_COUNT(seeds)];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (uint64_t n = vmt_splitmix64(&rng) % 4; n > 0; n--) {
            text[vmt_splitmix64(&rng) % len] = spice[vmt_splitmix64(&rng) % (sizeof spice - 1)];
        }
        vmt_h1_head whole, cut;
        vmt_h1_head_init(&whole, HEAD_BYTES_MAX, FIELDS_MAX);
        vmt_h1_head_init(&cut, HEAD_BYTES_MAX, FIELDS_MAX);
        size_t used_whole, used_cut;
        vmt_h1_result result = feed(&whole, (vmt_str){text, len}, len, &used_whole);
        vmt_expect_eq(t, feed(&cut, (vmt_str){text, len}, 1 + vmt_splitmix64(&rng) % 9, &used_cut), result);
        vmt_expect_eq(t, used_cut, used_whole);
        vmt_expect_eq(t, cut.status, whole.status);
        if (result == VMT_H1_DONE) {
            vmt_expect_slice(t, cut.path, whole.path);
            vmt_expect(t, whole.path.len > 0 && memchr(whole.path.ptr, 0, whole.path.len) == NULL);
        }
        vmt_h1_head_reset(&whole);
        vmt_h1_head_reset(&cut);
    }
}

static const vmt_test_case cases[] = {
    {"reads_a_request", reads_a_request},
    {"accepts", accepts},
    {"refuses", refuses},
    {"refuses_nul", refuses_nul},
    {"stops_at_the_limit", stops_at_the_limit},
    {"pieces_do_not_matter", pieces_do_not_matter},
    {0},
};

VMT_TEST_MAIN(cases)
