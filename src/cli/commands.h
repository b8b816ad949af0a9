/* cli/commands.h: the commands, one file each; main.c looks them up here.  One without a summary is not listed. */
#ifndef VMT_CLI_COMMANDS_H
#define VMT_CLI_COMMANDS_H

#include "cli/flags.h"

extern const vmt_command vmt_serve_command;
extern const vmt_command vmt_chat_command;
extern const vmt_command vmt_complete_command;
extern const vmt_command vmt_bench_serve_command;
extern const vmt_command vmt_bench_throughput_command;
extern const vmt_command vmt_bench_latency_command;
extern const vmt_command vmt_bench_predict_command;
extern const vmt_command vmt_launch_command;
extern const vmt_command vmt_tokenize_command;
extern const vmt_command vmt_doctor_command;
extern const vmt_command vmt_fetch_command;
extern const vmt_command vmt_completion_command;
extern const vmt_command vmt_man_page_command;

extern const vmt_command *const vmt_commands[];
extern const uint32_t vmt_num_commands;

/* The command whose words argv[0..argc) begins with, and how many words those are; NULL: none. */
const vmt_command *vmt_commands_find(int argc, char **argv, int *num_words);
/* What argv[0..argc) may have meant: a command's name, or NULL. */
const char *vmt_commands_nearest(int argc, char **argv);
/* The overview: usage and a line per command.  prefix "bench": only the commands that begin so; NULL: all. */
void vmt_commands_help(const char *prefix, vmt_buf *out);

#endif
