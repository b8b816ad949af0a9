/* text/grammar_mask.c: which tokens may come next.
 *
 * Each parse is asked by itself.  What its state says of the tokens that stay inside the rule is looked up, or found by
 * walking the trie from that state alone; where a token completes the rule on the way, the walk stops and notes the
 * node as an exit.  Then the parse's callers go on below every exit, on the true stack. */
#include "text/grammar_private.h"

#include <stdlib.h>

#define KEEP_NODES   48u /* answers that cost fewer nodes are found again rather than kept */
#define PLAIN_STATES 48u /* states of a loop over plain characters */
#define EXITS_MAX    (1u << 22)

#define WORD_STATES 8u /* states at once after the same number of letters */

/* ---- which set of tokens does a state allow as a whole? */

static const struct {
    uint8_t lo, hi;
} word_bytes[] = {{'0', '9'}, {'a', 'z'}, {'A', 'Z'}};

/* Can every string of letters and digits that a word token may be be followed?  Follows all of them at once. */
static bool allows_words(const vmt_automaton *a, uint32_t state, bool is_lower) {
    uint32_t states[WORD_STATES] = {state}, next[WORD_STATES], num = 1;
    for (uint32_t len = 0; len < VMT_WORD_BYTES; len++) {
        uint32_t num_next = 0;
        for (uint32_t i = 0; i < num; i++) {
            for (size_t r = 0; r < VMT_COUNT(word_bytes) - is_lower; r++) {
                for (uint32_t byte = word_bytes[r].lo; byte <= word_bytes[r].hi; byte++) {
                    uint32_t to = vmt_automaton_next(a, states[i], (uint8_t)byte), k = 0;
                    if (to == VMT_NO_INDEX || (a->states[to].flags & VMT_STATE_COUNTING)) return false;
                    while (k < num_next && next[k] != to) k++;
                    if (k < num_next) continue;
                    if (num_next == WORD_STATES) return false;
                    next[num_next++] = to;
                }
            }
        }
        if (num_next == num && memcmp(states, next, num * sizeof *next) == 0) return true;
        memcpy(states, next, num_next * sizeof *next);
        num = num_next;
    }
    return true;
}

static bool allows_spaces(const vmt_automaton *a, uint32_t state) {
    return vmt_automaton_next(a, state, ' ') == state && vmt_automaton_next(a, state, '\n') == state &&
           vmt_automaton_next(a, state, '\t') == state && vmt_automaton_next(a, state, '\r') == state &&
           (a->states[state].flags & VMT_STATE_COUNTING) == 0;
}

static vmt_token_set set_of(const vmt_automaton *a, uint32_t state) {
    if (a->states[state].flags & VMT_STATE_PLAIN) return VMT_SET_PLAIN;
    if (allows_spaces(a, state)) return VMT_SET_SPACE;
    if (!allows_words(a, state, true)) return VMT_SET_NONE;
    return allows_words(a, state, false) ? VMT_SET_WORD : VMT_SET_LOWER;
}

/* ---- walks */

/* The frame after one more byte when there is one parse and it neither calls nor completes anything: most steps. */
static inline bool step_alone(vmt_parse *p, const vmt_parse_frame *from, uint8_t byte, vmt_parse_frame *to,
                              bool *is_done) {
    const vmt_automaton *a = p->automaton;
    vmt_config config = p->configs[from->begin];
    uint32_t next = vmt_automaton_next(a, config.state, byte);
    *is_done = true;
    if (next == VMT_NO_INDEX) return false;
    *is_done = (a->states[next].flags & (VMT_STATE_FINAL | VMT_STATE_CALLS)) == 0 && from->end < p->configs_cap;
    if (!*is_done || !vmt_count_enter(a, next, &config.count)) return false;
    config.state = next;
    p->configs[from->end] = config;
    *to = (vmt_parse_frame){from->end, from->end + 1, from->num_nodes, from->num_callers, false, false};
    return true;
}

/* The answer's tokens are a list as long as they are few. */
static void add_to_answer(vmt_matcher *m, int32_t id) {
    for (; id >= 0; id = m->vocab->twin[id]) {
        if (m->is_list && m->num_ids < VMT_ANSWER_LIST_MAX) {
            m->ids[m->num_ids++] = (uint32_t)id;
            continue;
        }
        if (m->is_list) {
            memset(m->bits, 0, m->vocab->num_words * sizeof *m->bits);
            for (uint32_t i = 0; i < m->num_ids; i++) vmt_mask_set(m->bits, m->ids[i]);
            m->is_list = false;
        }
        vmt_mask_set(m->bits, (uint32_t)id);
    }
}

/* Walks the nodes [at, end), which lie below a node of depth top, whose frame is m->frames[top].  Tokens whose bytes
 * lead somewhere go into bits, or into the answer, whose exits are then noted too. */
