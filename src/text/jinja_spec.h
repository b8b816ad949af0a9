/* text/jinja_spec.h: one value by a format specification: what '%-5.2f' and '{:>5.2f}' have in common. */
#ifndef VMT_TEXT_JINJA_SPEC_H
#define VMT_TEXT_JINJA_SPEC_H

#include "text/jinja_run.h"

#define VMT_JSPEC_PRECISION_MAX 300

typedef struct vmt_jspec {
    vmt_str fill; /* one character */
    char align;   /* < > ^ = or 0: the kind's own */
    char sign;    /* + - or space */
    bool alternate;
    char grouping; /* , _ or 0 */
    int64_t width;
    int64_t precision; /* -1: none */
    char type;         /* 0: the kind's own */
} vmt_jspec;

/* "[[fill]align][sign][#][0][width][grouping][.precision][type]" */
vmt_status vmt_jspec_parse(vmt_jrun *run, vmt_str text, vmt_jspec *out);
/* Append to the text under construction. */
vmt_status vmt_jspec_write_str(vmt_jrun *run, const vmt_jspec *spec, vmt_str s);
vmt_status vmt_jspec_write_int(vmt_jrun *run, const vmt_jspec *spec, vmt_jval v);
vmt_status vmt_jspec_write_float(vmt_jrun *run, const vmt_jspec *spec, double f);
/* format(v, spec) */
vmt_status vmt_jspec_write(vmt_jrun *run, const vmt_jspec *spec, vmt_jval v);

#endif
