/* text/grammar_keywords.c: the keywords of JSON Schema that are understood, and those that assert something but
 * are not.  Names that no draft defines are annotations, as the specification has it. */
#include "text/grammar_schema.h"

static const char *const asserted[] = {
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
};

/* Refused unless their value says nothing. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"$dynamicRef", "dynamic references are not followed"},
    {"$recursiveRef", "dynamic references are not followed"},
    {"contains", "an automaton does not look back at earlier items"},
    {"uniqueItems", "an automaton does not remember earlier items"},
    {"divisibleBy", "it is of draft 3"},
    {"disallow", "it is of draft 3"},
    {"extends", "it is of draft 3"},
};

static bool says_nothing(vmt_json object, vmt_str keyword, vmt_json value) {
    bool flag;
    uint64_t max_items, min_contains;
    if (vmt_str_eq_c(keyword, "uniqueItems")) {
        if (vmt_json_get_bool(value, &flag) && !flag) return true;
        return vmt_json_get_u64(VMT_JSON_AT(object, "maxItems"), &max_items) && max_items <= 1;
    }
    if (vmt_str_eq_c(keyword, "contains")) {
        return vmt_json_get_u64(VMT_JSON_AT(object, "minContains"), &min_contains) && min_contains == 0 &&
               !vmt_json_exists(VMT_JSON_AT(object, "maxContains"));
    }
    return false;
}

bool vmt_schema_is_annotation(vmt_str keyword) {
    for (size_t i = 0; i < VMT_COUNT(asserted); i++) {
        if (vmt_str_eq_c(keyword, asserted[i])) return false;
    }
    for (size_t i = 0; i < VMT_COUNT(refused); i++) {
        if (vmt_str_eq_c(keyword, refused[i].name)) return false;
    }
    return true;
}

vmt_status vmt_schema_check_keywords(vmt_schema *s, vmt_json object, const vmt_schema_place *place) {
    vmt_str key;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(object); vmt_json_iter_next(&it, &key, &value);) {
        for (size_t i = 0; i < VMT_COUNT(refused); i++) {
            if (!vmt_str_eq_c(key, refused[i].name) || says_nothing(object, key, value)) continue;
            return vmt_schema_unsupported(s, place, refused[i].name, refused[i].why);
        }
        bool is_resource =
            vmt_str_eq_c(key, "$id") && object.idx_ != s->root.idx_ && vmt_json_typeof(value) == VMT_JSON_STRING;
        if (is_resource) return vmt_schema_unsupported(s, place, "$id", "a schema within a schema has no name");
    }
    return VMT_OK;
}

uint8_t vmt_schema_plain_type(vmt_json json) {
    static const struct {
        const char *name;
        uint8_t type;
    } types[] = {{"string", VMT_TYPE_STRING}, {"integer", VMT_TYPE_INTEGER}, {"number", VMT_TYPE_NUMBER}};
    vmt_str key, name;
    vmt_json value;
    if (!vmt_json_get_str(VMT_JSON_AT(json, "type"), &name)) return 0;
    for (vmt_json_iter it = vmt_json_iter_begin(json); vmt_json_iter_next(&it, &key, &value);) {
        if (!vmt_str_eq_c(key, "type") && (!vmt_schema_is_annotation(key) || vmt_str_eq_c(key, "$id"))) return 0;
    }
    for (size_t i = 0; i < VMT_COUNT(types); i++) {
        if (vmt_str_eq_c(name, types[i].name)) return types[i].type;
    }
    return 0;
}
