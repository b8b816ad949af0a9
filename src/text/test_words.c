#include "text/test_words.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <string.h>

uint32_t test_code_point(uint64_t *rng) {
    static const uint32_t pool[] = {' ',    ' ',    ' ',     '\n',   '\r',   '\t',   '\'',   's',    'S',
                                    'r',    'e',    'E',     'l',    'a',    'Z',    '1',    '9',    '.',
                                    '/',    '$',    0x17F,   0xE9,   0xC9,   0x1C5,  0x2B0,  0x4E2D, 0x301,
                                    0x903,  0x20E3, 0x661,   0x2167, 0xB2,   0xA0,   0x3000, 0x85,   0x2028,
                                    0x2014, 0x20AC, 0x1F600, 0x200B, 0xE000, 0x3042, 0x30FC, 0};
    return pool[vmt_splitmix64(rng) % VMT_COUNT(pool)];
}

size_t test_ascii_text(uint64_t *rng, char *bytes, size_t len_max) {
    static const char *const pieces[] = {
        " ",        "  ",
        "        ", "\n",
        "\n\n",     "\r\n",
        "\t",       " \n",
        "\n/",      "/",
        "//",       "'",
        "''",       "'s",
        "'LL",      "'ve",
        "'x",       "a",
        "Z",        "it",
        "ABC",      "camelCase",
        "1",        "23",
        "1234567",  ".",
        "...",      "({",
        ";\n",      "\v",
        "\f",       "\x01",
        "\x7F",     "\n  \xC2\xA0\n"}; /* the last only where there are others like it */
    size_t len = 0;
    bool wide = vmt_splitmix64(rng) % 3 == 0;
    while (len < len_max) {
        uint64_t pick = vmt_splitmix64(rng);
        const char *piece = pieces[pick % (VMT_COUNT(pieces) - !wide)];
        for (uint64_t n = pick >> 32 & 31 ? 1 : 1 + (pick >> 40) % 30; n > 0; n--) {
            if (len + strlen(piece) + 4 > len_max) return len;
            memcpy(bytes + len, piece, strlen(piece));
            len += strlen(piece);
        }
        if (wide && (pick >> 8) % 24 == 0) len += vmt_utf8_encode(test_code_point(rng), bytes + len);
        if ((pick >> 16) % 4 == 0 && len < len_max) bytes[len++] = (char)(pick >> 56 & 0x7F);
    }
    return len;
}
