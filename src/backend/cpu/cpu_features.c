/* backend/cpu/cpu_features.c: instruction sets, cores and memory, as far as this process may use them. */
#include "backend/cpu/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#elif defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static pthread_once_t detect_once = PTHREAD_ONCE_INIT;
static bool present[VMT_NUM_ISAS];
static _Atomic int isa_limit = VMT_NUM_ISAS - 1;

#if defined(__x86_64__)
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Tile registers are off until the process asks for them; the answer holds for all its threads. */
static bool allow_amx(void) {
#if defined(__linux__)
    enum { REQUEST_XCOMP_PERMISSION = 0x1023, XFEATURE_TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_XCOMP_PERMISSION, XFEATURE_TILE_DATA) == 0;
#else
    return false;
#endif
}

static void detect(void) {
    enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6, XCR0_AMX = 0x60000 };
    uint32_t a, b, c, d, b7, c7, d7;
    present[VMT_ISA_SCALAR] = true;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return;
    uint64_t xcr0 = read_xcr0();
    bool has_fma = (c & bit_FMA) && (c & bit_F16C) && (c & bit_AVX);
    present[VMT_ISA_AVX2] = has_fma && (b7 & bit_AVX2) && (xcr0 & XCR0_AVX) == XCR0_AVX;
    present[VMT_ISA_AVX512] = present[VMT_ISA_AVX2] && (xcr0 & XCR0_AVX512) == XCR0_AVX512 && (b7 & bit_AVX512F) &&
                              (b7 & bit_AVX512BW) && (b7 & bit_AVX512VL) && (b7 & bit_AVX512DQ);
    present[VMT_ISA_AVX512VNNI] = present[VMT_ISA_AVX512] && (c7 & bit_AVX512VNNI);
    enum { BIT_AMX_BF16 = 1 << 22, BIT_AMX_TILE = 1 << 24, BIT_AMX_INT8 = 1 << 25 };
    const uint32_t amx_bits = BIT_AMX_BF16 | BIT_AMX_TILE | BIT_AMX_INT8;
    present[VMT_ISA_AMX] =
        present[VMT_ISA_AVX512VNNI] && (d7 & amx_bits) == amx_bits && (xcr0 & XCR0_AMX) == XCR0_AMX && allow_amx();
}
#elif defined(__aarch64__)
static void detect(void) {
    present[VMT_ISA_SCALAR] = true;
    present[VMT_ISA_NEON] = true;
#if defined(__linux__)
    enum { HWCAP_FP16_VECTOR = 1 << 10, HWCAP_DOTPROD = 1 << 20, HWCAP2_INT8_MATMUL = 1 << 13 };
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    present[VMT_ISA_NEONDOT] = (caps & HWCAP_DOTPROD) && (caps & HWCAP_FP16_VECTOR);
    present[VMT_ISA_NEONI8MM] = present[VMT_ISA_NEONDOT] && (caps2 & HWCAP2_INT8_MATMUL);
#elif defined(__APPLE__)
    int value = 0;
    size_t len = sizeof(value);
    present[VMT_ISA_NEONDOT] = sysctlbyname("hw.optional.arm.FEAT_DotProd", &value, &len, NULL, 0) == 0 && value;
    len = sizeof(value);
    present[VMT_ISA_NEONI8MM] =
        present[VMT_ISA_NEONDOT] && sysctlbyname("hw.optional.arm.FEAT_I8MM", &value, &len, NULL, 0) == 0 && value;
#endif
}
#else
static void detect(void) {
    present[VMT_ISA_SCALAR] = true;
}
#endif

bool vmt_isa_present(vmt_isa isa) {
    VMT_ASSERT((unsigned)isa < VMT_NUM_ISAS);
    pthread_once(&detect_once, detect);
    return present[isa];
}

const char *vmt_isa_name(vmt_isa isa) {
    static const char *const names[VMT_NUM_ISAS] = {
        [VMT_ISA_SCALAR] = "scalar",         [VMT_ISA_AVX2] = "avx2",         [VMT_ISA_AVX512] = "avx512",
        [VMT_ISA_AVX512VNNI] = "avx512vnni", [VMT_ISA_AMX] = "amx",           [VMT_ISA_NEON] = "neon",
        [VMT_ISA_NEONDOT] = "neondot",       [VMT_ISA_NEONI8MM] = "neoni8mm",
    };
    VMT_ASSERT((unsigned)isa < VMT_NUM_ISAS);
    return names[isa];
}

vmt_isa vmt_isa_best(void) {
    int isa = atomic_load_explicit(&isa_limit, memory_order_relaxed);
    while (isa > VMT_ISA_SCALAR && !vmt_isa_present((vmt_isa)isa)) isa--;
    return (vmt_isa)isa;
}

void vmt_isa_limit(vmt_isa isa) {
    VMT_ASSERT((unsigned)isa < VMT_NUM_ISAS);
    atomic_store_explicit(&isa_limit, (int)isa, memory_order_relaxed);
}

#if defined(__linux__)
#define TEXT_MAX 4096u

/* The start of a small kernel file as a string; false if there is none. */
static bool read_text(const char *path, char out[TEXT_MAX]) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    size_t len = fread(out, 1, TEXT_MAX - 1, file);
    out[len] = '\0';
    (void)fclose(file);
    return len > 0;
}

