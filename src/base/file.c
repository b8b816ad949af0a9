#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP_BYTES ((size_t)1 << 16)

static vmt_status open_regular(const char *path, int *fd, size_t *size, vmt_err *err) {
    /* Non-blocking, so that a FIFO in place of a file is refused below and not waited for. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        vmt_status code = errno == ENOENT || errno == ENOTDIR ? VMT_E_NOT_FOUND : VMT_E_IO;
        return vmt_fail(err, code, "cannot open %s: %s", path, strerror(errno));
    }
    struct stat info;
    vmt_status status = VMT_OK;
    if (fstat(*fd, &info) != 0) {
        status = vmt_fail(err, VMT_E_IO, "cannot read %s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        status = vmt_fail(err, VMT_E_INVALID, "%s is not a regular file", path);
    } else if ((uint64_t)info.st_size > SIZE_MAX) {
        status = vmt_fail(err, VMT_E_EXHAUSTED, "%s is too large for this machine's address space", path);
    } else {
        *size = (size_t)info.st_size;
    }
    if (status != VMT_OK) close(*fd);
    return status;
}

vmt_status vmt_map_open(vmt_map *out, const char *path, vmt_err *err) {
    *out = (vmt_map){0};
    int fd;
    size_t size;
    VMT_TRY(open_regular(path, &fd, &size, err));
    vmt_status status = VMT_OK;
    if (size > 0) {
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            vmt_status code = errno == ENOMEM ? VMT_E_NO_MEMORY : VMT_E_IO;
            status = vmt_fail(err, code, "cannot map %s (%zu bytes): %s", path, size, strerror(errno));
        } else {
            *out = (vmt_map){.data = data, .size = size};
        }
    }
    close(fd);
    return status;
}

void vmt_map_close(vmt_map *map) {
    if (map->data) munmap((void *)map->data, map->size);
    *map = (vmt_map){0};
}

/* Whole pages only: grow says whether the pages at the two ends count in or out. */
static void advise(const vmt_map *map, size_t offset, size_t len, bool grow, int advice) {
    VMT_ASSERT(offset <= map->size && len <= map->size - offset);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t end = offset + len;
    size_t begin = grow ? offset / page * page : (offset + page - 1) / page * page;
    if (!grow && end != map->size) end = end / page * page;
    if (begin < end) (void)madvise((void *)(map->data + begin), end - begin, advice);
}

void vmt_map_will_need(const vmt_map *map, size_t offset, size_t len) {
    advise(map, offset, len, true, MADV_WILLNEED);
}

void vmt_map_drop(const vmt_map *map, size_t offset, size_t len) {
    advise(map, offset, len, false, MADV_DONTNEED);
}

static vmt_status read_all(vmt_buf *buf, int fd, const char *path, size_t size_max, vmt_err *err) {
    size_t total = 0;
    for (;;) {
        if (!vmt_buf_reserve(buf, READ_STEP_BYTES)) {
            return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to read %s", path);
        }
        ssize_t got = read(fd, buf->ptr + buf->len, READ_STEP_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vmt_fail(err, VMT_E_IO, "cannot read %s: %s", path, strerror(errno));
        if (got == 0) return VMT_OK;
        total += (size_t)got;
        buf->len += (size_t)got;
        buf->ptr[buf->len] = 0;
        /* The file may have grown since its size was asked for. */
        if (total > size_max) {
            return vmt_fail(err, VMT_E_EXHAUSTED, "%s is over the limit of %zu bytes", path, size_max);
        }
    }
}

vmt_status vmt_file_read(vmt_buf *buf, const char *path, size_t size_max, vmt_err *err) {
    int fd;
    size_t size;
    VMT_TRY(open_regular(path, &fd, &size, err));
    vmt_status status;
    if (size > size_max) {
        status = vmt_fail(err, VMT_E_EXHAUSTED, "%s has %zu bytes, the limit is %zu", path, size, size_max);
    } else {
        /* One allocation for the usual case; the loop still finds the real end. */
        if (size <= SIZE_MAX - READ_STEP_BYTES) (void)vmt_buf_reserve(buf, size + READ_STEP_BYTES);
        size_t len_before = buf->len;
        status = read_all(buf, fd, path, size_max, err);
        if (status != VMT_OK && buf->ptr) {
            buf->len = len_before;
            buf->ptr[buf->len] = 0;
        }
    }
    close(fd);
    return status;
}

bool vmt_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool vmt_dir_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
