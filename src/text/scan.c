#include "text/scan.h"
#include "text/unicode_class.h"

/* Classes a scanner tells apart; an ASCII byte's are in a table, other characters' in the Unicode facts. */
enum {
    C_UPPER = 1,    /* Lu, Lt */
    C_LOWER = 2,    /* Ll */
    C_CASELESS = 4, /* Lm, Lo */
    C_MARK = 8,     /* M */
    C_NUMBER = 16,  /* N */
    C_SPACE = 32,   /* white space */
    C_NEWLINE = 64, /* \r and \n, which are C_SPACE too */
    C_PUNCT = 128,  /* P and S */
    C_CJK = 256,    /* DeepSeek's range, only in its scanner */
    C_LETTER = C_UPPER | C_LOWER | C_CASELESS,
};
#define CLASS(gc, bits) [VMT_GC_##gc] = (bits)
static const uint8_t class_of_gc[32] = {
    CLASS(LU, C_UPPER),  CLASS(LT, C_UPPER), CLASS(LL, C_LOWER), CLASS(LM, C_CASELESS), CLASS(LO, C_CASELESS),
    CLASS(MN, C_MARK),   CLASS(MC, C_MARK),  CLASS(ME, C_MARK),  CLASS(ND, C_NUMBER),   CLASS(NL, C_NUMBER),
    CLASS(NO, C_NUMBER), CLASS(PC, C_PUNCT), CLASS(PD, C_PUNCT), CLASS(PS, C_PUNCT),    CLASS(PE, C_PUNCT),
    CLASS(PI, C_PUNCT),  CLASS(PF, C_PUNCT), CLASS(PO, C_PUNCT), CLASS(SM, C_PUNCT),    CLASS(SC, C_PUNCT),
    CLASS(SK, C_PUNCT),  CLASS(SO, C_PUNCT),
};

#define R8(x) x, x, x, x, x, x, x, x
#define P1    C_PUNCT
#define U1    C_UPPER
#define L1    C_LOWER
#define NL    (C_SPACE | C_NEWLINE)
static const uint8_t ascii_class[128] = {
    0,      0,     0,      0,       0,  0,  0,  0,  0,  C_SPACE, NL, C_SPACE, C_SPACE,      NL,       0,
    0,      R8(0), R8(0),  C_SPACE, P1, P1, P1, P1, P1, P1,      P1, R8(P1),  R8(C_NUMBER), C_NUMBER, C_NUMBER,
    P1,     P1,    P1,     P1,      P1, P1, P1, U1, U1, U1,      U1, U1,      U1,           U1,       R8(U1),
    R8(U1), U1,    U1,     U1,      P1, P1, P1, P1, P1, P1,      L1, L1,      L1,           L1,       L1,
    L1,     L1,    R8(L1), R8(L1),  L1, L1, L1, P1, P1, P1,      P1, 0,
};

struct ch {
    uint32_t class, len;
};

static __attribute__((noinline)) struct ch wide_ch(const uint8_t *s) {
    struct ch ch;
    uint32_t c = vmt_utf8_decode_valid(s, &ch.len);
    uint8_t facts = vmt_unicode_facts_of(c);
    ch.class = class_of_gc[facts & VMT_UNICODE_GC] | ((facts & VMT_UNICODE_SPACE) ? C_SPACE : 0u);
    /* [一-龥\u3040-ゟ゠-ヿ] */
    if ((c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF)) ch.class |= C_CJK;
    return ch;
}

static inline struct ch ch_at(const uint8_t *s, size_t pos) {
    if (VMT_LIKELY(s[pos] < 0x80)) return (struct ch){ascii_class[s[pos]], 1};
    return wide_ch(s + pos);
}

/* Past all characters from pos on that have one of the classes. */
static inline size_t skip_in(const uint8_t *s, size_t len, size_t pos, uint32_t classes) {
    while (pos < len) {
        if (VMT_LIKELY(s[pos] < 0x80)) {
            if (!(ascii_class[s[pos]] & classes)) break;
            pos++;
        } else {
            struct ch ch = wide_ch(s + pos);
            if (!(ch.class & classes)) break;
            pos += ch.len;
        }
    }
    return pos;
}
static inline size_t skip_not_in(const uint8_t *s, size_t len, size_t pos, uint32_t classes) {
    while (pos < len) {
        struct ch ch = ch_at(s, pos);
        if (ch.class & classes) break;
        pos += ch.len;
    }
    return pos;
}