/* This process's path in the hierarchy that has the controller ("" is the one of cgroup v2), without a final '/'. */
static bool own_cgroup(const char *controller, char *out, size_t cap) {
    char text[TEXT_MAX];
    if (!read_text("/proc/self/cgroup", text)) return false;
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (path == NULL) continue;
        *path++ = '\0';
        bool found = false;
        char *inner = NULL;
        if (names[1] == '\0') found = controller[0] == '\0';
        for (char *n = strtok_r(names + 1, ",", &inner); n != NULL; n = strtok_r(NULL, ",", &inner)) {
            found = found || strcmp(n, controller) == 0;
        }
        if (!found) continue;
        snprintf(out, cap, "%s", strcmp(path, "/") == 0 ? "" : path);
        return true;
    }
    return false;
}

typedef enum limit_kind { LIMIT_CPU, LIMIT_MEMORY, USE_MEMORY } limit_kind;

/* Reads the value of one control group folder; UINT64_MAX if it sets no limit.  Cores are rounded up. */
static uint64_t read_limit(const char *folder, limit_kind kind, bool is_v2) {
    char path[TEXT_MAX + 64], text[TEXT_MAX];
    static const char *const files[2][3] = {
        {"cpu.cfs_quota_us", "memory.limit_in_bytes", "memory.usage_in_bytes"},
        {"cpu.max", "memory.max", "memory.current"},
    };
    snprintf(path, sizeof(path), "%s/%s", folder, files[is_v2][kind]);
    char *end;
    if (!read_text(path, text)) return UINT64_MAX;
    long long value = strtoll(text, &end, 10);
    if (end == text || value <= 0) return UINT64_MAX; /* "max", or -1 */
    if (kind != LIMIT_CPU) return (uint64_t)value;
    long long period = is_v2 ? strtoll(end, NULL, 10) : 0;
    if (!is_v2) {
        snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
        period = read_text(path, text) ? strtoll(text, NULL, 10) : 0;
    }
    return period > 0 ? (uint64_t)(value + period - 1) / (uint64_t)period : UINT64_MAX;
}

/* The least of the limits on this process's control group and the ones around it.  In a container the mounted root may
 * already be the own group, so the root is asked as well. */
static uint64_t cgroup_limit(limit_kind kind) {
    static const char *const v1_names[] = {"cpu", "memory", "memory"};
    uint64_t limit = UINT64_MAX;
    for (int is_v2 = 0; is_v2 < 2; is_v2++) {
        char own[1024], root[64], folder[1200];
        snprintf(root, sizeof(root), "/sys/fs/cgroup%s%s", is_v2 ? "" : "/", is_v2 ? "" : v1_names[kind]);
        if (!own_cgroup(is_v2 ? "" : v1_names[kind], own, sizeof(own))) continue;
        for (;;) {
            snprintf(folder, sizeof(folder), "%s%s", root, own);
            limit = VMT_MIN(limit, read_limit(folder, kind, is_v2));
            char *slash = strrchr(own, '/');
            if (slash == NULL) break;
            *slash = '\0';
        }
    }
    return limit;
}

/* A line "Name:  123 kB" of /proc/meminfo in bytes; 0 if missing. */
static uint64_t meminfo(const char *name) {
    char text[TEXT_MAX];
    if (!read_text("/proc/meminfo", text)) return 0;
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10) * 1024;
}

uint32_t vmt_cpu_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    long cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t limit = cgroup_limit(LIMIT_CPU);
    return (uint32_t)VMT_MAX(VMT_MIN((uint64_t)VMT_MAX(cores, 1), limit), 1);
}

uint64_t vmt_cpu_memory_bytes(void) {
    return VMT_MIN(meminfo("MemTotal:"), cgroup_limit(LIMIT_MEMORY));
}

uint64_t vmt_cpu_memory_available_bytes(void) {
    uint64_t available = meminfo("MemAvailable:");
    uint64_t limit = cgroup_limit(LIMIT_MEMORY), used = cgroup_limit(USE_MEMORY);
    if (limit == UINT64_MAX || used == UINT64_MAX) return available;
    return VMT_MIN(available, limit > used ? limit - used : 0);
}

#elif defined(__APPLE__)
static uint64_t sysctl_u64(const char *name) {
    uint64_t value = 0;
    size_t len = sizeof(value);
    return sysctlbyname(name, &value, &len, NULL, 0) == 0 ? value : 0;
}

uint32_t vmt_cpu_cores(void) {
    /* The performance cores: an even split over unlike cores waits for the slow ones. */
    uint64_t cores = sysctl_u64("hw.perflevel0.physicalcpu");
    if (cores == 0) cores = sysctl_u64("hw.physicalcpu");
    return (uint32_t)VMT_MAX(cores, 1);
}

uint64_t vmt_cpu_memory_bytes(void) {
    return sysctl_u64("hw.memsize");
}

uint64_t vmt_cpu_memory_available_bytes(void) {
    vm_statistics64_data_t stats;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&stats, &count) != KERN_SUCCESS)
        return 0;
    return ((uint64_t)stats.free_count + stats.inactive_count + stats.purgeable_count) * (uint64_t)vm_page_size;
}

#else
uint32_t vmt_cpu_cores(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (uint32_t)cores : 1;
}

uint64_t vmt_cpu_memory_bytes(void) {
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t vmt_cpu_memory_available_bytes(void) {
    return vmt_cpu_memory_bytes();
}
#endif
