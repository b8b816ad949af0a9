#include "text/stop.h"

/* Knuth-Morris-Pratt, one state per stop string: after each byte the state is the length of the longest prefix of
 * the string that ends there.  What is held back is the longest of these. */
struct needle {
    vmt_str text;
    uint32_t *fallback; /* [len]: for a prefix of i + 1 bytes, its longest proper border */
    uint32_t matched;
};

struct vmt_stop {
    struct needle *needles;
    uint32_t num_needles;
    bool include_in_output;
    bool done;
    char *held; /* [VMT_STOP_BYTES_MAX] bytes seen and not shown */
    size_t num_held;
};

vmt_stop *vmt_stop_create(vmt_arena *arena, const vmt_str *strings, uint32_t num_strings, bool include_in_output) {
    VMT_ASSERT(num_strings <= VMT_STOP_STRINGS_MAX);
    vmt_stop *stop = VMT_ARENA_NEW(arena, vmt_stop, 1);
    if (!stop) return NULL;
    stop->needles = VMT_ARENA_NEW(arena, struct needle, num_strings);
    stop->held = vmt_arena_alloc(arena, VMT_STOP_BYTES_MAX);
    if (!stop->needles || !stop->held) return NULL;
    stop->num_needles = num_strings;
    stop->include_in_output = include_in_output;
    for (uint32_t i = 0; i < num_strings; i++) {
        struct needle *n = &stop->needles[i];
        VMT_ASSERT(strings[i].len > 0 && strings[i].len <= VMT_STOP_BYTES_MAX);
        n->text = vmt_arena_dup(arena, strings[i]);
        n->fallback = VMT_ARENA_NEW(arena, uint32_t, strings[i].len);
        if (!n->text.ptr || !n->fallback) return NULL;
        for (uint32_t at = 1, border = 0; at < n->text.len; at++) {
            while (border > 0 && n->text.ptr[at] != n->text.ptr[border]) border = n->fallback[border - 1];
            if (n->text.ptr[at] == n->text.ptr[border]) border++;
            n->fallback[at] = border;
        }
    }
    return stop;
}

/* Advances every needle by one byte.  The index of the longest that is complete, or -1. */
static int32_t step(vmt_stop *stop, char byte, uint32_t *longest_open) {
    int32_t hit = -1;
    *longest_open = 0;
    for (uint32_t i = 0; i < stop->num_needles; i++) {
        struct needle *n = &stop->needles[i];
        uint32_t m = n->matched;
        while (m > 0 && n->text.ptr[m] != byte) m = n->fallback[m - 1];
        if (n->text.ptr[m] == byte) m++;
        if (m == n->text.len) {
            if (hit < 0 || n->text.len > stop->needles[hit].text.len) hit = (int32_t)i;
            m = n->fallback[m - 1];
        }
        n->matched = m;
        *longest_open = VMT_MAX(*longest_open, m);
    }
    return hit;
}

int32_t vmt_stop_push(vmt_stop *stop, vmt_str text, vmt_buf *out) {
    if (stop->done) return -1;
    size_t shown = 0; /* bytes of text that are in out */
    for (size_t pos = 0; pos < text.len; pos++) {
        uint32_t open;
        int32_t hit = step(stop, text.ptr[pos], &open);
        size_t pending = stop->num_held + (pos + 1 - shown); /* seen, not shown */
        size_t keep = hit < 0 ? open : stop->include_in_output ? 0 : stop->needles[hit].text.len;
        VMT_ASSERT(keep <= pending);
        size_t show = pending - keep;
        size_t from_held = VMT_MIN(show, stop->num_held);
        if (from_held > 0) {
            vmt_buf_append(out, (vmt_str){stop->held, from_held});
            memmove(stop->held, stop->held + from_held, stop->num_held - from_held);
            stop->num_held -= from_held;
        }
        if (show > from_held) {
            vmt_buf_append(out, vmt_str_slice(text, shown, shown + (show - from_held)));
            shown += show - from_held;
        }
        if (hit >= 0) {
            stop->done = true;
            stop->num_held = 0;
            return hit;
        }
    }
    VMT_ASSERT(stop->num_held + (text.len - shown) <= VMT_STOP_BYTES_MAX);
    if (text.len > shown) memcpy(stop->held + stop->num_held, text.ptr + shown, text.len - shown);
    stop->num_held += text.len - shown;
    return -1;
}

void vmt_stop_flush(vmt_stop *stop, vmt_buf *out) {
    if (!stop->done) vmt_buf_append(out, (vmt_str){stop->held, stop->num_held});
    stop->num_held = 0;
    stop->done = true;
}
