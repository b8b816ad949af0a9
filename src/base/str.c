#include "base/str.h"

#include <math.h>
#include <stdlib.h>

/* Longer than any double printed in full (%.1074f of the smallest has 1,077 bytes). */
#define NUMBER_TEXT_MAX 1200

static unsigned char lower(char c) {
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool vmt_str_eq_nocase(vmt_str a, vmt_str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) return false;
    }
    return true;
}

int vmt_str_compare(vmt_str a, vmt_str b) {
    size_t common = VMT_MIN(a.len, b.len);
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order != 0) return order;
    return (a.len > b.len) - (a.len < b.len);
}

size_t vmt_str_find(vmt_str s, vmt_str needle, size_t from) {
    if (from > s.len || needle.len > s.len - from) return SIZE_MAX;
    if (needle.len == 0) return from;
    const char *hit = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return hit ? (size_t)(hit - s.ptr) : SIZE_MAX;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

vmt_str vmt_str_trim(vmt_str s) {
    size_t begin = 0, end = s.len;
    while (begin < end && is_space(s.ptr[begin])) begin++;
    while (end > begin && is_space(s.ptr[end - 1])) end--;
    return vmt_str_slice(s, begin, end);
}

bool vmt_str_to_u64(vmt_str s, uint64_t *out) {
    if (s.len == 0) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value)) return false;
    }
    *out = value;
    return true;
}

bool vmt_str_to_i64(vmt_str s, int64_t *out) {
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude;
    if (!vmt_str_to_u64(negative ? vmt_str_slice(s, 1, s.len) : s, &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + negative) return false;
    /* Two's complement negation in unsigned, because -INT64_MIN does not exist. */
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool vmt_str_to_f64(vmt_str s, double *out) {
    if (s.len == 0 || s.len >= NUMBER_TEXT_MAX) return false;
    /* strtod also takes white space, hexadecimal, inf and nan: keep those out by their letters. */
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == 0 || !strchr("0123456789+-.eE", s.ptr[i])) return false;
    }
    char text[NUMBER_TEXT_MAX];
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    char *end;
    double value = strtod(text, &end);
    if (end != text + s.len || !isfinite(value)) return false;
    *out = value;
    return true;
}
