#include "cli/man_page.h"

#include <stdio.h>
#include <stdlib.h>

static const char head[] =
    ".TH VMETAL 1 \"\" \"vmetal " VMT_VERSION "\" \"User Commands\"\n"
    ".SH NAME\n"
    "vmetal \\- serve language models with an OpenAI\\-compatible API\n"
    ".SH SYNOPSIS\n"
    ".B vmetal\n"
    "\\fICOMMAND\\fR [\\fIflags\\fR]\n"
    ".SH DESCRIPTION\n"
    "vmetal loads a language model and answers the OpenAI HTTP API, with many requests sharing each step of the "
    "model.\n"
    "It takes the command line of\n"
    ".BR vllm (1):\n"
    "flags that have no meaning here are accepted with a warning, and those that would promise too much are "
    "refused.\n"
    ".PP\n"
    "In long flags\n"
    ".B \\-\n"
    "and\n"
    ".B _\n"
    "are interchangeable; \\fB\\-\\-flag value\\fR and \\fB\\-\\-flag=value\\fR are the same; switches have a\n"
    "\\fB\\-\\-no\\-\\fR form; sizes take\n"
    ".B 1k\n"
    "(1000) and\n"
    ".B 1K\n"
    "(1024), likewise m, g and t; a JSON flag takes an object, or one key at a time as \\fB\\-\\-flag.key "
    "value\\fR.\n"
    ".SH COMMANDS\n";

static const char tail[] =
    ".SH EXIT STATUS\n"
    "0 on success, 1 when the work failed, 2 when the command line was wrong.\n"
    "The last line on standard error says why.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n"
    ".B VLLM_API_KEY\n"
    "the key that the server asks for, and that clients send, unless \\-\\-api\\-key is given\n"
    ".TP\n"
    ".B XDG_CACHE_HOME, HF_HOME\n"
    "where fetched models are kept and looked for\n"
    ".TP\n"
    ".B HF_HUB_OFFLINE\n"
    "set to 1: fetch nothing\n";

void vmt_man_page(vmt_buf *out) {
    vmt_buf_append_c(out, head);
    for (uint32_t i = 0; i < vmt_num_commands; i++) {
        if (vmt_commands[i]->summary != NULL) vmt_flags_man(vmt_commands[i], out);
    }
    vmt_buf_append_c(out, tail);
}

static int run(const void *options) {
    vmt_buf text;
    (void)options;
    vmt_buf_init(&text, 0);
    vmt_man_page(&text);
    bool is_good = !text.failed && fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    vmt_buf_free(&text);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

const vmt_command vmt_man_page_command = {.name = "man-page", .usage = "vmetal man-page", .run = run};
