/* base/utf8.h: UTF-8, strict (RFC 3629: no overlongs, no surrogates, at most U+10FFFF). */
#ifndef VMT_BASE_UTF8_H
#define VMT_BASE_UTF8_H

#include "base/str.h"

#define VMT_REPLACEMENT_CHAR 0xFFFDu

/* Decodes the code point at s.ptr[*pos] and moves *pos past it.  Bytes that are not UTF-8 give U+FFFD and move by
 * the length of the maximal ill-formed prefix (at least 1), as Unicode 3.9 recommends.  *pos < s.len. */
uint32_t vmt_utf8_next(vmt_str s, size_t *pos);
/* Writes 1 to 4 bytes. */
size_t vmt_utf8_encode(uint32_t code_point, char out[4]);
bool vmt_utf8_valid(vmt_str s);
/* Length of the longest prefix that does not end inside a character; a byte that can't begin or continue one is
 * its own end.  At most 3 bytes shorter than s. */
size_t vmt_utf8_complete_prefix(vmt_str s);
size_t vmt_utf8_count(vmt_str s); /* code points, ill-formed ones counted as next() walks */

#endif