static uint32_t walk(vmt_matcher *m, const vmt_trie *trie, uint32_t at, uint32_t end, uint32_t *bits,
                     bool is_answer) {
    uint32_t num_visited = 0;
    while (at < end) {
        const vmt_trie_node *node = &trie->nodes[at];
        const vmt_parse_frame *from = &m->frames[node->depth - 1];
        vmt_parse_frame *frame = &m->frames[node->depth];
        bool is_done = false, is_alive = false;
        num_visited++;
        if (from->end == from->begin + 1) is_alive = step_alone(&m->parse, from, node->byte, frame, &is_done);
        if (!is_done) is_alive = vmt_parse_step(&m->parse, from, node->byte, frame);
        if (!is_alive) {
            at += node->size;
            continue;
        }
        if (node->token_id >= 0) {
            if (is_answer)
                add_to_answer(m, node->token_id);
            else
                vmt_mask_set_token(m->vocab, bits, node->token_id);
        }
        if (is_answer && frame->is_exit && node->size > 1) {
            if (vmt_array_grow((void **)&m->exits, &m->exits_cap, (size_t)m->num_exits + 1, sizeof *m->exits,
                               EXITS_MAX) == VMT_OK) {
                m->exits[m->num_exits++] = at;
            } else {
                m->parse.is_exhausted = true;
            }
        }
        at += frame->end == frame->begin ? node->size : 1;
        if (m->parse.work + num_visited > VMT_MATCHER_WORK_MAX) m->parse.is_exhausted = true;
        if (m->parse.is_exhausted) break;
    }
    m->parse.work += num_visited;
    return num_visited;
}

/* The same for an answer, from its one parse: as long as nothing is called or completed, a state and a count are all
 * there is. */
static uint32_t walk_answer(vmt_matcher *m, const vmt_trie *trie, vmt_config alone) {
    const vmt_automaton *a = m->parse.automaton;
    uint32_t states[VMT_GRAMMAR_TOKEN_MAX + 1], counts[VMT_GRAMMAR_TOKEN_MAX + 1];
    uint32_t num_visited = 0, at = 0;
    states[0] = alone.state;
    counts[0] = alone.count;
    while (at < trie->num_nodes) {
        const vmt_trie_node *node = &trie->nodes[at];
        uint32_t depth = node->depth, count = counts[depth - 1];
        uint32_t next = vmt_automaton_next(a, states[depth - 1], node->byte);
        num_visited++;
        if (next == VMT_NO_INDEX || !vmt_count_enter(a, next, &count)) {
            at += node->size;
            continue;
        }
        if (a->states[next].flags & (VMT_STATE_FINAL | VMT_STATE_CALLS)) {
            alone.state = states[depth - 1];
            alone.count = counts[depth - 1];
            vmt_parse_single(&m->parse, &m->now, alone, &m->frames[depth - 1]);
            num_visited += walk(m, trie, at, at + node->size, NULL, true);
            at += node->size;
            if (m->parse.is_exhausted) break;
            continue;
        }
        states[depth] = next;
        counts[depth] = count;
        if (node->token_id >= 0) add_to_answer(m, node->token_id);
        at++;
    }
    return num_visited;
}

/* The plain tokens that fit into room characters. */
static void set_plain(const vmt_grammar_vocab *v, uint32_t *bits, uint32_t room) {
    const uint32_t *plain = room <= VMT_PLAIN_COUNTS ? v->plain[room] : v->plain[0];
    if (room == 0) return;
    for (uint32_t i = 0; i < v->num_words; i++) bits[i] |= plain[i];
    if (room <= VMT_PLAIN_COUNTS) return;
    for (uint32_t i = 0; i < v->num_long_plain && v->long_plain_chars[i] > room; i++) {
        uint32_t id = (uint32_t)v->long_plain[i];
        bits[id / 32] &= ~((uint32_t)1 << (id % 32));
    }
}

static vmt_mask_key key_of(const vmt_automaton *a, const vmt_config *config) {
    const vmt_automaton_rule *rule = &a->rules[a->rule_of[config->state]];
    vmt_mask_key key = {.rule = rule->content, .state = config->state - rule->start};
    if (!rule->is_counted) return key;
    /* Before the first one the count is -1, and one more may come. */
    uint32_t count = config->count, next = count + 1;
    uint32_t room = rule->count_max == VMT_REPEAT_FOR_EVER ? VMT_COUNT_FAR : rule->count_max + 1 - next;
    uint32_t need = count != UINT32_MAX && count >= rule->count_min ? 0 : rule->count_min + 1 - next;
    key.room = (uint16_t)VMT_MIN(room, VMT_COUNT_FAR);
    key.need = (uint16_t)VMT_MIN(need, VMT_COUNT_FAR);
    return key;
}

/* Finds the answer by walking, into m's scratch. */
static void find_answer(vmt_matcher *m, const vmt_config *config, const vmt_mask_key *key, vmt_mask_answer *out) {
    const vmt_grammar_vocab *v = m->vocab;
    m->num_exits = m->num_ids = 0;
    m->is_list = true;
    vmt_config alone = *config;
    alone.node = VMT_NODE_EXIT;
    *out = (vmt_mask_answer){.key = *key, .set = set_of(m->parse.automaton, config->state)};
    const vmt_trie *trie = &v->tries[out->set];
    uint32_t num_visited = walk_answer(m, trie, alone);
    out->is_list = m->is_list;
    out->tokens = m->is_list ? m->ids : m->bits;
    out->num_tokens = m->is_list ? m->num_ids : v->num_words;
    out->exits = m->exits;
    out->num_exits = m->num_exits;
    if (num_visited >= KEEP_NODES && !m->parse.is_exhausted) vmt_mask_cache_put(v->cache, out);
}

