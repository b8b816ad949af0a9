/* text/grammar_automaton.h: rules made deterministic, and languages of plain bytes.
 *
 * An automaton is a list of states.  Bytes lead to at most one state; calls name a rule and the state to go on in once
 * the rule is complete.  The states of a rule are contiguous, its start first.  Without calls and counters an
 * automaton of one rule is a language: those can be intersected and complemented. */
#ifndef VMT_TEXT_GRAMMAR_AUTOMATON_H
#define VMT_TEXT_GRAMMAR_AUTOMATON_H

#include "base/hash.h"
#include "text/grammar_rules.h"

enum {
    VMT_STATE_FINAL = 8,     /* the rule may end here; the bits below are enum VMT_COUNT_* */
    VMT_STATE_CALLS = 16,    /* there are calls */
    VMT_STATE_PURE_END = 32, /* final, and nothing leads on */
    VMT_STATE_PLAIN = 64,    /* every plain character leads to such a state again, and counts once if they count */
    VMT_STATE_COUNTING = 7,
};

typedef struct vmt_state_edge {
    uint32_t target;
    uint8_t lo, hi; /* disjoint, ascending */
} vmt_state_edge;

typedef struct vmt_state_call {
    uint32_t rule, target;
} vmt_state_call;

typedef struct vmt_state {
    uint32_t first_edge, first_call;
    uint16_t num_edges;
    uint16_t num_calls;
    uint32_t row; /* of rows, or VMT_NO_INDEX: look at the edges */
    uint8_t flags;
} vmt_state;

typedef struct vmt_automaton_rule {
    uint32_t start, num_states;
    bool is_counted;
    uint32_t count_min, count_max;
    vmt_hash128 content; /* equal for rules that mean the same to whoever stays inside them */
} vmt_automaton_rule;

typedef struct vmt_automaton {
    vmt_state *states;
    vmt_state_edge *edges;
    vmt_state_call *calls;
    uint32_t (*rows)[256]; /* targets by byte, for states with many edges */
    vmt_automaton_rule *rules;
    uint32_t *rule_of; /* [num_states] */
    size_t states_cap, edges_cap, calls_cap, rows_cap;
    uint32_t num_states, num_edges, num_calls, num_rows, num_rules;
} vmt_automaton;

void vmt_automaton_free(vmt_automaton *automaton);

/* All rules that root reaches; root becomes rule 0.  VMT_E_INVALID if no text is complete. */
vmt_status vmt_automaton_compile(vmt_automaton *out, vmt_rules *rules, uint32_t root, vmt_err *err);

/* The texts between two states, without calls. */
vmt_status vmt_language_compile(vmt_automaton *out, vmt_rules *rules, vmt_fragment fragment, vmt_err *err);
/* What all parts have, save for the negated ones, which must not.  The first part must not be negated.  states_max
 * bounds the result.  No states at all: nothing is left. */
typedef struct vmt_language_part {
    const vmt_automaton *language;
    bool is_negated;
} vmt_language_part;
vmt_status vmt_language_intersect(vmt_automaton *out, const vmt_language_part *parts, uint32_t num_parts,
                                  vmt_err *err);
bool vmt_language_has(const vmt_automaton *language, vmt_str text);
/* Builds the language into rules, each byte as itself. */
void vmt_language_emit(vmt_rules *rules, uint32_t from, uint32_t to, const vmt_automaton *language);
/* The same inside a JSON string: what must be escaped is escaped. */
void vmt_language_emit_json(vmt_rules *rules, uint32_t from, uint32_t to, const vmt_automaton *language);

/* The state after a byte, or VMT_NO_INDEX. */
static inline uint32_t vmt_automaton_next(const vmt_automaton *a, uint32_t state, uint8_t byte) {
    const vmt_state *s = &a->states[state];
    if (s->row != VMT_NO_INDEX) return a->rows[s->row][byte];
    const vmt_state_edge *edge = &a->edges[s->first_edge], *end = edge + s->num_edges;
    for (; edge < end && edge->lo <= byte; edge++) {
        if (byte <= edge->hi) return edge->target;
    }
    return VMT_NO_INDEX;
}

#endif
