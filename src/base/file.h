/* base/file.h: whole files and read-only maps. */
#ifndef VMT_BASE_FILE_H
#define VMT_BASE_FILE_H

#include "base/buf.h"

typedef struct vmt_map {
    const uint8_t *data; /* page-aligned; NULL when size is 0 */
    size_t size;
} vmt_map;

/* Maps a regular file read-only and private.  The error names the path and the reason. */
vmt_status vmt_map_open(vmt_map *out, const char *path, vmt_err *err);
void vmt_map_close(vmt_map *map);
/* Hint: [offset, offset + len) will be read soon, or is no longer needed in memory. */
void vmt_map_will_need(const vmt_map *map, size_t offset, size_t len);
void vmt_map_drop(const vmt_map *map, size_t offset, size_t len);

/* Appends a whole file to buf; refuses one larger than size_max and says both sizes. */
vmt_status vmt_file_read(vmt_buf *buf, const char *path, size_t size_max, vmt_err *err);
bool vmt_file_exists(const char *path); /* a regular file */
bool vmt_dir_exists(const char *path);

#endif
