#include "backend/host/fiber.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#endif

#if defined(HAS_ASAN)
#include <sanitizer/asan_interface.h>
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old, size_t *size_old);
#endif
#if defined(HAS_TSAN)
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void *__tsan_get_current_fiber(void);
/* What clang calls in kernels and gcc's library lacks; the plain functions are watched by both. */
void *__tsan_memset(void *to, int value, size_t bytes);
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memmove(void *to, const void *from, size_t bytes);
__attribute__((weak)) void *__tsan_memset(void *to, int value, size_t bytes) {
    return memset(to, value, bytes);
}
__attribute__((weak)) void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    return memcpy(to, from, bytes);
}
__attribute__((weak)) void *__tsan_memmove(void *to, const void *from, size_t bytes) {
    return memmove(to, from, bytes);
}
#endif

/* ---- the switch: pushes the callee-saved registers, stores the stack pointer at *from, takes `to`, pops. */

void vmt_fiber_switch_stacks(void **from, void *to);

#if defined(__APPLE__)
#define SYMBOL "_vmt_fiber_switch_stacks"
#define MARK   ""
#else
#define SYMBOL "vmt_fiber_switch_stacks"
#define MARK   ".type vmt_fiber_switch_stacks, %function\n"
#endif

#if defined(__x86_64__)
/* 6 registers, MXCSR and the x87 control word; the return address lies above them. */
#define FRAME_WORDS 8
__asm__(".text\n.globl " SYMBOL "\n.p2align 4\n" MARK SYMBOL ":\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n");

/* At the entry of a function the stack is 8 below a multiple of 16, as if it had been called. */
static void *first_frame(char *top, void (*entry)(void)) {
    void **sp = (void **)top - FRAME_WORDS;
    memset(sp, 0, FRAME_WORDS * sizeof *sp);
    sp[6] = (void *)entry;
    return sp;
}
#elif defined(__aarch64__)
/* x19..x30 and d8..d15; x30 is where the switch returns to. */
#define FRAME_WORDS 20
__asm__(
    ".text\n.globl " SYMBOL "\n.p2align 4\n" MARK SYMBOL ":\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n");

static void *first_frame(char *top, void (*entry)(void)) {
    void **sp = (void **)top - FRAME_WORDS;
    memset(sp, 0, FRAME_WORDS * sizeof *sp);
    sp[11] = (void *)entry;
    return sp;
}
#else
#error "fibers need a stack switch for this processor"
#endif

/* ---- life */

vmt_status vmt_fiber_create(vmt_fiber *out, size_t stack_bytes, vmt_err *err) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *out = (vmt_fiber){0};
    stack_bytes = (stack_bytes + page - 1) / page * page;
    char *memory = mmap(NULL, stack_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a stack of %zu bytes", stack_bytes);
    }
    *out = (vmt_fiber){.stack = memory + page, .bytes = stack_bytes};
    return VMT_OK;
}

void vmt_fiber_destroy(vmt_fiber *fiber) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
#if defined(HAS_TSAN)
    if (fiber->tsan != NULL) __tsan_destroy_fiber(fiber->tsan);
#endif
#if defined(HAS_ASAN)
    if (fiber->stack != NULL) __asan_unpoison_memory_region(fiber->stack, fiber->bytes);
#endif
    if (fiber->stack != NULL) munmap(fiber->stack - page, fiber->bytes + page);
    *fiber = (vmt_fiber){0};
}

void vmt_fiber_adopt_thread(vmt_fiber *out) {
    *out = (vmt_fiber){0};
#if defined(HAS_TSAN)
    out->tsan = __tsan_get_current_fiber();
#endif
}

void vmt_fiber_reset(vmt_fiber *fiber, void (*entry)(void)) {
    fiber->sp = first_frame(fiber->stack + fiber->bytes, entry);
    fiber->asan = NULL;
#if defined(HAS_TSAN)
    if (fiber->tsan == NULL) fiber->tsan = __tsan_create_fiber(0);
#endif
}

#if defined(HAS_ASAN)
/* Where the fiber that was left lives: the sanitizer tells, which is how an OS thread's stack becomes known. */
static _Thread_local vmt_fiber *left;

static void arrived(vmt_fiber *fiber) {
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(fiber == NULL ? NULL : fiber->asan, &bottom, &bytes);
    if (left->stack == NULL) {
        left->stack = (char *)(uintptr_t)bottom;
        left->bytes = bytes;
    }
}
#endif

void vmt_fiber_entered(void) {
#if defined(HAS_ASAN)
    arrived(NULL);
#endif
}

void vmt_fiber_switch(vmt_fiber *from, vmt_fiber *to, bool is_last) {
#if defined(HAS_ASAN)
    left = from;
    __sanitizer_start_switch_fiber(is_last ? NULL : &from->asan, to->stack, to->bytes);
#endif
#if defined(HAS_TSAN)
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)is_last;
    vmt_fiber_switch_stacks(&from->sp, to->sp);
#if defined(HAS_ASAN)
    arrived(from);
#endif
}
