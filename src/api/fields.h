/* api/fields.h: JSON objects to structs, by table: one row per field with its type, place and range.
 *
 * A field that is absent or null leaves its place untouched, so a struct is filled with defaults first.  Types are read
 * as pydantic's lax mode does: 3.0 and "3" are integers, "0.5" and 1 are numbers, "true" and 1 are booleans.  Unknown
 * fields are ignored.  Strings and values borrow from the document. */
#ifndef VMT_API_FIELDS_H
#define VMT_API_FIELDS_H

#include "api/error.h"
#include "json/json.h"

#include <stdint.h>

typedef enum vmt_field_type {
    VMT_FIELD_BOOL,   /* bool */
    VMT_FIELD_INT,    /* int64_t */
    VMT_FIELD_NUMBER, /* double, finite */
    VMT_FIELD_STRING, /* vmt_str */
    VMT_FIELD_OBJECT, /* vmt_json */
    VMT_FIELD_ARRAY,  /* vmt_json */
    VMT_FIELD_ANY,    /* vmt_json, not null */
} vmt_field_type;

typedef struct vmt_field {
    const char *name;
    vmt_field_type type;
    size_t offset;
    /* INT and NUMBER: range_text says the range, as in "top_p must be in (0, 1], got 2."; NULL: no range. */
    const char *range_text;
    double min, max;
    bool min_is_open; /* min itself is outside */
} vmt_field;

#define VMT_FIELD_UNSET            INT64_MIN /* the default of an int64_t that tells null from a value */
#define VMT_FIELD_BODY_MEMBERS_MAX 65536u    /* members of one JSON object that is read by table */

/* false: fault says which field, and what it should be. */
bool vmt_fields_read(const vmt_field *table, size_t num_fields, vmt_json object, void *target, vmt_fault *fault);

/* Single values with the same leniency; false when the value is not one. */
bool vmt_field_to_bool(vmt_json value, bool *out);
bool vmt_field_to_int(vmt_json value, int64_t *out);
bool vmt_field_to_number(vmt_json value, double *out);

#endif
