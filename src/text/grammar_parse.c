#include "text/grammar_parse.h"
#include "base/buf.h"
#include "text/grammar.h"

#include <stdlib.h>

#define CONFIGS_ALL (VMT_MATCHER_CONFIGS_MAX * 64) /* of all frames on the stack */
#define CALLERS_MAX (4 * VMT_MATCHER_STACK_MAX)

bool vmt_parse_init(vmt_parse *parse, const vmt_automaton *automaton) {
    *parse = (vmt_parse){.automaton = automaton, .collect_nodes = 128, .collect_callers = 128};
    bool ok = vmt_array_grow((void **)&parse->configs, &parse->configs_cap, 256, sizeof *parse->configs,
                             CONFIGS_ALL) == VMT_OK &&
              vmt_array_grow((void **)&parse->nodes, &parse->nodes_cap, 256, sizeof *parse->nodes,
                             VMT_MATCHER_STACK_MAX) == VMT_OK &&
              vmt_array_grow((void **)&parse->callers, &parse->callers_cap, 256, sizeof *parse->callers,
                             CALLERS_MAX) == VMT_OK;
    parse->rule_step = calloc(automaton->num_rules, sizeof *parse->rule_step);
    parse->rule_node = calloc(automaton->num_rules, sizeof *parse->rule_node);
    if (ok && parse->rule_step && parse->rule_node) return true;
    vmt_parse_free(parse);
    return false;
}

void vmt_parse_free(vmt_parse *parse) {
    free(parse->configs);
    free(parse->nodes);
    free(parse->callers);
    free(parse->marks);
    free(parse->spare);
    free(parse->rule_step);
    free(parse->rule_node);
    *parse = (vmt_parse){0};
}

/* ---- one step */

static void add_config(vmt_parse *p, uint32_t begin, vmt_config config) {
    uint32_t n = p->num_configs;
    for (uint32_t i = begin; i < n; i++) {
        const vmt_config *c = &p->configs[i];
        if (c->state == config.state && c->node == config.node && c->count == config.count) return;
    }
    p->work += n - begin + 1;
    if (n - begin >= VMT_MATCHER_CONFIGS_MAX ||
        (n == p->configs_cap && vmt_array_grow((void **)&p->configs, &p->configs_cap, (size_t)n + 1,
                                               sizeof *p->configs, CONFIGS_ALL) != VMT_OK)) {
        p->is_exhausted = true;
        return;
    }
    p->configs[p->num_configs++] = config;
}

static void enter(vmt_parse *p, uint32_t begin, uint32_t state, uint32_t count, uint32_t node) {
    if (vmt_count_enter(p->automaton, state, &count)) add_config(p, begin, (vmt_config){state, count, node});
}

static uint32_t add_node(vmt_parse *p) {
    if (vmt_array_grow((void **)&p->nodes, &p->nodes_cap, (size_t)p->num_nodes + 1, sizeof *p->nodes,
                       VMT_MATCHER_STACK_MAX) != VMT_OK) {
        return VMT_NO_INDEX;
    }
    p->nodes[p->num_nodes] = VMT_NO_INDEX;
    return p->num_nodes++;
}

static bool add_caller(vmt_parse *p, uint32_t node, uint32_t state, uint32_t count, uint32_t caller) {
    for (uint32_t i = p->nodes[node]; i != VMT_NO_INDEX; i = p->callers[i].next) {
        const vmt_caller *c = &p->callers[i];
        p->work++;
        if (c->state == state && c->node == caller && c->count == count) return true;
    }
    if (vmt_array_grow((void **)&p->callers, &p->callers_cap, (size_t)p->num_callers + 1, sizeof *p->callers,
                       CALLERS_MAX) != VMT_OK) {
        return false;
    }
    p->callers[p->num_callers] = (vmt_caller){state, count, caller, p->nodes[node]};
    p->nodes[node] = p->num_callers++;
    return true;
}

/* Adds the callers of `from` to node as they are: for calls after which nothing is left to do, so that a list that
 * recurses at its end does not grow the stack. */
static bool add_callers_of(vmt_parse *p, uint32_t node, uint32_t from) {
    for (uint32_t i = p->nodes[from]; i != VMT_NO_INDEX; i = p->callers[i].next) {
        vmt_caller c = p->callers[i];
        if (!add_caller(p, node, c.state, c.count, c.node)) return false;
    }
    return true;
}

