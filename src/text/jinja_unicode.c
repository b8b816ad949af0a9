/* text/jinja_unicode.c: classes by utf8proc's general category, as CPython's unicodectype builds them. */
#include "text/jinja_unicode.h"

#include <utf8proc.h>

/* clang-format off */
/* Characters whose upper or title case is more than one character (Unicode's SpecialCasing, unconditional part). */
static const struct special_case {
    uint32_t from, upper[3], title[3];
} special_cases[] = {
    {0x00DF, {0x0053, 0x0053, 0}, {0x0053, 0x0073, 0}},
    {0x0149, {0x02BC, 0x004E, 0}, {0x02BC, 0x004E, 0}},
    {0x01F0, {0x004A, 0x030C, 0}, {0x004A, 0x030C, 0}},
    {0x0390, {0x0399, 0x0308, 0x0301}, {0x0399, 0x0308, 0x0301}},
    {0x03B0, {0x03A5, 0x0308, 0x0301}, {0x03A5, 0x0308, 0x0301}},
    {0x0587, {0x0535, 0x0552, 0}, {0x0535, 0x0582, 0}},
    {0x1E96, {0x0048, 0x0331, 0}, {0x0048, 0x0331, 0}},
    {0x1E97, {0x0054, 0x0308, 0}, {0x0054, 0x0308, 0}},
    {0x1E98, {0x0057, 0x030A, 0}, {0x0057, 0x030A, 0}},
    {0x1E99, {0x0059, 0x030A, 0}, {0x0059, 0x030A, 0}},
    {0x1E9A, {0x0041, 0x02BE, 0}, {0x0041, 0x02BE, 0}},
    {0x1F50, {0x03A5, 0x0313, 0}, {0x03A5, 0x0313, 0}},
    {0x1F52, {0x03A5, 0x0313, 0x0300}, {0x03A5, 0x0313, 0x0300}},
    {0x1F54, {0x03A5, 0x0313, 0x0301}, {0x03A5, 0x0313, 0x0301}},
    {0x1F56, {0x03A5, 0x0313, 0x0342}, {0x03A5, 0x0313, 0x0342}},
    {0x1F80, {0x1F08, 0x0399, 0}, {0x1F88, 0, 0}},
    {0x1F81, {0x1F09, 0x0399, 0}, {0x1F89, 0, 0}},
    {0x1F82, {0x1F0A, 0x0399, 0}, {0x1F8A, 0, 0}},
    {0x1F83, {0x1F0B, 0x0399, 0}, {0x1F8B, 0, 0}},
    {0x1F84, {0x1F0C, 0x0399, 0}, {0x1F8C, 0, 0}},
    {0x1F85, {0x1F0D, 0x0399, 0}, {0x1F8D, 0, 0}},
    {0x1F86, {0x1F0E, 0x0399, 0}, {0x1F8E, 0, 0}},
    {0x1F87, {0x1F0F, 0x0399, 0}, {0x1F8F, 0, 0}},
    {0x1F88, {0x1F08, 0x0399, 0}, {0x1F88, 0, 0}},
    {0x1F89, {0x1F09, 0x0399, 0}, {0x1F89, 0, 0}},
    {0x1F8A, {0x1F0A, 0x0399, 0}, {0x1F8A, 0, 0}},
    {0x1F8B, {0x1F0B, 0x0399, 0}, {0x1F8B, 0, 0}},
    {0x1F8C, {0x1F0C, 0x0399, 0}, {0x1F8C, 0, 0}},
    {0x1F8D, {0x1F0D, 0x0399, 0}, {0x1F8D, 0, 0}},
    {0x1F8E, {0x1F0E, 0x0399, 0}, {0x1F8E, 0, 0}},
    {0x1F8F, {0x1F0F, 0x0399, 0}, {0x1F8F, 0, 0}},
    {0x1F90, {0x1F28, 0x0399, 0}, {0x1F98, 0, 0}},
    {0x1F91, {0x1F29, 0x0399, 0}, {0x1F99, 0, 0}},
    {0x1F92, {0x1F2A, 0x0399, 0}, {0x1F9A, 0, 0}},
    {0x1F93, {0x1F2B, 0x0399, 0}, {0x1F9B, 0, 0}},
    {0x1F94, {0x1F2C, 0x0399, 0}, {0x1F9C, 0, 0}},
    {0x1F95, {0x1F2D, 0x0399, 0}, {0x1F9D, 0, 0}},
    {0x1F96, {0x1F2E, 0x0399, 0}, {0x1F9E, 0, 0}},
    {0x1F97, {0x1F2F, 0x0399, 0}, {0x1F9F, 0, 0}},
    {0x1F98, {0x1F28, 0x0399, 0}, {0x1F98, 0, 0}},
    {0x1F99, {0x1F29, 0x0399, 0}, {0x1F99, 0, 0}},
    {0x1F9A, {0x1F2A, 0x0399, 0}, {0x1F9A, 0, 0}},
    {0x1F9B, {0x1F2B, 0x0399, 0}, {0x1F9B, 0, 0}},
    {0x1F9C, {0x1F2C, 0x0399, 0}, {0x1F9C, 0, 0}},
    {0x1F9D, {0x1F2D, 0x0399, 0}, {0x1F9D, 0, 0}},
    {0x1F9E, {0x1F2E, 0x0399, 0}, {0x1F9E, 0, 0}},
    {0x1F9F, {0x1F2F, 0x0399, 0}, {0x1F9F, 0, 0}},
    {0x1FA0, {0x1F68, 0x0399, 0}, {0x1FA8, 0, 0}},
    {0x1FA1, {0x1F69, 0x0399, 0}, {0x1FA9, 0, 0}},
    {0x1FA2, {0x1F6A, 0x0399, 0}, {0x1FAA, 0, 0}},
    {0x1FA3, {0x1F6B, 0x0399, 0}, {0x1FAB, 0, 0}},
    {0x1FA4, {0x1F6C, 0x0399, 0}, {0x1FAC, 0, 0}},
    {0x1FA5, {0x1F6D, 0x0399, 0}, {0x1FAD, 0, 0}},
    {0x1FA6, {0x1F6E, 0x0399, 0}, {0x1FAE, 0, 0}},
    {0x1FA7, {0x1F6F, 0x0399, 0}, {0x1FAF, 0, 0}},
    {0x1FA8, {0x1F68, 0x0399, 0}, {0x1FA8, 0, 0}},
    {0x1FA9, {0x1F69, 0x0399, 0}, {0x1FA9, 0, 0}},
    {0x1FAA, {0x1F6A, 0x0399, 0}, {0x1FAA, 0, 0}},
    {0x1FAB, {0x1F6B, 0x0399, 0}, {0x1FAB, 0, 0}},
    {0x1FAC, {0x1F6C, 0x0399, 0}, {0x1FAC, 0, 0}},
    {0x1FAD, {0x1F6D, 0x0399, 0}, {0x1FAD, 0, 0}},
    {0x1FAE, {0x1F6E, 0x0399, 0}, {0x1FAE, 0, 0}},
    {0x1FAF, {0x1F6F, 0x0399, 0}, {0x1FAF, 0, 0}},
    {0x1FB2, {0x1FBA, 0x0399, 0}, {0x1FBA, 0x0345, 0}},
    {0x1FB3, {0x0391, 0x0399, 0}, {0x1FBC, 0, 0}},
    {0x1FB4, {0x0386, 0x0399, 0}, {0x0386, 0x0345, 0}},
    {0x1FB6, {0x0391, 0x0342, 0}, {0x0391, 0x0342, 0}},
    {0x1FB7, {0x0391, 0x0342, 0x0399}, {0x0391, 0x0342, 0x0345}},
    {0x1FBC, {0x0391, 0x0399, 0}, {0x1FBC, 0, 0}},
    {0x1FC2, {0x1FCA, 0x0399, 0}, {0x1FCA, 0x0345, 0}},
    {0x1FC3, {0x0397, 0x0399, 0}, {0x1FCC, 0, 0}},
    {0x1FC4, {0x0389, 0x0399, 0}, {0x0389, 0x0345, 0}},
    {0x1FC6, {0x0397, 0x0342, 0}, {0x0397, 0x0342, 0}},
    {0x1FC7, {0x0397, 0x0342, 0x0399}, {0x0397, 0x0342, 0x0345}},
    {0x1FCC, {0x0397, 0x0399, 0}, {0x1FCC, 0, 0}},
    {0x1FD2, {0x0399, 0x0308, 0x0300}, {0x0399, 0x0308, 0x0300}},
    {0x1FD3, {0x0399, 0x0308, 0x0301}, {0x0399, 0x0308, 0x0301}},
    {0x1FD6, {0x0399, 0x0342, 0}, {0x0399, 0x0342, 0}},
    {0x1FD7, {0x0399, 0x0308, 0x0342}, {0x0399, 0x0308, 0x0342}},
    {0x1FE2, {0x03A5, 0x0308, 0x0300}, {0x03A5, 0x0308, 0x0300}},
    {0x1FE3, {0x03A5, 0x0308, 0x0301}, {0x03A5, 0x0308, 0x0301}},
    {0x1FE4, {0x03A1, 0x0313, 0}, {0x03A1, 0x0313, 0}},
    {0x1FE6, {0x03A5, 0x0342, 0}, {0x03A5, 0x0342, 0}},
    {0x1FE7, {0x03A5, 0x0308, 0x0342}, {0x03A5, 0x0308, 0x0342}},
    {0x1FF2, {0x1FFA, 0x0399, 0}, {0x1FFA, 0x0345, 0}},
    {0x1FF3, {0x03A9, 0x0399, 0}, {0x1FFC, 0, 0}},
    {0x1FF4, {0x038F, 0x0399, 0}, {0x038F, 0x0345, 0}},
    {0x1FF6, {0x03A9, 0x0342, 0}, {0x03A9, 0x0342, 0}},
    {0x1FF7, {0x03A9, 0x0342, 0x0399}, {0x03A9, 0x0342, 0x0345}},
    {0x1FFC, {0x03A9, 0x0399, 0}, {0x1FFC, 0, 0}},
    {0xFB00, {0x0046, 0x0046, 0}, {0x0046, 0x0066, 0}},
    {0xFB01, {0x0046, 0x0049, 0}, {0x0046, 0x0069, 0}},
    {0xFB02, {0x0046, 0x004C, 0}, {0x0046, 0x006C, 0}},
    {0xFB03, {0x0046, 0x0046, 0x0049}, {0x0046, 0x0066, 0x0069}},
    {0xFB04, {0x0046, 0x0046, 0x004C}, {0x0046, 0x0066, 0x006C}},
    {0xFB05, {0x0053, 0x0054, 0}, {0x0053, 0x0074, 0}},
    {0xFB06, {0x0053, 0x0054, 0}, {0x0053, 0x0074, 0}},
    {0xFB13, {0x0544, 0x0546, 0}, {0x0544, 0x0576, 0}},
    {0xFB14, {0x0544, 0x0535, 0}, {0x0544, 0x0565, 0}},
    {0xFB15, {0x0544, 0x053B, 0}, {0x0544, 0x056B, 0}},
    {0xFB16, {0x054E, 0x0546, 0}, {0x054E, 0x0576, 0}},
    {0xFB17, {0x0544, 0x053D, 0}, {0x0544, 0x056D, 0}},
};
/* clang-format on */

