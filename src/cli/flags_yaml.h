/* cli/flags_yaml.h: the entries of a `--config FILE.yaml`.
 *
 * One document holding one mapping.  Aliases are refused: they let a small file be a huge value. */
#ifndef VMT_CLI_FLAGS_YAML_H
#define VMT_CLI_FLAGS_YAML_H

#include "cli/flags.h"

#define VMT_YAML_BYTES_MAX   ((size_t)1 << 20) /* of the file */
#define VMT_YAML_DEPTH_MAX   16u               /* nested mappings and sequences */
#define VMT_YAML_ENTRIES_MAX 512u              /* top-level keys */
#define VMT_YAML_ITEMS_MAX   4096u             /* items of one list */

typedef struct vmt_yaml_entry {
    vmt_str key;
    vmt_flag_list values; /* a scalar as one text; a sequence of scalars as many; else none */
    vmt_str json;         /* the whole value as JSON */
    bool is_scalar;
} vmt_yaml_entry;

/* Entries whose value is null are left out.  Errors give the file's line. */
vmt_status vmt_flags_yaml_read(const char *path, vmt_arena *arena, vmt_yaml_entry **out, uint32_t *num,
                               vmt_err *err);

#endif