static void call(vmt_parse *p, uint32_t begin, uint32_t first_new, const vmt_config *from, vmt_state_call call) {
    const vmt_automaton *a = p->automaton;
    bool is_new = p->rule_step[call.rule] != p->step;
    /* A stack that is full hides the call: the text can't nest deeper. */
    uint32_t node = is_new ? add_node(p) : p->rule_node[call.rule];
    if (node == VMT_NO_INDEX) return;
    if (is_new) {
        p->rule_step[call.rule] = p->step;
        p->rule_node[call.rule] = node;
    }
    bool is_last = (a->states[call.target].flags & VMT_STATE_PURE_END) && from->node < first_new;
    bool ok =
        is_last ? add_callers_of(p, node, from->node) : add_caller(p, node, call.target, from->count, from->node);
    if (!ok) p->is_exhausted = true;
    if (is_new) add_config(p, begin, (vmt_config){a->rules[call.rule].start, UINT32_MAX, node});
}

static void complete(vmt_parse *p, uint32_t begin, uint32_t node, vmt_parse_frame *frame) {
    for (uint32_t i = p->nodes[node]; i != VMT_NO_INDEX; i = p->callers[i].next) {
        vmt_caller c = p->callers[i];
        if (c.state == VMT_CALLER_TEXT)
            frame->is_complete = true;
        else if (c.state == VMT_CALLER_EXIT)
            frame->is_exit = true;
        else
            enter(p, begin, c.state, c.count, c.node);
    }
}

/* Adds what the configs from begin on call and complete, until nothing is new.  Rules that were begun in this very step
 * are not completed: an empty one was stepped over when the grammar was compiled. */
static void close_over(vmt_parse *p, uint32_t begin, vmt_parse_frame *frame) {
    const vmt_automaton *a = p->automaton;
    uint32_t first_new = p->num_nodes;
    p->step++;
    for (uint32_t i = begin; i < p->num_configs; i++) {
        vmt_config config = p->configs[i];
        const vmt_state *state = &a->states[config.state];
        if ((state->flags & VMT_STATE_FINAL) && config.node < first_new) complete(p, begin, config.node, frame);
        for (uint32_t c = 0; c < state->num_calls; c++) {
            call(p, begin, first_new, &config, a->calls[state->first_call + c]);
        }
    }
}

static void begin_frame(vmt_parse *p, const vmt_parse_frame *after, vmt_parse_frame *frame) {
    p->num_configs = after->end;
    p->num_nodes = after->num_nodes;
    p->num_callers = after->num_callers;
    frame->begin = after->end;
    frame->is_complete = frame->is_exit = false;
}

static void end_frame(const vmt_parse *p, vmt_parse_frame *frame) {
    frame->end = p->num_configs;
    frame->num_nodes = p->num_nodes;
    frame->num_callers = p->num_callers;
}

void vmt_parse_begin(vmt_parse *p, vmt_parse_frame *frame) {
    vmt_parse_frame nothing = {.num_nodes = VMT_NUM_NODES, .num_callers = VMT_NUM_NODES};
    p->nodes[VMT_NODE_TEXT] = 0;
    p->nodes[VMT_NODE_EXIT] = 1;
    p->callers[0] = (vmt_caller){.state = VMT_CALLER_TEXT, .next = VMT_NO_INDEX};
    p->callers[1] = (vmt_caller){.state = VMT_CALLER_EXIT, .next = VMT_NO_INDEX};
    p->is_exhausted = false;
    begin_frame(p, &nothing, frame);
    add_config(p, 0, (vmt_config){p->automaton->rules[0].start, UINT32_MAX, VMT_NODE_TEXT});
    close_over(p, 0, frame);
    end_frame(p, frame);
}

void vmt_parse_single(vmt_parse *p, const vmt_parse_frame *after, vmt_config config, vmt_parse_frame *frame) {
    begin_frame(p, after, frame);
    add_config(p, frame->begin, config);
    end_frame(p, frame);
}

void vmt_parse_return(vmt_parse *p, const vmt_parse_frame *after, uint32_t node, vmt_parse_frame *frame) {
    begin_frame(p, after, frame);
    complete(p, frame->begin, node, frame);
    close_over(p, frame->begin, frame);
    end_frame(p, frame);
}

bool vmt_parse_step(vmt_parse *p, const vmt_parse_frame *from, uint8_t byte, vmt_parse_frame *to) {
    const vmt_automaton *a = p->automaton;
    const uint8_t busy = VMT_STATE_FINAL | VMT_STATE_CALLS;
    uint8_t flags = 0;
    begin_frame(p, from, to);
    p->work++;
    for (uint32_t i = from->begin; i < from->end; i++) {
        vmt_config config = p->configs[i];
        uint32_t next = vmt_automaton_next(a, config.state, byte);
        if (next == VMT_NO_INDEX) continue;
        flags |= a->states[next].flags;
        enter(p, to->begin, next, config.count, config.node);
    }
    if (flags & busy) close_over(p, to->begin, to);
    end_frame(p, to);
    return to->end > to->begin || to->is_complete || to->is_exit;
}

