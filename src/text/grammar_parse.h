/* text/grammar_parse.h: all parses of a text at once.
 *
 * A parse is where it stands: a state, the counter of its rule, and a node that knows who called the rule.  A node is
 * one rule begun at one place of the text, with an edge for every caller: the state to go on in, and the caller's node.
 * Parses that begin the same rule at the same place share a node from there on (GLL's graph-structured stack, Scott and
 * Johnstone 2010), so left recursion is an edge from a node to itself, and ambiguity costs no more than its places.
 *
 * A frame is the set of parses after some bytes.  Frames live on one stack: a step reads a frame and writes the next
 * one behind it, and whoever walks a trie drops the frames of the branch he leaves.  Nodes never change once their step
 * is over. */
#ifndef VMT_TEXT_GRAMMAR_PARSE_H
#define VMT_TEXT_GRAMMAR_PARSE_H

#include "text/grammar_automaton.h"

typedef struct vmt_config {
    uint32_t state, count, node;
} vmt_config;

typedef struct vmt_caller {
    uint32_t state; /* or one of the two below */
    uint32_t count, node;
    uint32_t next; /* of the same node, or VMT_NO_INDEX */
} vmt_caller;

#define VMT_CALLER_TEXT UINT32_MAX       /* the whole text is complete */
#define VMT_CALLER_EXIT (UINT32_MAX - 1) /* the rule that someone looks at by itself is complete */
#define VMT_NODE_TEXT   0u
#define VMT_NODE_EXIT   1u
#define VMT_NUM_NODES   2u /* those two are always there */

typedef struct vmt_parse_frame {
    uint32_t begin, end; /* of configs */
    uint32_t num_nodes, num_callers;
    bool is_complete; /* the text may end here */
    bool is_exit;
} vmt_parse_frame;

typedef struct vmt_parse {
    const vmt_automaton *automaton;
    vmt_config *configs;
    uint32_t *nodes; /* first caller */
    vmt_caller *callers;
    size_t configs_cap, nodes_cap, callers_cap;
    uint32_t num_configs, num_nodes, num_callers;
    uint32_t *rule_step, *rule_node; /* [num_rules] the node that a step made for a rule */
    uint32_t step;
    uint32_t collect_nodes, collect_callers; /* forget when there are more than these */
    uint32_t *marks;                         /* scratch of that */
    vmt_caller *spare;
    size_t marks_cap, spare_cap;
    uint64_t work;
    bool is_exhausted; /* a limit was reached or memory ran out: parses were lost */
} vmt_parse;

/* false: no memory. */
VMT_MUST_USE bool vmt_parse_init(vmt_parse *parse, const vmt_automaton *automaton);
void vmt_parse_free(vmt_parse *parse);

/* The beginning of the text, dropping all else. */
void vmt_parse_begin(vmt_parse *parse, vmt_parse_frame *frame);
/* A frame of one parse as it stands, without what it calls or what it completes. */
void vmt_parse_single(vmt_parse *parse, const vmt_parse_frame *after, vmt_config config, vmt_parse_frame *frame);
/* Where the callers of a node go on. */
void vmt_parse_return(vmt_parse *parse, const vmt_parse_frame *after, uint32_t node, vmt_parse_frame *frame);
/* The frame after one more byte; whatever was stacked behind `from` is dropped.  false: no parse is left, and the text
 * is not complete either. */
bool vmt_parse_step(vmt_parse *parse, const vmt_parse_frame *from, uint8_t byte, vmt_parse_frame *to);
/* Moves a frame to the bottom and forgets nodes that no parse can come back to. */
void vmt_parse_settle(vmt_parse *parse, vmt_parse_frame *frame);
/* A parse of its own with the configs of a settled frame.  false: no memory. */
VMT_MUST_USE bool vmt_parse_copy(vmt_parse *to, const vmt_parse *from, const vmt_parse_frame *frame);

/* May the state be entered with this count?  The count becomes what it is inside. */
static inline bool vmt_count_enter(const vmt_automaton *a, uint32_t state, uint32_t *count) {
    uint8_t counting = a->states[state].flags & VMT_STATE_COUNTING;
    if (VMT_LIKELY(counting == 0)) return true;
    const vmt_automaton_rule *rule = &a->rules[a->rule_of[state]];
    if ((counting & VMT_COUNT_UP) && ++*count != 0 && *count > rule->count_max) return false;
    if ((counting & VMT_COUNT_ROOM) && *count >= rule->count_max) return false;
    return (counting & VMT_COUNT_ENOUGH) == 0 || *count >= rule->count_min;
}

#endif
