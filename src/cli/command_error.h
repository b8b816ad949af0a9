/* cli/command_error.h: how a command ends badly: its last line on stderr says why. */
#ifndef VMT_CLI_COMMAND_ERROR_H
#define VMT_CLI_COMMAND_ERROR_H

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

#define VMT_EXIT_USAGE 2 /* the command line was wrong */

/* Prints the reason and returns the exit code 1. */
static inline int vmt_command_fail(const char *command, vmt_status status, const vmt_err *err) {
    fprintf(stderr, "vmetal %s: %s\n", command, err->msg[0] != '\0' ? err->msg : vmt_status_name(status));
    return EXIT_FAILURE;
}

#endif
