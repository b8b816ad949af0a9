#include "text/grammar_rules.h"
#include "base/buf.h"
#include "text/grammar.h"

#include <stdlib.h>

#define EDGES_MAX (4 * VMT_GRAMMAR_NODES_MAX)

void vmt_rules_init(vmt_rules *rules) {
    *rules = (vmt_rules){0};
    if (vmt_array_grow((void **)&rules->states, &rules->states_cap, 64, sizeof *rules->states,
                       VMT_GRAMMAR_NODES_MAX) != VMT_OK) {
        rules->status = VMT_E_NO_MEMORY;
        return;
    }
    rules->states[rules->num_states++] = (vmt_rule_state){.first_edge = VMT_NO_INDEX};
}

void vmt_rules_free(vmt_rules *rules) {
    free(rules->states);
    free(rules->edges);
    free(rules->rules);
    *rules = (vmt_rules){0};
}

void vmt_rules_fail(vmt_rules *rules, vmt_status status) {
    if (rules->status == VMT_OK) rules->status = status;
}

vmt_status vmt_rules_status(const vmt_rules *rules, vmt_err *err) {
    if (rules->status == VMT_E_NO_MEMORY)
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to compile the grammar");
    if (rules->status == VMT_OK) return VMT_OK;
    return vmt_fail(err, rules->status,
                    "the grammar is too large: more than %u states or %u rules before it is made deterministic",
                    VMT_GRAMMAR_NODES_MAX, VMT_GRAMMAR_RULES_MAX);
}

uint32_t vmt_rules_state(vmt_rules *rules) {
    if (rules->status != VMT_OK) return 0;
    vmt_status status = vmt_array_grow((void **)&rules->states, &rules->states_cap, (size_t)rules->num_states + 1,
                                       sizeof *rules->states, VMT_GRAMMAR_NODES_MAX);
    if (status != VMT_OK) {
        vmt_rules_fail(rules, status);
        return 0;
    }
    rules->states[rules->num_states] = (vmt_rule_state){.first_edge = VMT_NO_INDEX};
    return rules->num_states++;
}

uint32_t vmt_rules_rule(vmt_rules *rules) {
    uint32_t start = vmt_rules_state(rules), end = vmt_rules_state(rules);
    if (rules->status != VMT_OK) return 0;
    vmt_status status = vmt_array_grow((void **)&rules->rules, &rules->rules_cap, (size_t)rules->num_rules + 1,
                                       sizeof *rules->rules, VMT_GRAMMAR_RULES_MAX);
    if (status != VMT_OK) {
        vmt_rules_fail(rules, status);
        return 0;
    }
    rules->rules[rules->num_rules] = (vmt_rule){.start = start, .end = end};
    return rules->num_rules++;
}

static void add_edge(vmt_rules *rules, uint32_t from, vmt_rule_edge edge) {
    if (rules->status != VMT_OK) return;
    vmt_status status = vmt_array_grow((void **)&rules->edges, &rules->edges_cap, (size_t)rules->num_edges + 1,
                                       sizeof *rules->edges, EDGES_MAX);
    if (status != VMT_OK) {
        vmt_rules_fail(rules, status);
        return;
    }
    edge.next = rules->states[from].first_edge;
    rules->edges[rules->num_edges] = edge;
    rules->states[from].first_edge = rules->num_edges++;
}

void vmt_rules_bytes(vmt_rules *rules, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi) {
    VMT_ASSERT(lo <= hi);
    add_edge(rules, from, (vmt_rule_edge){.target = to, .kind = VMT_EDGE_BYTES, .lo = lo, .hi = hi});
}

void vmt_rules_epsilon(vmt_rules *rules, uint32_t from, uint32_t to) {
    if (from != to) add_edge(rules, from, (vmt_rule_edge){.target = to, .kind = VMT_EDGE_EPSILON});
}

void vmt_rules_border(vmt_rules *rules, uint32_t from, uint32_t to, vmt_edge_kind kind) {
    VMT_ASSERT(kind == VMT_EDGE_BEGIN || kind == VMT_EDGE_END);
    rules->has_borders = true;
    add_edge(rules, from, (vmt_rule_edge){.target = to, .kind = (uint8_t)kind});
}

void vmt_rules_call(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t rule) {
    add_edge(rules, from, (vmt_rule_edge){.target = to, .kind = VMT_EDGE_CALL, .rule = rule});
}

uint32_t vmt_rules_literal(vmt_rules *rules, uint32_t from, vmt_str text) {
    for (size_t i = 0; i < text.len && rules->status == VMT_OK; i++) {
        uint32_t to = vmt_rules_state(rules);
        uint8_t byte = (uint8_t)text.ptr[i];
        vmt_rules_bytes(rules, from, to, byte, byte);
        from = to;
    }
    return from;
}

/* ---- characters as UTF-8 */

struct byte_run {
    uint32_t len;
    uint8_t lo[4], hi[4];
};

