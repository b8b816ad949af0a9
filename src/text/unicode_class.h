/* text/unicode_class.h: what pre-tokenizers ask of a code point: category, white space, word character.
 *
 * The tables are generated from the `tokenizers` library itself (tools/make_unicode_classes.py), because a word
 * border that moves with a Unicode version moves tokens. */
#ifndef VMT_TEXT_UNICODE_CLASS_H
#define VMT_TEXT_UNICODE_CLASS_H

#include "base/str.h"

typedef enum vmt_general_category { /* the order of the generator */
                                    VMT_GC_CN,
                                    VMT_GC_LU,
                                    VMT_GC_LL,
                                    VMT_GC_LT,
                                    VMT_GC_LM,
                                    VMT_GC_LO,
                                    VMT_GC_MN,
                                    VMT_GC_MC,
                                    VMT_GC_ME,
                                    VMT_GC_ND,
                                    VMT_GC_NL,
                                    VMT_GC_NO,
                                    VMT_GC_PC,
                                    VMT_GC_PD,
                                    VMT_GC_PS,
                                    VMT_GC_PE,
                                    VMT_GC_PI,
                                    VMT_GC_PF,
                                    VMT_GC_PO,
                                    VMT_GC_SM,
                                    VMT_GC_SC,
                                    VMT_GC_SK,
                                    VMT_GC_SO,
                                    VMT_GC_ZS,
                                    VMT_GC_ZL,
                                    VMT_GC_ZP,
                                    VMT_GC_CC,
                                    VMT_GC_CF,
                                    VMT_GC_CO,
} vmt_general_category;

#define VMT_GC_BIT(gc)       (1u << (gc))
#define VMT_GC_MASK_M        (VMT_GC_BIT(VMT_GC_MN) | VMT_GC_BIT(VMT_GC_MC) | VMT_GC_BIT(VMT_GC_ME))
#define VMT_GC_MASK_N        (VMT_GC_BIT(VMT_GC_ND) | VMT_GC_BIT(VMT_GC_NL) | VMT_GC_BIT(VMT_GC_NO))
#define VMT_GC_MASK_CASELESS (VMT_GC_BIT(VMT_GC_LM) | VMT_GC_BIT(VMT_GC_LO))
#define VMT_GC_MASK_L \
    (VMT_GC_BIT(VMT_GC_LU) | VMT_GC_BIT(VMT_GC_LL) | VMT_GC_BIT(VMT_GC_LT) | VMT_GC_MASK_CASELESS)
#define VMT_GC_MASK_P                                                                                \
    (VMT_GC_BIT(VMT_GC_PC) | VMT_GC_BIT(VMT_GC_PD) | VMT_GC_BIT(VMT_GC_PS) | VMT_GC_BIT(VMT_GC_PE) | \
     VMT_GC_BIT(VMT_GC_PI) | VMT_GC_BIT(VMT_GC_PF) | VMT_GC_BIT(VMT_GC_PO))
#define VMT_GC_MASK_S \
    (VMT_GC_BIT(VMT_GC_SM) | VMT_GC_BIT(VMT_GC_SC) | VMT_GC_BIT(VMT_GC_SK) | VMT_GC_BIT(VMT_GC_SO))
#define VMT_GC_MASK_C \
    (VMT_GC_BIT(VMT_GC_CN) | VMT_GC_BIT(VMT_GC_CC) | VMT_GC_BIT(VMT_GC_CF) | VMT_GC_BIT(VMT_GC_CO))

#define VMT_UNICODE_GC         0x1Fu
#define VMT_UNICODE_WORD       0x20u /* \w of Rust's regex crate */
#define VMT_UNICODE_NFC_ACTIVE 0x40u /* composition may change it, move it, or join it to what comes before */
#define VMT_UNICODE_SPACE      0x80u /* White_Space */

extern const uint16_t vmt_unicode_block_of[0x110000 / 128];
extern const uint8_t vmt_unicode_facts[][128];

static inline uint8_t vmt_unicode_facts_of(uint32_t code_point) {
    return vmt_unicode_facts[vmt_unicode_block_of[code_point >> 7]][code_point & 127];
}
static inline uint32_t vmt_unicode_gc_bit(uint32_t code_point) {
    return VMT_GC_BIT(vmt_unicode_facts_of(code_point) & VMT_UNICODE_GC);
}
static inline bool vmt_unicode_is_space(uint32_t code_point) {
    return (vmt_unicode_facts_of(code_point) & VMT_UNICODE_SPACE) != 0;
}

/* Decodes one character of text that is known to be UTF-8; s[0] must exist.  *len becomes 1 to 4. */
static inline uint32_t vmt_utf8_decode_valid(const uint8_t *s, uint32_t *len) {
    uint32_t c = s[0];
    if (c < 0x80) return *len = 1, c;
    if (c < 0xE0) return *len = 2, (c & 0x1F) << 6 | (s[1] & 0x3Fu);
    if (c < 0xF0) return *len = 3, (c & 0x0F) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    return *len = 4, (c & 0x07) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}
/* Bytes of the character that begins with this byte, in text known to be UTF-8. */
static inline uint32_t vmt_utf8_len_valid(uint8_t lead) {
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

#endif
