/* vmetal doctor: what this machine has, and what would keep a server from working well on it. */
#include "backend/cpu/cpu.h"
#include "backend/gpu.h"
#include "base/file.h"
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/doctor_checks.h"
#include "cli/environment.h"
#include "cli/model_argument.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#define ARENA_MAX    ((size_t)1 << 20)
#define FILES_WANTED 2048 /* connections of a busy server, with some to spare */

typedef struct doctor_options {
    bool self_test;
    vmt_str device;
} doctor_options;

static const doctor_options defaults = {.device = {"auto", 4}};

static const vmt_flag flags[] = {
    {.name = "self-test",
     .kind = VMT_FLAG_BOOL,
     .group = "Self-test",
     .help = "check every GPU kernel against its reference instead",
     .offset = offsetof(doctor_options, self_test)},
    {.name = "device",
     .kind = VMT_FLAG_STR,
     .group = "Self-test",
     .value = "DEVICE",
     .help = "whose kernels: auto is metal on a Mac, else host",
     .default_text = "auto",
     .choices = "auto|metal|cuda|host",
     .offset = offsetof(doctor_options, device)},
};

struct doctor {
    vmt_arena *arena;
    uint32_t num_findings;
};

static void line(const char *label, const char *fmt, ...) VMT_PRINTF(2, 3);
static void line(const char *label, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    printf("%-16s", label);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
}

/* Something a person may want to change. */
static void finding(struct doctor *d, const char *text) {
    printf("%-16s! %s\n", "", text);
    d->num_findings++;
}

static vmt_str processor_name(vmt_arena *arena) {
#if defined(__APPLE__)
    char name[128];
    size_t len = sizeof name;
    if (sysctlbyname("machdep.cpu.brand_string", name, &len, NULL, 0) == 0) {
        return vmt_arena_dup(arena, vmt_str_from(name));
    }
    return VMT_STR("unknown");
#else
    vmt_str name = VMT_STR("unknown");
    char *text = NULL;
    size_t cap = 0;
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) return name;
    while (getline(&text, &cap, file) >= 0) {
        const char *colon = strchr(text, ':');
        if (strncmp(text, "model name", 10) != 0 || colon == NULL) continue;
        vmt_str copy = vmt_arena_dup(arena, vmt_str_trim(vmt_str_from(colon + 1)));
        if (copy.ptr != NULL) name = copy;
        break;
    }
    free(text);
    fclose(file);
    return name;
#endif
}

static void show_hardware(struct doctor *d) {
    struct utsname system;
    if (uname(&system) == 0) line("system", "%s %s, %s", system.sysname, system.release, system.machine);
    line("processor", "%.*s, %u cores for this process", VMT_STR_ARG(processor_name(d->arena)), vmt_cpu_cores());
    printf("%-16s", "instructions");
    for (int isa = 0; isa < VMT_NUM_ISAS; isa++) {
        if (vmt_isa_present((vmt_isa)isa)) printf("%s ", vmt_isa_name((vmt_isa)isa));
    }
    printf("(best: %s)\n", vmt_isa_name(vmt_isa_best()));
    if (vmt_isa_best() == VMT_ISA_SCALAR)
        finding(d, "no vector instructions known to this build: answers will be slow");
    line("threads", "%u by default (--threads)", vmt_cpu_cores());
    double total = (double)vmt_cpu_memory_bytes(), available = (double)vmt_cpu_memory_available_bytes();
    line("memory", "%.1f GB, %.1f GB available", total * 1e-9, available * 1e-9);
    if (available < 1e9) finding(d, "less than 1 GB is available: only the smallest models will load");
}

/* What a driver says of its device, or why there is none. */
static void show_gpu(const char *driver) {
    vmt_gpu *gpu;
    vmt_err err = {0};
    if (vmt_gpu_open(&gpu, driver, &err) != VMT_OK) {
        line(driver, "no: %s", err.msg);
        return;
    }
    const vmt_gpu_caps *caps = &gpu->caps;
    line(driver, "%s, %u cores, %.1f GB to use, buffers to %.1f GB, %s memory", caps->name, caps->num_cores,
         (double)caps->working_set_bytes * 1e-9, (double)caps->buffer_bytes_max * 1e-9,
         caps->is_unified ? "unified" : "its own");
    vmt_gpu_close(gpu);
}

static void show_devices(void) {
    static const char *const drivers[] = {"metal", "cuda", "host"};
    line("cpu", "yes");
    for (size_t i = 0; i < VMT_COUNT(drivers); i++) show_gpu(drivers[i]);
}

static void show_limits(struct doctor *d) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        line("open files", "%llu (at most %llu)", (unsigned long long)limit.rlim_cur,
             (unsigned long long)limit.rlim_max);
        if (limit.rlim_cur < FILES_WANTED) finding(d, "each connection takes one: raise it with ulimit -n 4096");
    }
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        line("address space", "%.1f GB", (double)limit.rlim_cur * 1e-9);
        finding(d, "weights are mapped whole: the address space limit (ulimit -v) may refuse a large model");
    }
}

static const char *folder_state(const char *path) {
    if (path == NULL || !vmt_dir_exists(path)) return "not there yet";
    return access(path, W_OK) == 0 ? "writable" : "read-only";
}

static void show_model(struct doctor *d) {
    vmt_hub_config hub = vmt_environment_hub(d->arena);
    vmt_err err = {0};
    vmt_buf path;
    bool was_offline = hub.offline;
    line("models", "%s (%s)", hub.cache_dir, folder_state(hub.cache_dir));
    if (hub.hf_home != NULL) line("hugging face", "%s (%s)", hub.hf_home, folder_state(hub.hf_home));
    line("downloads", "%s", was_offline ? "off (HF_HUB_OFFLINE=1)" : "on");
    hub.offline = true;
    vmt_buf_init(&path, 0);
    if (vmt_hub_resolve(&hub, VMT_STR(VMT_DEFAULT_MODEL), &path, &err) == VMT_OK) {
        line("default model", "%s", path.ptr);
    } else {
        line("default model", "%s is not on this machine", VMT_DEFAULT_MODEL);
        finding(d, was_offline ? "unset HF_HUB_OFFLINE and run: vmetal fetch" : "get it with: vmetal fetch");
    }
    vmt_buf_free(&path);
}

static int run(const void *opts) {
    const doctor_options *options = opts;
    if (options->self_test) return vmt_doctor_self_test(options->device);
    struct doctor d = {.arena = vmt_arena_create(ARENA_MAX)};
    vmt_err err = {0};
    if (d.arena == NULL) return vmt_command_fail("doctor", VMT_E_NO_MEMORY, &err);
    line("vmetal", "%s", VMT_VERSION);
    show_hardware(&d);
    show_devices();
    show_limits(&d);
    show_model(&d);
    if (d.num_findings == 0) {
        printf("\nnothing stands in the way\n");
    } else {
        printf("\n%u thing%s to look at, marked with !\n", d.num_findings, d.num_findings == 1 ? "" : "s");
    }
    vmt_arena_destroy(d.arena);
    return EXIT_SUCCESS;
}

const vmt_command vmt_doctor_command = {
    .name = "doctor",
    .summary = "shows what this machine offers and what is missing",
    .usage = "vmetal doctor [flags]",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .example = "vmetal doctor --self-test",
    .run = run,
    .defaults = &defaults,
    .options_bytes = sizeof(doctor_options),
};
