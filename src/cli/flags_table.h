/* cli/flags_table.h: finding a command's rows by what was typed. */
#ifndef VMT_CLI_FLAGS_TABLE_H
#define VMT_CLI_FLAGS_TABLE_H

#include "cli/flags.h"

/* By long name or alias, without dashes, `-` and `_` alike; `no-x` of a boolean x sets *is_negated.  NULL: none. */
const vmt_flag *vmt_flags_find(const vmt_command *command, vmt_str name, bool *is_negated);
/* By short name, exactly. */
const vmt_flag *vmt_flags_find_short(const vmt_command *command, vmt_str name);
/* The closest long name, or NULL. */
const char *vmt_flags_nearest(const vmt_command *command, vmt_str name);
bool vmt_flags_same_name(vmt_str typed, const char *name);

/* Is value one of the alternatives in "a|b|c"?  Case is ignored. */
bool vmt_flags_one_of(const char *alternatives, vmt_str value);
/* The alternatives as prose: "a, b or c". */
vmt_str vmt_flags_prose(const char *alternatives, char *out, size_t out_bytes);

#endif
