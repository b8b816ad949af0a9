#include "text/scratch.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#define TOKENS_MAX ((size_t)1 << 31)

vmt_scratch *vmt_scratch_create(bool with_cache) {
    vmt_scratch *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    if (with_cache && !vmt_word_cache_init(&s->cache)) {
        free(s);
        return NULL;
    }
    return s;
}

void vmt_scratch_destroy(vmt_scratch *s) {
    if (!s) return;
    vmt_word_cache_reset(&s->cache);
    free(s->ids);
    free(s->next);
    free(s->prev);
    free(s->ranks);
    free(s->merged);
    free(s->heap);
    free(s->lattice);
    for (size_t i = 0; i < VMT_COUNT(s->text); i++) vmt_buf_free(&s->text[i]);
    for (size_t i = 0; i < VMT_COUNT(s->stage); i++) vmt_buf_free(&s->stage[i]);
    vmt_buf_free(&s->valid);
    if (s->regex_match) pcre2_match_data_free(s->regex_match);
    if (s->regex_context) pcre2_match_context_free(s->regex_context);
    free(s);
}

vmt_status vmt_scratch_grow_out(vmt_scratch *s, size_t n) {
    vmt_tokens *out = s->out;
    if (out->len >= s->out_max && n > 0) {
        return vmt_fail(s->err, VMT_E_EXHAUSTED, "text is more than %zu tokens", s->out_max);
    }
    vmt_status status =
        vmt_array_grow((void **)&out->ids, &out->cap, VMT_MAX(out->len + n, 64), sizeof *out->ids, TOKENS_MAX);
    return status == VMT_OK ? VMT_OK : vmt_fail(s->err, status, "no memory for %zu tokens", out->len + n);
}

static bool renew(void **array, size_t count, size_t elem_bytes) {
    free(*array);
    *array = malloc(count * elem_bytes);
    return *array != NULL;
}

vmt_status vmt_scratch_reserve_merge(vmt_scratch *s, size_t n) {
    if (n <= s->merge_cap) return VMT_OK;
    if (n > INT32_MAX / 4) return vmt_fail(s->err, VMT_E_EXHAUSTED, "a word of %zu characters is too long", n);
    size_t cap = n < 1024 ? 1024 : n + n / 2;
    s->merge_cap = 0;
    if (!renew((void **)&s->ids, cap, sizeof *s->ids) || !renew((void **)&s->next, cap, sizeof *s->next) ||
        !renew((void **)&s->prev, cap, sizeof *s->prev) || !renew((void **)&s->ranks, cap, sizeof *s->ranks) ||
        !renew((void **)&s->merged, cap, sizeof *s->merged) ||
        !renew((void **)&s->heap, 3 * cap, sizeof *s->heap)) {
        return vmt_fail(s->err, VMT_E_NO_MEMORY, "no memory to merge a word of %zu characters", n);
    }
    s->merge_cap = cap;
    return VMT_OK;
}
