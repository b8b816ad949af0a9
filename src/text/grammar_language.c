/* text/grammar_language.c: languages: intersection, membership, and how they are written into rules. */
#include "base/buf.h"
#include "text/grammar.h"
#include "text/grammar_automaton.h"

#include <stdlib.h>

#define EDGES_MAX (1u << 22)

struct product {
    const vmt_language_part *parts;
    uint32_t num_parts;
    uint32_t *tuples; /* [num_states * num_parts] a state of each part, VMT_NO_INDEX: it is lost */
    size_t tuples_cap;
    uint32_t *table; /* state + 1 */
    size_t table_len;
    vmt_automaton *out;
};

static vmt_status fail(vmt_status status, vmt_err *err) {
    if (status == VMT_E_NO_MEMORY) return vmt_fail(err, status, "no memory to compile the grammar");
    return vmt_fail(err, VMT_E_EXHAUSTED, "patterns and lengths together need more than %u automaton states",
                    VMT_GRAMMAR_STATES_MAX);
}

static bool is_accepting(const struct product *p, const uint32_t *tuple) {
    for (uint32_t i = 0; i < p->num_parts; i++) {
        const vmt_language_part *part = &p->parts[i];
        bool is_final = tuple[i] != VMT_NO_INDEX && (part->language->states[tuple[i]].flags & VMT_STATE_FINAL);
        if (is_final == part->is_negated) return false;
    }
    return true;
}

static uint32_t hash_tuple(const uint32_t *tuple, uint32_t n) {
    uint64_t h = vmt_hash_fast(tuple, n * sizeof *tuple);
    return (uint32_t)(h ^ h >> 32);
}

static vmt_status rehash(struct product *p) {
    size_t len = VMT_MAX(p->table_len * 2, (size_t)256);
    uint32_t *table = calloc(len, sizeof *table);
    if (!table) return VMT_E_NO_MEMORY;
    for (uint32_t s = 0; s < p->out->num_states; s++) {
        size_t i = hash_tuple(p->tuples + (size_t)s * p->num_parts, p->num_parts) & (len - 1);
        while (table[i] != 0) i = (i + 1) & (len - 1);
        table[i] = s + 1;
    }
    free(p->table);
    p->table = table;
    p->table_len = len;
    return VMT_OK;
}

static vmt_status intern(struct product *p, const uint32_t *tuple, uint32_t *state) {
    vmt_automaton *out = p->out;
    if (((size_t)out->num_states + 1) * 2 > p->table_len) VMT_TRY(rehash(p));
    size_t bytes = p->num_parts * sizeof *tuple, i = hash_tuple(tuple, p->num_parts) & (p->table_len - 1);
    for (; p->table[i] != 0; i = (i + 1) & (p->table_len - 1)) {
        *state = p->table[i] - 1;
        if (memcmp(p->tuples + (size_t)*state * p->num_parts, tuple, bytes) == 0) return VMT_OK;
    }
    *state = out->num_states;
    VMT_TRY(vmt_array_grow((void **)&out->states, &out->states_cap, (size_t)*state + 1, sizeof *out->states,
                           VMT_GRAMMAR_STATES_MAX));
    VMT_TRY(vmt_array_grow((void **)&p->tuples, &p->tuples_cap, ((size_t)*state + 1) * p->num_parts,
                           sizeof *p->tuples, (size_t)VMT_GRAMMAR_STATES_MAX * p->num_parts));
    memcpy(p->tuples + (size_t)*state * p->num_parts, tuple, bytes);
    out->states[*state] = (vmt_state){.row = VMT_NO_INDEX, .flags = is_accepting(p, tuple) ? VMT_STATE_FINAL : 0};
    out->num_states++;
    p->table[i] = *state + 1;
    return VMT_OK;
}

/* The edge of a state that holds byte, or where the gap around it ends. */
static uint32_t find_edge(const vmt_automaton *a, uint32_t state, uint32_t byte, uint32_t *end) {
    if (state == VMT_NO_INDEX) return VMT_NO_INDEX;
    const vmt_state *s = &a->states[state];
    for (uint32_t e = 0; e < s->num_edges; e++) {
        const vmt_state_edge *edge = &a->edges[s->first_edge + e];
        if (byte > edge->hi) continue;
        if (byte >= edge->lo) {
            *end = VMT_MIN(*end, (uint32_t)edge->hi);
            return edge->target;
        }
        *end = VMT_MIN(*end, edge->lo - 1u);
        break;
    }
    return VMT_NO_INDEX;
}