/* 's 't 're 've 'm 'll 'd at pos, where the apostrophe is; pos if none.  Without case, U+017F is an s. */
static inline size_t contraction(const uint8_t *s, size_t len, size_t pos, bool any_case) {
    if (pos + 1 >= len) return pos;
    uint8_t fold = any_case ? 0x20 : 0;
    uint8_t a = s[pos + 1] | (s[pos + 1] < 0x80 ? fold : 0);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return pos + 2;
    if (any_case && a == 0xC5 && pos + 2 < len && s[pos + 2] == 0xBF) return pos + 3;
    if (pos + 2 >= len) return pos;
    uint8_t b = s[pos + 2] | (s[pos + 2] < 0x80 ? fold : 0);
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return pos + 3;
    return pos;
}

/* Up to `most` numbers from pos on. */
static inline size_t numbers(const uint8_t *s, size_t len, size_t pos, uint32_t most) {
    for (uint32_t n = 0; n < most && pos < len; n++) {
        struct ch ch = ch_at(s, pos);
        if (!(ch.class & C_NUMBER)) break;
        pos += ch.len;
    }
    return pos;
}

/* White space at pos: with newlines `\s*[\r\n]+` first, then `\s+(?!\S)`, then `\s+`.  A character of `stop` ends the
 * text as far as this match is concerned. */
static inline size_t white_space(const uint8_t *s, size_t len, size_t pos, bool newlines, uint32_t stop) {
    size_t end = pos, last = pos, after_newline = pos;
    while (end < len) {
        struct ch ch = ch_at(s, end);
        if (!(ch.class & C_SPACE)) {
            if (ch.class & stop) len = end;
            break;
        }
        last = end;
        end += ch.len;
        if (ch.class & C_NEWLINE) after_newline = end;
    }
    if (newlines && after_newline > pos) return after_newline;
    if (end == len || last == pos) return end;
    return last;
}

static inline size_t gpt2(const uint8_t *s, size_t len, size_t pos, uint32_t stop) {
    struct ch ch = ch_at(s, pos);
    size_t at = pos;
    if (s[pos] == ' ' && pos + 1 < len) {
        struct ch next = ch_at(s, pos + 1);
        if (!(next.class & (C_SPACE | stop))) ch = next, at = pos + 1;
    } else if (s[pos] == '\'') {
        size_t end = contraction(s, len, pos, false);
        if (end > pos) return end;
    }
    if (ch.class & C_LETTER) return skip_in(s, len, at + ch.len, C_LETTER);
    if (ch.class & C_NUMBER) return skip_in(s, len, at + ch.len, C_NUMBER);
    if (ch.class & C_SPACE) return white_space(s, len, pos, false, stop);
    return skip_not_in(s, len, at + ch.len, C_SPACE | C_LETTER | C_NUMBER);
}
static size_t scan_gpt2(const uint8_t *s, size_t len, size_t pos) {
    return gpt2(s, len, pos, 0);
}
/* Every number by itself, then GPT-2's pattern on what lies between: a number ends the text for it. */
static size_t scan_digits_gpt2(const uint8_t *s, size_t len, size_t pos) {
    struct ch ch = ch_at(s, pos);
    return (ch.class & C_NUMBER) ? pos + ch.len : gpt2(s, len, pos, C_NUMBER);
}

struct cl100k {
    uint32_t numbers_max;
    uint32_t word; /* classes of the letters of a word */
    bool contractions;
};

static inline size_t cl100k(const uint8_t *s, size_t len, size_t pos, struct cl100k o) {
    struct ch ch = ch_at(s, pos);
    if (ch.class & o.word) return skip_in(s, len, pos + ch.len, o.word);
    if (ch.class & C_NUMBER) return numbers(s, len, pos, o.numbers_max);
    size_t next_pos = pos + ch.len;
    struct ch next = next_pos < len ? ch_at(s, next_pos) : (struct ch){C_SPACE, 0};
    if (o.contractions && s[pos] == '\'' && (next.class & C_LETTER)) {
        size_t end = contraction(s, len, pos, true);
        if (end > pos) return end;
    }
    if (!(ch.class & C_NEWLINE) && (next.class & o.word)) return skip_in(s, len, next_pos + next.len, o.word);
    if (ch.class & C_SPACE) {
        if (s[pos] != ' ' || (next.class & (C_SPACE | C_NUMBER))) return white_space(s, len, pos, true, 0);
        next_pos += next.len;
    }
    size_t end = skip_not_in(s, len, next_pos, C_SPACE | C_NUMBER | C_LETTER | o.word);
    while (end < len && (s[end] == '\n' || s[end] == '\r')) end++;
    return end;
}
static size_t scan_cl100k(const uint8_t *s, size_t len, size_t pos) {
    return cl100k(s, len, pos, (struct cl100k){3, C_LETTER, true});
}
static size_t scan_qwen2(const uint8_t *s, size_t len, size_t pos) {
    return cl100k(s, len, pos, (struct cl100k){1, C_LETTER, true});
}

