#include "base/arena.h"
#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT         ((size_t)16)
#define CHUNK_BYTES_FIRST ((size_t)4096)
#define CHUNK_BYTES_MAX   ((size_t)1 << 20) /* doubling stops here; a larger request gets a chunk of its own */

struct chunk {
    struct chunk *older;
    size_t size, used; /* bytes of data */
    _Alignas(16) unsigned char data[];
};

struct vmt_arena {
    size_t cap_bytes, used_bytes; /* as asked for, without rounding */
    struct chunk *newest;         /* the only chunk allocations come from; the oldest is the one reset keeps */
    size_t next_chunk_bytes;
};

static struct chunk *chunk_create(struct chunk *older, size_t size) {
    size_t bytes;
    if (!vmt_add_size(sizeof(struct chunk), size, &bytes)) return NULL;
    struct chunk *chunk = malloc(bytes);
    if (!chunk) return NULL;
    *chunk = (struct chunk){.older = older, .size = size};
    return chunk;
}

vmt_arena *vmt_arena_create(size_t cap_bytes) {
    vmt_arena *arena = malloc(sizeof *arena);
    struct chunk *first = chunk_create(NULL, CHUNK_BYTES_FIRST);
    if (!arena || !first) {
        free(arena);
        free(first);
        return NULL;
    }
    *arena = (vmt_arena){.cap_bytes = cap_bytes, .newest = first, .next_chunk_bytes = 2 * CHUNK_BYTES_FIRST};
    return arena;
}

static void drop_newer_than_first(vmt_arena *arena) {
    while (arena->newest->older) {
        struct chunk *older = arena->newest->older;
        free(arena->newest);
        arena->newest = older;
    }
}

void vmt_arena_destroy(vmt_arena *arena) {
    if (!arena) return;
    drop_newer_than_first(arena);
    free(arena->newest);
    free(arena);
}

void vmt_arena_reset(vmt_arena *arena) {
    drop_newer_than_first(arena);
    arena->newest->used = 0;
    arena->used_bytes = 0;
    arena->next_chunk_bytes = 2 * CHUNK_BYTES_FIRST;
}

void *vmt_arena_alloc(vmt_arena *arena, size_t bytes) {
    size_t rounded;
    if (bytes > arena->cap_bytes - arena->used_bytes) return NULL;
    if (!vmt_add_size(VMT_MAX(bytes, 1), ALIGNMENT - 1, &rounded)) return NULL;
    rounded &= ~(ALIGNMENT - 1);

    struct chunk *chunk = arena->newest;
    if (rounded > chunk->size - chunk->used) {
        chunk = chunk_create(arena->newest, VMT_MAX(rounded, arena->next_chunk_bytes));
        if (!chunk) return NULL;
        arena->newest = chunk;
        arena->next_chunk_bytes = VMT_MIN(2 * arena->next_chunk_bytes, CHUNK_BYTES_MAX);
    }
    void *ptr = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->used_bytes += bytes;
    return ptr;
}

void *vmt_arena_calloc(vmt_arena *arena, size_t count, size_t elem_bytes) {
    size_t bytes;
    if (!vmt_mul_size(count, elem_bytes, &bytes)) return NULL;
    void *ptr = vmt_arena_alloc(arena, bytes);
    if (ptr) memset(ptr, 0, bytes);
    return ptr;
}

vmt_str vmt_arena_dup(vmt_arena *arena, vmt_str s) {
    size_t bytes;
    char *ptr = vmt_add_size(s.len, 1, &bytes) ? vmt_arena_alloc(arena, bytes) : NULL;
    if (!ptr) return (vmt_str){NULL, 0};
    if (s.len) memcpy(ptr, s.ptr, s.len);
    ptr[s.len] = 0;
    return (vmt_str){ptr, s.len};
}

vmt_str vmt_arena_printf(vmt_arena *arena, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *ptr = len < 0 ? NULL : vmt_arena_alloc(arena, (size_t)len + 1);
    if (ptr) vsnprintf(ptr, (size_t)len + 1, fmt, again);
    va_end(again);
    return (vmt_str){ptr, ptr ? (size_t)len : 0};
}

size_t vmt_arena_used(const vmt_arena *arena) {
    return arena->used_bytes;
}
