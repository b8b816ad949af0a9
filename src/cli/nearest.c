#include "cli/nearest.h"

static char fold(char c) {
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

uint32_t vmt_edit_distance(vmt_str a, vmt_str b) {
    if (a.len > VMT_NEAREST_BYTES_MAX || b.len > VMT_NEAREST_BYTES_MAX) return UINT32_MAX;
    uint32_t rows[3][VMT_NEAREST_BYTES_MAX + 1];
    uint32_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (uint32_t j = 0; j <= b.len; j++) above[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            bool same = fold(a.ptr[i - 1]) == fold(b.ptr[j - 1]);
            uint32_t best = VMT_MIN(above[j], row[j - 1]) + 1;
            best = VMT_MIN(best, above[j - 1] + !same);
            bool swapped = i > 1 && j > 1 && fold(a.ptr[i - 1]) == fold(b.ptr[j - 2]) &&
                           fold(a.ptr[i - 2]) == fold(b.ptr[j - 1]);
            if (swapped) best = VMT_MIN(best, before[j - 2] + 1);
            row[j] = best;
        }
        uint32_t *next = before;
        before = above;
        above = row;
        row = next;
    }
    return above[b.len];
}

vmt_nearest vmt_nearest_begin(vmt_str wanted) {
    return (vmt_nearest){.wanted = wanted, .distance = UINT32_MAX};
}

void vmt_nearest_offer(vmt_nearest *n, const char *candidate) {
    vmt_str name = vmt_str_from(candidate);
    uint32_t distance = vmt_edit_distance(n->wanted, name);
    uint32_t close = VMT_MAX(2, (uint32_t)VMT_MIN(n->wanted.len, name.len) / 3);
    bool is_close = distance <= close && distance < name.len;
    /* An unfinished name is a worse guess than a misspelt one, and better than nothing. */
    if (!is_close && n->wanted.len >= 3 && name.len > n->wanted.len) {
        is_close = vmt_edit_distance(n->wanted, vmt_str_slice(name, 0, n->wanted.len)) == 0;
    }
    if (!is_close || distance >= n->distance) return;
    n->best = candidate;
    n->distance = distance;
}
