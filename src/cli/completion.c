/* completion.c: `vmetal completion SHELL`: a completion script, written from the commands' tables. */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct completion_options {
    vmt_flag_list shell;
} completion_options;

static void append_flags(vmt_buf *out, const vmt_command *command) {
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const vmt_flag *flag = &command->flags[i];
        bool is_working = flag->ignored == NULL && (flag->refused == NULL || flag->choices != NULL);
        if (flag->help == NULL || !is_working) continue;
        vmt_buf_printf(out, " --%s", flag->name);
        if (flag->kind == VMT_FLAG_BOOL && flag->default_text != NULL) vmt_buf_printf(out, " --no-%s", flag->name);
    }
    vmt_buf_append_c(out, " --help");
}

/* One line of words: the first words of the commands, or what may follow a first word. */
static void append_words(vmt_buf *out, const char *first) {
    size_t len = first ? strlen(first) : 0;
    const char *last = "";
    for (uint32_t i = 0; i < vmt_num_commands; i++) {
        const char *name = vmt_commands[i]->name;
        if (vmt_commands[i]->summary == NULL || (first && strncmp(name, first, len) != 0)) continue;
        const char *word = first ? name + len + 1 : name;
        size_t word_len = strcspn(word, " ");
        if (strncmp(word, last, word_len) == 0 && strcspn(last, " ") == word_len) continue;
        vmt_buf_printf(out, " %.*s", (int)word_len, word);
        last = word;
    }
}

static void append_script(vmt_buf *out) {
    vmt_buf_append_c(out, "_vmetal() {\n"
                          "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n"
                          "    local command=\"${COMP_WORDS[1]}\"\n"
                          "    if [ \"$command\" = bench ] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
                          "        command=\"bench ${COMP_WORDS[2]}\"\n"
                          "    fi\n"
                          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                          "        words=\"");
    append_words(out, NULL);
    vmt_buf_append_c(out, " help --help --version\"\n    else\n        case \"$command\" in\n");
    vmt_buf_append_c(out, "        bench) words=\"");
    append_words(out, "bench");
    vmt_buf_append_c(out, "\" ;;\n        help) words=\"");
    append_words(out, NULL);
    vmt_buf_append_c(out, "\" ;;\n");
    for (uint32_t i = 0; i < vmt_num_commands; i++) {
        if (vmt_commands[i]->summary == NULL) continue;
        vmt_buf_printf(out, "        '%s') words=\"", vmt_commands[i]->name);
        append_flags(out, vmt_commands[i]);
        vmt_buf_append_c(out, "\" ;;\n");
    }
    vmt_buf_append_c(out, "        esac\n    fi\n"
                          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                          "    [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                          "}\ncomplete -F _vmetal vmetal\n");
}

static int run(const void *opts) {
    const completion_options *options = opts;
    vmt_str shell = options->shell.num > 0 ? options->shell.items[0] : VMT_STR("bash");
    bool is_zsh = vmt_str_eq_c(shell, "zsh");
    if (!is_zsh && !vmt_str_eq_c(shell, "bash")) {
        fprintf(stderr, "vmetal completion: no script for \"%.*s\"; choose bash or zsh\n", VMT_STR_ARG(shell));
        return 2;
    }
    vmt_buf text;
    vmt_buf_init(&text, 0);
    if (is_zsh)
        vmt_buf_append_c(&text,
                         "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n");
    append_script(&text);
    bool is_good = !text.failed && fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    vmt_buf_free(&text);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

const vmt_command vmt_completion_command = {
    .name = "completion",
    .summary = "prints a completion script for the shell",
    .usage = "vmetal completion bash|zsh",
    .positional = "shell",
    .positional_offset = offsetof(completion_options, shell),
    .positionals_max = 1,
    .example = "source <(vmetal completion bash)",
    .run = run,
    .options_bytes = sizeof(completion_options),
};
