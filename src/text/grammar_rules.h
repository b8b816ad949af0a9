/* text/grammar_rules.h: rules as they are written: states, and edges that are bytes, nothing, or calls of rules.
 *
 * Every front end builds these; text/grammar_automaton.h makes them deterministic.  Fragments are built inside out: the
 * states of a fragment are the contiguous range that was made since its building began, so that a repeat
 * copies a range.
 *
 * The first failure sticks and later calls do nothing: build everything, then ask vmt_rules_status() once.  State 0
 * always exists and belongs to nobody, so that a failed call may name it. */
#ifndef VMT_TEXT_GRAMMAR_RULES_H
#define VMT_TEXT_GRAMMAR_RULES_H

#include "base/str.h"

#define VMT_NO_INDEX        UINT32_MAX
#define VMT_REPEAT_FOR_EVER UINT32_MAX

typedef enum vmt_edge_kind {
    VMT_EDGE_BYTES,   /* a byte in lo..hi */
    VMT_EDGE_EPSILON, /* nothing */
    VMT_EDGE_CALL,    /* a text of the rule */
    VMT_EDGE_BEGIN,   /* nothing, at the beginning of the text only */
    VMT_EDGE_END,     /* nothing, at the end of the text only */
} vmt_edge_kind;

typedef struct vmt_rule_edge {
    uint32_t target;
    uint32_t next; /* of the same state, or VMT_NO_INDEX */
    uint32_t rule; /* of a call */
    uint8_t kind, lo, hi;
} vmt_rule_edge;

/* What entering a state does with the counter that each call of a counted rule has.  It begins at -1. */
enum {
    VMT_COUNT_UP = 1,    /* adds one; refused when that passes the maximum */
    VMT_COUNT_ROOM = 2,  /* refused unless the count is below the maximum */
    VMT_COUNT_ENOUGH = 4 /* refused below the minimum */
};

typedef struct vmt_rule_state {
    uint32_t first_edge;
    uint8_t counting;
} vmt_rule_state;

typedef struct vmt_rule {
    uint32_t start, end;
    bool is_counted;
    uint32_t count_min, count_max; /* VMT_REPEAT_FOR_EVER: no maximum */
} vmt_rule;

typedef struct vmt_rules {
    vmt_rule_state *states;
    vmt_rule_edge *edges;
    vmt_rule *rules;
    size_t states_cap, edges_cap, rules_cap;
    uint32_t num_states, num_edges, num_rules;
    vmt_status status;
    bool has_borders; /* there are BEGIN or END edges */
} vmt_rules;

typedef struct vmt_fragment {
    uint32_t start, end;
} vmt_fragment;

void vmt_rules_init(vmt_rules *rules);
void vmt_rules_free(vmt_rules *rules);
/* The sticky failure, as an error that names the limit. */
vmt_status vmt_rules_status(const vmt_rules *rules, vmt_err *err);
void vmt_rules_fail(vmt_rules *rules, vmt_status status);

uint32_t vmt_rules_state(vmt_rules *rules);
uint32_t vmt_rules_rule(vmt_rules *rules); /* with fresh start and end states */
void vmt_rules_bytes(vmt_rules *rules, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi);
void vmt_rules_epsilon(vmt_rules *rules, uint32_t from, uint32_t to);
void vmt_rules_border(vmt_rules *rules, uint32_t from, uint32_t to, vmt_edge_kind kind); /* BEGIN or END */
void vmt_rules_call(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t rule);
/* Returns the state after the text. */
uint32_t vmt_rules_literal(vmt_rules *rules, uint32_t from, vmt_str text);
/* One Unicode character lo..hi, as UTF-8.  Surrogates are left out. */
void vmt_rules_chars(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi);

/* fragment is the newest: its states are [first, num_states).  min to max times, max VMT_REPEAT_FOR_EVER for no end. */
vmt_fragment vmt_rules_repeat(vmt_rules *rules, vmt_fragment fragment, uint32_t first, uint32_t min, uint32_t max);

/* Adds an epsilon beside every call of a rule that can be empty, and marks in useful [num_states] the states from which
 * their rule can be completed.  The caller frees *useful. */
vmt_status vmt_rules_analyse(vmt_rules *rules, uint8_t **useful, vmt_err *err);

#endif
