/* Subset construction.  A subset keeps only the states that matter: those with bytes, calls or an END edge, and the end
 * of the rule; epsilons are followed on the way in. */
#include "text/grammar_automaton.h"
#include "base/buf.h"
#include "text/grammar.h"

#include <pthread.h>
#include <stdlib.h>

#define POOL_MAX  (1u << 23) /* members of all subsets: what exploding regexes run into first */
#define ROW_EDGES 4u         /* states with more edges get a row */
#define ROWS_MAX  16384u     /* 16 MiB of rows; the rest search their edges */
#define CALLS_MAX (1u << 20)
#define WORK_MAX  (1u << 27) /* visits of edges, all subsets together */

struct subset {
    uint32_t begin, len; /* in pool */
    uint32_t hash;
    uint8_t counting;
};

/* Where the states of one subset lead: sorted by lo. */
struct move {
    uint8_t lo, hi;
    uint32_t target;
};

struct builder {
    vmt_rules *rules;
    vmt_automaton *out;
    const uint8_t *useful;    /* NULL: all */
    const uint32_t *new_rule; /* rule number in out by that in rules */
    uint32_t end;             /* of the rule at hand */
    uint32_t first;           /* its first state in out */

    struct subset *subsets; /* [num_states] */
    size_t subsets_cap;
    uint32_t *pool;
    size_t pool_cap;
    uint32_t pool_len;
    uint32_t *table; /* state + 1; entries of earlier rules count as free */
    uint32_t table_mask;

    uint32_t *marks, stamp; /* [rules->num_states] */
    uint32_t *stack, *members;
    uint32_t num_members;
    uint32_t *kernel;
    size_t kernel_cap;
    struct move *moves;
    size_t moves_cap;
    vmt_state_call *calls;
    size_t calls_cap;
    uint64_t work;
};

static vmt_status too_large(vmt_err *err) {
    return vmt_fail(err, VMT_E_EXHAUSTED, "the grammar needs more than %u automaton states, or too many at once",
                    VMT_GRAMMAR_STATES_MAX);
}

static vmt_status no_memory(vmt_err *err) {
    return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to compile the grammar");
}

static vmt_status grow(void **array, size_t *cap, size_t need, size_t elem_bytes, size_t max, vmt_err *err) {
    vmt_status status = vmt_array_grow(array, cap, need, elem_bytes, max);
    if (status == VMT_E_EXHAUSTED) return too_large(err);
    return status == VMT_OK ? VMT_OK : no_memory(err);
}

void vmt_automaton_free(vmt_automaton *a) {
    free(a->states);
    free(a->edges);
    free(a->calls);
    free(a->rows);
    free(a->rules);
    free(a->rule_of);
    *a = (vmt_automaton){0};
}

static void free_builder(struct builder *b) {
    void *all[] = {b->subsets, b->pool, b->table, b->marks, b->stack, b->members, b->kernel, b->moves, b->calls};
    for (size_t i = 0; i < VMT_COUNT(all); i++) free(all[i]);
}

static vmt_status init_builder(struct builder *b, vmt_rules *rules, vmt_automaton *out, vmt_err *err) {
    *b = (struct builder){.rules = rules, .out = out};
    size_t n = rules->num_states;
    b->marks = calloc(n, sizeof *b->marks);
    b->stack = malloc(n * sizeof *b->stack);
    b->members = malloc(n * sizeof *b->members);
    b->table_mask = 1023;
    b->table = calloc(b->table_mask + 1, sizeof *b->table);
    return b->marks && b->stack && b->members && b->table ? VMT_OK : no_memory(err);
}

/* ---- closures */

static bool matters(const struct builder *b, uint32_t state) {
    if (state == b->end) return true;
    const vmt_rules *rules = b->rules;
    for (uint32_t e = rules->states[state].first_edge; e != VMT_NO_INDEX; e = rules->edges[e].next) {
        uint8_t kind = rules->edges[e].kind;
        if (kind == VMT_EDGE_BYTES || kind == VMT_EDGE_CALL || kind == VMT_EDGE_END) return true;
    }
    return false;
}

static void visit(struct builder *b, uint32_t *num_stack, uint32_t state) {
    if (b->marks[state] == b->stamp || (b->useful && !b->useful[state])) return;
    b->marks[state] = b->stamp;
    b->stack[(*num_stack)++] = state;
}

