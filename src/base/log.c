#include "base/log.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX   1024 /* below PIPE_BUF, so that one write to a pipe stays one line */
#define PREFIX_BYTES_MAX 48

typedef void sink_fn(void *ctx, vmt_log_level level, const char *line, size_t len);

static atomic_int max_level = VMT_LOG_INFO;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static sink_fn *current_sink; /* NULL: stderr */
static void *current_ctx;

void vmt_log_set_level(vmt_log_level level) {
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool vmt_log_on(vmt_log_level level) {
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

void vmt_log_set_sink(sink_fn *sink, void *ctx) {
    pthread_mutex_lock(&sink_lock);
    current_sink = sink;
    current_ctx = ctx;
    pthread_mutex_unlock(&sink_lock);
}

static void write_stderr(vmt_log_level level, const char *line, size_t len) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    int64_t now_ns = vmt_clock_unix_ns();
    time_t now_s = (time_t)(now_ns / 1000000000);
    struct tm utc;
    gmtime_r(&now_s, &utc);

    char text[PREFIX_BYTES_MAX + LINE_BYTES_MAX + 1];
    size_t at = strftime(text, PREFIX_BYTES_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    at += (size_t)snprintf(text + at, PREFIX_BYTES_MAX - at, ".%03dZ %-5s ", (int)(now_ns / 1000000 % 1000),
                           names[level]);
    memcpy(text + at, line, len);
    at += len;
    text[at++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, text, at);
    (void)ignored;
}

void vmt_log_write(vmt_log_level level, const char *fmt, ...) {
    if (!vmt_log_on(level)) return;
    char line[LINE_BYTES_MAX + 1];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (wanted < 0) return;
    size_t len = (size_t)wanted;
    if (len > LINE_BYTES_MAX) len = vmt_utf8_complete_prefix((vmt_str){line, LINE_BYTES_MAX});
    /* A value that came from a client must not be able to forge a second line or drive a terminal. */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = ' ';
    }
    line[len] = 0;

    pthread_mutex_lock(&sink_lock);
    if (current_sink) {
        current_sink(current_ctx, level, line, len);
    } else {
        write_stderr(level, line, len);
    }
    pthread_mutex_unlock(&sink_lock);
}
