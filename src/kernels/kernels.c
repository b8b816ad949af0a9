#include "kernels/kernels.h"

#include <stddef.h>
#include <string.h>

/* Made by tools/kernelgen; sorted by name. */
extern const vmt_kernel vmt_kernel_table[];
extern const uint32_t vmt_kernel_table_count;

const vmt_kernel *vmt_kernel_find(const char *name) {
    uint32_t begin = 0, end = vmt_kernel_table_count;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        int order = strcmp(vmt_kernel_table[middle].name, name);
        if (order == 0) return &vmt_kernel_table[middle];
        if (order < 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

uint32_t vmt_kernel_count(void) {
    return vmt_kernel_table_count;
}

const vmt_kernel *vmt_kernel_at(uint32_t kernel_idx) {
    return kernel_idx < vmt_kernel_table_count ? &vmt_kernel_table[kernel_idx] : NULL;
}