/* qwen35's word is [\p{L}\p{M}]+ but a lone prefix may be a mark too; a mark is always in a word there. */
static size_t scan_qwen35(const uint8_t *s, size_t len, size_t pos) {
    return cl100k(s, len, pos, (struct cl100k){1, C_LETTER | C_MARK, true});
}

#define O200K_HEAD (C_UPPER | C_CASELESS | C_MARK)
#define O200K_TAIL (C_LOWER | C_CASELESS | C_MARK)

/* HEAD* TAIL+ from pos on, or pos.  *head_end tells how far HEAD* went. */
static inline size_t cased_word(const uint8_t *s, size_t len, size_t pos, size_t *head_end) {
    size_t end = pos, both = SIZE_MAX, both_len = 0;
    while (end < len) {
        struct ch ch = ch_at(s, end);
        if (!(ch.class & O200K_HEAD)) break;
        if (ch.class & O200K_TAIL) both = end, both_len = ch.len;
        end += ch.len;
    }
    *head_end = end;
    size_t tail_end = skip_in(s, len, end, O200K_TAIL);
    if (tail_end > end) return tail_end;
    /* HEAD* gives back up to the last character that TAIL+ can have; an upper-case one follows it. */
    return both == SIZE_MAX ? pos : both + both_len;
}

static inline size_t o200k(const uint8_t *s, size_t len, size_t pos, uint32_t numbers_max, bool contractions) {
    struct ch ch = ch_at(s, pos);
    size_t end = pos, head_end = pos, bare_head_end = pos;
    if (!(ch.class & (C_NEWLINE | C_LETTER | C_NUMBER))) { /* the optional first character is taken */
        size_t start = pos + ch.len;
        end = cased_word(s, len, start, &head_end);
        if (end == start) end = pos;
        if (head_end == start) head_end = pos;
    }
    if (end == pos && (ch.class & (C_LETTER | C_MARK))) end = cased_word(s, len, pos, &bare_head_end);
    if (end == pos) end = head_end > pos ? head_end : bare_head_end;
    if (end > pos) return contractions && end < len && s[end] == '\'' ? contraction(s, len, end, true) : end;
    if (ch.class & C_NUMBER) return numbers(s, len, pos, numbers_max);
    size_t at = pos;
    if (s[pos] == ' ' && pos + 1 < len) {
        struct ch next = ch_at(s, pos + 1);
        if (!(next.class & (C_SPACE | C_LETTER | C_NUMBER))) ch = next, at = pos + 1;
    }
    if (ch.class & C_SPACE) return white_space(s, len, pos, true, 0);
    end = skip_not_in(s, len, at + ch.len, C_SPACE | C_LETTER | C_NUMBER);
    while (end < len && (s[end] == '\n' || s[end] == '\r' || s[end] == '/')) end++;
    return end;
}
static size_t scan_o200k(const uint8_t *s, size_t len, size_t pos) {
    return o200k(s, len, pos, 3, true);
}
static size_t scan_tekken(const uint8_t *s, size_t len, size_t pos) {
    return o200k(s, len, pos, 1, false);
}

