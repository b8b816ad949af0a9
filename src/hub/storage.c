#include "hub/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1 << 16)

/* ---- paths */

vmt_status vmt_path_join(char out[VMT_HUB_PATH_MAX], const char *dir, const char *name, vmt_err *err) {
    int len = snprintf(out, VMT_HUB_PATH_MAX, "%s/%s", dir, name);
    if (len < VMT_HUB_PATH_MAX) return VMT_OK;
    return vmt_fail(err, VMT_E_INVALID, "the path to %.100s is too long", name);
}

vmt_status vmt_path_suffix(char out[VMT_HUB_PATH_MAX], const char *path, const char *suffix, vmt_err *err) {
    int len = snprintf(out, VMT_HUB_PATH_MAX, "%s%s", path, suffix);
    if (len < VMT_HUB_PATH_MAX) return VMT_OK;
    return vmt_fail(err, VMT_E_INVALID, "the path %.100s... is too long", path);
}

vmt_status vmt_make_folders(const char *path, vmt_err *err) {
    char text[VMT_HUB_PATH_MAX];
    VMT_TRY(vmt_path_suffix(text, path, "/", err));
    for (char *at = text + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (mkdir(text, 0777) != 0 && errno != EEXIST) {
            return vmt_fail(err, VMT_E_IO, "cannot make the folder %s: %s", text, strerror(errno));
        }
        *at = '/';
    }
    return VMT_OK;
}

bool vmt_file_has_size(const char *path, uint64_t size_bytes) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
           (size_bytes == 0 || (uint64_t)info.st_size == size_bytes);
}

/* ---- locks */

static vmt_status lock_once(vmt_file_lock *lock, bool *is_held, vmt_err *err) {
    *is_held = false;
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock->fd < 0) return vmt_fail(err, VMT_E_IO, "cannot open %s: %s", lock->path, strerror(errno));
    int rc;
    do rc = flock(lock->fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        vmt_status status = vmt_fail(err, VMT_E_IO, "cannot lock %s: %s", lock->path, strerror(errno));
        close(lock->fd);
        lock->fd = -1;
        return status;
    }
    /* Who held it before may have removed the file: then this lock is on nothing that others can see. */
    struct stat ours, named;
    *is_held = fstat(lock->fd, &ours) == 0 && stat(lock->path, &named) == 0 && ours.st_dev == named.st_dev &&
               ours.st_ino == named.st_ino;
    if (!*is_held) close(lock->fd);
    return VMT_OK;
}

vmt_status vmt_file_lock_acquire(vmt_file_lock *lock, const char *path, vmt_err *err) {
    lock->fd = -1;
    VMT_TRY(vmt_path_suffix(lock->path, path, ".lock", err));
    for (bool is_held = false; !is_held;) VMT_TRY(lock_once(lock, &is_held, err));
    return VMT_OK;
}

void vmt_file_lock_release(vmt_file_lock *lock) {
    if (lock->fd < 0) return;
    unlink(lock->path);
    close(lock->fd);
    lock->fd = -1;
}

/* ---- contents */

vmt_status vmt_write_all(int fd, const char *path, vmt_str bytes, vmt_err *err) {
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return vmt_fail(err, VMT_E_IO, "cannot write %s: %s", path, strerror(errno));
        bytes = vmt_str_slice(bytes, (size_t)put, bytes.len);
    }
    return VMT_OK;
}

/* The new name must survive a power cut as well as the bytes. */
static void sync_folder(const char *path) {
    char folder[VMT_HUB_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash) return;
    slash[slash == folder] = 0;
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

vmt_status vmt_file_publish(int fd, const char *part, const char *path, vmt_err *err) {
    vmt_status status = VMT_OK;
    if (fsync(fd) != 0) status = vmt_fail(err, VMT_E_IO, "cannot write %s: %s", part, strerror(errno));
    if (close(fd) != 0 && status == VMT_OK) {
        status = vmt_fail(err, VMT_E_IO, "cannot write %s: %s", part, strerror(errno));
    }
    if (status == VMT_OK && rename(part, path) != 0) {
        status = vmt_fail(err, VMT_E_IO, "cannot rename %s: %s", part, strerror(errno));
    }
    if (status == VMT_OK) sync_folder(path);
    return status;
}

static vmt_status digest_file(EVP_MD_CTX *digest, int fd, const char *path, vmt_err *err) {
    char bytes[READ_BYTES];
    for (off_t at = 0;;) {
        ssize_t got = pread(fd, bytes, sizeof bytes, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vmt_fail(err, VMT_E_IO, "cannot read %s: %s", path, strerror(errno));
        if (got == 0) return VMT_OK;
        if (EVP_DigestUpdate(digest, bytes, (size_t)got) != 1) return VMT_E_INTERNAL;
        at += got;
    }
}

vmt_status vmt_file_sha256(int fd, const char *path, char hex[65], vmt_err *err) {
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    vmt_status status = VMT_E_NO_MEMORY;
    if (digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1) {
        status = digest_file(digest, fd, path, err);
        if (status == VMT_OK && EVP_DigestFinal_ex(digest, bytes, &len) != 1) status = VMT_E_INTERNAL;
    }
    EVP_MD_CTX_free(digest);
    if (status != VMT_OK) return vmt_fail(err, status, "cannot compute the SHA-256 of %s", path);
    for (unsigned i = 0; i < len; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return VMT_OK;
}
