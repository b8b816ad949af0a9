/* cli/settings_file.h: changing another program's settings file so that it can be undone.
 *
 * The file as it was is kept beside it as FILE.vmetal-backup.  A link is followed: the file it points to is changed.
 * Writes go through a new file and rename(), so that a reader sees the old text or the new one. */
#ifndef VMT_CLI_SETTINGS_FILE_H
#define VMT_CLI_SETTINGS_FILE_H

#include "base/buf.h"

#define VMT_SETTINGS_BACKUP ".vmetal-backup"

/* Builds the new text from one that holds no block of ours.  The text of a file that is not there is blank. */
typedef vmt_status vmt_settings_change(void *ctx, vmt_str text, vmt_buf *out, vmt_err *err);

/* Reads path, takes an old block out, calls change, and writes the result; makes missing folders. */
vmt_status vmt_settings_apply(const char *path, vmt_settings_change *change, void *ctx, vmt_err *err);

typedef enum vmt_settings_undo {
    VMT_SETTINGS_UNTOUCHED,  /* there was nothing of ours */
    VMT_SETTINGS_BLOCK_GONE, /* our block was taken out, the rest is as it was */
    VMT_SETTINGS_BACKUP_PUT, /* the block was damaged: the backup is in place again */
    VMT_SETTINGS_FILE_GONE,  /* the file had been made for the block, and is gone */
} vmt_settings_undo;

vmt_status vmt_settings_restore(const char *path, vmt_settings_undo *what, vmt_err *err);

#endif
