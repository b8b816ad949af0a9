#include "base/utf8.h"

/* What may follow a lead byte (Unicode 15, table 3-7): how many continuation bytes, and the range of the first. */
struct lead {
    uint8_t num_more, second_min, second_max;
};

static struct lead lead_of(uint8_t byte) {
    if (byte >= 0xC2 && byte <= 0xDF) return (struct lead){1, 0x80, 0xBF};
    if (byte == 0xE0) return (struct lead){2, 0xA0, 0xBF};
    if (byte == 0xED) return (struct lead){2, 0x80, 0x9F};
    if (byte >= 0xE1 && byte <= 0xEF) return (struct lead){2, 0x80, 0xBF};
    if (byte == 0xF0) return (struct lead){3, 0x90, 0xBF};
    if (byte >= 0xF1 && byte <= 0xF3) return (struct lead){3, 0x80, 0xBF};
    if (byte == 0xF4) return (struct lead){3, 0x80, 0x8F};
    return (struct lead){0, 0, 0};
}

/* Walks one character or maximal ill-formed prefix.  True when it is a character. */
static bool step(vmt_str s, size_t *pos, uint32_t *code_point) {
    const uint8_t *p = (const uint8_t *)s.ptr;
    uint8_t first = p[(*pos)++];
    if (first < 0x80) {
        *code_point = first;
        return true;
    }
    struct lead lead = lead_of(first);
    if (lead.num_more == 0) return false;
    uint32_t value = first & (0x3Fu >> lead.num_more);
    for (uint32_t i = 0; i < lead.num_more; i++) {
        if (*pos >= s.len) return false;
        uint8_t byte = p[*pos];
        uint8_t min = i == 0 ? lead.second_min : 0x80, max = i == 0 ? lead.second_max : 0xBF;
        if (byte < min || byte > max) return false;
        value = value << 6 | (byte & 0x3Fu);
        (*pos)++;
    }
    *code_point = value;
    return true;
}

uint32_t vmt_utf8_next(vmt_str s, size_t *pos) {
    VMT_ASSERT(*pos < s.len);
    uint32_t code_point;
    return step(s, pos, &code_point) ? code_point : VMT_REPLACEMENT_CHAR;
}

size_t vmt_utf8_encode(uint32_t code_point, char out[4]) {
    uint32_t c = code_point;
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = VMT_REPLACEMENT_CHAR;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t num_more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t marks[] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = num_more; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)(marks[num_more] | c);
    return num_more + 1;
}

bool vmt_utf8_valid(vmt_str s) {
    uint32_t ignored;
    for (size_t pos = 0; pos < s.len;) {
        if (!step(s, &pos, &ignored)) return false;
    }
    return true;
}

size_t vmt_utf8_complete_prefix(vmt_str s) {
    const uint8_t *p = (const uint8_t *)s.ptr;
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        uint8_t byte = p[s.len - back];
        if (byte >= 0x80 && byte <= 0xBF) continue;
        struct lead lead = lead_of(byte);
        if (lead.num_more < back) return s.len;
        uint8_t second = back > 1 ? p[s.len - back + 1] : lead.second_min;
        bool may_grow = second >= lead.second_min && second <= lead.second_max;
        return may_grow ? s.len - back : s.len;
    }
    return s.len;
}

size_t vmt_utf8_count(vmt_str s) {
    size_t count = 0;
    uint32_t ignored;
    for (size_t pos = 0; pos < s.len; count++) (void)step(s, &pos, &ignored);
    return count;
}
