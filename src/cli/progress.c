#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH    30
#define REDRAW_NS    100000000ull
#define QUIET_FOR_NS 200000000ull /* what ends sooner needs no bar */

void vmt_progress_begin(vmt_progress *p, const char *label, bool quiet) {
    *p = (vmt_progress){.is_on = !quiet && isatty(STDERR_FILENO) == 1, .started_ns = vmt_clock_ns()};
    snprintf(p->label, sizeof p->label, "%s", label);
}

void vmt_progress_update(vmt_progress *p, uint64_t done, uint64_t total) {
    if (!p->is_on) return;
    uint64_t now = vmt_clock_ns();
    bool early = now - p->started_ns < QUIET_FOR_NS;
    if (early || (now - p->shown_ns < REDRAW_NS && (total == 0 || done < total))) return;
    p->shown_ns = now;
    double seconds = (double)(now - p->started_ns) * 1e-9, rate = (double)done / seconds;
    char bar[BAR_WIDTH + 1];
    int filled = total > 0 ? (int)((double)done / (double)total * BAR_WIDTH) : 0;
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < filled ? '=' : ' ';
    bar[BAR_WIDTH] = '\0';
    if (total > 0) {
        fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %.0f of %.0f MB, %.1f MB/s", p->label, bar,
                100.0 * (double)done / (double)total, (double)done * 1e-6, (double)total * 1e-6, rate * 1e-6);
    } else {
        fprintf(stderr, "\r\033[K%s  %.0f MB, %.1f MB/s", p->label, (double)done * 1e-6, rate * 1e-6);
    }
    fflush(stderr);
}

void vmt_progress_end(vmt_progress *p) {
    if (p->is_on && p->shown_ns != 0) fprintf(stderr, "\r\033[K");
    p->is_on = false;
}
