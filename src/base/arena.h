/* base/arena.h: memory that dies together, with a byte cap.
 *
 * One arena per lifetime (model, request, step).  It may move between threads but is used by one at a time.
 * Allocation returns NULL when the cap or the system refuses; callers turn that into VMT_E_NO_MEMORY. */
#ifndef VMT_BASE_ARENA_H
#define VMT_BASE_ARENA_H

#include "base/str.h"

typedef struct vmt_arena vmt_arena;

/* cap_bytes bounds the sum of what callers ask for.  NULL when the system has no memory. */
vmt_arena *vmt_arena_create(size_t cap_bytes);
void vmt_arena_destroy(vmt_arena *arena); /* NULL is fine */
/* Forgets every allocation, keeps the first chunk. */
void vmt_arena_reset(vmt_arena *arena);

/* 16-byte aligned, uninitialised.  Zero bytes give a valid unique pointer. */
void *vmt_arena_alloc(vmt_arena *arena, size_t bytes);
/* Zeroed array; the product is overflow-checked. */
void *vmt_arena_calloc(vmt_arena *arena, size_t count, size_t elem_bytes);
/* A NUL-terminated copy, so ptr may be handed to the OS; len excludes the NUL.  ptr is NULL on failure. */
vmt_str vmt_arena_dup(vmt_arena *arena, vmt_str s);
vmt_str vmt_arena_printf(vmt_arena *arena, const char *fmt, ...) VMT_PRINTF(2, 3);
/* Bytes handed out since create or reset. */
size_t vmt_arena_used(const vmt_arena *arena);

/* A typed array of count zeroed elements. */
#define VMT_ARENA_NEW(arena, type, count) ((type *)vmt_arena_calloc((arena), (count), sizeof(type)))

#endif