static uint32_t encode(uint32_t c, uint8_t out[4]) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    uint32_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t leads[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (uint32_t i = len - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(leads[len] | c);
    return len;
}

static void add_run(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi) {
    uint8_t a[4], b[4];
    uint32_t len = encode(lo, a);
    VMT_ASSERT(encode(hi, b) == len);
    for (uint32_t i = 0; i < len; i++) {
        uint32_t next = i + 1 == len ? to : vmt_rules_state(rules);
        vmt_rules_bytes(rules, from, next, a[i], b[i]);
        from = next;
    }
}

/* Splits lo..hi where the length of the encoding changes, and then so that every byte ranges on its own:
 * all bytes after the first one that differs must run from 80 to BF. */
void vmt_rules_chars(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi) {
    static const uint32_t borders[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, 0x10FFFF};
    hi = VMT_MIN(hi, 0x10FFFFu);
    while (lo <= hi && rules->status == VMT_OK) {
        if (lo >= 0xD800 && lo <= 0xDFFF) {
            lo = 0xE000;
            continue;
        }
        uint32_t end = hi, i = 0;
        while (borders[i] < lo) i++;
        end = VMT_MIN(end, borders[i]);
        /* The longest run from lo whose trailing bytes are free: first align the low end, then the high end. */
        for (uint32_t bits = 6; bits <= 18 && lo > 0x7F; bits += 6) {
            uint32_t low = (1u << bits) - 1;
            if ((lo & ~low) == (end & ~low)) break;
            if ((lo & low) != 0) {
                end = lo | low;
                break;
            }
            if ((end & low) != low) {
                end = (end & ~low) - 1;
                break;
            }
        }
        add_run(rules, from, to, lo, end);
        lo = end + 1;
    }
}

/* ---- repeats */

/* A copy of the states [first, last) and their edges; returns what to add to an index. */
static uint32_t copy_range(vmt_rules *rules, uint32_t first, uint32_t last) {
    uint32_t offset = rules->num_states - first;
    for (uint32_t s = first; s < last && rules->status == VMT_OK; s++) {
        uint32_t copy = vmt_rules_state(rules);
        if (rules->status == VMT_OK) rules->states[copy].counting = rules->states[s].counting;
    }
    for (uint32_t s = first; s < last && rules->status == VMT_OK; s++) {
        for (uint32_t e = rules->states[s].first_edge; e != VMT_NO_INDEX; e = rules->edges[e].next) {
            vmt_rule_edge edge = rules->edges[e];
            VMT_ASSERT(edge.target >= first && edge.target < last);
            edge.target += offset;
            add_edge(rules, s + offset, edge);
            if (rules->status != VMT_OK) break;
        }
    }
    return offset;
}

vmt_fragment vmt_rules_repeat(vmt_rules *rules, vmt_fragment fragment, uint32_t first, uint32_t min,
                              uint32_t max) {
    uint32_t last = rules->num_states;
    uint32_t num_copies = max == VMT_REPEAT_FOR_EVER ? VMT_MAX(min, 1u) : max;
    vmt_fragment whole = {vmt_rules_state(rules), vmt_rules_state(rules)};
    uint32_t at = whole.start;
    for (uint32_t i = 0; i < num_copies && rules->status == VMT_OK; i++) {
        /* The copies are made of a fragment that nothing outside points into: the last one takes the original. */
        uint32_t offset = i + 1 < num_copies ? copy_range(rules, first, last) : 0;
        if (i >= min) vmt_rules_epsilon(rules, at, whole.end);
        vmt_rules_epsilon(rules, at, fragment.start + offset);
        at = fragment.end + offset;
        if (max == VMT_REPEAT_FOR_EVER && i + 1 == num_copies) {
            vmt_rules_epsilon(rules, at, fragment.start + offset);
        }
    }
    vmt_rules_epsilon(rules, at, whole.end);
    return whole;
}

/* ---- analysis */

struct analysis {
    vmt_rules *rules;
    uint8_t *reached;        /* [num_states] from the start of its rule without a byte */
    uint8_t *can_be_empty;   /* [num_rules] */
    uint32_t *rule_of_end;   /* [num_states] rule + 1 */
    uint32_t *call_head;     /* [num_rules] first call of a rule */
    uint32_t *call_next;     /* [num_edges] */
    uint32_t *edge_from;     /* [num_edges] */
    uint32_t *in_head;       /* [num_states] first edge that enters a state */
    uint32_t *in_next;       /* [num_edges] */
    uint32_t *rule_of_start; /* [num_states] rule + 1 */
    uint32_t *work;          /* [num_states] */
    uint32_t num_work;
};

static void free_analysis(struct analysis *a) {
    void *all[] = {a->reached,   a->can_be_empty, a->rule_of_end, a->call_head,     a->call_next,
                   a->edge_from, a->in_head,      a->in_next,     a->rule_of_start, a->work};
    for (size_t i = 0; i < VMT_COUNT(all); i++) free(all[i]);
}

static bool init_analysis(struct analysis *a, vmt_rules *rules) {
    size_t s = rules->num_states, e = rules->num_edges + 1, n = rules->num_rules + 1;
    *a = (struct analysis){.rules = rules};
    a->reached = calloc(s, 1);
    a->can_be_empty = calloc(n, 1);
    a->rule_of_end = calloc(s, sizeof(uint32_t));
    a->rule_of_start = calloc(s, sizeof(uint32_t));
    a->call_head = malloc(n * sizeof(uint32_t));
    a->call_next = malloc(e * sizeof(uint32_t));
    a->edge_from = malloc(e * sizeof(uint32_t));
    a->in_head = malloc(s * sizeof(uint32_t));
    a->in_next = malloc(e * sizeof(uint32_t));
    a->work = malloc(s * sizeof(uint32_t));
    if (!a->reached || !a->can_be_empty || !a->rule_of_end || !a->rule_of_start || !a->call_head ||
        !a->call_next || !a->edge_from || !a->in_head || !a->in_next || !a->work) {
        return false;
    }
    memset(a->call_head, 0xFF, n * sizeof(uint32_t));
    memset(a->in_head, 0xFF, s * sizeof(uint32_t));
    for (uint32_t i = 0; i < rules->num_states; i++) {
        for (uint32_t k = rules->states[i].first_edge; k != VMT_NO_INDEX; k = rules->edges[k].next) {
            const vmt_rule_edge *edge = &rules->edges[k];
            a->edge_from[k] = i;
            a->in_next[k] = a->in_head[edge->target];
            a->in_head[edge->target] = k;
            if (edge->kind != VMT_EDGE_CALL) continue;
            a->call_next[k] = a->call_head[edge->rule];
            a->call_head[edge->rule] = k;
        }
    }
    for (uint32_t i = 0; i < rules->num_rules; i++) {
        a->rule_of_start[rules->rules[i].start] = i + 1;
        a->rule_of_end[rules->rules[i].end] = i + 1;
    }
    return true;
}

static void push_work(struct analysis *a, uint8_t *marks, uint32_t state) {
    if (marks[state]) return;
    marks[state] = 1;
    a->work[a->num_work++] = state;
}

/* A rule can be empty when its end is reached from its start over epsilons and calls of such rules. */
static void find_empty_rules(struct analysis *a) {
    vmt_rules *rules = a->rules;
    for (uint32_t i = 0; i < rules->num_rules; i++) push_work(a, a->reached, rules->rules[i].start);
    while (a->num_work > 0) {
        uint32_t state = a->work[--a->num_work];
        for (uint32_t e = rules->states[state].first_edge; e != VMT_NO_INDEX; e = rules->edges[e].next) {
            const vmt_rule_edge *edge = &rules->edges[e];
            bool is_free =
                edge->kind == VMT_EDGE_EPSILON || (edge->kind == VMT_EDGE_CALL && a->can_be_empty[edge->rule]);
            if (is_free) push_work(a, a->reached, edge->target);
        }
        uint32_t rule = a->rule_of_end[state];
        if (rule == 0) continue;
        a->can_be_empty[rule - 1] = 1;
        for (uint32_t e = a->call_head[rule - 1]; e != VMT_NO_INDEX; e = a->call_next[e]) {
            if (a->reached[a->edge_from[e]]) push_work(a, a->reached, rules->edges[e].target);
        }
    }
}

/* Backwards from the ends; a call leads on only if the rule it calls can be completed. */
static void find_useful_states(struct analysis *a, uint8_t *useful) {
    vmt_rules *rules = a->rules;
    for (uint32_t i = 0; i < rules->num_rules; i++) push_work(a, useful, rules->rules[i].end);
    while (a->num_work > 0) {
        uint32_t state = a->work[--a->num_work];
        for (uint32_t e = a->in_head[state]; e != VMT_NO_INDEX; e = a->in_next[e]) {
            const vmt_rule_edge *edge = &rules->edges[e];
            if (edge->kind != VMT_EDGE_CALL || useful[rules->rules[edge->rule].start]) {
                push_work(a, useful, a->edge_from[e]);
            }
        }
        uint32_t rule = a->rule_of_start[state];
        if (rule == 0) continue;
        for (uint32_t e = a->call_head[rule - 1]; e != VMT_NO_INDEX; e = a->call_next[e]) {
            if (useful[rules->edges[e].target]) push_work(a, useful, a->edge_from[e]);
        }
    }
}

vmt_status vmt_rules_analyse(vmt_rules *rules, uint8_t **useful, vmt_err *err) {
    *useful = NULL;
    VMT_TRY(vmt_rules_status(rules, err));
    struct analysis a;
    uint8_t *marks = calloc(rules->num_states, 1);
    if (!marks || !init_analysis(&a, rules)) {
        if (marks) free_analysis(&a);
        free(marks);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to compile the grammar");
    }
    find_empty_rules(&a);
    find_useful_states(&a, marks);
    uint32_t num_edges = rules->num_edges;
    for (uint32_t e = 0; e < num_edges; e++) {
        vmt_rule_edge edge = rules->edges[e];
        if (edge.kind == VMT_EDGE_CALL && a.can_be_empty[edge.rule]) {
            vmt_rules_epsilon(rules, a.edge_from[e], edge.target);
        }
    }
    free_analysis(&a);
    if (rules->status != VMT_OK) {
        free(marks);
        return vmt_rules_status(rules, err);
    }
    *useful = marks;
    return VMT_OK;
}
