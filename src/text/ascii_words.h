/* text/ascii_words.h: where the words of ASCII text end, 64 bytes at a time, for the patterns of the cl100k family.
 *
 * Where a word ends cannot be predicted, so a scanner that looks at one character after the other spends its time on
 * mispredicted branches.  Here each class of characters becomes a mask of 64 bits, a rule such as "a letter after a
 * digit begins a word" becomes a shift and an and, and the ends fall out of one word of bits. */
#ifndef VMT_TEXT_ASCII_WORDS_H
#define VMT_TEXT_ASCII_WORDS_H

#include "base/str.h"

#define VMT_ASCII_WINDOW 64u /* bytes looked at, and the most ends found, at once */

/* In what the patterns differ. */
typedef struct vmt_ascii_words {
    bool known;              /* the pattern is of the family */
    bool cased;              /* an upper-case letter after a lower-case one begins a word */
    bool numbers_of_3;       /* up to three digits go together, else each is by itself */
    bool begins_contraction; /* 's, 't, ... are words */
    bool ends_contraction;   /* ... are ends of words */
    bool slashes;            /* a slash goes with the punctuation and newlines before it */
} vmt_ascii_words;

/* A word begins at s[0], and VMT_ASCII_WINDOW bytes can be read.  Bit i: a word ends before s[i] and the next begins
 * there, as far as that is sure.  0: not even of the first word, because it is long, of a rare kind, or not ASCII. */
uint64_t vmt_ascii_word_ends(vmt_ascii_words kind, const uint8_t *s);

#endif
