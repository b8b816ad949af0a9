/* kernels/upload_kargs.h: arguments of upload.metal, and the header that its source begins with. */
#ifndef VMT_KERNELS_UPLOAD_KARGS_H
#define VMT_KERNELS_UPLOAD_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

#define VMT_UPLOAD_LISTS_MAX 15

typedef struct vmt_upload_kargs {
    uint32_t num_threadgroups;
} vmt_upload_kargs;

/* num_cols words of each of num_rows rows, which begin stride words apart from word `begin` on. */
typedef struct vmt_upload_list {
    uint32_t begin, num_rows, num_cols, stride;
} vmt_upload_list;

typedef struct vmt_upload_header {
    uint32_t num_lists, zeros[3];
    vmt_upload_list lists[VMT_UPLOAD_LISTS_MAX];
} vmt_upload_header;

#endif
