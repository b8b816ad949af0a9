#include "cli/bench_output.h"

#include <errno.h>
#include <stdio.h>

static vmt_status save(const char *path, const vmt_buf *text, vmt_err *err) {
    FILE *file = fopen(path, "w");
    if (file == NULL) return vmt_fail(err, VMT_E_IO, "can't write %.160s: %s", path, strerror(errno));
    bool is_written = fwrite(text->ptr, 1, text->len, file) == text->len && fputc('\n', file) != EOF;
    if (fclose(file) != 0) is_written = false;
    return is_written ? VMT_OK : vmt_fail(err, VMT_E_IO, "can't write %.160s: %s", path, strerror(errno));
}

vmt_status vmt_bench_save(vmt_str path, vmt_buf *text, vmt_err *err) {
    char name[4096];
    vmt_status status;
    int len = snprintf(name, sizeof name, "%.*s", VMT_STR_ARG(path));
    if (text->failed) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the result");
    } else if (len < 0 || (size_t)len >= sizeof name) {
        status = vmt_fail(err, VMT_E_INVALID, "path %.64s... is too long", name);
    } else {
        status = save(name, text, err);
    }
    vmt_buf_free(text);
    return status;
}
