/* ops/gpu_upload.c: see the header. */
#include "ops/gpu_upload.h"

#define THREADGROUPS 64u /* a step's lists are some kilobytes, long block tables a megabyte */
_Static_assert(THREADGROUPS >= VMT_UPLOAD_LISTS_MAX, "each list has a threadgroup");

void vmt_upload_add(vmt_upload_header *header, vmt_upload_list list) {
    VMT_ASSERT(header->num_lists < VMT_UPLOAD_LISTS_MAX);
    header->lists[header->num_lists++] = list;
}

vmt_status vmt_gpu_upload(vmt_gpu_program *program, const vmt_gpu_upload_args *a, vmt_err *err) {
    uint64_t words = vmt_tensor_elems(&a->from);
    if (a->from.dtype != VMT_I32 || a->to.dtype != VMT_I32 || words != vmt_tensor_elems(&a->to) ||
        words < sizeof(vmt_upload_header) / sizeof(int32_t) || words > UINT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "upload: from and to are as many I32, and a header at least");
    }
    vmt_upload_kargs kargs = {THREADGROUPS};
    vmt_gpu_op op = {
        .kernel = "upload",
        .buffers = {a->from, a->to},
        .num_buffers = 2,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {THREADGROUPS, 1, 1},
    };
    return vmt_gpu_program_add(program, &op, err);
}
