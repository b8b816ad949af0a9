/* cli/bench_output.h: writing a benchmark's result to a file. */
#ifndef VMT_CLI_BENCH_OUTPUT_H
#define VMT_CLI_BENCH_OUTPUT_H

#include "json/json_writer.h"

/* Writes text and a newline to path, replacing what is there, and frees text.  The error names the file. */
vmt_status vmt_bench_save(vmt_str path, vmt_buf *text, vmt_err *err);

#endif
