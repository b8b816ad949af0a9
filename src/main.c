/* main.c: finds the command, parses its flags, runs it.
 *
 * Exit codes: 0, 1 for a failure at work, 2 for a wrong command line.  The last line on stderr says why. */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_MAX ((size_t)64 << 20) /* words of a command line and its config file */

#define EXIT_USAGE 2

static int print(vmt_buf *text, FILE *stream) {
    bool is_written = !text->failed && fwrite(text->ptr, 1, text->len, stream) == text->len && fflush(stream) == 0;
    vmt_buf_free(text);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int overview(const char *prefix, FILE *stream) {
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_commands_help(prefix, &text);
    return print(&text, stream);
}

static int unknown_command(int argc, char **argv) {
    const char *nearest = vmt_commands_nearest(argc, argv);
    fprintf(stderr, "vmetal: unknown command \"%s\"", argv[0]);
    if (nearest != NULL) {
        fprintf(stderr, "; did you mean \"vmetal %s\"?\n", nearest);
    } else {
        fprintf(stderr, "; \"vmetal --help\" lists the commands\n");
    }
    return EXIT_USAGE;
}

static int help_command(const vmt_command *command, const char *topic) {
    vmt_buf text;
    vmt_err err = {0};
    vmt_buf_init(&text, 0);
    if (vmt_flags_help(command, topic, &text, &err) != VMT_OK) {
        vmt_buf_free(&text);
        fprintf(stderr, "vmetal %s: %s\n", command->name, err.msg);
        return EXIT_USAGE;
    }
    return print(&text, stdout);
}

/* "--help", "-h" and "--help=TOPIC" anywhere before "--".  true: *topic is set, NULL for the whole page. */
static bool asks_for_help(int argc, char **argv, const char **topic) {
    *topic = NULL;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
        if (strncmp(argv[i], "--help=", 7) == 0) {
            *topic = argv[i] + 7;
            return true;
        }
    }
    return false;
}

static int run_command(const vmt_command *command, int argc, char **argv) {
    const char *topic;
    vmt_err err = {0};
    if (asks_for_help(argc, argv, &topic)) return help_command(command, topic);
    vmt_arena *arena = vmt_arena_create(ARENA_MAX);
    void *options = calloc(1, command->options_bytes + 1);
    int code = EXIT_FAILURE;
    if (arena == NULL || options == NULL) {
        fprintf(stderr, "vmetal: no memory\n");
    } else if (vmt_flags_parse(command, argc, argv, arena, options, &err) != VMT_OK) {
        fprintf(stderr, "vmetal %s: %s\n", command->name, err.msg);
        code = err.code == VMT_E_NO_MEMORY ? EXIT_FAILURE : EXIT_USAGE;
    } else {
        code = command->run(options);
    }
    free(options);
    vmt_arena_destroy(arena);
    return code;
}

/* What a launcher of the Python engine runs: the server's module, and a probe for the package. */
static int run_as_python(int argc, char **argv) {
    if (strcmp(argv[0], "-c") == 0 && argc == 2 && strcmp(argv[1], "import vllm_metal") == 0) return EXIT_SUCCESS;
    if (strcmp(argv[0], "-m") == 0 && argc >= 2 && strcmp(argv[1], "vllm.entrypoints.openai.api_server") == 0) {
        return run_command(&vmt_serve_command, argc - 2, argv + 2);
    }
    fprintf(stderr,
            "vmetal: %s %s: this is no Python interpreter; only \"-m vllm.entrypoints.openai.api_server\" is "
            "understood\n",
            argv[0], argc > 1 ? argv[1] : "");
    return EXIT_USAGE;
}

static int dispatch(int argc, char **argv) {
    int num_words;
    const char *word = argv[0];
    bool is_help = strcmp(word, "help") == 0;
    if (strcmp(word, "-v") == 0 || strcmp(word, "--version") == 0) {
        printf("vmetal %s\n", VMT_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return overview(NULL, stdout);
    if (strncmp(word, "--help=", 7) == 0) return overview(NULL, stdout);
    if (strcmp(word, "-c") == 0 || strcmp(word, "-m") == 0) return run_as_python(argc, argv);
    if (is_help && argc == 1) return overview(NULL, stdout);
    if (is_help) {
        argc--;
        argv++;
    }
    const vmt_command *command = vmt_commands_find(argc, argv, &num_words);
    if (command != NULL && is_help) return help_command(command, argc > num_words ? argv[num_words] : NULL);
    if (command != NULL) return run_command(command, argc - num_words, argv + num_words);
    const char *topic;
    if (strcmp(argv[0], "bench") == 0 && (is_help || argc == 1 || asks_for_help(argc, argv, &topic))) {
        int code = overview("bench", argc == 1 && !is_help ? stderr : stdout);
        return argc == 1 && !is_help ? EXIT_USAGE : code;
    }
    return unknown_command(argc, argv);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        overview(NULL, stderr);
        return EXIT_USAGE;
    }
    return dispatch(argc - 1, argv + 1);
}