static vmt_status add_edges(struct product *p, uint32_t state, uint32_t *tuple) {
    vmt_automaton *out = p->out;
    out->states[state].first_edge = out->num_edges;
    for (uint32_t byte = 0, end; byte <= 255; byte = end + 1) {
        end = 255;
        bool is_lost = false;
        for (uint32_t i = 0; i < p->num_parts; i++) {
            uint32_t from = p->tuples[(size_t)state * p->num_parts + i];
            tuple[i] = find_edge(p->parts[i].language, from, byte, &end);
            is_lost = is_lost || (tuple[i] == VMT_NO_INDEX && !p->parts[i].is_negated);
        }
        if (is_lost) continue;
        uint32_t target;
        VMT_TRY(intern(p, tuple, &target));
        VMT_TRY(vmt_array_grow((void **)&out->edges, &out->edges_cap, (size_t)out->num_edges + 1,
                               sizeof *out->edges, EDGES_MAX));
        out->edges[out->num_edges++] = (vmt_state_edge){target, (uint8_t)byte, (uint8_t)end};
        out->states[state].num_edges++;
    }
    return VMT_OK;
}

/* Keeps the states from which an accepting one is reached; the start stays first. */
static vmt_status trim(vmt_automaton *a) {
    uint32_t n = a->num_states;
    uint32_t *number = malloc((size_t)n * sizeof *number), *head = malloc((size_t)n * sizeof *head);
    uint32_t *next = malloc(((size_t)a->num_edges + 1) * sizeof *next);
    uint32_t *from = malloc(((size_t)a->num_edges + 1) * sizeof *from), *work = malloc((size_t)n * sizeof *work);
    bool ok = number && head && next && from && work;
    if (ok) {
        memset(number, 0, (size_t)n * sizeof *number);
        memset(head, 0xFF, (size_t)n * sizeof *head);
        uint32_t num_work = 0;
        for (uint32_t s = 0; s < n; s++) {
            for (uint32_t e = a->states[s].first_edge; e < a->states[s].first_edge + a->states[s].num_edges; e++) {
                from[e] = s;
                next[e] = head[a->edges[e].target];
                head[a->edges[e].target] = e;
            }
        }
        for (uint32_t s = 0; s < n; s++) {
            if ((a->states[s].flags & VMT_STATE_FINAL) == 0) continue;
            number[s] = 1;
            work[num_work++] = s;
        }
        while (num_work > 0) {
            uint32_t s = work[--num_work];
            for (uint32_t e = head[s]; e != VMT_NO_INDEX; e = next[e]) {
                if (number[from[e]]) continue;
                number[from[e]] = 1;
                work[num_work++] = from[e];
            }
        }
        uint32_t num_kept = 0, num_edges = 0;
        for (uint32_t s = 0; s < n; s++) number[s] = number[s] ? num_kept++ : VMT_NO_INDEX;
        if (number[0] == VMT_NO_INDEX) num_kept = 0;
        for (uint32_t s = 0; s < n && num_kept > 0; s++) {
            if (number[s] == VMT_NO_INDEX) continue;
            vmt_state kept = a->states[s];
            uint32_t first = kept.first_edge, last = first + kept.num_edges;
            kept.first_edge = num_edges;
            for (uint32_t e = first; e < last; e++) {
                vmt_state_edge edge = a->edges[e];
                if (number[edge.target] == VMT_NO_INDEX) continue;
                edge.target = number[edge.target];
                a->edges[num_edges++] = edge;
            }
            kept.num_edges = (uint16_t)(num_edges - kept.first_edge);
            a->states[number[s]] = kept;
        }
        a->num_states = num_kept;
        a->num_edges = num_kept > 0 ? num_edges : 0;
    }
    free(number);
    free(head);
    free(next);
    free(from);
    free(work);
    return ok ? VMT_OK : VMT_E_NO_MEMORY;
}

vmt_status vmt_language_intersect(vmt_automaton *out, const vmt_language_part *parts, uint32_t num_parts,
                                  vmt_err *err) {
    VMT_ASSERT(num_parts >= 1 && !parts[0].is_negated);
    *out = (vmt_automaton){0};
    struct product p = {.parts = parts, .num_parts = num_parts, .out = out};
    uint32_t *tuple = calloc(num_parts, sizeof *tuple);
    if (!tuple) return fail(VMT_E_NO_MEMORY, err);
    bool is_lost = false;
    for (uint32_t i = 0; i < num_parts; i++) {
        if (parts[i].language->num_states == 0) tuple[i] = VMT_NO_INDEX;
        is_lost = is_lost || (tuple[i] == VMT_NO_INDEX && !parts[i].is_negated);
    }
    uint32_t start;
    vmt_status status = is_lost ? VMT_OK : intern(&p, tuple, &start);
    for (uint32_t s = 0; s < out->num_states && status == VMT_OK; s++) status = add_edges(&p, s, tuple);
    if (status == VMT_OK && out->num_states > 0) status = trim(out);
    free(tuple);
    free(p.tuples);
    free(p.table);
    if (status == VMT_OK) return VMT_OK;
    vmt_automaton_free(out);
    return fail(status, err);
}

