/* text/jinja_sort.c: Python's sorted() over pairs (key, value): a stable merge sort whose comparison may fail. */
#include "text/jinja_run.h"

/* Does a key order strictly before b, in the wanted direction? */
static vmt_status is_before(vmt_jrun *run, vmt_jval a, vmt_jval b, bool reverse, bool *out) {
    int order;
    VMT_TRY(vmt_jcompare(run, a.list->items[0], b.list->items[0], &order));
    *out = reverse ? order == 1 : order < 0;
    return VMT_OK;
}

vmt_status vmt_jsort_pairs(vmt_jrun *run, vmt_jlist *pairs, bool reverse) {
    size_t n = pairs->count;
    vmt_jval *from = pairs->items, *to;
    VMT_TRY(VMT_JNEW(run, n, &to));
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t mid = VMT_MIN(begin + width, n), end = VMT_MIN(begin + 2 * width, n);
            size_t left = begin, right = mid;
            for (size_t i = begin; i < end; i++) {
                bool takes_right = left == mid;
                /* Equal keys keep their order, also in reverse. */
                if (left < mid && right < end) {
                    VMT_TRY(is_before(run, from[right], from[left], reverse, &takes_right));
                }
                to[i] = takes_right ? from[right++] : from[left++];
            }
        }
        vmt_jval *swap = from;
        from = to;
        to = swap;
    }
    pairs->items = from;
    return VMT_OK;
}
