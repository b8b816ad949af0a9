#include "text/grammar.h"
#include "json/json.h"
#include "text/grammar_private.h"
#include "text/grammar_regex.h"

#include <stdlib.h>

vmt_status vmt_grammar_finish(vmt_grammar **out, vmt_rules *rules, uint32_t root, vmt_status status,
                              vmt_err *err) {
    *out = NULL;
    vmt_grammar *grammar = NULL;
    if (status == VMT_OK) {
        grammar = calloc(1, sizeof *grammar);
        if (!grammar) status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the grammar");
    }
    if (status == VMT_OK) status = vmt_automaton_compile(&grammar->automaton, rules, root, err);
    vmt_rules_free(rules);
    if (status != VMT_OK) {
        free(grammar);
        return status;
    }
    const vmt_automaton *a = &grammar->automaton;
    atomic_init(&grammar->num_refs, 1);
    grammar->bytes = sizeof *grammar + a->states_cap * sizeof *a->states + a->edges_cap * sizeof *a->edges +
                     a->calls_cap * sizeof *a->calls + a->num_rows * sizeof *a->rows +
                     a->num_rules * sizeof *a->rules + a->num_states * sizeof *a->rule_of;
    *out = grammar;
    return VMT_OK;
}

vmt_grammar *vmt_grammar_acquire(vmt_grammar *grammar) {
    atomic_fetch_add(&grammar->num_refs, 1);
    return grammar;
}

void vmt_grammar_release(vmt_grammar *grammar) {
    if (!grammar || atomic_fetch_sub(&grammar->num_refs, 1) != 1) return;
    vmt_automaton_free(&grammar->automaton);
    free(grammar);
}

size_t vmt_grammar_bytes(const vmt_grammar *grammar) {
    return grammar->bytes;
}

uint32_t vmt_grammar_num_states(const vmt_grammar *grammar) {
    return grammar->automaton.num_states;
}

vmt_status vmt_grammar_from_regex(vmt_grammar **out, vmt_str pattern, vmt_err *err) {
    *out = NULL;
    vmt_automaton language;
    VMT_TRY(vmt_regex_language(&language, pattern, false, err));
    vmt_rules rules;
    vmt_rules_init(&rules);
    uint32_t root = vmt_rules_rule(&rules);
    if (rules.status == VMT_OK) {
        vmt_language_emit(&rules, rules.rules[root].start, rules.rules[root].end, &language);
    }
    vmt_automaton_free(&language);
    return vmt_grammar_finish(out, &rules, root, vmt_rules_status(&rules, err), err);
}

vmt_status vmt_grammar_from_choice(vmt_grammar **out, const vmt_str *choices, size_t num_choices, vmt_err *err) {
    *out = NULL;
    if (num_choices == 0) return vmt_fail(err, VMT_E_INVALID, "choice: the list is empty");
    vmt_rules rules;
    vmt_rules_init(&rules);
    uint32_t root = vmt_rules_rule(&rules);
    for (size_t i = 0; i < num_choices && rules.status == VMT_OK; i++) {
        uint32_t end = vmt_rules_literal(&rules, rules.rules[root].start, choices[i]);
        vmt_rules_epsilon(&rules, end, rules.rules[root].end);
    }
    return vmt_grammar_finish(out, &rules, root, vmt_rules_status(&rules, err), err);
}
