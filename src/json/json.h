/* json/json.h: reading JSON (RFC 8259), strictly.  simdjson's DOM behind a C face.
 *
 * A value is a small handle into its document and dies with it; strings borrow from the document.  Integers are exact
 * to 64 bits.  Depth is capped at parse time, and no verb here recurses. */
#ifndef VMT_JSON_JSON_H
#define VMT_JSON_JSON_H

#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vmt_json_doc vmt_json_doc;

typedef struct vmt_json {
    const void *doc_; /* NULL: no such value; every verb below accepts it and answers "absent" */
    size_t idx_;
} vmt_json;

typedef enum vmt_json_type {
    VMT_JSON_ABSENT,
    VMT_JSON_NULL,
    VMT_JSON_BOOL,
    VMT_JSON_INT,  /* fits int64 */
    VMT_JSON_UINT, /* above INT64_MAX, fits uint64 */
    VMT_JSON_DOUBLE,
    VMT_JSON_STRING,
    VMT_JSON_ARRAY,
    VMT_JSON_OBJECT,
} vmt_json_type;

#define VMT_JSON_DEPTH_MAX 256 /* nesting of arrays and objects; deeper is an error */

/* text is copied, so it need not outlive the call.  The error says what is wrong. */
vmt_status vmt_json_parse(vmt_json_doc **out, vmt_str text, vmt_err *err);
void vmt_json_doc_destroy(vmt_json_doc *doc); /* NULL is fine */
vmt_json vmt_json_root(const vmt_json_doc *doc);

vmt_json_type vmt_json_typeof(vmt_json value);
const char *vmt_json_type_name(vmt_json_type type); /* "an object", "a string", ... for messages */
static inline bool vmt_json_exists(vmt_json value) {
    return value.doc_ != NULL;
}
bool vmt_json_is_null(vmt_json value); /* null, not absent */

/* false, with *out untouched, when the value has another type. */
bool vmt_json_get_bool(vmt_json value, bool *out);
bool vmt_json_get_i64(vmt_json value, int64_t *out);  /* INT only */
bool vmt_json_get_u64(vmt_json value, uint64_t *out); /* INT >= 0 or UINT */
bool vmt_json_get_f64(vmt_json value, double *out);   /* any number */
bool vmt_json_get_str(vmt_json value, vmt_str *out);  /* may contain NUL; valid UTF-8 */

/* The last member of that name, as Python's json has it; absent if none or if value is no object. */
vmt_json vmt_json_member(vmt_json object, vmt_str key);
#define VMT_JSON_AT(object, literal) vmt_json_member((object), VMT_STR(literal))
/* Elements or members; 0 for other types.  May walk the container: keep the answer. */
size_t vmt_json_size(vmt_json container);

typedef struct vmt_json_iter {
    const void *doc_;
    size_t idx_, end_;
    bool is_object_;
} vmt_json_iter;

/* for (vmt_json_iter it = vmt_json_iter_begin(v); vmt_json_iter_next(&it, &key, &val);)   key may be NULL */
vmt_json_iter vmt_json_iter_begin(vmt_json container);
bool vmt_json_iter_next(vmt_json_iter *it, vmt_str *key, vmt_json *value);

#ifdef __cplusplus
}
#endif
#endif
