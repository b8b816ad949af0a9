/* Stop strings against a search of the whole text, for every way to cut the text into chunks. */
#include "text/stop.h"
#include "base/rng.h"
#include "base/test.h"

/* What must come out: the first place where a string is complete, the longest there. */
static int32_t naive(const vmt_str *strings, uint32_t num, vmt_str text, bool include, size_t *shown) {
    for (size_t end = 1; end <= text.len; end++) {
        int32_t hit = -1;
        for (uint32_t i = 0; i < num; i++) {
            if (!vmt_str_ends(vmt_str_slice(text, 0, end), strings[i])) continue;
            if (hit < 0 || strings[i].len > strings[hit].len) hit = (int32_t)i;
        }
        if (hit < 0) continue;
        *shown = include ? end : end - strings[hit].len;
        return hit;
    }
    *shown = text.len;
    return -1;
}

static void agrees_with_a_plain_search(vmt_test *t) {
    uint64_t rng = t->seed;
    for (int round = 0; round < 4000; round++) {
        char letters[64], words[4][6];
        vmt_str strings[4], text = {letters, vmt_splitmix64(&rng) % sizeof letters};
        for (size_t i = 0; i < text.len; i++) letters[i] = (char)('a' + vmt_splitmix64(&rng) % 2);
        uint32_t num = (uint32_t)(vmt_splitmix64(&rng) % 5);
        for (uint32_t i = 0; i < num; i++) {
            size_t len = 1 + vmt_splitmix64(&rng) % sizeof words[0];
            for (size_t k = 0; k < len; k++) words[i][k] = (char)('a' + vmt_splitmix64(&rng) % 2);
            strings[i] = (vmt_str){words[i], len};
        }
        bool include = vmt_splitmix64(&rng) % 2;
        size_t want_len;
        int32_t want = naive(strings, num, text, include, &want_len), got = -1;
        vmt_stop *stop = vmt_stop_create(t->arena, strings, num, include);
        vmt_buf out;
        vmt_buf_init(&out, 0);
        for (size_t pos = 0; pos < text.len && got < 0;) {
            size_t n = 1 + vmt_splitmix64(&rng) % 7;
            n = VMT_MIN(n, text.len - pos);
            got = vmt_stop_push(stop, vmt_str_slice(text, pos, pos + n), &out);
            pos += n;
        }
        if (got < 0) vmt_stop_flush(stop, &out);
        bool same_text = got < 0 || want < 0 || vmt_str_eq(strings[got], strings[want]);
        vmt_expect(t, (got < 0) == (want < 0) && same_text);
        vmt_expect_slice(t, vmt_buf_str(&out), vmt_str_slice(text, 0, want_len));
        vmt_expect_eq(t, vmt_stop_push(stop, VMT_STR("more"), &out), -1);
        vmt_expect_eq(t, out.len, want_len);
        vmt_buf_free(&out);
        if (round % 100 == 0) vmt_arena_reset(t->arena);
    }
}

static void holds_back_only_what_may_become_a_stop_string(vmt_test *t) {
    vmt_str strings[] = {VMT_STR("\n\nUser:")};
    vmt_stop *stop = vmt_stop_create(t->arena, strings, 1, false);
    vmt_buf out;
    vmt_buf_init(&out, 0);
    vmt_expect_eq(t, vmt_stop_push(stop, VMT_STR("Hi\n"), &out), -1);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("Hi"));
    vmt_expect_eq(t, vmt_stop_push(stop, VMT_STR("there\n\nUs"), &out), -1);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("Hi\nthere"));
    vmt_expect_eq(t, vmt_stop_push(stop, VMT_STR("er: x"), &out), 0);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("Hi\nthere"));
    vmt_buf_free(&out);
}

static const vmt_test_case cases[] = {
    {"agrees_with_a_plain_search", agrees_with_a_plain_search},
    {"holds_back_only_what_may_become_a_stop_string", holds_back_only_what_may_become_a_stop_string},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
