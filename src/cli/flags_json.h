/* cli/flags_json.h: a JSON flag's object, put together from `--x '{...}'`, `--x.key value` and `--x.list+ item`. */
#ifndef VMT_CLI_FLAGS_JSON_H
#define VMT_CLI_FLAGS_JSON_H

#include "base/arena.h"

#define VMT_FLAGS_JSON_KEYS_MAX 16u /* keys in one dotted path */

/* *out is current (an object's text, or empty) with value set at path, a dotted one; an empty path replaces the whole,
 * which must be an object.  A path's last key may end with `+`: value's comma-separated parts are appended to the list
 * there.  A value that is not JSON counts as a string.  Lives in the arena. */
vmt_status vmt_flags_json_set(vmt_arena *arena, vmt_str current, vmt_str path, vmt_str value, vmt_str *out,
                              vmt_err *err);

#endif
