/* text/pretokenize.h: cuts normalized text into the words a model encodes one by one.
 *
 * A pipeline of stages, each cutting the pieces of the one before; usually one stage, a scanner.  Built from the
 * pre_tokenizer of a tokenizer.json or from a list of patterns. */
#ifndef VMT_TEXT_PRETOKENIZE_H
#define VMT_TEXT_PRETOKENIZE_H

#include "json/json.h"
#include "text/regex.h"
#include "text/scan.h"

typedef enum vmt_split_behavior { /* what becomes of a match: as tokenizers' SplitDelimiterBehavior */
                                  VMT_SPLIT_ISOLATED,
                                  VMT_SPLIT_REMOVED,
                                  VMT_SPLIT_MERGED_WITH_PREVIOUS,
                                  VMT_SPLIT_MERGED_WITH_NEXT,
                                  VMT_SPLIT_CONTIGUOUS,
} vmt_split_behavior;

typedef enum vmt_stage_kind {
    VMT_STAGE_SCAN,      /* a scanner */
    VMT_STAGE_REGEX,     /* PCRE2, or a literal */
    VMT_STAGE_CLASS,     /* single characters of a class */
    VMT_STAGE_WORDS,     /* \w+|[^\w\s]+ */
    VMT_STAGE_METASPACE, /* spaces become the marker, perhaps one in front, cut before markers */
    VMT_STAGE_PREFIX,    /* a space in front if there is none */
} vmt_stage_kind;

typedef struct vmt_stage {
    vmt_stage_kind kind;
    vmt_split_behavior behavior;
    bool invert;
    vmt_scan scan;
    vmt_regex *regex; /* owned */
    bool (*in_class)(uint32_t code_point);
    uint8_t prepend;  /* metaspace: 0 never, 1 first, 2 always */
    bool split;       /* metaspace */
    bool only_spaces; /* regex: cuts at single spaces, so does nothing to a text without them */
    char marker[4];   /* metaspace: what spaces become */
    uint8_t marker_len;
} vmt_stage;

typedef struct vmt_pretokenizer {
    vmt_stage stages[VMT_TEXT_STAGES_MAX];
    uint32_t num_stages;
    bool byte_level; /* the words go to the model as bytes */
    bool metaspace;  /* the last stage is a metaspace whose marker is U+2581 */
} vmt_pretokenizer;

/* json absent or null: no cutting.  What is not supported is refused by name. */
vmt_status vmt_pretokenizer_from_json(vmt_pretokenizer *pre, vmt_json json, vmt_err *err);
/* Byte-level, each pattern isolated, one after the other. */
vmt_status vmt_pretokenizer_from_patterns(vmt_pretokenizer *pre, const char *const *patterns,
                                          uint32_t num_patterns, vmt_err *err);
void vmt_pretokenizer_reset(vmt_pretokenizer *pre);

/* Where the words go, a few consecutive ones at a time: text[begin, ends[0]), text[ends[0], ends[1]), ...  At most
 * VMT_WORD_BATCH, none empty. */
typedef struct vmt_word_sink {
    vmt_status (*words)(const void *model, vmt_scratch *scratch, const uint8_t *text, size_t begin,
                        const size_t *ends, uint32_t num_words);
    const void *model;
} vmt_word_sink;

/* at_start: the text begins where the whole input begins. */
vmt_status vmt_pretokenize(const vmt_pretokenizer *pre, vmt_scratch *scratch, vmt_str text, bool at_start,
                           vmt_word_sink sink);

#endif