static utf8proc_category_t category_of(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c);
}

bool vmt_juni_is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool vmt_juni_is_alpha(uint32_t c) {
    if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    utf8proc_category_t cat = category_of(c);
    return cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_LO;
}

bool vmt_juni_is_decimal(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    return category_of(c) == UTF8PROC_CATEGORY_ND;
}

bool vmt_juni_is_digit(uint32_t c) {
    if (vmt_juni_is_decimal(c)) return true;
    /* Numeric_Type=Digit: superscripts, subscripts and enclosed digits. */
    return c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0x1369 && c <= 0x1371) || c == 0x19DA || c == 0x2070 ||
           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468) ||
           (c >= 0x2474 && c <= 0x247C) || (c >= 0x2488 && c <= 0x2490) || c == 0x24EA ||
           (c >= 0x24F5 && c <= 0x24FD) || c == 0x24FF || (c >= 0x2776 && c <= 0x277E) ||
           (c >= 0x2780 && c <= 0x2788) || (c >= 0x278A && c <= 0x2792);
}

bool vmt_juni_is_numeric(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t cat = category_of(c);
    if (cat >= UTF8PROC_CATEGORY_ND && cat <= UTF8PROC_CATEGORY_NO) return true;
    /* Numerals among the CJK ideographs. */
    static const uint32_t numerals[] = {0x4E00, 0x4E8C, 0x4E09, 0x56DB, 0x4E94, 0x516D, 0x4E03, 0x516B, 0x4E5D,
                                        0x5341, 0x767E, 0x5343, 0x842C, 0x4E07, 0x5104, 0x4EBF, 0x5146, 0x96F6,
                                        0x58F9, 0x8CB3, 0x53C3, 0x8086, 0x4F0D, 0x9678, 0x67D2, 0x634C, 0x7396};
    for (size_t i = 0; i < VMT_COUNT(numerals); i++) {
        if (numerals[i] == c) return true;
    }
    return false;
}

