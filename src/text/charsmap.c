#include "text/charsmap.h"
#include "text/unicode_class.h"
#include <utf8proc.h>
#include <stdlib.h>

#define UNITS_MAX    (1u << 24)
#define GRAPHEME_MAX 6u /* bytes: longer ones are looked up character by character */

struct vmt_charsmap {
    uint32_t *units; /* the trie */
    uint32_t num_units;
    vmt_buf bytes; /* the decoded file; replacements are its tail */
    size_t replacements;
};

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_base64(vmt_str text, vmt_buf *out) {
    while (text.len > 0 && text.ptr[text.len - 1] == '=') text.len--;
    uint32_t bits = 0, num_bits = 0;
    if (!vmt_buf_reserve(out, text.len)) return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        num_bits += 6;
        if (num_bits >= 8) vmt_buf_append_byte(out, (char)(bits >> (num_bits -= 8) & 0xFF));
    }
    return !out->failed;
}

vmt_status vmt_charsmap_create(vmt_charsmap **out, vmt_str base64, vmt_err *err) {
    *out = NULL;
    vmt_charsmap *map = calloc(1, sizeof *map);
    if (!map) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for precompiled_charsmap");
    vmt_buf_init(&map->bytes, 0);
    uint32_t trie_bytes = 0;
    bool ok = decode_base64(base64, &map->bytes) && map->bytes.len >= 4;
    if (ok) {
        memcpy(&trie_bytes, map->bytes.ptr, 4);
        ok = trie_bytes >= 4 && trie_bytes % 4 == 0 && trie_bytes / 4 <= UNITS_MAX &&
             trie_bytes <= map->bytes.len - 4;
    }
    if (!ok) {
        vmt_charsmap_destroy(map);
        return vmt_fail(err, VMT_E_INVALID, "tokenizer: precompiled_charsmap is damaged");
    }
    map->num_units = trie_bytes / 4;
    map->units = malloc(trie_bytes);
    if (!map->units) {
        vmt_charsmap_destroy(map);
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for precompiled_charsmap");
    }
    memcpy(map->units, map->bytes.ptr + 4, trie_bytes);
    map->replacements = 4 + (size_t)trie_bytes;
    vmt_buf_append_byte(&map->bytes, 0); /* the last replacement ends here at the latest */
    *out = map;
    return VMT_OK;
}

void vmt_charsmap_destroy(vmt_charsmap *map) {
    if (!map) return;
    free(map->units);
    vmt_buf_free(&map->bytes);
    free(map);
}

/* A unit of the trie: label in the low byte, leaf bit 8, offset above 10 (shifted by 8 more if bit 9 is set); a value
 * has bit 31. */
static uint32_t unit_offset(uint32_t unit) {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* The replacement for the shortest prefix of text that has one. */
static bool find(const vmt_charsmap *map, vmt_str text, vmt_str *out) {
    uint32_t at = unit_offset(map->units[0]);
    for (size_t i = 0; i < text.len && text.ptr[i] != 0; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];
        at ^= byte;
        if (at >= map->num_units) return false;
        uint32_t unit = map->units[at];
        if ((unit & (1u << 31 | 0xFF)) != byte) return false;
        at ^= unit_offset(unit);
        if (unit >> 8 & 1) {
            if (at >= map->num_units) return false;
            size_t begin = map->replacements + (map->units[at] & 0x7FFFFFFFu);
            if (begin >= map->bytes.len) return false;
            *out = vmt_str_from(map->bytes.ptr + begin);
            return true;
        }
    }
    return false;
}

static void apply_to_grapheme(const vmt_charsmap *map, vmt_str grapheme, vmt_buf *out) {
    vmt_str with;
    if (grapheme.len < GRAPHEME_MAX && find(map, grapheme, &with)) {
        vmt_buf_append(out, with);
        return;
    }
    for (size_t pos = 0; pos < grapheme.len;) {
        uint32_t n = vmt_utf8_len_valid((uint8_t)grapheme.ptr[pos]);
        vmt_str one = vmt_str_slice(grapheme, pos, pos + n);
        vmt_buf_append(out, find(map, one, &with) ? with : one);
        pos += n;
    }
}

void vmt_charsmap_apply(const vmt_charsmap *map, vmt_str text, vmt_buf *out) {
    size_t begin = 0;
    utf8proc_int32_t state = 0, before = 0;
    for (size_t pos = 0; pos < text.len;) {
        uint32_t n, c = vmt_utf8_decode_valid((const uint8_t *)text.ptr + pos, &n);
        if (pos > 0 && utf8proc_grapheme_break_stateful(before, (utf8proc_int32_t)c, &state)) {
            apply_to_grapheme(map, vmt_str_slice(text, begin, pos), out);
            begin = pos;
        }
        before = (utf8proc_int32_t)c;
        pos += n;
    }
    apply_to_grapheme(map, vmt_str_slice(text, begin, text.len), out);
}
