/* text/grammar_schema.h: the insides of the JSON Schema compiler.
 *
 * A rule of the grammar stands for a conjunction of atoms: schemas that the same value must satisfy, and what was
 * derived from them.  $ref and allOf add atoms.  anyOf, oneOf, if, dependencies and negations split a rule: it becomes
 * the alternatives of other rules, each with one choice made.  What is left then are keywords, type by type.  Rules are
 * interned by their atoms, so that recursive schemas end, and wait in a list until their turn: nothing here
 * recurses. */
#ifndef VMT_TEXT_GRAMMAR_SCHEMA_H
#define VMT_TEXT_GRAMMAR_SCHEMA_H

#include "base/arena.h"
#include "json/json.h"
#include "text/grammar.h"
#include "text/grammar_automaton.h"

#define VMT_SCHEMA_ATOMS_MAX    256u               /* schemas that one value must satisfy at once */
#define VMT_SCHEMA_BYTES_MAX    ((size_t)64 << 20) /* of everything kept while compiling */
#define VMT_SCHEMA_PATTERNS_MAX 4u     /* patternProperties that one object may have, all schemas together */
#define VMT_SCHEMA_COUNTS_MAX   65536u /* named properties times minProperties or maxProperties */
#define VMT_SCHEMA_MULTIPLE_MAX 10000u /* of multipleOf, without its decimal point */

enum {
    VMT_TYPE_NULL = 1,
    VMT_TYPE_BOOL = 2,
    VMT_TYPE_INTEGER = 4,
    VMT_TYPE_FRACTION = 8, /* numbers that are no integers */
    VMT_TYPE_STRING = 16,
    VMT_TYPE_ARRAY = 32,
    VMT_TYPE_OBJECT = 64,
    VMT_TYPE_NUMBER = VMT_TYPE_INTEGER | VMT_TYPE_FRACTION,
    VMT_TYPE_ALL = 127,
};

typedef enum vmt_atom_kind {
    VMT_ATOM_SCHEMA,      /* json */
    VMT_ATOM_NOT,         /* not json; name: that keyword of it alone */
    VMT_ATOM_TYPES,       /* one of types */
    VMT_ATOM_REQUIRE,     /* property name must be there */
    VMT_ATOM_FORBID,      /* property name must not */
    VMT_ATOM_NOT_MEMBER,  /* property name is not json */
    VMT_ATOM_NOT_VALUE,   /* not the value json */
    VMT_ATOM_NOT_PATTERN, /* no string that name matches */
} vmt_atom_kind;

enum {                     /* done: what of a schema has been turned into atoms or choices */
       VMT_DONE_PARTS = 1, /* keywords checked, $ref and allOf added */
       VMT_DONE_ANY_OF = 2,
       VMT_DONE_ONE_OF = 4,
       VMT_DONE_IF = 8,
};

/* Where a schema stands, for messages, and from which atoms it was added. */
typedef struct vmt_schema_place {
    const struct vmt_schema_place *parent;
    vmt_str step;
    vmt_json schema;  /* of the atom that added it, or absent */
    bool is_detached; /* what was added here does not evaluate members for those above */
} vmt_schema_place;

typedef struct vmt_atom {
    uint8_t kind, done;
    uint8_t types;
    uint16_t num_dependents_done;
    vmt_json json;
    vmt_str name;
    const vmt_schema_place *place;
} vmt_atom;

typedef struct vmt_atoms {
    vmt_atom *list; /* in the arena */
    uint32_t len, cap;
    bool is_never; /* no value satisfies them */
} vmt_atoms;

typedef enum vmt_schema_builtin {
    VMT_BUILTIN_STRING,
    VMT_BUILTIN_INTEGER,
    VMT_BUILTIN_NUMBER,
    VMT_BUILTIN_VALUE,
    VMT_BUILTIN_OBJECT,
    VMT_BUILTIN_ARRAY,
    VMT_NUM_BUILTINS
} vmt_schema_builtin;

typedef struct vmt_schema_request {
    uint32_t rule, hash;
    vmt_atoms atoms;
} vmt_schema_request;

typedef struct vmt_schema_pattern {
    vmt_str text;
    bool is_search;
    vmt_automaton language;
} vmt_schema_pattern;

typedef struct vmt_schema_text {
    vmt_str text;
    vmt_json_doc *doc;
} vmt_schema_text;

typedef struct vmt_schema {
    vmt_rules *rules;
    vmt_grammar_options options;
    vmt_automaton space; /* of options.space_pattern */
    bool has_space_pattern;
    vmt_arena *arena;
    vmt_json root;
    bool is_old; /* before draft 2019-09: what stands beside $ref does not count */
    vmt_err *err;
    uint32_t builtins[VMT_NUM_BUILTINS]; /* rule + 1 */
    vmt_schema_request *requests;
    size_t requests_cap;
    uint32_t num_requests, num_built;
    uint32_t *table; /* request + 1 */
    uint32_t table_mask;
    vmt_schema_pattern *patterns;
    size_t patterns_cap;
    uint32_t num_patterns;
    vmt_schema_text *texts;
    size_t texts_cap;
    uint32_t num_texts;
} vmt_schema;

/* ---- grammar_schema.c */

vmt_status vmt_schema_open(vmt_schema *schema, vmt_rules *rules, const vmt_grammar_options *options, vmt_err *err);
void vmt_schema_close(vmt_schema *schema);
/* Compiles one document and what it leads to; several may share a grammar.  The document must outlive the call. */
vmt_status vmt_schema_add(vmt_schema *schema, vmt_json root, uint32_t *rule);
/* The rule of any JSON object. */
uint32_t vmt_schema_any_object(vmt_schema *schema);

