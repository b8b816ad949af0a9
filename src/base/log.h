/* base/log.h: one line per event, `key=value`, to one sink.  Levels error, warn, info, debug.
 *
 * Only src/cli chooses the level and sink at start; everyone may write.  Thread-safe: a line is one write.
 * Prompt text never above debug; secrets never. */
#ifndef VMT_BASE_LOG_H
#define VMT_BASE_LOG_H

#include "base/status.h"

typedef enum vmt_log_level { VMT_LOG_ERROR, VMT_LOG_WARN, VMT_LOG_INFO, VMT_LOG_DEBUG } vmt_log_level;

void vmt_log_set_level(vmt_log_level level);
bool vmt_log_on(vmt_log_level level);
/* Replaces the sink (default: stderr, prefixed with time and level).  NULL restores it. */
void vmt_log_set_sink(void (*sink)(void *ctx, vmt_log_level level, const char *line, size_t len), void *ctx);
void vmt_log_write(vmt_log_level level, const char *fmt, ...) VMT_PRINTF(2, 3);

#define vmt_log_error(...) vmt_log_write(VMT_LOG_ERROR, __VA_ARGS__)
#define vmt_log_warn(...)  vmt_log_write(VMT_LOG_WARN, __VA_ARGS__)
#define vmt_log_info(...)  vmt_log_write(VMT_LOG_INFO, __VA_ARGS__)
#define vmt_log_debug(...)                                                        \
    do {                                                                          \
        if (vmt_log_on(VMT_LOG_DEBUG)) vmt_log_write(VMT_LOG_DEBUG, __VA_ARGS__); \
    } while (0)

#endif
