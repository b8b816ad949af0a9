/* json/json_writer.h: writing JSON into a vmt_buf.  Commas and escapes are handled; nesting is the caller's.
 *
 * Text that is not UTF-8 is written with U+FFFD in place of the bad bytes.  Non-finite numbers are written as null. */
#ifndef VMT_JSON_JSON_WRITER_H
#define VMT_JSON_JSON_WRITER_H

#include "base/buf.h"
#include "json/json.h"

typedef struct vmt_json_writer {
    vmt_buf *buf;
    bool need_comma;
} vmt_json_writer;

void vmt_json_writer_init(vmt_json_writer *w, vmt_buf *buf);
void vmt_json_begin_object(vmt_json_writer *w);
void vmt_json_end_object(vmt_json_writer *w);
void vmt_json_begin_array(vmt_json_writer *w);
void vmt_json_end_array(vmt_json_writer *w);
void vmt_json_key(vmt_json_writer *w, const char *key);
void vmt_json_key_str(vmt_json_writer *w, vmt_str key);
void vmt_json_str(vmt_json_writer *w, vmt_str value);
void vmt_json_c_str(vmt_json_writer *w, const char *value); /* NULL writes null */
void vmt_json_i64(vmt_json_writer *w, int64_t value);
void vmt_json_u64(vmt_json_writer *w, uint64_t value);
void vmt_json_f64(vmt_json_writer *w, double value); /* shortest text that reads back the same */
void vmt_json_f32(vmt_json_writer *w, float value);  /* shortest text that reads back the same float */
void vmt_json_bool(vmt_json_writer *w, bool value);
void vmt_json_null(vmt_json_writer *w);
/* Text that is JSON already. */
void vmt_json_raw(vmt_json_writer *w, vmt_str json);
/* A parsed value again, compact. */
void vmt_json_value(vmt_json_writer *w, vmt_json value);

/* The escaper alone: appends s with quotes. */
void vmt_json_escape(vmt_buf *buf, vmt_str s);

#endif
