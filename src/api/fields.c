#include "api/fields.h"
#include "json/json_writer.h"

#include <math.h>
#include <stdio.h>

#define VALUE_TEXT_MAX 64

bool vmt_field_to_bool(vmt_json value, bool *out) {
    if (vmt_json_get_bool(value, out)) return true;
    int64_t number;
    if (vmt_json_get_i64(value, &number) && (number == 0 || number == 1)) {
        *out = number == 1;
        return true;
    }
    vmt_str text;
    if (!vmt_json_get_str(value, &text)) return false;
    static const struct {
        const char *word;
        bool is;
    } words[] = {{"true", true}, {"false", false}, {"1", true}, {"0", false}};
    for (size_t i = 0; i < VMT_COUNT(words); i++) {
        if (vmt_str_eq_nocase(text, vmt_str_from(words[i].word))) {
            *out = words[i].is;
            return true;
        }
    }
    return false;
}

bool vmt_field_to_int(vmt_json value, int64_t *out) {
    if (vmt_json_get_i64(value, out)) return true;
    double number;
    if (vmt_json_get_f64(value, &number)) {
        if (number != floor(number) || fabs(number) > 9007199254740992.0) return false;
        *out = (int64_t)number;
        return true;
    }
    vmt_str text;
    return vmt_json_get_str(value, &text) && vmt_str_to_i64(text, out);
}

bool vmt_field_to_number(vmt_json value, double *out) {
    double number;
    vmt_str text;
    if (!vmt_json_get_f64(value, &number) && !(vmt_json_get_str(value, &text) && vmt_str_to_f64(text, &number))) {
        return false;
    }
    if (!isfinite(number)) return false;
    *out = number;
    return true;
}

static bool out_of_range(const vmt_field *field, double value) {
    return field->range_text &&
           (value < field->min || value > field->max || (field->min_is_open && value == field->min));
}

static bool refuse_type(const vmt_field *field, vmt_json value, vmt_fault *fault) {
    static const char *const wanted[] = {
        [VMT_FIELD_BOOL] = "a boolean",  [VMT_FIELD_INT] = "an integer",   [VMT_FIELD_NUMBER] = "a finite number",
        [VMT_FIELD_STRING] = "a string", [VMT_FIELD_OBJECT] = "an object", [VMT_FIELD_ARRAY] = "an array",
        [VMT_FIELD_ANY] = "a value",
    };
    return vmt_fault_schema(fault, field->name, "body.%s: Input should be %s, got %s", field->name,
                            wanted[field->type], vmt_json_type_name(vmt_json_typeof(value)));
}

/* A number as it is shown in messages: 2 for 2, 1.5 for 1.5. */
static void show(char text[VALUE_TEXT_MAX], double value) {
    snprintf(text, VALUE_TEXT_MAX, "%.15g", value);
}

static bool refuse_range(const vmt_field *field, double value, vmt_fault *fault) {
    char text[VALUE_TEXT_MAX];
    show(text, value);
    return vmt_fault_rule(fault, field->name, text, "%s must be %s, got %s.", field->name, field->range_text,
                          text);
}

static bool read_field(const vmt_field *field, vmt_json value, char *place, vmt_fault *fault) {
    switch (field->type) {
    case VMT_FIELD_BOOL:
        return vmt_field_to_bool(value, (bool *)(void *)place) || refuse_type(field, value, fault);
    case VMT_FIELD_INT: {
        int64_t number;
        if (!vmt_field_to_int(value, &number)) return refuse_type(field, value, fault);
        if (out_of_range(field, (double)number)) return refuse_range(field, (double)number, fault);
        *(int64_t *)(void *)place = number;
        return true;
    }
    case VMT_FIELD_NUMBER: {
        double number;
        if (!vmt_field_to_number(value, &number)) return refuse_type(field, value, fault);
        if (out_of_range(field, number)) return refuse_range(field, number, fault);
        *(double *)(void *)place = number;
        return true;
    }
    case VMT_FIELD_STRING:
        return vmt_json_get_str(value, (vmt_str *)(void *)place) || refuse_type(field, value, fault);
    case VMT_FIELD_OBJECT:
    case VMT_FIELD_ARRAY: {
        vmt_json_type wanted = field->type == VMT_FIELD_OBJECT ? VMT_JSON_OBJECT : VMT_JSON_ARRAY;
        if (vmt_json_typeof(value) != wanted) return refuse_type(field, value, fault);
        *(vmt_json *)(void *)place = value;
        return true;
    }
    case VMT_FIELD_ANY: *(vmt_json *)(void *)place = value; return true;
    }
    return false;
}

bool vmt_fields_read(const vmt_field *table, size_t num_fields, vmt_json object, void *target, vmt_fault *fault) {
    if (vmt_json_typeof(object) != VMT_JSON_OBJECT) {
        return vmt_fault_schema(fault, "body", "body: Input should be an object, got %s",
                                vmt_json_type_name(vmt_json_typeof(object)));
    }
    vmt_str key;
    vmt_json value;
    size_t num_members = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(object); vmt_json_iter_next(&it, &key, &value);) {
        if (++num_members > VMT_FIELD_BODY_MEMBERS_MAX) {
            return vmt_fault_schema(fault, "body", "body: more than %u members", VMT_FIELD_BODY_MEMBERS_MAX);
        }
    }
    for (size_t i = 0; i < num_fields; i++) {
        vmt_json found = vmt_json_member(object, vmt_str_from(table[i].name));
        if (!vmt_json_exists(found) || vmt_json_is_null(found)) continue;
        if (!read_field(&table[i], found, (char *)target + table[i].offset, fault)) return false;
    }
    return true;
}
