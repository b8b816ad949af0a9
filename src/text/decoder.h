/* text/decoder.h: what decoding does to the spelling of a token, worked out once for each at load. */
#ifndef VMT_TEXT_DECODER_H
#define VMT_TEXT_DECODER_H

#include "json/json.h"
#include "text/regex.h"
#include "text/vocab.h"

/* Bits of vmt_vocab.present. */
#define VMT_PRESENT_MODEL   1u
#define VMT_PRESENT_ADDED   2u
#define VMT_PRESENT_BYTE    4u /* its output is one byte of a character (byte fallback) */
#define VMT_PRESENT_SPECIAL 8u

typedef enum vmt_decode_kind {
    VMT_DECODE_REPLACE,
    VMT_DECODE_BYTE_FALLBACK,
    VMT_DECODE_STRIP,
    VMT_DECODE_BYTE_LEVEL,
    VMT_DECODE_METASPACE,
} vmt_decode_kind;

typedef struct vmt_decode_step {
    vmt_decode_kind kind;
    vmt_regex *regex; /* replace: what; metaspace: the marker */
    vmt_buf text;     /* replace: with what; strip: the character */
    uint32_t start, stop;
} vmt_decode_step;

typedef struct vmt_token_decoder {
    vmt_decode_step steps[VMT_TEXT_STAGES_MAX];
    uint32_t num_steps;
    bool byte_level;         /* the output is a stream of bytes; else of whole characters, but for byte tokens */
    bool strip_first_space;  /* one space at the very beginning goes */
    bool join_with_spaces;   /* there is no decoder: tokens are shown with spaces between them */
    bool first_loses_marker; /* the first token loses its markers instead of showing spaces */
} vmt_token_decoder;

vmt_status vmt_token_decoder_from_json(vmt_token_decoder *decoder, vmt_json json, vmt_err *err);
/* ByteLevel. */
void vmt_token_decoder_set_byte_level(vmt_token_decoder *decoder);
/* Replace U+2581 by a space, ByteFallback, Fuse, and perhaps Strip one space at the start. */
vmt_status vmt_token_decoder_set_sentencepiece(vmt_token_decoder *decoder, bool strip_first_space, vmt_err *err);
void vmt_token_decoder_reset(vmt_token_decoder *decoder);
/* Fills vocab->output of every token.  spelling_of[id], where its ptr is not NULL, stands in for the spelling. */
vmt_status vmt_token_decoder_apply(const vmt_token_decoder *decoder, vmt_vocab *vocab, const vmt_str *spelling_of,
                                   vmt_scratch *scratch, vmt_err *err);

#endif
