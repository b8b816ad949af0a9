/* text/test_words.h: random text for tests of what finds words. */
#ifndef VMT_TEXT_TEST_WORDS_H
#define VMT_TEXT_TEST_WORDS_H

#include "base/str.h"

/* One that some pattern treats in its own way. */
uint32_t test_code_point(uint64_t *rng);
/* ASCII for the most part, in which runs, seams and contractions are frequent; now and then a character that is not.
 * Returns the length, at most len_max. */
size_t test_ascii_text(uint64_t *rng, char *bytes, size_t len_max);

#endif
