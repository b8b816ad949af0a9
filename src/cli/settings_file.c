#include "cli/settings_file.h"

#include "base/file.h"
#include "cli/settings_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_SUFFIX ".vmetal-new"
#define MODE_NEW   0600 /* settings may hold keys */

/* Paths of one change, the link followed. */
struct files {
    char path[PATH_MAX], backup[PATH_MAX + 32];
    mode_t mode;
    bool exists, has_backup;
};

static vmt_status find_files(struct files *f, const char *path, vmt_err *err) {
    struct stat info;
    *f = (struct files){.mode = MODE_NEW};
    if (realpath(path, f->path) == NULL) {
        int len = snprintf(f->path, sizeof f->path, "%s", path);
        if (len < 0 || (size_t)len >= sizeof f->path) {
            return vmt_fail(err, VMT_E_INVALID, "path %.64s... is too long", path);
        }
    }
    f->exists = stat(f->path, &info) == 0;
    if (f->exists && !S_ISREG(info.st_mode)) return vmt_fail(err, VMT_E_INVALID, "%.160s is not a file", path);
    if (f->exists) f->mode = info.st_mode & 07777;
    snprintf(f->backup, sizeof f->backup, "%s" VMT_SETTINGS_BACKUP, f->path);
    f->has_backup = vmt_file_exists(f->backup);
    return VMT_OK;
}

static bool write_all(int fd, vmt_str text) {
    for (size_t done = 0; done < text.len;) {
        ssize_t n = write(fd, text.ptr + done, text.len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return fsync(fd) == 0;
}

static vmt_status write_file(const char *path, vmt_str text, mode_t mode, vmt_err *err) {
    char name[PATH_MAX + 64];
    snprintf(name, sizeof name, "%s" NEW_SUFFIX, path);
    unlink(name);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return vmt_fail(err, VMT_E_IO, "%.160s can't be written: %s", name, strerror(errno));
    bool is_good = write_all(fd, text) && fchmod(fd, mode) == 0;
    is_good = close(fd) == 0 && is_good && rename(name, path) == 0;
    if (is_good) return VMT_OK;
    vmt_fail(err, VMT_E_IO, "%.160s can't be written: %s", path, strerror(errno));
    unlink(name);
    return VMT_E_IO;
}

/* The folders above path. */
static vmt_status make_folders(const char *path, vmt_err *err) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
            return vmt_fail(err, VMT_E_IO, "folder %.160s can't be made: %s", folder, strerror(errno));
        }
        *slash = '/';
    }
    return VMT_OK;
}

static vmt_status apply(const struct files *f, vmt_settings_change *change, void *ctx, vmt_buf *old, vmt_buf *bare,
                        vmt_buf *new, vmt_err *err) {
    bool had_block = false;
    if (f->exists) VMT_TRY(vmt_file_read(old, f->path, VMT_SETTINGS_BYTES_MAX, err));
    VMT_TRY(vmt_settings_remove_block(vmt_buf_str(old), bare, &had_block, err));
    VMT_TRY(change(ctx, vmt_buf_str(bare), new, err));
    if (!f->exists) VMT_TRY(make_folders(f->path, err));
    /* A block in the file means that the backup was made before it, and is still the one to keep. */
    if (f->exists && !had_block) VMT_TRY(write_file(f->backup, vmt_buf_str(old), f->mode, err));
    return write_file(f->path, vmt_buf_str(new), f->mode, err);
}

vmt_status vmt_settings_apply(const char *path, vmt_settings_change *change, void *ctx, vmt_err *err) {
    struct files f;
    vmt_buf old, bare, new;
    VMT_TRY(find_files(&f, path, err));
    vmt_buf_init(&old, 0);
    vmt_buf_init(&bare, 0);
    vmt_buf_init(&new, 0);
    vmt_status status = apply(&f, change, ctx, &old, &bare, &new, err);
    vmt_buf_free(&old);
    vmt_buf_free(&bare);
    vmt_buf_free(&new);
    return status;
}

/* What is left of a file that was made for the block. */
static bool is_shell(vmt_str text) {
    vmt_str t = vmt_str_trim(text);
    if (t.len == 0) return true;
    return t.ptr[0] == '{' && t.ptr[t.len - 1] == '}' && vmt_str_trim(vmt_str_slice(t, 1, t.len - 1)).len == 0;
}

static vmt_status restore(const struct files *f, vmt_buf *old, vmt_buf *bare, vmt_settings_undo *what,
                          vmt_err *err) {
    bool had_block = false;
    vmt_err damage = {0};
    VMT_TRY(vmt_file_read(old, f->path, VMT_SETTINGS_BYTES_MAX, err));
    vmt_status status = vmt_settings_remove_block(vmt_buf_str(old), bare, &had_block, &damage);
    if (status == VMT_OK && !had_block) return VMT_OK;
    if (status != VMT_OK && !f->has_backup) {
        return vmt_fail(err, status, "%.120s: %.100s; take the lines out by hand", f->path, damage.msg);
    }
    if (status != VMT_OK) {
        *what = VMT_SETTINGS_BACKUP_PUT;
        if (rename(f->backup, f->path) == 0) return VMT_OK;
        return vmt_fail(err, VMT_E_IO, "%.160s can't be put back: %s", f->backup, strerror(errno));
    }
    if (!f->has_backup && is_shell(vmt_buf_str(bare))) {
        *what = VMT_SETTINGS_FILE_GONE;
        if (unlink(f->path) == 0) return VMT_OK;
        return vmt_fail(err, VMT_E_IO, "%.160s can't be removed: %s", f->path, strerror(errno));
    }
    *what = VMT_SETTINGS_BLOCK_GONE;
    VMT_TRY(write_file(f->path, vmt_buf_str(bare), f->mode, err));
    if (f->has_backup) unlink(f->backup);
    return VMT_OK;
}

vmt_status vmt_settings_restore(const char *path, vmt_settings_undo *what, vmt_err *err) {
    struct files f;
    vmt_buf old, bare;
    *what = VMT_SETTINGS_UNTOUCHED;
    VMT_TRY(find_files(&f, path, err));
    if (!f.exists) return VMT_OK;
    vmt_buf_init(&old, 0);
    vmt_buf_init(&bare, 0);
    vmt_status status = restore(&f, &old, &bare, what, err);
    vmt_buf_free(&old);
    vmt_buf_free(&bare);
    return status;
}
