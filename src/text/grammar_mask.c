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

/* ---- does a state go on for ever over plain characters? */

/* Where the state's loop comes to after a whole character: states that must be in the loop too. */
struct plain_loop {
    const vmt_automaton *a;
    uint32_t states[PLAIN_STATES];
    uint32_t num_states;
    uint8_t counting; /* of every state of the loop */
    bool is_loop;
};

static void expect_in_loop(struct plain_loop *loop, uint32_t state) {
    if (state == VMT_NO_INDEX || (loop->a->states[state].flags & VMT_STATE_COUNTING) != loop->counting) {
        loop->is_loop = false;
        return;
    }
    for (uint32_t i = 0; i < loop->num_states; i++) {
        if (loop->states[i] == state) return;
    }
    if (loop->num_states == PLAIN_STATES)
        loop->is_loop = false;
    else
        loop->states[loop->num_states++] = state;
}

/* All bytes lo..hi from state, each followed by num_more continuation bytes, must lead into the loop. */
static void expect_chars(struct plain_loop *loop, uint32_t state, uint32_t lo, uint32_t hi, uint32_t num_more) {
    /* Few distinct targets come out of a range: neighbours are mostly the same. */
    uint32_t last = VMT_NO_INDEX;
    for (uint32_t byte = lo; byte <= hi && loop->is_loop; byte++) {
        uint32_t next = vmt_automaton_next(loop->a, state, (uint8_t)byte);
        if (next == VMT_NO_INDEX) loop->is_loop = false;
        if (next == last || !loop->is_loop) continue;
        last = next;
        if (num_more == 0) {
            expect_in_loop(loop, next);
            continue;
        }
        /* A continuation must not count, and must be no end: num_more is at most 3, so this unrolls. */
        uint8_t flags = loop->a->states[next].flags;
        if (flags & (VMT_COUNT_UP | VMT_COUNT_ENOUGH | VMT_STATE_FINAL)) loop->is_loop = false;
        uint32_t level[2] = {next, VMT_NO_INDEX};
        for (uint32_t k = 0; k < num_more && loop->is_loop; k++) {
            bool is_last = k + 1 == num_more;
            uint32_t c_lo = 0x80, c_hi = 0xBF;
            if (k == 0 && byte == 0xE0) c_lo = 0xA0;
            if (k == 0 && byte == 0xED) c_hi = 0x9F;
            if (k == 0 && byte == 0xF0) c_lo = 0x90;
            if (k == 0 && byte == 0xF4) c_hi = 0x8F;
            level[1] = vmt_automaton_next(loop->a, level[0], (uint8_t)c_lo);
            for (uint32_t c = c_lo; c <= c_hi && loop->is_loop; c++) {
                uint32_t to = vmt_automaton_next(loop->a, level[0], (uint8_t)c);
                if (is_last)
                    expect_in_loop(loop, to);
                else if (to != level[1] || to == VMT_NO_INDEX)
                    loop->is_loop = false;
            }
            level[0] = level[1];
        }
    }
}

