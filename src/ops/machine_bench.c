/* ops/machine_bench.c: what this machine gives at most: memory reads, and the arithmetic the kernels are made of.
 *
 *   machine_bench [threads]        one line each: name, value, unit; the best of several rounds
 *
 * Memory is read as the one-row kernels read it: long runs per thread, asked for ahead.  Arithmetic is chains in
 * registers, enough of them to hide latency, in assembly so that nothing is spilled or dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/clock.h"

#define ROUNDS     7
#define READ_BYTES ((size_t)1 << 30) /* more than caches keep */
#define READ_ITEM  ((size_t)1 << 20)
#define AHEAD      1024u
#define SPINS      2000u /* per item: some tens of microseconds */
#define SPIN_ITEMS 400u

static void read_items(const vmt_cpu_task *task) {
    const uint8_t *begin = (const uint8_t *)task->buffers[0] + task->begin * READ_ITEM;
    size_t bytes = (task->end - task->begin) * READ_ITEM;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < bytes; i += 64) {
        uint64_t line[8];
        __builtin_prefetch(begin + i + AHEAD);
        memcpy(line, begin + i, sizeof(line));
        for (int j = 0; j < 8; j++) sums[j] += line[j];
    }
    for (int j = 1; j < 8; j++) sums[0] ^= sums[j];
    *(volatile uint64_t *)task->scratch = sums[0];
}

/* Seconds of the fastest round. */
static double fastest(vmt_backend *be, const vmt_launch *launch) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begin = vmt_clock_ns();
        if (vmt_launch_run(be, launch) != VMT_OK) exit(1);
        best = VMT_MIN(best, vmt_clock_ns() - begin);
    }
    return (double)best * 1e-9;
}

static void print_memory(vmt_backend *be) {
    vmt_buffer buffer;
    if (vmt_buffer_create(be, &buffer, READ_BYTES + AHEAD, NULL) != VMT_OK) exit(1);
    memset(buffer.host, 1, buffer.bytes);
    vmt_launch launch = {
        .name = "read",
        .num_buffers = 1,
        .cpu_fn = read_items,
        .cpu_items = READ_BYTES / READ_ITEM,
        .cpu_grain = 1,
        .cpu_is_guided = true,
        .scratch_bytes = 64,
    };
    launch.buffers[0].buffer = &buffer;
    printf("memory %.1f GB/s\n", (double)READ_BYTES / fastest(be, &launch) / 1e9);
    vmt_buffer_destroy(be, &buffer);
}

#if defined(__x86_64__)
/* Twelve independent chains. */
#define CHAINS(op) \
    op("2") op("3") op("4") op("5") op("6") op("7") op("8") op("9") op("10") op("11") op("12") op("13")
#define CLOBBERED                                                                                              \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
        "xmm13"
#define FMA(n)  "vfmadd231ps %%zmm0, %%zmm1, %%zmm" n "\n\t"
#define VNNI(n) "vpdpbusd %%zmm0, %%zmm1, %%zmm" n "\n\t"

static void spin_fma(const vmt_cpu_task *task) {
    __asm__ volatile("vpxorq %%zmm0, %%zmm0, %%zmm0\n\tvpxorq %%zmm1, %%zmm1, %%zmm1" ::: CLOBBERED);
    for (uint32_t i = 0; i < SPINS * (task->end - task->begin); i++) __asm__ volatile(CHAINS(FMA)::: CLOBBERED);
}

static void spin_vnni(const vmt_cpu_task *task) {
    for (uint32_t i = 0; i < SPINS * (task->end - task->begin); i++) __asm__ volatile(CHAINS(VNNI)::: CLOBBERED);
}

static void configure_tiles(void) {
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t col_bytes[16];
        uint8_t rows[16];
    } config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
    __asm__ volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3\n\t"
                     "tilezero %tmm6\n\ttilezero %tmm7");
}

/* Four tiles of sums; a product is 16 x 16 x 64 (bytes) or 32 (BF16). */
static void spin_amx_int8(const vmt_cpu_task *task) {
    configure_tiles();
    for (uint32_t i = 0; i < SPINS * (task->end - task->begin); i++) {
        __asm__ volatile("tdpbssd %tmm6, %tmm7, %tmm0\n\ttdpbssd %tmm6, %tmm7, %tmm1\n\t"
                         "tdpbssd %tmm6, %tmm7, %tmm2\n\ttdpbssd %tmm6, %tmm7, %tmm3");
    }
    __asm__ volatile("tilerelease");
}

static void spin_amx_bf16(const vmt_cpu_task *task) {
    configure_tiles();
    for (uint32_t i = 0; i < SPINS * (task->end - task->begin); i++) {
        __asm__ volatile("tdpbf16ps %tmm6, %tmm7, %tmm0\n\ttdpbf16ps %tmm6, %tmm7, %tmm1\n\t"
                         "tdpbf16ps %tmm6, %tmm7, %tmm2\n\ttdpbf16ps %tmm6, %tmm7, %tmm3");
    }
    __asm__ volatile("tilerelease");
}

static const struct {
    const char *name;
    vmt_isa isa;
    vmt_cpu_fn spin;
    double ops_per_spin;
} peaks[] = {
    {"f32_fma", VMT_ISA_AVX512, spin_fma, 12 * 16 * 2},
    {"vnni", VMT_ISA_AVX512VNNI, spin_vnni, 12 * 64 * 2},
    {"amx_int8", VMT_ISA_AMX, spin_amx_int8, 4 * 16 * 16 * 64 * 2},
    {"amx_bf16", VMT_ISA_AMX, spin_amx_bf16, 4 * 16 * 16 * 32 * 2},
};

static void print_peaks(vmt_backend *be) {
    for (size_t i = 0; i < VMT_COUNT(peaks); i++) {
        if (!vmt_isa_present(peaks[i].isa)) continue;
        vmt_launch launch = {
            .name = peaks[i].name, .cpu_fn = peaks[i].spin, .cpu_items = SPIN_ITEMS, .cpu_grain = 1};
        double ops = peaks[i].ops_per_spin * SPINS * SPIN_ITEMS;
        printf("%s %.0f GOP/s\n", peaks[i].name, ops / fastest(be, &launch) / 1e9);
    }
}
#else
static void print_peaks(vmt_backend *be) {}
#endif

int main(int argc, char **argv) {
    vmt_backend *be;
    vmt_err err = {0};
    if (vmt_cpu_backend_create(&be, argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0, &err) != VMT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("threads %u\n", be->num_workers);
    print_memory(be);
    print_peaks(be);
    vmt_backend_destroy(be);
    return 0;
}
