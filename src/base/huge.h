/* base/huge.h: memory for large tables that are read at random.
 *
 * In pages of 4 KiB nearly every look-up into a table of megabytes misses the TLB too, and twice as deep in a virtual
 * machine; in huge pages it does not.  All of it is touched at once: not for tables that stay mostly empty. */
#ifndef VMT_BASE_HUGE_H
#define VMT_BASE_HUGE_H

#include <stddef.h>

/* Zeroed; free() releases it.  From a quarter of a huge page up it is rounded to whole huge pages, where the system has
 * them for the asking; below it is plain memory.  NULL: none left, or count * size overflows. */
void *vmt_huge_calloc(size_t count, size_t size);

#endif
