/* backend/cpu/cpu.h: the CPU backend and what the machine can do.
 *
 * A persistent pool: workers spin for a moment after a launch, then sleep, so that steps cost no system call while busy
 * and an idle server costs nothing.  The caller's thread is worker 0. */
#ifndef VMT_BACKEND_CPU_CPU_H
#define VMT_BACKEND_CPU_CPU_H

#include "backend/backend.h"

typedef enum vmt_isa { /* ascending within a family; tables choose the last that is present */
                       VMT_ISA_SCALAR,
                       VMT_ISA_AVX2,       /* with FMA and F16C */
                       VMT_ISA_AVX512,     /* F, BW, VL, DQ */
                       VMT_ISA_AVX512VNNI, /* and VNNI */
                       VMT_ISA_AMX,        /* AVX512VNNI and AMX tile, int8, bf16, allowed by the kernel */
                       VMT_ISA_NEON,
                       VMT_ISA_NEONDOT,  /* and dotprod */
                       VMT_ISA_NEONI8MM, /* and i8mm */
                       VMT_NUM_ISAS,
} vmt_isa;

/* What this machine has, asked once.  VMT_ISA_SCALAR is always there. */
bool vmt_isa_present(vmt_isa isa);
const char *vmt_isa_name(vmt_isa isa);
/* The best one present; the tests and `--cpu-isa` may lower it for the whole process before a backend is made. */
vmt_isa vmt_isa_best(void);
void vmt_isa_limit(vmt_isa isa);

uint32_t vmt_cpu_cores(void);        /* cores this process may run on */
uint64_t vmt_cpu_memory_bytes(void); /* physical memory, or the container's limit if lower */
uint64_t vmt_cpu_memory_available_bytes(void);

/* num_threads 0: one per core.  At most VMT_CPU_THREADS_MAX. */
#define VMT_CPU_THREADS_MAX 256u
vmt_status vmt_cpu_backend_create(vmt_backend **out, uint32_t num_threads, vmt_err *err);

/* One piece of memory that all workers of consecutive launches see (quantized activations), 64-byte aligned, dirty.
 * Valid until the next call; it grows to the largest size asked for and stays.  NULL when there is no memory. */
void *vmt_cpu_shared_scratch(vmt_backend *be, size_t bytes);
/* Launches since create, for traces and tests. */
uint64_t vmt_cpu_num_launches(const vmt_backend *be);

#endif