/* ---- forgetting */

static bool mark_living(vmt_parse *p, uint32_t num_configs) {
    uint32_t n = p->num_nodes, num_work = 0;
    if (vmt_array_grow((void **)&p->marks, &p->marks_cap, 2 * (size_t)n, sizeof *p->marks,
                       2 * (size_t)VMT_MATCHER_STACK_MAX) != VMT_OK ||
        vmt_array_grow((void **)&p->spare, &p->spare_cap, p->num_callers, sizeof *p->spare, CALLERS_MAX) !=
            VMT_OK) {
        return false;
    }
    uint32_t *work = p->marks + n;
    memset(p->marks, 0, n * sizeof *p->marks);
    for (uint32_t i = 0; i < VMT_NUM_NODES; i++) p->marks[i] = 1;
    for (uint32_t i = 0; i < num_configs; i++) {
        uint32_t node = p->configs[i].node;
        if (!p->marks[node]) work[num_work++] = node;
        p->marks[node] = 1;
    }
    while (num_work > 0) {
        uint32_t node = work[--num_work];
        for (uint32_t c = p->nodes[node]; c != VMT_NO_INDEX; c = p->callers[c].next) {
            uint32_t caller = p->callers[c].node;
            if (p->callers[c].state >= VMT_CALLER_EXIT || p->marks[caller]) continue;
            p->marks[caller] = 1;
            work[num_work++] = caller;
        }
    }
    return true;
}

/* Nodes are numbered in the order they were made, so the living move down one by one; their callers are gathered in the
 * spare list. */
static void collect(vmt_parse *p, uint32_t num_configs) {
    if (!mark_living(p, num_configs)) return;
    uint32_t num_nodes = 0, num_callers = 0, *number = p->marks;
    for (uint32_t i = 0; i < p->num_nodes; i++) number[i] = number[i] ? num_nodes++ : VMT_NO_INDEX;
    for (uint32_t i = 0; i < p->num_nodes; i++) {
        if (number[i] == VMT_NO_INDEX) continue;
        uint32_t first = VMT_NO_INDEX;
        for (uint32_t c = p->nodes[i]; c != VMT_NO_INDEX; c = p->callers[c].next) {
            vmt_caller caller = p->callers[c];
            if (caller.state < VMT_CALLER_EXIT) caller.node = number[caller.node];
            caller.next = first;
            p->spare[num_callers] = caller;
            first = num_callers++;
        }
        p->nodes[number[i]] = first;
    }
    memcpy(p->callers, p->spare, num_callers * sizeof *p->callers);
    for (uint32_t i = 0; i < num_configs; i++) p->configs[i].node = number[p->configs[i].node];
    p->num_nodes = num_nodes;
    p->num_callers = num_callers;
    p->collect_nodes = VMT_MAX(128u, 2 * num_nodes);
    p->collect_callers = VMT_MAX(128u, 2 * num_callers);
}

void vmt_parse_settle(vmt_parse *p, vmt_parse_frame *frame) {
    uint32_t n = frame->end - frame->begin;
    memmove(p->configs, p->configs + frame->begin, n * sizeof *p->configs);
    p->num_configs = n;
    p->num_nodes = frame->num_nodes;
    p->num_callers = frame->num_callers;
    frame->begin = 0;
    if (p->num_nodes > p->collect_nodes || p->num_callers > p->collect_callers) collect(p, n);
    end_frame(p, frame);
}

bool vmt_parse_copy(vmt_parse *to, const vmt_parse *from, const vmt_parse_frame *frame) {
    if (!vmt_parse_init(to, from->automaton)) return false;
    if (vmt_array_grow((void **)&to->configs, &to->configs_cap, frame->end, sizeof *to->configs, CONFIGS_ALL) !=
            VMT_OK ||
        vmt_array_grow((void **)&to->nodes, &to->nodes_cap, frame->num_nodes, sizeof *to->nodes,
                       VMT_MATCHER_STACK_MAX) != VMT_OK ||
        vmt_array_grow((void **)&to->callers, &to->callers_cap, frame->num_callers, sizeof *to->callers,
                       CALLERS_MAX) != VMT_OK) {
        vmt_parse_free(to);
        return false;
    }
    memcpy(to->configs, from->configs, frame->end * sizeof *to->configs);
    memcpy(to->nodes, from->nodes, frame->num_nodes * sizeof *to->nodes);
    memcpy(to->callers, from->callers, frame->num_callers * sizeof *to->callers);
    to->num_configs = frame->end;
    to->num_nodes = frame->num_nodes;
    to->num_callers = frame->num_callers;
    return true;
}
