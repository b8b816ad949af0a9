#include "text/ascii_words.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* A bit per byte. */
struct masks {
    uint64_t upper, lower, digit, space, control_space, newline, quote, slash, wide;
};

#if defined(__SSE2__)
static inline __m128i between(__m128i v, char first, char last) {
    return _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8((char)(first - 1))),
                         _mm_cmplt_epi8(v, _mm_set1_epi8((char)(last + 1))));
}
static inline __m128i equal(__m128i v, char c) {
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}
static inline uint64_t bits(__m128i v) {
    return (uint32_t)_mm_movemask_epi8(v);
}

static inline struct masks masks_of(const uint8_t *s) {
    struct masks m = {0};
    for (uint32_t i = 0; i < 64; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
        m.upper |= bits(between(v, 'A', 'Z')) << i;
        m.lower |= bits(between(v, 'a', 'z')) << i;
        m.digit |= bits(between(v, '0', '9')) << i;
        m.space |= bits(equal(v, ' ')) << i;
        m.control_space |= bits(between(v, '\t', '\r')) << i;
        m.newline |= bits(_mm_or_si128(equal(v, '\n'), equal(v, '\r'))) << i;
        m.quote |= bits(equal(v, '\'')) << i;
        m.slash |= bits(equal(v, '/')) << i;
        m.wide |= bits(v) << i;
    }
    return m;
}
#elif defined(__aarch64__)
struct vectors {
    uint8x16_t v[4];
};
static inline uint64_t bits(struct vectors m) {
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t low = vpaddq_u8(vandq_u8(m.v[0], bit), vandq_u8(m.v[1], bit));
    uint8x16_t high = vpaddq_u8(vandq_u8(m.v[2], bit), vandq_u8(m.v[3], bit));
    low = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(low, low)), 0);
}
static inline uint64_t between(struct vectors s, uint8_t first, uint8_t last) {
    for (uint32_t i = 0; i < 4; i++) {
        s.v[i] = vcleq_u8(vsubq_u8(s.v[i], vdupq_n_u8(first)), vdupq_n_u8((uint8_t)(last - first)));
    }
    return bits(s);
}

static inline struct masks masks_of(const uint8_t *s) {
    struct vectors v = {{vld1q_u8(s), vld1q_u8(s + 16), vld1q_u8(s + 32), vld1q_u8(s + 48)}};
    return (struct masks){
        .upper = between(v, 'A', 'Z'),
        .lower = between(v, 'a', 'z'),
        .digit = between(v, '0', '9'),
        .space = between(v, ' ', ' '),
        .control_space = between(v, '\t', '\r'),
        .newline = between(v, '\n', '\n') | between(v, '\r', '\r'),
        .quote = between(v, '\'', '\''),
        .slash = between(v, '/', '/'),
        .wide = between(v, 0x80, 0xFF),
    };
}
#else
static inline struct masks masks_of(const uint8_t *s) {
    (void)s;
    return (struct masks){.wide = UINT64_MAX}; /* nothing is sure */
}
#endif

/* The bits below the lowest bit of x; all if x is 0. */
static inline uint64_t below(uint64_t x) {
    return ~x & (x - 1);
}

/* What begins a word, by the characters before and after. */
static inline uint64_t begins_of(vmt_ascii_words kind, const struct masks *m) {
    uint64_t letter = m->upper | m->lower, white = m->space | m->control_space, blank = white & ~m->newline;
    uint64_t other = ~(letter | m->digit | white | m->wide);
    uint64_t begins = other & ~((other | m->space) << 1);
    /* A first other character, and any blank, goes with the letters that follow. */
    begins |= letter & (m->digit | m->newline | (other & ~begins)) << 1;
    if (kind.cased) begins |= m->upper & m->lower << 1;
    /* White space: newlines go with other characters before them and end a word; so does the last blank but one. */
    begins |= white & ~(white << 1) & ~(m->newline & other << 1);
    begins |= blank & m->newline << 1;
    begins |= blank & blank << 1 & ~(white >> 1);
    if (!kind.numbers_of_3) return begins | m->digit;
    uint64_t three = m->digit & m->digit << 1 & m->digit << 2;
    for (uint64_t at = m->digit & ~(m->digit << 1); at; at = at << 3 & three) begins |= at;
    return begins;
}

/* How far that holds. */
static inline uint64_t sure_of(vmt_ascii_words kind, const struct masks *m, uint64_t begins) {
    uint64_t letter = m->upper | m->lower, white = m->space | m->control_space, blank = white & ~m->newline;
    uint64_t sure = below(m->wide) >> 1; /* what follows must be known */
    /* Blanks before a newline go with it, slashes after one perhaps too, and nobody knows what follows the last blank:
     * as far as that white space begins. */
    uint64_t knot = blank & ((m->newline | m->wide) >> 1 | (uint64_t)1 << 63);
    if (kind.slashes) knot |= m->newline & m->slash >> 1;
    if (knot) sure &= UINT64_MAX >> __builtin_clzll(white & ~(white << 1) & (below(knot) | (knot & -knot)));
    if (kind.begins_contraction) {
        uint64_t quote = m->quote & begins & letter >> 1;
        sure &= below(quote) | (quote & -quote);
    }
    if (kind.ends_contraction) sure &= below(m->quote & letter << 1 & letter >> 1);
    return sure;
}

uint64_t vmt_ascii_word_ends(vmt_ascii_words kind, const uint8_t *s) {
    struct masks m = masks_of(s);
    uint64_t begins = begins_of(kind, &m);
    return begins & sure_of(kind, &m, begins) & ~(uint64_t)1;
}
