/* json/json_scan.h: is this still JSON?  One byte at a time.
 *
 * A push-down automaton for one JSON value (RFC 8259), for text that is passed on while it is being written: it says
 * at each byte whether what was seen so far can still become a value.  No memory, no recursion, depth capped. */
#ifndef VMT_JSON_JSON_SCAN_H
#define VMT_JSON_JSON_SCAN_H

#include "json/json.h"

typedef enum vmt_json_scan_state {
    VMT_SCAN_VALUE,       /* a value must begin */
    VMT_SCAN_FIRST_VALUE, /* the same, or ']' */
    VMT_SCAN_KEY,         /* a key must begin */
    VMT_SCAN_FIRST_KEY,   /* the same, or '}' */
    VMT_SCAN_COLON,       /* after a key */
    VMT_SCAN_AFTER,       /* after a value inside a container: ',' or its end */
    VMT_SCAN_STRING,      /* inside a string or key */
    VMT_SCAN_ESCAPE,      /* after a backslash */
    VMT_SCAN_HEX,         /* the four digits of an escape */
    VMT_SCAN_LITERAL,     /* inside true, false or null */
    VMT_SCAN_MINUS,       /* number: after the sign */
    VMT_SCAN_ZERO,        /* after a leading zero */
    VMT_SCAN_INT,         /* in the integer part */
    VMT_SCAN_DOT,         /* after the point */
    VMT_SCAN_FRACTION,    /* after it, with digits */
    VMT_SCAN_EXP,         /* after e */
    VMT_SCAN_EXP_SIGN,    /* after its sign */
    VMT_SCAN_EXP_DIGITS,  /* in the exponent */
    VMT_SCAN_DONE,        /* the value is whole */
    VMT_SCAN_BAD,
} vmt_json_scan_state;

typedef struct vmt_json_scan {
    vmt_json_scan_state state;
    bool in_key;
    uint8_t num_hex;
    const char *literal; /* what must still come */
    uint32_t depth;
    uint64_t is_object[VMT_JSON_DEPTH_MAX / 64]; /* a bit per open container */
} vmt_json_scan;

void vmt_json_scan_init(vmt_json_scan *scan);
/* The state after the byte.  White space after a whole value keeps it whole; anything else after it is BAD.  A
 * number at depth 0 is never known to be whole: see vmt_json_scan_is_whole(). */
vmt_json_scan_state vmt_json_scan_push(vmt_json_scan *scan, char byte);
/* What was pushed is a value if nothing follows. */
bool vmt_json_scan_is_whole(const vmt_json_scan *scan);
static inline bool vmt_json_scan_in_string(const vmt_json_scan *scan) {
    return scan->state == VMT_SCAN_STRING || scan->state == VMT_SCAN_ESCAPE || scan->state == VMT_SCAN_HEX;
}

#endif
