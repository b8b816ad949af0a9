/* hub/storage.h: the file side of fetching: locks between processes, digests, names that appear at once. */
#ifndef VMT_HUB_STORAGE_H
#define VMT_HUB_STORAGE_H

#include "base/str.h"

#define VMT_HUB_PATH_MAX 4096

/* PATH.lock, held by at most one process; waits for it.  The file goes away with unlock(). */
typedef struct vmt_file_lock {
    int fd; /* -1: not held */
    char path[VMT_HUB_PATH_MAX];
} vmt_file_lock;

vmt_status vmt_file_lock_acquire(vmt_file_lock *lock, const char *path, vmt_err *err);
void vmt_file_lock_release(vmt_file_lock *lock);

/* out = dir/name or name + suffix; VMT_E_INVALID when it is too long. */
vmt_status vmt_path_join(char out[VMT_HUB_PATH_MAX], const char *dir, const char *name, vmt_err *err);
vmt_status vmt_path_suffix(char out[VMT_HUB_PATH_MAX], const char *path, const char *suffix, vmt_err *err);
/* A folder and those above it. */
vmt_status vmt_make_folders(const char *path, vmt_err *err);
/* A regular file of just that many bytes (0: any). */
bool vmt_file_has_size(const char *path, uint64_t size_bytes);

/* All of bytes, or an error that names path. */
vmt_status vmt_write_all(int fd, const char *path, vmt_str bytes, vmt_err *err);
/* Onto the disk, then path gets its name; fd is closed in any case. */
vmt_status vmt_file_publish(int fd, const char *part, const char *path, vmt_err *err);

/* Lower-case hex of the whole file. */
vmt_status vmt_file_sha256(int fd, const char *path, char hex[65], vmt_err *err);

#endif
