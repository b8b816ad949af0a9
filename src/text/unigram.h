/* text/unigram.h: the Unigram model: the segmentation of highest total score (Viterbi), as SentencePiece and
 * `tokenizers` compute it. */
#ifndef VMT_TEXT_UNIGRAM_H
#define VMT_TEXT_UNIGRAM_H

#include "text/vocab.h"

typedef struct vmt_unigram_node {
    int32_t first_edge; /* into edges, sorted by byte */
    uint16_t num_edges;
    int32_t id; /* of the token that ends here, or -1 */
} vmt_unigram_node;

typedef struct vmt_unigram {
    const vmt_vocab *vocab;
    double *scores; /* [num_ids]; owned */
    double unk_score;
    int32_t unk_id; /* -1: text with unknown characters cannot be encoded */
    bool byte_fallback;
    int32_t byte_ids[256];
    bool have_bytes; /* all 256 */
    vmt_unigram_node *nodes;
    uint32_t num_nodes;
    uint8_t *edge_bytes;
    int32_t *edge_nodes;
    uint32_t num_edges;
} vmt_unigram;

/* Takes vocab, scores (ownership), unk_id and byte_fallback as set in *unigram. */
vmt_status vmt_unigram_build(vmt_unigram *unigram, vmt_err *err);
void vmt_unigram_reset(vmt_unigram *unigram);

struct vmt_scratch;
vmt_status vmt_unigram_encode(const vmt_unigram *unigram, struct vmt_scratch *scratch, const uint8_t *word,
                              size_t len);

#endif
