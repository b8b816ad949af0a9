/* text/grammar_charset.h: sets of Unicode characters, for the classes of regexes and grammars. */
#ifndef VMT_TEXT_GRAMMAR_CHARSET_H
#define VMT_TEXT_GRAMMAR_CHARSET_H

#include "text/grammar_rules.h"

#define VMT_CHARSET_RANGES_MAX (1u << 16) /* of one class */

typedef struct vmt_char_range {
    uint32_t lo, hi;
} vmt_char_range;

typedef struct vmt_charset {
    vmt_char_range *ranges;
    size_t cap;
    uint32_t num_ranges;
    vmt_status status; /* sticky */
} vmt_charset;

void vmt_charset_free(vmt_charset *set);
void vmt_charset_clear(vmt_charset *set);
void vmt_charset_add(vmt_charset *set, uint32_t lo, uint32_t hi);
/* d, D, w, W, s or S, as ECMA-262 has them. */
void vmt_charset_add_class(vmt_charset *set, char letter);
/* A general category by its short or long name; false if there is no such name. */
bool vmt_charset_add_category(vmt_charset *set, vmt_str name, bool is_negated);
void vmt_charset_negate(vmt_charset *set);
/* One character of the set. */
void vmt_charset_emit(vmt_charset *set, vmt_rules *rules, uint32_t from, uint32_t to);

#endif