bool vmt_language_has(const vmt_automaton *a, vmt_str text) {
    if (a->num_states == 0) return false;
    uint32_t state = 0;
    for (size_t i = 0; i < text.len && state != VMT_NO_INDEX; i++) {
        state = vmt_automaton_next(a, state, (uint8_t)text.ptr[i]);
    }
    return state != VMT_NO_INDEX && (a->states[state].flags & VMT_STATE_FINAL);
}

/* ---- into rules */

static void emit_hex_digit(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t digit) {
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    vmt_rules_bytes(rules, from, to, (uint8_t)lower[digit], (uint8_t)lower[digit]);
    if (digit > 9) vmt_rules_bytes(rules, from, to, (uint8_t)upper[digit], (uint8_t)upper[digit]);
}

/* How a state writes what must be escaped: \", \\, \n ..., \u00XX.  Made when first needed. */
struct escape {
    uint32_t backslash; /* after the backslash; 0: not made */
    uint32_t high[2];   /* after \u000 and \u001 */
};

static void emit_escape(vmt_rules *rules, uint32_t from, uint32_t to, uint8_t byte, struct escape *escape) {
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    if (escape->backslash == 0) {
        escape->backslash = vmt_rules_state(rules);
        vmt_rules_bytes(rules, from, escape->backslash, '\\', '\\');
    }
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2) {
        if ((uint8_t)shorts[i] != byte) continue;
        vmt_rules_bytes(rules, escape->backslash, to, (uint8_t)shorts[i + 1], (uint8_t)shorts[i + 1]);
        return;
    }
    if (escape->high[0] == 0) {
        uint32_t at = vmt_rules_literal(rules, escape->backslash, VMT_STR("u00"));
        escape->high[0] = vmt_rules_state(rules);
        escape->high[1] = vmt_rules_state(rules);
        vmt_rules_bytes(rules, at, escape->high[0], '0', '0');
        vmt_rules_bytes(rules, at, escape->high[1], '1', '1');
    }
    VMT_ASSERT(byte < 0x20);
    emit_hex_digit(rules, escape->high[byte >> 4], to, byte & 15);
}

static void emit_range(vmt_rules *rules, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi,
                       struct escape *escape) {
    while (lo <= hi) {
        if (lo < 0x20 || lo == '"' || lo == '\\') {
            emit_escape(rules, from, to, (uint8_t)lo++, escape);
            continue;
        }
        uint32_t end = hi;
        if (lo < '"')
            end = VMT_MIN(end, (uint32_t)'"' - 1);
        else if (lo < '\\')
            end = VMT_MIN(end, (uint32_t)'\\' - 1);
        vmt_rules_bytes(rules, from, to, (uint8_t)lo, (uint8_t)end);
        lo = end + 1;
    }
}

static void emit(vmt_rules *rules, uint32_t from, uint32_t to, const vmt_automaton *a, bool is_json) {
    if (a->num_states == 0 || rules->status != VMT_OK) return;
    uint32_t first = rules->num_states;
    for (uint32_t s = 0; s < a->num_states; s++) vmt_rules_state(rules);
    if (rules->status != VMT_OK) return;
    vmt_rules_epsilon(rules, from, first);
    for (uint32_t s = 0; s < a->num_states; s++) {
        struct escape escape = {0};
        for (uint32_t e = 0; e < a->states[s].num_edges; e++) {
            vmt_state_edge edge = a->edges[a->states[s].first_edge + e];
            if (is_json)
                emit_range(rules, first + s, first + edge.target, edge.lo, edge.hi, &escape);
            else
                vmt_rules_bytes(rules, first + s, first + edge.target, edge.lo, edge.hi);
        }
        if (a->states[s].flags & VMT_STATE_FINAL) vmt_rules_epsilon(rules, first + s, to);
    }
}

void vmt_language_emit(vmt_rules *rules, uint32_t from, uint32_t to, const vmt_automaton *language) {
    emit(rules, from, to, language, false);
}

void vmt_language_emit_json(vmt_rules *rules, uint32_t from, uint32_t to, const vmt_automaton *language) {
    emit(rules, from, to, language, true);
}
