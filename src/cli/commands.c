#include "cli/commands.h"

#include "cli/nearest.h"

#include <stdio.h>

const vmt_command *const vmt_commands[] = {
    &vmt_serve_command,         &vmt_chat_command,          &vmt_complete_command,
    &vmt_launch_command,        &vmt_bench_serve_command,   &vmt_bench_throughput_command,
    &vmt_bench_latency_command, &vmt_bench_predict_command, &vmt_tokenize_command,
    &vmt_fetch_command,         &vmt_doctor_command,        &vmt_completion_command,
    &vmt_man_page_command,
};
const uint32_t vmt_num_commands = VMT_COUNT(vmt_commands);

/* What other programs call our commands. */
static const struct {
    const char *word, *command;
} synonyms[] = {
    {"collect-env", "doctor"}, {"pull", "fetch"}, {"download", "fetch"}, {"run", "chat"}, {"server", "serve"},
};

/* How many words of argv spell the command's name; 0: they don't. */
static int match_words(const char *name, int argc, char **argv) {
    int num_words = 0;
    while (*name != '\0') {
        size_t len = strcspn(name, " ");
        if (num_words == argc || strlen(argv[num_words]) != len || memcmp(argv[num_words], name, len) != 0)
            return 0;
        num_words++;
        name += len + (name[len] == ' ');
    }
    return num_words;
}

const vmt_command *vmt_commands_find(int argc, char **argv, int *num_words) {
    for (uint32_t i = 0; i < vmt_num_commands; i++) {
        *num_words = match_words(vmt_commands[i]->name, argc, argv);
        if (*num_words > 0) return vmt_commands[i];
    }
    return NULL;
}

const char *vmt_commands_nearest(int argc, char **argv) {
    char two[VMT_NEAREST_BYTES_MAX + 1];
    for (size_t i = 0; argc > 0 && i < VMT_COUNT(synonyms); i++) {
        if (strcmp(argv[0], synonyms[i].word) == 0) return synonyms[i].command;
    }
    for (int num_words = VMT_MIN(argc, 2); num_words > 0; num_words--) {
        int len =
            snprintf(two, sizeof two, "%s%s%s", argv[0], num_words > 1 ? " " : "", num_words > 1 ? argv[1] : "");
        if (len < 0 || (size_t)len >= sizeof two) continue;
        vmt_nearest nearest = vmt_nearest_begin(vmt_str_from(two));
        for (uint32_t i = 0; i < vmt_num_commands; i++) {
            if (vmt_commands[i]->summary != NULL) vmt_nearest_offer(&nearest, vmt_commands[i]->name);
        }
        if (nearest.best != NULL) return nearest.best;
    }
    return NULL;
}

void vmt_commands_help(const char *prefix, vmt_buf *out) {
    vmt_buf_printf(out, "vmetal %s: serves language models with an OpenAI-compatible API\n\n", VMT_VERSION);
    vmt_buf_append_c(out, "Usage: vmetal COMMAND [flags]\n\n");
    for (uint32_t i = 0; i < vmt_num_commands; i++) {
        const vmt_command *command = vmt_commands[i];
        if (command->summary == NULL) continue;
        if (prefix != NULL && !vmt_str_starts(vmt_str_from(command->name), vmt_str_from(prefix))) continue;
        vmt_buf_printf(out, "  %-18s %s\n", command->name, command->summary);
    }
    vmt_buf_append_c(out, "\n\"vmetal help COMMAND\" explains one; \"vmetal --version\" prints the version.\n");
}