/* members: what kernel [num_kernel] reaches over epsilons and the borders that are open.  Returns whether the end is
 * among what was seen. */
static bool close_over(struct builder *b, const uint32_t *kernel, uint32_t num_kernel, bool at_begin,
                       bool at_end) {
    const vmt_rules *rules = b->rules;
    uint32_t num_stack = 0;
    bool sees_end = false;
    b->stamp++;
    b->num_members = 0;
    for (uint32_t i = 0; i < num_kernel; i++) visit(b, &num_stack, kernel[i]);
    while (num_stack > 0) {
        uint32_t state = b->stack[--num_stack];
        sees_end = sees_end || state == b->end;
        if (matters(b, state)) b->members[b->num_members++] = state;
        for (uint32_t e = rules->states[state].first_edge; e != VMT_NO_INDEX; e = rules->edges[e].next) {
            const vmt_rule_edge *edge = &rules->edges[e];
            bool is_open = edge->kind == VMT_EDGE_EPSILON || (edge->kind == VMT_EDGE_BEGIN && at_begin) ||
                           (edge->kind == VMT_EDGE_END && at_end);
            if (is_open) visit(b, &num_stack, edge->target);
            b->work++;
        }
    }
    return sees_end;
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_members(uint32_t *m, uint32_t n) {
    if (n > 24) {
        qsort(m, n, sizeof *m, compare_u32);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        uint32_t x = m[i], k = i;
        for (; k > 0 && m[k - 1] > x; k--) m[k] = m[k - 1];
        m[k] = x;
    }
}

static vmt_status rehash(struct builder *b, vmt_err *err) {
    uint32_t mask = b->table_mask * 2 + 1;
    uint32_t *table = calloc((size_t)mask + 1, sizeof *table);
    if (!table) return no_memory(err);
    for (uint32_t s = b->first; s < b->out->num_states; s++) {
        uint32_t i = b->subsets[s].hash & mask;
        while (table[i] != 0) i = (i + 1) & mask;
        table[i] = s + 1;
    }
    free(b->table);
    b->table = table;
    b->table_mask = mask;
    return VMT_OK;
}

static vmt_status add_state(struct builder *b, uint32_t hash, uint8_t counting, bool is_final, vmt_err *err) {
    vmt_automaton *out = b->out;
    uint32_t n = b->num_members;
    VMT_TRY(grow((void **)&out->states, &out->states_cap, (size_t)out->num_states + 1, sizeof *out->states,
                 VMT_GRAMMAR_STATES_MAX, err));
    VMT_TRY(grow((void **)&b->subsets, &b->subsets_cap, (size_t)out->num_states + 1, sizeof *b->subsets,
                 VMT_GRAMMAR_STATES_MAX, err));
    VMT_TRY(grow((void **)&b->pool, &b->pool_cap, (size_t)b->pool_len + n, sizeof *b->pool, POOL_MAX, err));
    memcpy(b->pool + b->pool_len, b->members, n * sizeof *b->pool);
    b->subsets[out->num_states] =
        (struct subset){.begin = b->pool_len, .len = n, .hash = hash, .counting = counting};
    b->pool_len += n;
    out->states[out->num_states++] =
        (vmt_state){.flags = (uint8_t)(counting | (is_final ? VMT_STATE_FINAL : 0)), .row = VMT_NO_INDEX};
    return VMT_OK;
}

/* The state for a kernel, new or known; VMT_NO_INDEX when nothing useful is in it. */
static vmt_status intern(struct builder *b, const uint32_t *kernel, uint32_t num_kernel, bool at_begin,
                         uint32_t *state, vmt_err *err) {
    uint8_t counting = 0, num_kinds = 0;
    for (uint32_t i = 0; i < num_kernel; i++) {
        uint8_t c = b->rules->states[kernel[i]].counting;
        if (b->useful && !b->useful[kernel[i]]) continue;
        if (num_kinds == 0 || c != counting) num_kinds++;
        counting = c;
    }
    if (num_kinds > 1) return vmt_fail(err, VMT_E_INTERNAL, "a counter of the grammar is ambiguous");
    bool is_final = close_over(b, kernel, num_kernel, at_begin, false);
    if (b->rules->has_borders && !is_final) {
        is_final = close_over(b, kernel, num_kernel, at_begin, true);
        (void)close_over(b, kernel, num_kernel, at_begin, false);
    }
    *state = VMT_NO_INDEX;
    if (b->num_members == 0 && !is_final) return VMT_OK;
    sort_members(b->members, b->num_members);
    uint64_t h64 = vmt_hash_fast(b->members, b->num_members * sizeof *b->members) + counting;
    uint32_t hash = (uint32_t)(h64 ^ h64 >> 32);
    uint32_t i = hash & b->table_mask;
    for (; b->table[i] > b->first; i = (i + 1) & b->table_mask) {
        const struct subset *s = &b->subsets[b->table[i] - 1];
        if (s->hash != hash || s->len != b->num_members || s->counting != counting) continue;
        if (((b->out->states[b->table[i] - 1].flags & VMT_STATE_FINAL) != 0) != is_final) continue;
        if (memcmp(b->pool + s->begin, b->members, s->len * sizeof *b->pool) != 0) continue;
        *state = b->table[i] - 1;
        return VMT_OK;
    }
    *state = b->out->num_states;
    VMT_TRY(add_state(b, hash, counting, is_final, err));
    b->table[i] = *state + 1;
    if ((b->out->num_states - b->first) * 2 > b->table_mask) return rehash(b, err);
    return VMT_OK;
}

/* ---- edges */

static int compare_moves(const void *a, const void *b) {
    const struct move *x = a, *y = b;
    return x->lo != y->lo ? (int)x->lo - (int)y->lo : (int)x->hi - (int)y->hi;
}

static int compare_calls(const void *a, const void *b) {
    const vmt_state_call *x = a, *y = b;
    return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* Gathers what leads out of a state's subset. */
static vmt_status gather(struct builder *b, uint32_t state, uint32_t *num_moves, uint32_t *num_calls,
                         vmt_err *err) {
    const vmt_rules *rules = b->rules;
    *num_moves = *num_calls = 0;
    struct subset s = b->subsets[state];
    for (uint32_t i = 0; i < s.len; i++) {
        uint32_t from = b->pool[s.begin + i];
        for (uint32_t e = rules->states[from].first_edge; e != VMT_NO_INDEX; e = rules->edges[e].next) {
            const vmt_rule_edge *edge = &rules->edges[e];
            b->work++;
            if (b->useful && !b->useful[edge->target]) continue;
            if (edge->kind == VMT_EDGE_BYTES) {
                VMT_TRY(grow((void **)&b->moves, &b->moves_cap, (size_t)*num_moves + 1, sizeof *b->moves, POOL_MAX,
                             err));
                b->moves[(*num_moves)++] = (struct move){edge->lo, edge->hi, edge->target};
            } else if (edge->kind == VMT_EDGE_CALL) {
                if (b->useful && !b->useful[rules->rules[edge->rule].start]) continue;
                VMT_TRY(grow((void **)&b->calls, &b->calls_cap, (size_t)*num_calls + 1, sizeof *b->calls, POOL_MAX,
                             err));
                b->calls[(*num_calls)++] = (vmt_state_call){b->new_rule[edge->rule], edge->target};
            }
        }
    }
    if (b->work > WORK_MAX) return too_large(err);
    return grow((void **)&b->kernel, &b->kernel_cap, VMT_MAX(*num_moves, *num_calls), sizeof *b->kernel, POOL_MAX,
                err);
}

static vmt_status add_edge(struct builder *b, uint32_t state, uint32_t lo, uint32_t hi, uint32_t target,
                           vmt_err *err) {
    vmt_automaton *out = b->out;
    vmt_state *s = &out->states[state];
    if (s->num_edges > 0) {
        vmt_state_edge *last = &out->edges[out->num_edges - 1];
        if (last->target == target && last->hi + 1u == lo) {
            last->hi = (uint8_t)hi;
            return VMT_OK;
        }
    }
    VMT_TRY(grow((void **)&out->edges, &out->edges_cap, (size_t)out->num_edges + 1, sizeof *out->edges, POOL_MAX,
                 err));
    out->edges[out->num_edges++] = (vmt_state_edge){target, (uint8_t)lo, (uint8_t)hi};
    s->num_edges++;
    return VMT_OK;
}

/* Cuts the moves into ranges over which the same ones apply; they are sorted by lo. */
static vmt_status add_edges(struct builder *b, uint32_t state, uint32_t num_moves, vmt_err *err) {
    b->out->states[state].first_edge = b->out->num_edges;
    if (num_moves > 1) qsort(b->moves, num_moves, sizeof *b->moves, compare_moves);
    uint32_t at = 0, first = 0;
    while (first < num_moves) {
        /* Moves before first have ended; those that hold `at` decide where the range ends. */
        while (first < num_moves && b->moves[first].hi < at) first++;
        if (first == num_moves) break;
        if (b->moves[first].lo > at) at = b->moves[first].lo;
        uint32_t end = 255, num_kernel = 0;
        for (uint32_t i = first; i < num_moves; i++) {
            const struct move *m = &b->moves[i];
            b->work++;
            if (m->lo > at) {
                end = VMT_MIN(end, m->lo - 1u);
                break;
            }
            if (m->hi < at) continue;
            end = VMT_MIN(end, m->hi);
            b->kernel[num_kernel++] = m->target;
        }
        if (num_kernel > 0) {
            uint32_t target;
            VMT_TRY(intern(b, b->kernel, num_kernel, false, &target, err));
            if (target != VMT_NO_INDEX) VMT_TRY(add_edge(b, state, at, end, target, err));
        }
        if (end == 255) break;
        at = end + 1;
    }
    return VMT_OK;
}

static vmt_status add_calls(struct builder *b, uint32_t state, uint32_t num_calls, vmt_err *err) {
    vmt_automaton *out = b->out;
    out->states[state].first_call = out->num_calls;
    if (num_calls > 1) qsort(b->calls, num_calls, sizeof *b->calls, compare_calls);
    for (uint32_t i = 0; i < num_calls;) {
        uint32_t rule = b->calls[i].rule, num_kernel = 0, target;
        for (; i < num_calls && b->calls[i].rule == rule; i++) b->kernel[num_kernel++] = b->calls[i].target;
        VMT_TRY(intern(b, b->kernel, num_kernel, false, &target, err));
        if (target == VMT_NO_INDEX) continue;
        VMT_TRY(grow((void **)&out->calls, &out->calls_cap, (size_t)out->num_calls + 1, sizeof *out->calls,
                     CALLS_MAX, err));
        out->calls[out->num_calls++] = (vmt_state_call){rule, target};
        if (out->states[state].num_calls == UINT16_MAX) return too_large(err);
        out->states[state].num_calls++;
    }
    return VMT_OK;
}

/* Adds the states of one rule; the first one is its start. */
static vmt_status build_rule(struct builder *b, vmt_fragment fragment, vmt_err *err) {
    b->first = b->out->num_states;
    b->end = fragment.end;
    uint32_t start;
    VMT_TRY(intern(b, &fragment.start, 1, true, &start, err));
    if (start == VMT_NO_INDEX) return VMT_OK;
    for (uint32_t s = b->first; s < b->out->num_states; s++) {
        uint32_t num_moves, num_calls;
        VMT_TRY(gather(b, s, &num_moves, &num_calls, err));
        VMT_TRY(add_edges(b, s, num_moves, err));
        VMT_TRY(add_calls(b, s, num_calls, err));
        vmt_state *state = &b->out->states[s];
        if (state->num_calls > 0) state->flags |= VMT_STATE_CALLS;
        if ((state->flags & VMT_STATE_FINAL) && state->num_calls == 0 && state->num_edges == 0 &&
            (state->flags & VMT_STATE_COUNTING) == 0) {
            state->flags |= VMT_STATE_PURE_END;
        }
    }
    b->pool_len = 0;
    return VMT_OK;
}

static vmt_status add_rows(vmt_automaton *a, vmt_err *err) {
    uint32_t num_rows = 0;
    for (uint32_t s = 0; s < a->num_states; s++) {
        if (a->states[s].num_edges > ROW_EDGES && num_rows < ROWS_MAX) a->states[s].row = num_rows++;
    }
    a->rows = malloc((size_t)VMT_MAX(num_rows, 1u) * sizeof *a->rows);
    if (!a->rows) return no_memory(err);
    a->num_rows = num_rows;
    for (uint32_t s = 0; s < a->num_states; s++) {
        const vmt_state *state = &a->states[s];
        if (state->row == VMT_NO_INDEX) continue;
        uint32_t *row = a->rows[state->row];
        memset(row, 0xFF, sizeof a->rows[0]);
        for (uint32_t e = 0; e < state->num_edges; e++) {
            vmt_state_edge edge = a->edges[state->first_edge + e];
            for (uint32_t byte = edge.lo; byte <= edge.hi; byte++) row[byte] = edge.target;
        }
    }
    return VMT_OK;
}

/* ---- loops over plain characters
 *
 * Plain are all characters that stand for themselves in a JSON string: no quote, backslash or control character. */

/* The edges of a state over lo..hi, or false if they leave gaps. */
static bool edges_cover(const vmt_automaton *a, uint32_t state, uint32_t lo, uint32_t hi, uint32_t *first,
                        uint32_t *last) {
    const vmt_state *s = &a->states[state];
    uint32_t e = s->first_edge, end = e + s->num_edges;
    while (e < end && a->edges[e].hi < lo) e++;
    *first = e;
    for (uint32_t at = lo; e < end && a->edges[e].lo <= at; e++) {
        at = a->edges[e].hi + 1u;
        if (at <= hi) continue;
        *last = e;
        return true;
    }
    return false;
}

static bool is_plain_target(const vmt_automaton *a, uint32_t state, uint8_t counting) {
    uint8_t flags = a->states[state].flags;
    return (flags & VMT_STATE_PLAIN) && (flags & VMT_STATE_COUNTING) == counting;
}

/* Bytes lo..hi and then num_more continuation bytes all lead to plain states. */
static bool leads_to_plain(const vmt_automaton *a, uint32_t state, uint32_t lo, uint32_t hi, uint32_t num_more,
                           uint8_t counting) {
    const uint8_t busy = VMT_COUNT_UP | VMT_COUNT_ENOUGH | VMT_STATE_FINAL;
    uint32_t first[4], last[4], depth = 0;
    if (!edges_cover(a, state, lo, hi, &first[0], &last[0])) return false;
    for (;;) { /* a walk over the edges, at most four deep */
        if (first[depth] > last[depth]) {
            if (depth-- == 0) return true;
            first[depth]++;
            continue;
        }
        vmt_state_edge edge = a->edges[first[depth]];
        if (depth == num_more) {
            if (!is_plain_target(a, edge.target, counting)) return false;
            first[depth]++;
            continue;
        }
        /* The second byte of a character has a range of its own after four of the first bytes. */
        uint32_t next_lo = 0x80, next_hi = 0xBF;
        if (depth == 0 && lo == 0xE0) next_lo = 0xA0;
        if (depth == 0 && lo == 0xED) next_hi = 0x9F;
        if (depth == 0 && lo == 0xF0) next_lo = 0x90;
        if (depth == 0 && lo == 0xF4) next_hi = 0x8F;
        if (a->states[edge.target].flags & busy) return false;
        depth++;
        if (!edges_cover(a, edge.target, next_lo, next_hi, &first[depth], &last[depth])) return false;
    }
}

static bool is_plain_state(const vmt_automaton *a, uint32_t state) {
    static const struct {
        uint8_t lo, hi, num_more;
    } chars[] = {
        {0x20, '"' - 1, 0}, {'"' + 1, '\\' - 1, 0}, {'\\' + 1, 0x7F, 0}, {0xC2, 0xDF, 1},
        {0xE0, 0xE0, 2},    {0xE1, 0xEC, 2},        {0xED, 0xED, 2},     {0xEE, 0xEF, 2},
        {0xF0, 0xF0, 3},    {0xF1, 0xF3, 3},        {0xF4, 0xF4, 3},
    };
    uint8_t counting = a->rules[a->rule_of[state]].is_counted ? VMT_COUNT_UP : 0;
    for (size_t i = 0; i < VMT_COUNT(chars); i++) {
        if (!leads_to_plain(a, state, chars[i].lo, chars[i].hi, chars[i].num_more, counting)) return false;
    }
    return true;
}

/* The greatest set: all states that have the characters at all, less those that lead out of it, until none does. */
static void mark_plain_states(vmt_automaton *a) {
    uint32_t first, last;
    for (uint32_t s = 0; s < a->num_states; s++) {
        bool may_be = edges_cover(a, s, 0x20, '"' - 1, &first, &last) &&
                      edges_cover(a, s, '#', '[', &first, &last) && edges_cover(a, s, 0xC2, 0xF4, &first, &last);
        if (may_be) a->states[s].flags |= VMT_STATE_PLAIN;
    }
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (uint32_t s = a->num_states; s-- > 0;) {
            if ((a->states[s].flags & VMT_STATE_PLAIN) == 0 || is_plain_state(a, s)) continue;
            a->states[s].flags &= (uint8_t)~VMT_STATE_PLAIN;
            has_changed = true;
        }
    }
}

/* ---- contents */

static vmt_hash_key content_key;
static pthread_once_t content_key_once = PTHREAD_ONCE_INIT;

static void make_content_key(void) {
    content_key = vmt_hash_key_random();
}

static void put_u32(vmt_buf *buf, uint32_t value) {
    vmt_buf_append(buf, (vmt_str){(const char *)&value, sizeof value});
}

static void describe_rule(const vmt_automaton *a, const vmt_automaton_rule *rule, vmt_buf *buf, bool *has_calls) {
    put_u32(buf, rule->num_states);
    put_u32(buf, rule->is_counted); /* the bounds are part of the question, not of the answer's key */
    for (uint32_t i = 0; i < rule->num_states; i++) {
        const vmt_state *s = &a->states[rule->start + i];
        put_u32(buf, (uint32_t)s->flags << 16 | s->num_edges);
        put_u32(buf, s->num_calls);
        for (uint32_t e = 0; e < s->num_edges; e++) {
            vmt_state_edge edge = a->edges[s->first_edge + e];
            put_u32(buf, (uint32_t)edge.lo << 8 | edge.hi);
            put_u32(buf, edge.target - rule->start);
        }
        for (uint32_t c = 0; c < s->num_calls; c++) {
            put_u32(buf, a->calls[s->first_call + c].rule);
            put_u32(buf, a->calls[s->first_call + c].target - rule->start);
            *has_calls = true;
        }
    }
}

/* A rule without calls is known by its own automaton, any other by that and the whole grammar. */
static vmt_status hash_contents(vmt_automaton *a, vmt_err *err) {
    VMT_ASSERT(pthread_once(&content_key_once, make_content_key) == 0);
    vmt_buf buf, whole;
    vmt_buf_init(&buf, 0);
    vmt_buf_init(&whole, 0);
    for (uint32_t r = 0; r < a->num_rules; r++) {
        vmt_automaton_rule *rule = &a->rules[r];
        bool has_calls = false;
        vmt_buf_clear(&buf);
        describe_rule(a, rule, &buf, &has_calls);
        rule->content = vmt_siphash128(content_key, buf.ptr, buf.len);
        put_u32(&whole, rule->count_min);
        put_u32(&whole, rule->count_max);
        vmt_buf_append(&whole, (vmt_str){(const char *)&rule->content, sizeof rule->content});
        if (has_calls)
            rule->content.lo |= 1; /* marked, and made whole below */
        else
            rule->content.lo &= ~(uint64_t)1;
    }
    for (uint32_t r = 0; r < a->num_rules; r++) {
        if ((a->rules[r].content.lo & 1) == 0) continue;
        size_t len = whole.len;
        put_u32(&whole, r);
        a->rules[r].content = vmt_siphash128(content_key, whole.ptr, whole.len);
        if (!whole.failed) whole.len = len;
    }
    bool failed = buf.failed || whole.failed;
    vmt_buf_free(&buf);
    vmt_buf_free(&whole);
    return failed ? no_memory(err) : VMT_OK;
}

/* ---- whole grammars and languages */

/* The rules that root reaches through useful states, root first. */
static uint32_t number_rules(const vmt_rules *rules, const uint8_t *useful, uint32_t root, uint32_t *new_rule,
                             uint32_t *order, uint32_t *stack, uint32_t *marks) {
    uint32_t num_rules = 0;
    memset(new_rule, 0xFF, rules->num_rules * sizeof *new_rule);
    new_rule[root] = num_rules;
    order[num_rules++] = root;
    for (uint32_t r = 0; r < num_rules; r++) {
        uint32_t num_stack = 0, start = rules->rules[order[r]].start;
        if (!marks[start] && useful[start]) stack[num_stack++] = start;
        marks[start] = 1;
        while (num_stack > 0) {
            uint32_t state = stack[--num_stack];
            for (uint32_t e = rules->states[state].first_edge; e != VMT_NO_INDEX; e = rules->edges[e].next) {
                const vmt_rule_edge *edge = &rules->edges[e];
                if (!useful[edge->target]) continue;
                if (edge->kind == VMT_EDGE_CALL) {
                    if (!useful[rules->rules[edge->rule].start]) continue;
                    if (new_rule[edge->rule] == VMT_NO_INDEX) {
                        new_rule[edge->rule] = num_rules;
                        order[num_rules++] = edge->rule;
                    }
                }
                if (marks[edge->target]) continue;
                marks[edge->target] = 1;
                stack[num_stack++] = edge->target;
            }
        }
    }
    return num_rules;
}

static vmt_status build_rules(struct builder *b, uint32_t root, vmt_err *err) {
    vmt_rules *rules = b->rules;
    vmt_automaton *out = b->out;
    uint32_t *new_rule = malloc(2 * (size_t)rules->num_rules * sizeof *new_rule);
    if (!new_rule) return no_memory(err);
    uint32_t *order = new_rule + rules->num_rules;
    out->num_rules = number_rules(rules, b->useful, root, new_rule, order, b->stack, b->marks);
    b->stamp = 1;
    b->new_rule = new_rule;
    out->rules = calloc(out->num_rules, sizeof *out->rules);
    vmt_status status = out->rules ? VMT_OK : no_memory(err);
    for (uint32_t r = 0; r < out->num_rules && status == VMT_OK; r++) {
        const vmt_rule *rule = &rules->rules[order[r]];
        uint32_t start = out->num_states;
        status = build_rule(b, (vmt_fragment){rule->start, rule->end}, err);
        out->rules[r] = (vmt_automaton_rule){
            .start = start,
            .num_states = out->num_states - start,
            .is_counted = rule->is_counted,
            .count_min = rule->count_min,
            .count_max = rule->count_max,
        };
    }
    free(new_rule);
    return status;
}

vmt_status vmt_automaton_compile(vmt_automaton *out, vmt_rules *rules, uint32_t root, vmt_err *err) {
    *out = (vmt_automaton){0};
    uint8_t *useful;
    VMT_TRY(vmt_rules_analyse(rules, &useful, err));
    if (!useful[rules->rules[root].start]) {
        free(useful);
        return vmt_fail(err, VMT_E_INVALID, "the grammar allows no text at all: its rules contradict each other");
    }
    struct builder b;
    vmt_status status = init_builder(&b, rules, out, err);
    b.useful = useful;
    if (status == VMT_OK) status = build_rules(&b, root, err);
    free_builder(&b);
    free(useful);
    if (status == VMT_OK) status = add_rows(out, err);
    if (status == VMT_OK) status = hash_contents(out, err);
    if (status == VMT_OK) {
        out->rule_of = malloc((size_t)out->num_states * sizeof *out->rule_of);
        if (!out->rule_of) status = no_memory(err);
    }
    if (status != VMT_OK) {
        vmt_automaton_free(out);
        return status;
    }
    for (uint32_t r = 0; r < out->num_rules; r++) {
        for (uint32_t i = 0; i < out->rules[r].num_states; i++) out->rule_of[out->rules[r].start + i] = r;
    }
    mark_plain_states(out);
    return VMT_OK;
}

vmt_status vmt_language_compile(vmt_automaton *out, vmt_rules *rules, vmt_fragment fragment, vmt_err *err) {
    *out = (vmt_automaton){0};
    VMT_TRY(vmt_rules_status(rules, err));
    struct builder b;
    vmt_status status = init_builder(&b, rules, out, err);
    if (status == VMT_OK) status = build_rule(&b, fragment, err);
    free_builder(&b);
    if (status != VMT_OK) vmt_automaton_free(out);
    return status;
}