bool vmt_juni_is_alnum(uint32_t c) {
    return vmt_juni_is_alpha(c) || vmt_juni_is_numeric(c) || vmt_juni_is_digit(c);
}

bool vmt_juni_is_upper(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z';
    return category_of(c) == UTF8PROC_CATEGORY_LU || (c >= 0x2160 && c <= 0x216F) || (c >= 0x24B6 && c <= 0x24CF);
}

bool vmt_juni_is_lower(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z';
    return category_of(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA || (c >= 0x2B0 && c <= 0x2B8) ||
           (c >= 0x2170 && c <= 0x217F) || (c >= 0x24D0 && c <= 0x24E9);
}

bool vmt_juni_is_title(uint32_t c) {
    return c >= 0x80 && category_of(c) == UTF8PROC_CATEGORY_LT;
}

bool vmt_juni_is_printable(uint32_t c) {
    if (c < 0x80) return c >= 0x20 && c < 0x7F;
    switch (category_of(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

bool vmt_juni_is_word(uint32_t c) {
    return c == '_' || vmt_juni_is_alnum(c);
}

void vmt_juni_append(vmt_buf *buf, uint32_t c) {
    char bytes[4];
    vmt_buf_append(buf, (vmt_str){bytes, vmt_utf8_encode(c, bytes)});
}

static const struct special_case *find_special(uint32_t c) {
    size_t low = 0, high = VMT_COUNT(special_cases);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (special_cases[mid].from < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low < VMT_COUNT(special_cases) && special_cases[low].from == c ? &special_cases[low] : NULL;
}

static void append_cased_ascii(vmt_buf *buf, vmt_juni_case how, uint32_t c) {
    bool upper = how == VMT_JUNI_UPPER || how == VMT_JUNI_TITLE;
    if (upper && c >= 'a' && c <= 'z') c -= 32;
    if (!upper && c >= 'A' && c <= 'Z') c += 32;
    vmt_buf_append_byte(buf, (char)c);
}

void vmt_juni_append_case(vmt_buf *buf, vmt_juni_case how, uint32_t c) {
    if (c < 0x80) {
        append_cased_ascii(buf, how, c);
        return;
    }
    if (how == VMT_JUNI_LOWER) {
        vmt_juni_append(buf, c == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
        if (c == 0x130) vmt_juni_append(buf, 0x307);
        return;
    }
    if (how == VMT_JUNI_FOLD) {
        utf8proc_int32_t folded[4];
        int class = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, folded, 4, UTF8PROC_CASEFOLD, &class);
        for (utf8proc_ssize_t i = 0; i < n && i < 4; i++) vmt_juni_append(buf, (uint32_t)folded[i]);
        return;
    }
    const struct special_case *special = find_special(c);
    if (special == NULL) {
        utf8proc_int32_t ch = (utf8proc_int32_t)c;
        vmt_juni_append(buf, (uint32_t)(how == VMT_JUNI_UPPER ? utf8proc_toupper(ch) : utf8proc_totitle(ch)));
        return;
    }
    const uint32_t *to = how == VMT_JUNI_UPPER ? special->upper : special->title;
    for (int i = 0; i < 3 && to[i] != 0; i++) vmt_juni_append(buf, to[i]);
}

static bool is_cased(uint32_t c) {
    return vmt_juni_is_upper(c) || vmt_juni_is_lower(c) || vmt_juni_is_title(c);
}

static bool is_case_ignorable(uint32_t c) {
    if (c < 0x80) return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`';
    utf8proc_category_t cat = category_of(c);
    return cat == UTF8PROC_CATEGORY_MN || cat == UTF8PROC_CATEGORY_ME || cat == UTF8PROC_CATEGORY_CF ||
           cat == UTF8PROC_CATEGORY_LM || cat == UTF8PROC_CATEGORY_SK || c == 0xB7 || c == 0x2019 || c == 0x2027;
}

/* Unicode's Final_Sigma: a cased letter before, none after, case-ignorable characters aside. */
static bool is_final_sigma(vmt_str s, size_t begin, size_t end) {
    bool before = false;
    while (begin > 0) {
        uint32_t c = vmt_juni_prev(s, &begin);
        if (is_case_ignorable(c)) continue;
        before = is_cased(c);
        break;
    }
    while (before && end < s.len) {
        uint32_t c = vmt_utf8_next(s, &end);
        if (is_case_ignorable(c)) continue;
        return !is_cased(c);
    }
    return before;
}

void vmt_juni_append_cased(vmt_buf *buf, vmt_juni_case how, vmt_str s) {
    for (size_t pos = 0; pos < s.len;) {
        size_t begin = pos;
        uint32_t c = vmt_utf8_next(s, &pos);
        if (c == 0x3A3 && how == VMT_JUNI_LOWER && is_final_sigma(s, begin, pos))
            vmt_juni_append(buf, 0x3C2);
        else
            vmt_juni_append_case(buf, how, c);
    }
}

uint32_t vmt_juni_prev(vmt_str s, size_t *pos) {
    size_t begin = *pos - 1;
    while (begin > 0 && ((uint8_t)s.ptr[begin] & 0xC0) == 0x80) begin--;
    *pos = begin;
    size_t next = begin;
    return vmt_utf8_next(s, &next);
}

static bool is_stripped(uint32_t c, const vmt_str *chars) {
    if (chars == NULL) return vmt_juni_is_space(c);
    for (size_t pos = 0; pos < chars->len;) {
        if (vmt_utf8_next(*chars, &pos) == c) return true;
    }
    return false;
}

vmt_str vmt_juni_strip(vmt_str s, const vmt_str *chars, bool left, bool right) {
    size_t begin = 0, end = s.len;
    while (left && begin < end) {
        size_t pos = begin;
        if (!is_stripped(vmt_utf8_next(s, &pos), chars)) break;
        begin = pos;
    }
    while (right && end > begin) {
        size_t pos = end;
        if (!is_stripped(vmt_juni_prev(s, &pos), chars)) break;
        end = pos;
    }
    return vmt_str_slice(s, begin, end);
}
