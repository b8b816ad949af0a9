#include "hub/resolve.h"
#include "hub/default_model.h"
#include "hub/storage.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>

#define REVISION_BYTES_MAX ((size_t)256)

static bool is_name_part(vmt_str s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                    c == '-' || c == '_';
        if (!good) return false;
    }
    return s.len > 0 && s.ptr[0] != '.';
}

/* ORG/NAME, both plain names: nothing in it can lead out of the cache. */
static bool split_repo(vmt_str model, vmt_str *org, vmt_str *name) {
    size_t slash = vmt_str_find(model, VMT_STR("/"), 0);
    if (slash == SIZE_MAX) return false;
    *org = vmt_str_slice(model, 0, slash);
    *name = vmt_str_slice(model, slash + 1, model.len);
    return is_name_part(*org) && is_name_part(*name);
}

/* The revision that refs/main names, if its snapshot is there. */
static bool main_snapshot(const char *repo, char out[VMT_HUB_PATH_MAX]) {
    char ref[VMT_HUB_PATH_MAX], snapshots[VMT_HUB_PATH_MAX];
    if (vmt_path_join(ref, repo, "refs/main", NULL) || vmt_path_join(snapshots, repo, "snapshots", NULL))
        return false;
    vmt_buf text;
    vmt_buf_init(&text, 0);
    bool is_found = vmt_file_read(&text, ref, REVISION_BYTES_MAX, NULL) == VMT_OK;
    vmt_str revision = vmt_str_trim(vmt_buf_str(&text));
    char name[REVISION_BYTES_MAX + 1];
    if (is_found && is_name_part(revision)) {
        snprintf(name, sizeof name, "%.*s", VMT_STR_ARG(revision));
        is_found = vmt_path_join(out, snapshots, name, NULL) == VMT_OK && vmt_dir_exists(out);
    } else {
        is_found = false;
    }
    vmt_buf_free(&text);
    return is_found;
}

/* Without refs/main (a download by revision) a single snapshot is not in doubt. */
static bool only_snapshot(const char *repo, char out[VMT_HUB_PATH_MAX]) {
    char snapshots[VMT_HUB_PATH_MAX];
    if (vmt_path_join(snapshots, repo, "snapshots", NULL)) return false;
    DIR *dir = opendir(snapshots);
    if (!dir) return false;
    uint32_t num_found = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[VMT_HUB_PATH_MAX];
        if (entry->d_name[0] == '.' || vmt_path_join(path, snapshots, entry->d_name, NULL)) continue;
        if (!vmt_dir_exists(path)) continue;
        snprintf(out, VMT_HUB_PATH_MAX, "%s", path);
        num_found++;
    }
    closedir(dir);
    return num_found == 1;
}

static bool find_snapshot(const vmt_hub_config *config, vmt_str org, vmt_str name, char out[VMT_HUB_PATH_MAX]) {
    char folder[VMT_HUB_PATH_MAX], repo[VMT_HUB_PATH_MAX];
    int len = snprintf(folder, sizeof folder, "hub/models--%.*s--%.*s", VMT_STR_ARG(org), VMT_STR_ARG(name));
    if (len >= (int)sizeof folder || vmt_path_join(repo, config->hf_home, folder, NULL)) return false;
    return main_snapshot(repo, out) || only_snapshot(repo, out);
}

static vmt_status append_path(vmt_buf *path, vmt_str text, vmt_err *err) {
    vmt_buf_append(path, text);
    return path->failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a path") : VMT_OK;
}

static bool looks_like_path(vmt_str model) {
    return vmt_str_starts(model, VMT_STR("/")) || vmt_str_starts(model, VMT_STR("./")) ||
           vmt_str_starts(model, VMT_STR("../")) || vmt_str_starts(model, VMT_STR("~")) ||
           vmt_str_ends(model, VMT_STR(".gguf")) || vmt_str_ends(model, VMT_STR("/"));
}

vmt_status vmt_hub_resolve(const vmt_hub_config *config, vmt_str model, vmt_buf *path, vmt_err *err) {
    char text[VMT_HUB_PATH_MAX];
    if (model.len == 0) return vmt_fail(err, VMT_E_INVALID, "the model's name is empty");
    if (model.len >= sizeof text || memchr(model.ptr, 0, model.len)) {
        return vmt_fail(err, VMT_E_INVALID, "the model's name has %zu bytes, which is no name", model.len);
    }
    snprintf(text, sizeof text, "%.*s", VMT_STR_ARG(model));
    if (vmt_file_exists(text)) {
        if (vmt_str_ends(model, VMT_STR(".gguf"))) return append_path(path, model, err);
        return vmt_fail(err, VMT_E_INVALID, "%s is a file, but its name does not end in .gguf", text);
    }
    if (vmt_dir_exists(text)) return append_path(path, model, err);
    if (vmt_default_model_is(model)) return vmt_default_model_path(config, path, err);
    if (looks_like_path(model)) return vmt_fail(err, VMT_E_NOT_FOUND, "there is no file or folder %s", text);
    vmt_str org, name;
    if (!split_repo(model, &org, &name)) {
        return vmt_fail(err, VMT_E_NOT_FOUND,
                        "no model '%.100s': there is no file or folder of that name here, it is not ORG/NAME, and "
                        "the model that can be fetched is called " VMT_DEFAULT_MODEL,
                        text);
    }
    char snapshot[VMT_HUB_PATH_MAX];
    if (config->hf_home && find_snapshot(config, org, name, snapshot)) {
        return append_path(path, vmt_str_from(snapshot), err);
    }
    return vmt_fail(err, VMT_E_NOT_FOUND,
                    "no model '%.100s': there is no folder of that name here and no snapshot in %.100s/hub", text,
                    config->hf_home ? config->hf_home : "Hugging Face's cache");
}
