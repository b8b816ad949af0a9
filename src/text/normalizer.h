/* text/normalizer.h: what happens to text before it is cut into words: Unicode forms, replacements, prefixes.
 *
 * A list of steps, each from one buffer of the scratch to the other; a step that changes nothing copies nothing. */
#ifndef VMT_TEXT_NORMALIZER_H
#define VMT_TEXT_NORMALIZER_H

#include "json/json.h"
#include "text/charsmap.h"
#include "text/regex.h"

typedef enum vmt_norm_kind {
    VMT_NORM_NFC,
    VMT_NORM_NFD,
    VMT_NORM_NFKC,
    VMT_NORM_NFKD,
    VMT_NORM_REPLACE,
    VMT_NORM_PREPEND,
    VMT_NORM_LOWERCASE,
    VMT_NORM_STRIP,
    VMT_NORM_STRIP_MARKS,   /* drops all marks */
    VMT_NORM_STRIP_ACCENTS, /* BERT: drops nonspacing marks */
    VMT_NORM_NMT,
    VMT_NORM_CLEAN,   /* BERT: drops controls, all white space becomes a space */
    VMT_NORM_CHINESE, /* BERT: spaces around ideographs */
    VMT_NORM_CHARSMAP,
} vmt_norm_kind;

typedef struct vmt_norm_step {
    vmt_norm_kind kind;
    vmt_regex *regex;  /* replace; owned */
    vmt_buf text;      /* replace: with what; prepend: what; owned */
    vmt_buf literal;   /* replace: the literal replaced, empty for a regular expression; owned */
    bool left, right;  /* strip */
    vmt_charsmap *map; /* owned */
} vmt_norm_step;

typedef struct vmt_normalizer {
    vmt_norm_step steps[VMT_TEXT_STAGES_MAX];
    uint32_t num_steps;
} vmt_normalizer;

/* json absent or null: no steps. */
vmt_status vmt_normalizer_from_json(vmt_normalizer *norm, vmt_json json, vmt_err *err);
void vmt_normalizer_reset(vmt_normalizer *norm);
vmt_status vmt_normalizer_add_replace(vmt_normalizer *norm, vmt_str what, vmt_str with, vmt_err *err);
vmt_status vmt_normalizer_add_prepend(vmt_normalizer *norm, vmt_str what, vmt_err *err);
/* If the last step turns spaces into U+2581, turns it around (U+2581 into spaces) and says true: the model then sees
 * spaces where its vocabulary has U+2581. */
bool vmt_normalizer_take_marker(vmt_normalizer *norm);

/* *out lies in text or in the scratch's buffers, and holds until the next call. */
vmt_status vmt_normalize(const vmt_normalizer *norm, vmt_scratch *scratch, vmt_str text, vmt_str *out);

#endif
