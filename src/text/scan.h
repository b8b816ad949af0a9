/* text/scan.h: hand-written matchers for the word patterns that real tokenizers use.
 *
 * Each is the exact meaning of one regular expression, without the regular expression: given text and a position it
 * returns where the match that begins there ends.  Known patterns are found by their text. */
#ifndef VMT_TEXT_SCAN_H
#define VMT_TEXT_SCAN_H

#include "text/ascii_words.h"

/* The end of the match at pos, or pos if none begins there.  s is UTF-8, pos < len on a character border. */
typedef size_t (*vmt_scan_fn)(const uint8_t *s, size_t len, size_t pos);

#define VMT_PATTERN_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define VMT_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define VMT_SPACE_TAIL   "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define VMT_PATTERN_CL100K \
    VMT_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" VMT_SPACE_TAIL
#define VMT_PATTERN_QWEN2 \
    VMT_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" VMT_SPACE_TAIL
#define VMT_PATTERN_QWEN35 \
    VMT_CONTRACTIONS       \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" VMT_SPACE_TAIL
#define VMT_O200K_WORDS(suffix)                                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" suffix \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" suffix
#define VMT_PATTERN_O200K \
    VMT_O200K_WORDS(VMT_CONTRACTIONS "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" VMT_SPACE_TAIL
#define VMT_PATTERN_TEKKEN           VMT_O200K_WORDS("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" VMT_SPACE_TAIL
#define VMT_PATTERN_DEEPSEEK_NUMBERS "\\p{N}{1,3}"
#define VMT_PATTERN_DEEPSEEK_CJK     "[一-龥\xE3\x81\x80-ゟ゠-ヿ]+" /* U+3040 is not assigned */
#define VMT_PATTERN_DEEPSEEK_WORDS                                                                     \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" \
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"

/* A match begins at every character: there are never gaps. */
typedef struct vmt_scan {
    vmt_scan_fn match;
    vmt_ascii_words ascii; /* the same, many at a time */
} vmt_scan;

/* The matches from pos on, each beginning where the one before ends.  Writes their ends, at most ends_max and less than
 * VMT_ASCII_WINDOW fewer, or all up to the end of the text, and returns how many.  pos < len, ends_max >=
 * VMT_ASCII_WINDOW. */
uint32_t vmt_scan_words(vmt_scan scan, const uint8_t *s, size_t len, size_t pos, size_t *ends, uint32_t ends_max);

/* match is NULL for a pattern without a scanner. */
vmt_scan vmt_scan_for_pattern(vmt_str pattern);
/* Several patterns, each splitting what the ones before left, in one pass: DeepSeek-V3's three, digits then GPT-2. */
vmt_scan vmt_scan_deepseek_v3(void);
vmt_scan vmt_scan_digits_gpt2(void);

#endif