/* A rule for atoms (copied), or VMT_NO_INDEX in *rule when they are never satisfied. */
vmt_status vmt_schema_rule(vmt_schema *schema, const vmt_atoms *atoms, uint32_t *rule);
vmt_status vmt_schema_unsupported(vmt_schema *schema, const vmt_schema_place *place, const char *keyword,
                                  const char *why);
vmt_status vmt_schema_invalid(vmt_schema *schema, const vmt_schema_place *place, const char *keyword,
                              const char *why);
vmt_status vmt_schema_no_memory(vmt_schema *schema);
const vmt_schema_place *vmt_schema_place_in(vmt_schema *schema, const vmt_schema_place *parent, vmt_str step,
                                            vmt_json source);
uint32_t vmt_schema_builtin_rule(vmt_schema *schema, vmt_schema_builtin builtin);
/* The state after white space. */
uint32_t vmt_schema_space(vmt_schema *schema, uint32_t from);
/* The same after a comma or colon, where the compact style may have a space. */
uint32_t vmt_schema_space_after(vmt_schema *schema, uint32_t from);
/* The language of a pattern, compiled once. */
vmt_status vmt_schema_pattern_of(vmt_schema *schema, vmt_str text, bool is_search, const vmt_automaton **out);

/* ---- grammar_atoms.c */

vmt_status vmt_atoms_copy(vmt_schema *schema, vmt_atoms *to, const vmt_atoms *from);
vmt_status vmt_atoms_add(vmt_schema *schema, vmt_atoms *atoms, vmt_atom atom);
vmt_status vmt_atoms_add_schema(vmt_schema *schema, vmt_atoms *atoms, vmt_json json,
                                const vmt_schema_place *place);
/* Follows $ref and allOf, and what a negation says outright, until only choices and keywords are left. */
vmt_status vmt_atoms_expand(vmt_schema *schema, vmt_atoms *atoms);
/* If a choice is left: makes it, the alternatives become calls from the rule's start to its end, and *split is true. */
vmt_status vmt_atoms_split(vmt_schema *schema, const vmt_atoms *atoms, uint32_t rule, bool *split);
uint8_t vmt_atoms_types(const vmt_atoms *atoms);
/* Is json the kind of schema that says this type and no more?  0: no. */
uint8_t vmt_schema_plain_type(vmt_json json);
bool vmt_atoms_are_disjoint(vmt_schema *schema, const vmt_atoms *a, const vmt_atoms *b);
bool vmt_atoms_is_under(const vmt_atom *atom, const vmt_atom *ancestor);
/* The keyword of a schema atom, or absent. */
static inline vmt_json vmt_atom_get(const vmt_atom *atom, const char *keyword) {
    return atom->kind == VMT_ATOM_SCHEMA ? vmt_json_member(atom->json, vmt_str_from(keyword)) : (vmt_json){0};
}
/* Does any atom have the keyword? */
bool vmt_atoms_have(const vmt_atoms *atoms, const char *keyword);

/* A schema that no document has, from its text; the same text gives the same schema. */
vmt_status vmt_schema_synthesize(vmt_schema *schema, vmt_str text, vmt_json *out);

/* ---- grammar_refs.c: what a $ref names, or an error that says why not */

vmt_status vmt_schema_resolve(vmt_schema *schema, vmt_str ref, const vmt_schema_place *place, vmt_json *out);

/* ---- grammar_keywords.c: which names there are */

vmt_status vmt_schema_check_keywords(vmt_schema *schema, vmt_json object, const vmt_schema_place *place);
bool vmt_schema_is_annotation(vmt_str keyword);

/* ---- one file per type; each adds alternatives between two states */

vmt_status vmt_schema_enum(vmt_schema *schema, const vmt_atoms *atoms, uint8_t types, uint32_t from, uint32_t to,
                           bool *has_enum);
vmt_status vmt_schema_string(vmt_schema *schema, const vmt_atoms *atoms, uint32_t from, uint32_t to);
vmt_status vmt_schema_number(vmt_schema *schema, const vmt_atoms *atoms, bool is_integer, uint32_t from,
                             uint32_t to);
vmt_status vmt_schema_array(vmt_schema *schema, const vmt_atoms *atoms, uint32_t from, uint32_t to);
vmt_status vmt_schema_object(vmt_schema *schema, const vmt_atoms *atoms, uint32_t from, uint32_t to);

/* Does a string, or number, satisfy what the atoms say of its type?  Enumerations aside. */
vmt_status vmt_schema_admits_string(vmt_schema *schema, const vmt_atoms *atoms, vmt_str text, bool *admits);
vmt_status vmt_schema_admits_number(vmt_schema *schema, const vmt_atoms *atoms, vmt_json number, bool *admits);
/* What the strings' contents are; false in *is_limited when they are all strings.  The caller frees. */
vmt_status vmt_schema_string_language(vmt_schema *schema, const vmt_atoms *atoms, vmt_automaton *out,
                                      bool *is_limited);
/* One character of a JSON string, escaped or not. */
void vmt_schema_string_char(vmt_rules *rules, uint32_t from, uint32_t to);
/* The regex of a format; NULL: not supported.  An empty one: any string. */
const char *vmt_schema_format(vmt_str name);
/* Bounds on a count: the tightest of all atoms.  *max VMT_REPEAT_FOR_EVER for none. */
vmt_status vmt_schema_counts(vmt_schema *schema, const vmt_atoms *atoms, const char *min_keyword,
                             const char *max_keyword, uint32_t *min, uint32_t *max);
/* Equal as JSON, as far as their text is. */
bool vmt_schema_values_equal(vmt_schema *schema, vmt_json a, vmt_json b);

#endif
