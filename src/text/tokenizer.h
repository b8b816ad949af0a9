/* text/tokenizer.h: text to token ids and back.
 *
 * Built from a tokenizer.json (any of the pipelines that real models use) or from the fields a GGUF file carries.
 * Immutable after creation: any number of threads may encode and decode with one tokenizer at a time, each with its
 * own scratch.  Equal, token for token, to the Hugging Face `tokenizers` library.
 *
 *   text ─► added tokens (longest at each place) ─► normalizer ─► pre-tokenizer ─► model (BPE, Unigram) ─► template
 */
#ifndef VMT_TEXT_TOKENIZER_H
#define VMT_TEXT_TOKENIZER_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct vmt_tokenizer vmt_tokenizer;

typedef enum vmt_token_kind { /* the values are GGUF's tokenizer.ggml.token_type */
                              VMT_TOKEN_NORMAL = 1,
                              VMT_TOKEN_UNKNOWN = 2,
                              VMT_TOKEN_CONTROL = 3, /* special: skipped by detokenization with skip_special */
                              VMT_TOKEN_USER_DEFINED = 4,
                              VMT_TOKEN_UNUSED = 5,
                              VMT_TOKEN_BYTE = 6,
} vmt_token_kind;

/* What a GGUF file says of its tokenizer.  Everything is borrowed for the length of the call. */
typedef struct vmt_tokenizer_gguf {
    vmt_str model;         /* tokenizer.ggml.model: "gpt2", "llama", "t5", "gemma4", ... */
    vmt_str pre;           /* tokenizer.ggml.pre: "smollm", "llama-bpe", "qwen2", ...; empty if absent */
    const vmt_str *tokens; /* [num_tokens] */
    const float *scores;   /* [num_tokens] or NULL */
    const int32_t *kinds;  /* [num_tokens] vmt_token_kind, or NULL */
    uint32_t num_tokens;
    const vmt_str *merges; /* [num_merges] "left right" */
    uint32_t num_merges;
    int32_t bos_id, eos_id, unk_id, pad_id; /* -1 if absent */
    int32_t add_bos, add_eos;               /* 0, 1, or -1 if absent (the model kind's default then) */
    int32_t add_space_prefix;               /* 0, 1, or -1 */
} vmt_tokenizer_gguf;

#define VMT_VOCAB_MAX       (1u << 21) /* tokens; the largest known vocabularies have 2^18 */
#define VMT_TOKEN_BYTES_MAX 65536u     /* one token's text */

vmt_status vmt_tokenizer_from_json(vmt_tokenizer **out, vmt_str tokenizer_json, vmt_err *err);
vmt_status vmt_tokenizer_from_gguf(vmt_tokenizer **out, const vmt_tokenizer_gguf *spec, vmt_err *err);
void vmt_tokenizer_destroy(vmt_tokenizer *tok);

typedef struct vmt_tokens {
    int32_t *ids; /* owned; free with vmt_tokens_free */
    size_t len, cap;
} vmt_tokens;
void vmt_tokens_free(vmt_tokens *tokens);

typedef struct vmt_encode_options {
    bool add_special;    /* run the post-processor: BOS, EOS, [CLS] as the model wants */
    bool plain_special;  /* treat the text of special tokens as ordinary text (default: they become their ids) */
    uint32_t tokens_max; /* VMT_E_EXHAUSTED past it; 0 means no limit beyond memory */
} vmt_encode_options;

/* Appends the ids of text to out.  Ill-formed UTF-8 is read as U+FFFD.  Linear in text.len. */
vmt_status vmt_tokenizer_encode(const vmt_tokenizer *tok, vmt_str text, vmt_encode_options options,
                                vmt_tokens *out, vmt_err *err);

/* Appends the text of ids to out, as tokenizers' decode() gives it (clean-up of spaces aside: off).  Ids outside the
 * vocabulary are skipped.  One difference: in a run of byte tokens that is not UTF-8, its whole characters survive and
 * only the other bytes become U+FFFD, so that a stream need not wait for the end of a run. */
void vmt_tokenizer_decode(const vmt_tokenizer *tok, const int32_t *ids, size_t num_ids, bool skip_special,
                          vmt_buf *out);

uint32_t vmt_tokenizer_vocab_size(const vmt_tokenizer *tok); /* one past the largest id */
bool vmt_tokenizer_is_special(const vmt_tokenizer *tok, int32_t id);
/* The id of a token by its exact vocabulary text (added tokens included), or -1. */
int32_t vmt_tokenizer_find(const vmt_tokenizer *tok, vmt_str token_text);
/* The vocabulary's own spelling, e.g. "Ġthe" or "▁the": what token_strs and convert_ids_to_tokens show. */
vmt_str vmt_tokenizer_spelling(const vmt_tokenizer *tok, int32_t id);
/* The bytes this token adds to the output in the middle of a text, e.g. " the"; not always whole characters. */
vmt_str vmt_tokenizer_bytes(const vmt_tokenizer *tok, int32_t id);
int32_t vmt_tokenizer_bos(const vmt_tokenizer *tok); /* -1 if unknown */
int32_t vmt_tokenizer_eos(const vmt_tokenizer *tok);

#endif