/* Every plain character leads from every state of the loop back into it, and counts once if there is a counter. */
static bool is_plain_loop(const vmt_automaton *a, uint32_t state) {
    struct plain_loop loop = {.a = a, .is_loop = true};
    if (a->states[state].num_edges == 0) return false;
    uint32_t first = vmt_automaton_next(a, state, 'a');
    if (first == VMT_NO_INDEX) return false;
    loop.counting = a->states[first].flags & VMT_STATE_COUNTING;
    bool is_counted = a->rules[a->rule_of[state]].is_counted;
    if (loop.counting != (is_counted ? VMT_COUNT_UP : 0)) return false;
    expect_in_loop(&loop, first);
    for (uint32_t i = 0; i <= loop.num_states && loop.is_loop; i++) {
        uint32_t s = i == 0 ? state : loop.states[i - 1];
        expect_chars(&loop, s, 0x20, '"' - 1, 0);
        expect_chars(&loop, s, '"' + 1, '\\' - 1, 0);
        expect_chars(&loop, s, '\\' + 1, 0x7F, 0);
        expect_chars(&loop, s, 0xC2, 0xDF, 1);
        expect_chars(&loop, s, 0xE0, 0xE0, 2);
        expect_chars(&loop, s, 0xE1, 0xEC, 2);
        expect_chars(&loop, s, 0xED, 0xED, 2);
        expect_chars(&loop, s, 0xEE, 0xEF, 2);
        expect_chars(&loop, s, 0xF0, 0xF0, 3);
        expect_chars(&loop, s, 0xF1, 0xF3, 3);
        expect_chars(&loop, s, 0xF4, 0xF4, 3);
    }
    return loop.is_loop;
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

/* Walks the nodes [at, end), which lie below a node of depth top, whose frame is m->frames[top].  Tokens whose bytes
 * lead somewhere go into bits.  With exits, they are noted. */
static uint32_t walk(vmt_matcher *m, const vmt_trie *trie, uint32_t at, uint32_t end, uint32_t *bits,
                     bool notes_exits) {
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
        if (node->token_id >= 0) vmt_mask_set_token(m->vocab, bits, node->token_id);
        if (notes_exits && frame->is_exit && node->size > 1) {
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
    const vmt_automaton *a = m->parse.automaton;
    memset(m->bits, 0, v->num_words * sizeof *m->bits);
    m->num_exits = 0;
    vmt_config alone = *config;
    alone.node = VMT_NODE_EXIT;
    vmt_parse_single(&m->parse, &m->now, alone, &m->frames[0]);
    *out = (vmt_mask_answer){.key = *key, .uses_rest = is_plain_loop(a, config->state)};
    const vmt_trie *trie = out->uses_rest ? &v->rest : &v->all;
    /* A token has at most as many characters as bytes, so room at the cap is room for all. */
    if (out->uses_rest) {
        bool is_counted = a->rules[a->rule_of[config->state]].is_counted;
        set_plain(v, m->bits, is_counted ? key->room : VMT_COUNT_FAR);
    }
    uint32_t num_visited = walk(m, trie, 0, trie->num_nodes, m->bits, true);
    out->tokens = m->bits;
    out->num_tokens = v->num_words;
    out->exits = m->exits;
    out->num_exits = m->num_exits;
    if (num_visited < KEEP_NODES || m->parse.is_exhausted) return;

    uint32_t num_tokens = 0;
    for (uint32_t i = 0; i < v->num_words && num_tokens <= VMT_ANSWER_LIST_MAX; i++) {
        num_tokens += (uint32_t)__builtin_popcount(m->bits[i]);
    }
    vmt_mask_answer kept = *out;
    if (num_tokens <= VMT_ANSWER_LIST_MAX) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < v->num_words; i++) {
            for (uint32_t word = m->bits[i]; word != 0; word &= word - 1) {
                m->ids[n++] = i * 32 + (uint32_t)__builtin_ctz(word);
            }
        }
        kept.is_list = true;
        kept.tokens = m->ids;
        kept.num_tokens = n;
    }
    vmt_mask_cache_put(v->cache, &kept);
}

static void add_answer(const vmt_mask_answer *answer, uint32_t *bits) {
    if (!answer->is_list) {
        for (uint32_t i = 0; i < answer->num_tokens; i++) bits[i] |= answer->tokens[i];
        return;
    }
    for (uint32_t i = 0; i < answer->num_tokens; i++) vmt_mask_set(bits, answer->tokens[i]);
}

/* What the callers of the parse's rule make of the tokens that complete it on the way. */
static void follow_exits(vmt_matcher *m, const vmt_config *config, const vmt_mask_answer *answer, uint32_t *bits) {
    if (answer->num_exits == 0) return;
    vmt_parse_frame after;
    vmt_parse_return(&m->parse, &m->now, config->node, &after);
    if (after.end == after.begin) return;
    const vmt_trie *trie = answer->uses_rest ? &m->vocab->rest : &m->vocab->all;
    for (uint32_t i = 0; i < answer->num_exits && !m->parse.is_exhausted; i++) {
        uint32_t at = answer->exits[i];
        m->frames[trie->nodes[at].depth] = after;
        (void)walk(m, trie, at + 1, at + trie->nodes[at].size, bits, false);
    }
}

static void ask(vmt_matcher *m, const vmt_config *config, uint32_t *bits) {
    const vmt_automaton *a = m->parse.automaton;
    if (a->states[config->state].num_edges == 0) return;
    vmt_mask_key key = key_of(a, config);
    vmt_mask_answer found, *kept = vmt_mask_cache_find(m->vocab->cache, &key);
    if (!kept) find_answer(m, config, &key, &found);
    add_answer(kept ? kept : &found, bits);
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