/* DeepSeek-V3's third pattern at pos, in a text that ends where `stop` begins; pos if it does not match there. */
static inline size_t deepseek_words(const uint8_t *s, size_t len, size_t pos, bool in_cjk) {
    struct ch ch = ch_at(s, pos), next = {0, 0};
    size_t at = pos + ch.len;
    /* The pieces before this pattern are runs inside and outside of CJK, without numbers. */
    const uint32_t letters = C_LETTER | C_MARK;
#define OUTSIDE(class) (((class) & C_NUMBER) || !((class) & C_CJK) == in_cjk)
    if (at < len) {
        next = ch_at(s, at);
        if (OUTSIDE(next.class)) next = (struct ch){0, 0}, len = at;
    }
#define SKIP(from, classes)                                    \
    while ((from) < len) {                                     \
        struct ch c = ch_at(s, (from));                        \
        if (OUTSIDE(c.class) || !(c.class & (classes))) break; \
        (from) += c.len;                                       \
    }
    if ((ch.class & C_PUNCT) && s[pos] < 0x80 && at < len && s[at] < 0x80 && (next.class & C_LETTER)) {
        while (at < len && s[at] < 0x80 && (ascii_class[s[at]] & C_LETTER)) at++;
        return at;
    }
    if (ch.class & letters) {
        SKIP(at, letters);
        return at;
    }
    if (!(ch.class & (C_NEWLINE | C_PUNCT | C_NUMBER)) && (next.class & letters)) {
        SKIP(at, letters);
        return at;
    }
    if ((ch.class & C_PUNCT) || (s[pos] == ' ' && (next.class & C_PUNCT))) {
        SKIP(at, C_PUNCT);
        while (!in_cjk && at < len && (s[at] == '\n' || s[at] == '\r')) at++;
        return at;
    }
    if (ch.class & C_SPACE) return white_space(s, len, pos, true, C_NUMBER | C_CJK);
    return pos;
#undef SKIP
#undef OUTSIDE
}

static size_t scan_deepseek_v3(const uint8_t *s, size_t len, size_t pos) {
    struct ch ch = ch_at(s, pos);
    if (ch.class & C_NUMBER) return numbers(s, len, pos, 3);
    bool in_cjk = (ch.class & C_CJK) != 0;
    size_t end = deepseek_words(s, len, pos, in_cjk);
    /* What the pattern leaves out (controls, mostly) goes together up to where it matches again. */
    for (size_t at = pos; end == at;) {
        at += ch.len;
        if (at >= len) return at;
        ch = ch_at(s, at);
        if ((ch.class & C_NUMBER) || ((ch.class & C_CJK) != 0) != in_cjk) return at;
        end = deepseek_words(s, len, at, in_cjk);
        if (end > at) return at;
        end = at;
    }
    return end;
}

uint32_t vmt_scan_words(vmt_scan scan, const uint8_t *s, size_t len, size_t pos, size_t *ends, uint32_t ends_max) {
    uint32_t n = 0;
    VMT_ASSERT(ends_max >= VMT_ASCII_WINDOW);
    while (n <= ends_max - VMT_ASCII_WINDOW && pos < len) {
        bool ascii = scan.ascii.known && len - pos >= VMT_ASCII_WINDOW && !((s[pos] | s[pos + 1]) & 0x80);
        uint64_t found = ascii ? vmt_ascii_word_ends(scan.ascii, s + pos) : 0;
        if (!found) ends[n++] = pos = scan.match(s, len, pos);
        for (size_t begin = pos; found; found &= found - 1)
            ends[n++] = pos = begin + (size_t)__builtin_ctzll(found);
    }
    return n;
}

vmt_scan vmt_scan_deepseek_v3(void) {
    return (vmt_scan){.match = scan_deepseek_v3};
}
vmt_scan vmt_scan_digits_gpt2(void) {
    return (vmt_scan){.match = scan_digits_gpt2};
}

vmt_scan vmt_scan_for_pattern(vmt_str pattern) {
    static const struct {
        const char *pattern;
        vmt_scan scan;
    } known[] = {
        {VMT_PATTERN_GPT2, {.match = scan_gpt2}},
        {VMT_PATTERN_CL100K, {scan_cl100k, {.known = true, .numbers_of_3 = true, .begins_contraction = true}}},
        {VMT_PATTERN_QWEN2, {scan_qwen2, {.known = true, .begins_contraction = true}}},
        {VMT_PATTERN_QWEN35, {scan_qwen35, {.known = true, .begins_contraction = true}}},
        {VMT_PATTERN_O200K,
         {scan_o200k,
          {.known = true, .cased = true, .numbers_of_3 = true, .ends_contraction = true, .slashes = true}}},
        {VMT_PATTERN_TEKKEN, {scan_tekken, {.known = true, .cased = true, .slashes = true}}},
    };
    for (size_t i = 0; i < VMT_COUNT(known); i++) {
        if (vmt_str_eq_c(pattern, known[i].pattern)) return known[i].scan;
    }
    return (vmt_scan){0};
}
