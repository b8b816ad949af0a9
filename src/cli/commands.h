/* cli/commands.h: the commands, one file each; main.c looks them up here. */
#ifndef VMT_CLI_COMMANDS_H
#define VMT_CLI_COMMANDS_H

#include "cli/flags.h"

extern const vmt_command vmt_serve_command;
extern const vmt_command vmt_chat_command;
extern const vmt_command vmt_complete_command;
extern const vmt_command vmt_bench_serve_command;
extern const vmt_command vmt_bench_throughput_command;
extern const vmt_command vmt_bench_latency_command;
extern const vmt_command vmt_tokenize_command;
extern const vmt_command vmt_doctor_command;
extern const vmt_command vmt_fetch_command;

extern const vmt_command *const vmt_commands[];
extern const uint32_t vmt_num_commands;

#endif
