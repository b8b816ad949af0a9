/* text/matcher.c: one sequence's place in a grammar. */
#include "text/grammar_private.h"

#include <stdlib.h>

#define PIECE_BYTES 64u

static vmt_matcher *allocate(vmt_grammar *grammar, vmt_grammar_vocab *vocab) {
    vmt_matcher *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->grammar = vmt_grammar_acquire(grammar);
    m->vocab = vmt_grammar_vocab_acquire(vocab);
    m->bits = malloc(VMT_MAX(vocab->num_words, 1u) * sizeof *m->bits);
    m->whole = malloc(VMT_MAX(vocab->num_words, 1u) * sizeof *m->whole);
    m->ids = malloc(VMT_ANSWER_LIST_MAX * sizeof *m->ids);
    if (m->bits && m->whole && m->ids) return m;
    vmt_matcher_destroy(m);
    return NULL;
}

vmt_status vmt_matcher_create(vmt_matcher **out, vmt_grammar *grammar, vmt_grammar_vocab *vocab, vmt_err *err) {
    *out = allocate(grammar, vocab);
    if (*out && vmt_parse_init(&(*out)->parse, &grammar->automaton)) {
        vmt_matcher_reset(*out);
        return VMT_OK;
    }
    vmt_matcher_destroy(*out);
    *out = NULL;
    return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a grammar matcher");
}

vmt_status vmt_matcher_clone(vmt_matcher **out, const vmt_matcher *m, vmt_err *err) {
    *out = allocate(m->grammar, m->vocab);
    if (*out && vmt_parse_copy(&(*out)->parse, &m->parse, &m->now)) {
        (*out)->now = m->now;
        (*out)->is_ended = m->is_ended;
        return VMT_OK;
    }
    vmt_matcher_destroy(*out);
    *out = NULL;
    return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a grammar matcher");
}

void vmt_matcher_destroy(vmt_matcher *m) {
    if (!m) return;
    vmt_parse_free(&m->parse);
    vmt_grammar_release(m->grammar);
    vmt_grammar_vocab_release(m->vocab);
    free(m->bits);
    free(m->whole);
    free(m->exits);
    free(m->ids);
    free(m);
}

void vmt_matcher_reset(vmt_matcher *m) {
    m->is_ended = false;
    vmt_parse_begin(&m->parse, &m->now);
}

/* Steps over bytes behind the frame where the text is; only a whole success is settled. */
static vmt_status take_bytes(vmt_matcher *m, vmt_str bytes, vmt_err *err) {
    vmt_parse_frame frame = m->now;
    m->parse.work = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        vmt_parse_frame next;
        if (!vmt_parse_step(&m->parse, &frame, (uint8_t)bytes.ptr[i], &next)) {
            m->parse.is_exhausted = false;
            return vmt_fail(err, VMT_E_INVALID, "the grammar does not allow byte %zu of \"%.*s\" here", i,
                            (int)VMT_MIN(bytes.len, (size_t)40), bytes.ptr);
        }
        frame = next;
    }
    if (m->parse.is_exhausted) {
        m->parse.is_exhausted = false;
        return vmt_fail(err, VMT_E_EXHAUSTED, "the grammar is too ambiguous here: more than %u parses at once",
                        VMT_MATCHER_CONFIGS_MAX);
    }
    vmt_parse_settle(&m->parse, &frame);
    m->now = frame;
    return VMT_OK;
}

vmt_status vmt_matcher_accept_bytes(vmt_matcher *m, vmt_str bytes, vmt_err *err) {
    if (m->is_ended && bytes.len > 0) return vmt_fail(err, VMT_E_INVALID, "the text has ended");
    /* A piece at a time, because every byte stacks a frame. */
    for (size_t at = 0; at < bytes.len; at += PIECE_BYTES) {
        VMT_TRY(take_bytes(m, vmt_str_slice(bytes, at, VMT_MIN(at + PIECE_BYTES, bytes.len)), err));
    }
    return VMT_OK;
}

vmt_status vmt_matcher_accept(vmt_matcher *m, int32_t token_id, vmt_err *err) {
    for (uint32_t i = 0; i < m->vocab->num_eos_ids; i++) {
        if (m->vocab->eos_ids[i] != token_id) continue;
        if (!m->now.is_complete && !m->is_ended) {
            return vmt_fail(err, VMT_E_INVALID, "the text may not end here: the grammar is not complete");
        }
        m->is_ended = true;
        return VMT_OK;
    }
    if (token_id < 0 || (uint32_t)token_id >= m->vocab->num_tokens) {
        return vmt_fail(err, VMT_E_INVALID, "token id %d is not in the vocabulary of %u", token_id,
                        m->vocab->num_tokens);
    }
    vmt_str bytes = vmt_vocab_token(m->vocab, token_id);
    if (m->is_ended || bytes.len == 0) {
        return vmt_fail(err, VMT_E_INVALID, "token id %d is not allowed here", token_id);
    }
    return take_bytes(m, bytes, err);
}

bool vmt_matcher_can_end(const vmt_matcher *m) {
    return m->now.is_complete || m->is_ended;
}

/* The one byte that may come next, or -1: none, -2: several. */
static int only_byte(const vmt_parse *p, const vmt_parse_frame *frame) {
    const vmt_automaton *a = p->automaton;
    int byte = -1;
    for (uint32_t i = frame->begin; i < frame->end; i++) {
        vmt_config config = p->configs[i];
        const vmt_state *state = &a->states[config.state];
        for (uint32_t e = 0; e < state->num_edges; e++) {
            const vmt_state_edge *edge = &a->edges[state->first_edge + e];
            uint32_t count = config.count;
            if (!vmt_count_enter(a, edge->target, &count)) continue;
            if (edge->lo != edge->hi || (byte >= 0 && byte != edge->lo)) return -2;
            byte = edge->lo;
        }
    }
    return byte;
}

bool vmt_matcher_is_ended(const vmt_matcher *m) {
    return m->is_ended || (m->now.is_complete && only_byte(&m->parse, &m->now) == -1);
}

void vmt_matcher_forced(vmt_matcher *m, size_t bytes_max, vmt_buf *out) {
    vmt_parse_frame frame = m->now;
    if (m->is_ended) return;
    for (size_t i = 0; i < bytes_max && !frame.is_complete; i++) {
        vmt_parse_frame next;
        int byte = only_byte(&m->parse, &frame);
        if (byte < 0 || byte == (uint8_t)VMT_SPECIAL_BYTE) break;
        if (!vmt_parse_step(&m->parse, &frame, (uint8_t)byte, &next) || m->parse.is_exhausted) break;
        vmt_buf_append_byte(out, (char)byte);
        frame = next;
    }
    m->parse.is_exhausted = false;
}
