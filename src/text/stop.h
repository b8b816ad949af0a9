/* text/stop.h: stop strings in a stream of text, also across chunk borders.
 *
 * Text that might be the beginning of a stop string is held back until it is decided. */
#ifndef VMT_TEXT_STOP_H
#define VMT_TEXT_STOP_H

#include "base/arena.h"
#include "base/buf.h"

#define VMT_STOP_STRINGS_MAX 64u   /* per request */
#define VMT_STOP_BYTES_MAX   1024u /* one stop string */

typedef struct vmt_stop vmt_stop;

/* strings must be non-empty; both are copied into the arena.  NULL only for lack of memory. */
vmt_stop *vmt_stop_create(vmt_arena *arena, const vmt_str *strings, uint32_t num_strings, bool include_in_output);

/* Feeds text; appends to out what can be shown now.  Returns the index of the stop string that ended the text (the
 * one that completes first; of several completing at one byte, the longest), or -1.  After a hit nothing more is
 * accepted.  With include_in_output the stop string itself is shown, else nothing from its first byte on. */
int32_t vmt_stop_push(vmt_stop *stop, vmt_str text, vmt_buf *out);
/* The stream ended without a hit: shows what was held back. */
void vmt_stop_flush(vmt_stop *stop, vmt_buf *out);

#endif
