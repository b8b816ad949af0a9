/* text/grammar_regex.h: regular expressions, ECMA-262's syntax as JSON Schema uses it, to languages.
 *
 * Groups, named or not, all alternate and repeat; lazy repeats are repeats.  What no automaton can say (look-around,
 * back-references, word borders) is refused by name. */
#ifndef VMT_TEXT_GRAMMAR_REGEX_H
#define VMT_TEXT_GRAMMAR_REGEX_H

#include "text/grammar_automaton.h"

/* is_search: the pattern may match anywhere in the text, as `pattern` has it; else it is the whole text. */
vmt_status vmt_regex_language(vmt_automaton *out, vmt_str pattern, bool is_search, vmt_err *err);
/* Builds min to max characters of any kind. */
vmt_fragment vmt_any_chars(vmt_rules *rules, uint32_t min, uint32_t max);

#endif
