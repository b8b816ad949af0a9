/* cli/progress.h: a progress bar on stderr, quiet when stderr is not a terminal. */
#ifndef VMT_CLI_PROGRESS_H
#define VMT_CLI_PROGRESS_H

#include "base/str.h"

typedef struct vmt_progress {
    bool is_on;
    uint64_t started_ns, shown_ns;
    char label[64];
} vmt_progress;

/* quiet: never draws. */
void vmt_progress_begin(vmt_progress *p, const char *label, bool quiet);
/* total 0: unknown.  Redraws at most ten times a second, and at the end. */
void vmt_progress_update(vmt_progress *p, uint64_t done, uint64_t total);
void vmt_progress_end(vmt_progress *p); /* clears the line */

#endif
