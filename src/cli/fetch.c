/* vmetal fetch: gets a model onto this machine and prints where it is. */
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/model_argument.h"
#include "cli/progress.h"
#include "hub/resolve.h"

#define ARENA_MAX ((size_t)1 << 20)

typedef struct fetch_options {
    vmt_flag_list model_args;
    vmt_str download_dir;
    bool quiet;
} fetch_options;

static const vmt_flag flags[] = {
    {.name = "download-dir",
     .kind = VMT_FLAG_STR,
     .group = "Options",
     .value = "DIR",
     .help = "keep fetched models here instead of in the user's cache folder",
     .offset = offsetof(fetch_options, download_dir)},
    {.name = "quiet",
     .short_name = "q",
     .kind = VMT_FLAG_BOOL,
     .group = "Options",
     .help = "no progress bar",
     .offset = offsetof(fetch_options, quiet)},
};

static void show_progress(void *ctx, const char *label, uint64_t done, uint64_t total) {
    vmt_progress *bar = ctx;
    if (bar->started_ns == 0) vmt_progress_begin(bar, label, false);
    vmt_progress_update(bar, done, total);
}

static int run(const void *opts) {
    const fetch_options *o = opts;
    vmt_progress bar = {0};
    vmt_err err = {0};
    vmt_buf path;
    vmt_arena *arena = vmt_arena_create(ARENA_MAX);
    if (arena == NULL) return vmt_command_fail("fetch", VMT_E_NO_MEMORY, &err);
    vmt_hub_config hub = vmt_environment_hub(arena);
    if (o->download_dir.len > 0) hub.cache_dir = vmt_arena_dup(arena, o->download_dir).ptr;
    if (!o->quiet) {
        hub.progress = show_progress;
        hub.progress_ctx = &bar;
    }
    vmt_buf_init(&path, 0);
    vmt_status status = vmt_hub_resolve(&hub, vmt_model_argument(o->model_args, (vmt_str){0}), &path, &err);
    vmt_progress_end(&bar);
    if (status == VMT_OK) printf("%.*s\n", VMT_STR_ARG(vmt_buf_str(&path)));
    vmt_buf_free(&path);
    vmt_arena_destroy(arena);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("fetch", status, &err);
}

const vmt_command vmt_fetch_command = {
    .name = "fetch",
    .summary = "downloads a model and prints its path",
    .usage = "vmetal fetch [MODEL] [flags]",
    .positional = "MODEL",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(fetch_options, model_args),
    .positionals_max = 1,
    .example = "vmetal fetch " VMT_DEFAULT_MODEL,
    .run = run,
    .options_bytes = sizeof(fetch_options),
};
