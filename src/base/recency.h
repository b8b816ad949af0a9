/* base/recency.h: the entries of a bounded cache in order of use: what is oldest goes first.
 *
 * Intrusive: an entry has a vmt_recency_link and nothing is allocated.  No locks; the cache's own guard it. */
#ifndef VMT_BASE_RECENCY_H
#define VMT_BASE_RECENCY_H

#include <stddef.h>

typedef struct vmt_recency_link {
    struct vmt_recency_link *newer, *older;
} vmt_recency_link;

typedef struct vmt_recency { /* all zero: empty */
    vmt_recency_link *newest, *oldest;
} vmt_recency;

/* The entry that has this link as its member. */
#define VMT_RECENCY_ENTRY(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

/* The link becomes the newest; it is in no list. */
static inline void vmt_recency_add(vmt_recency *list, vmt_recency_link *link) {
    *link = (vmt_recency_link){.older = list->newest};
    *(list->newest ? &list->newest->newer : &list->oldest) = link;
    list->newest = link;
}

static inline void vmt_recency_remove(vmt_recency *list, vmt_recency_link *link) {
    *(link->newer ? &link->newer->older : &list->newest) = link->older;
    *(link->older ? &link->older->newer : &list->oldest) = link->newer;
}

/* It was used. */
static inline void vmt_recency_touch(vmt_recency *list, vmt_recency_link *link) {
    vmt_recency_remove(list, link);
    vmt_recency_add(list, link);
}

#endif
