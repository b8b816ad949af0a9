/* text/regex.h: PCRE2 for the patterns of a tokenizer.json that have no scanner: JIT, and limits on steps, depth and
 * heap, so that a pattern from a stranger costs a bounded time. */
#ifndef VMT_TEXT_REGEX_H
#define VMT_TEXT_REGEX_H

#include "text/scratch.h"

typedef struct vmt_regex vmt_regex;

#define VMT_REGEX_PATTERN_MAX  65536u   /* bytes */
#define VMT_REGEX_STEPS_MAX    1000000u /* backtracking steps of one match */
#define VMT_REGEX_DEPTH_MAX    10000u
#define VMT_REGEX_HEAP_KIB_MAX 65536u

/* The dialect of the `tokenizers` library (Oniguruma) as far as real patterns use it. */
vmt_status vmt_regex_compile(vmt_regex **out, vmt_str pattern, vmt_err *err);
/* A pattern that matches exactly this text. */
vmt_status vmt_regex_compile_literal(vmt_regex **out, vmt_str text, vmt_err *err);
void vmt_regex_destroy(vmt_regex *regex);

typedef struct vmt_regex_span {
    size_t begin, end;
} vmt_regex_span;

/* The first match at or after from in valid UTF-8; VMT_E_NOT_FOUND if there is none.  not_empty_at_from skips an
 * empty match at from itself. */
vmt_status vmt_regex_next(const vmt_regex *regex, vmt_scratch *scratch, vmt_str text, size_t from,
                          bool not_empty_at_from, vmt_regex_span *out);

#endif
