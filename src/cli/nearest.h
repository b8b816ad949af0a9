/* cli/nearest.h: "did you mean ...?": the candidate closest to what was typed. */
#ifndef VMT_CLI_NEAREST_H
#define VMT_CLI_NEAREST_H

#include "base/str.h"

#define VMT_NEAREST_BYTES_MAX 64u /* longer words are not compared */

typedef struct vmt_nearest {
    vmt_str wanted;
    const char *best; /* NULL: nothing offered was close */
    uint32_t distance;
} vmt_nearest;

vmt_nearest vmt_nearest_begin(vmt_str wanted);
/* Keeps candidate if it is closer than all before: few edits away, or begun but not finished.  `-` equals `_`. */
void vmt_nearest_offer(vmt_nearest *n, const char *candidate);

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
uint32_t vmt_edit_distance(vmt_str a, vmt_str b);

#endif
