/* cli/settings_text.h: a marked block of ours in the text of another program's settings.
 *
 * Everything around the block stays as it is, byte for byte: comments, order, indentation.  Lines between
 * "// >>> vmetal" and "// <<< vmetal" (JSON with comments) or "# >>> vmetal" and "# <<< vmetal" (YAML) are ours;
 * taking them out gives back the text that was there before. */
#ifndef VMT_CLI_SETTINGS_TEXT_H
#define VMT_CLI_SETTINGS_TEXT_H

#include "base/buf.h"

#define VMT_SETTINGS_BYTES_MAX ((size_t)4 << 20) /* a file that a person writes is far smaller */
#define VMT_SETTINGS_PATH_MAX  4                 /* nested objects */

/* Appends to out text with the member `name: value` in the object at path (path[0] is a member of the root object),
 * making the objects that are missing.  text is JSON with comments and trailing commas, or blank; value is JSON.
 * VMT_E_INVALID: text can't be parsed, or the object has that member already. */
vmt_status vmt_settings_add_member(vmt_str text, const char *const *path, uint32_t depth, const char *name,
                                   vmt_str value, vmt_buf *out, vmt_err *err);

/* Appends to out text with one more item in the top-level list `list`, as its first.  item holds the item's lines, the
 * first without "- ".  head is what a blank file gets besides.  VMT_E_INVALID: the list is written in one line. */
vmt_status vmt_settings_add_item(vmt_str text, const char *list, vmt_str item, vmt_str head, vmt_buf *out,
                                 vmt_err *err);

/* Appends to out text without the block; *found says whether there was one.  VMT_E_INVALID: its end is missing. */
vmt_status vmt_settings_remove_block(vmt_str text, vmt_buf *out, bool *found, vmt_err *err);

#endif
