/* backend/backend.c: the calls every driver shares. */
#include "backend/backend.h"

void vmt_backend_destroy(vmt_backend *be) {
    if (be != NULL) be->vt->destroy(be);
}

vmt_status vmt_buffer_create(vmt_backend *be, vmt_buffer *out, size_t bytes, vmt_err *err) {
    *out = (vmt_buffer){0};
    return be->vt->buffer_create(be, out, bytes, err);
}

vmt_status vmt_buffer_wrap(vmt_backend *be, vmt_buffer *out, void *host, size_t bytes, vmt_err *err) {
    *out = (vmt_buffer){0};
    return be->vt->buffer_wrap(be, out, host, bytes, err);
}

void vmt_buffer_destroy(vmt_backend *be, vmt_buffer *buffer) {
    if (buffer->host == NULL && buffer->device == NULL) return;
    be->vt->buffer_destroy(be, buffer);
    *buffer = (vmt_buffer){0};
}

vmt_status vmt_launch_run(vmt_backend *be, const vmt_launch *launch) {
    VMT_ASSERT(launch->num_buffers <= VMT_LAUNCH_BUFFERS_MAX);
    return be->vt->launch(be, launch);
}

vmt_status vmt_backend_wait(vmt_backend *be, vmt_err *err) {
    return be->vt->wait(be, err);
}