static void add_words(uint32_t *bits, const uint32_t *words, uint32_t num_words) {
    for (uint32_t i = 0; i < num_words; i++) bits[i] |= words[i];
}

static void add_answer(const vmt_matcher *m, const vmt_config *config, const vmt_mask_answer *answer,
                       uint32_t *bits) {
    const vmt_grammar_vocab *v = m->vocab;
    if (answer->set == VMT_SET_PLAIN) {
        /* A token has at most as many characters as bytes, so room at the cap is room for all. */
        const vmt_automaton *a = m->parse.automaton;
        bool is_counted = a->rules[a->rule_of[config->state]].is_counted;
        set_plain(v, bits, is_counted ? answer->key.room : VMT_COUNT_FAR);
    } else if (answer->set != VMT_SET_NONE) {
        add_words(bits, v->members[answer->set], v->num_words);
    }
    if (!answer->is_list) {
        add_words(bits, answer->tokens, v->num_words);
        return;
    }
    for (uint32_t i = 0; i < answer->num_tokens; i++) vmt_mask_set(bits, answer->tokens[i]);
}

/* The bytes with which some parse of a frame goes on. */
static void next_bytes(const vmt_parse *p, const vmt_parse_frame *frame, bool can_follow[256]) {
    const vmt_automaton *a = p->automaton;
    memset(can_follow, 0, 256 * sizeof *can_follow);
    for (uint32_t i = frame->begin; i < frame->end; i++) {
        const vmt_state *state = &a->states[p->configs[i].state];
        for (uint32_t e = 0; e < state->num_edges; e++) {
            vmt_state_edge edge = a->edges[state->first_edge + e];
            memset(can_follow + edge.lo, 1, edge.hi - edge.lo + 1u);
        }
    }
}

/* What the callers of the parse's rule make of the tokens that complete it on the way. */
static void follow_exits(vmt_matcher *m, const vmt_config *config, const vmt_mask_answer *answer, uint32_t *bits) {
    if (answer->num_exits == 0) return;
    vmt_parse_frame after;
    bool can_follow[256];
    vmt_parse_return(&m->parse, &m->now, config->node, &after);
    if (after.end == after.begin) return;
    next_bytes(&m->parse, &after, can_follow);
    const vmt_trie *trie = &m->vocab->tries[answer->set];
    for (uint32_t i = 0; i < answer->num_exits && !m->parse.is_exhausted; i++) {
        uint32_t at = answer->exits[i], end = at + trie->nodes[at].size;
        m->frames[trie->nodes[at].depth] = after;
        for (at++; at < end; at += trie->nodes[at].size) {
            if (can_follow[trie->nodes[at].byte]) (void)walk(m, trie, at, at + trie->nodes[at].size, bits, false);
        }
    }
}

static void ask(vmt_matcher *m, const vmt_config *config, uint32_t *bits) {
    const vmt_automaton *a = m->parse.automaton;
    if (a->states[config->state].num_edges == 0) return;
    vmt_mask_key key = key_of(a, config);
    vmt_mask_answer found, *kept = vmt_mask_cache_find(m->vocab->cache, &key);
    if (!kept) find_answer(m, config, &key, &found);
    add_answer(m, config, kept ? kept : &found, bits);
    follow_exits(m, config, kept ? kept : &found, bits);
    vmt_mask_answer_release(kept);
}

vmt_status vmt_matcher_mask(vmt_matcher *m, uint32_t *bits, uint32_t num_words, vmt_err *err) {
    const vmt_grammar_vocab *v = m->vocab;
    uint32_t *whole = num_words >= v->num_words ? bits : m->whole;
    memset(bits, 0, num_words * sizeof *bits);
    if (whole != bits) memset(whole, 0, v->num_words * sizeof *whole);
    m->parse.work = 0;
    if (!m->is_ended) {
        for (uint32_t i = m->now.begin; i < m->now.end && !m->parse.is_exhausted; i++) {
            vmt_config config = m->parse.configs[i];
            ask(m, &config, whole);
        }
    }
    if (m->parse.is_exhausted) {
        m->parse.is_exhausted = false;
        return vmt_fail(err, VMT_E_EXHAUSTED,
                        "the grammar is too ambiguous here: more than %u parses at once or %u steps for one mask",
                        VMT_MATCHER_CONFIGS_MAX, VMT_MATCHER_WORK_MAX);
    }
    if (m->now.is_complete || m->is_ended) {
        for (uint32_t i = 0; i < v->num_eos_ids; i++) vmt_mask_set(whole, (uint32_t)v->eos_ids[i]);
    }
    if (whole != bits) memcpy(bits, whole, num_words * sizeof *bits);
    return VMT_OK;
}
