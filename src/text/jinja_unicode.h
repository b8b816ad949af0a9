/* text/jinja_unicode.h: Python's character classes and case mappings (str.isalpha(), str.upper(), ...). */
#ifndef VMT_TEXT_JINJA_UNICODE_H
#define VMT_TEXT_JINJA_UNICODE_H

#include "base/utf8.h"
#include "base/buf.h"

bool vmt_juni_is_space(uint32_t c);
bool vmt_juni_is_alpha(uint32_t c);
bool vmt_juni_is_decimal(uint32_t c);
bool vmt_juni_is_digit(uint32_t c);
bool vmt_juni_is_numeric(uint32_t c);
bool vmt_juni_is_alnum(uint32_t c);
bool vmt_juni_is_upper(uint32_t c);
bool vmt_juni_is_lower(uint32_t c);
bool vmt_juni_is_title(uint32_t c);
bool vmt_juni_is_printable(uint32_t c);
/* A character of a name; the first one must also be no digit. */
bool vmt_juni_is_word(uint32_t c);

typedef enum vmt_juni_case { VMT_JUNI_LOWER, VMT_JUNI_UPPER, VMT_JUNI_TITLE, VMT_JUNI_FOLD } vmt_juni_case;
/* Appends c in that case: one to three code points. */
void vmt_juni_append_case(vmt_buf *buf, vmt_juni_case how, uint32_t c);
/* Appends s in lower or upper case or folded.  A sigma that ends a word becomes the final form. */
void vmt_juni_append_cased(vmt_buf *buf, vmt_juni_case how, vmt_str s);

void vmt_juni_append(vmt_buf *buf, uint32_t c);
/* The code point that ends at s.ptr[*pos], and moves *pos before it; *pos > 0, s is valid UTF-8. */
uint32_t vmt_juni_prev(vmt_str s, size_t *pos);
/* Python's white space off the ends; chars not NULL: those characters instead. */
vmt_str vmt_juni_strip(vmt_str s, const vmt_str *chars, bool left, bool right);

#endif
