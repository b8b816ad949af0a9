/* cli/flags.h: command-line flags as rows of one table per command.
 *
 * The same rows feed parsing, `--config FILE.yaml`, help in groups, the man page and shell completion.  `-` and `_`
 * are interchangeable in long names; `--flag value` or `--flag=value`; booleans are `--x` and `--no-x`; sizes take
 * 1k = 1000 and 1K = 1024 (m, g, t likewise, decimals with lower case only); JSON flags also take dotted keys. */
#ifndef VMT_CLI_FLAGS_H
#define VMT_CLI_FLAGS_H

#include "base/arena.h"
#include "base/buf.h"

typedef enum vmt_flag_kind {
    VMT_FLAG_BOOL,  /* bool */
    VMT_FLAG_INT,   /* int64_t */
    VMT_FLAG_SIZE,  /* int64_t; 1k = 1000, 1K = 1024; "auto" and -1 give -1 where min is -1 */
    VMT_FLAG_FLOAT, /* double */
    VMT_FLAG_STR,   /* vmt_str; ptr NULL: not given */
    VMT_FLAG_LIST,  /* vmt_flag_list: one or more values up to the next flag */
    VMT_FLAG_JSON,  /* vmt_str holding a JSON object's text; `--x '{...}'` or `--x.key value` */
} vmt_flag_kind;

typedef struct vmt_flag_list {
    const vmt_str *items;
    uint32_t num;
} vmt_flag_list;

typedef struct vmt_flag {
    const char *name;       /* "max-model-len" */
    const char *short_name; /* "q" or "tp", or NULL */
    const char *alias;      /* an older long name, or NULL */
    vmt_flag_kind kind;
    const char *group;        /* help heading: "Server", "Model", ... */
    const char *value;        /* placeholder in help: "N", "FILE"; NULL for booleans */
    const char *help;         /* a phrase, no full stop; NULL hides the row from help */
    const char *default_text; /* what help shows; NULL: nothing */
    const char *choices;      /* "fcfs|priority", or NULL */
    const char *ignored;      /* accepted with this warning: why it has no effect here; or NULL */
    const char
        *refused; /* why it can't be had here (exit 2 unless harmless); with choices: why no others; or NULL */
    const char *harmless; /* values that `refused` and `ignored` let pass in silence: "1", "auto|none"; or NULL */
    double min, max;      /* for INT, SIZE, FLOAT; equal: no range.  An infinite max lets a FLOAT be "inf" */
    size_t offset; /* of the field in the command's options; rows ignored, or refused without choices, have none */
} vmt_flag;

typedef struct vmt_command {
    const char *name;       /* "serve", "bench serve" */
    const char *summary;    /* one line */
    const char *usage;      /* "vmetal serve MODEL [flags]" */
    const char *positional; /* what the positional argument is called in messages, or NULL: none */
    const vmt_flag *flags;
    uint32_t num_flags;
    size_t positional_offset; /* vmt_flag_list field, if positional */
    uint32_t positionals_max;
    const char *example;             /* for help; or NULL */
    int (*run)(const void *options); /* exit code */
    const void *defaults;            /* an options struct with the defaults */
    size_t options_bytes;
} vmt_command;

#define VMT_FLAGS_MAX 512 /* rows of one command */

/* Parses argv[0..argc) (after the command's words) over defaults into options (options_bytes, zero-initialised by the
 * caller and then copied from defaults).  Strings live in the arena or in argv.  Reads --config if the table has a flag
 * of that name; the command line wins.  Warnings about ignored flags go to the log.  VMT_E_INVALID names the flag and
 * suggests the nearest name: "unknown flag --max-model-length; did you mean --max-model-len?". */
vmt_status vmt_flags_parse(const vmt_command *command, int argc, char **argv, vmt_arena *arena, void *options,
                           vmt_err *err);
/* Was the flag given (command line or config file)?  Valid after parse, by name, until the next parse. */
bool vmt_flags_given(const vmt_command *command, const char *name);

/* topic NULL: the groups' main flags; "all"; a group's name; a flag's name.  Appends text to out. */
vmt_status vmt_flags_help(const vmt_command *command, const char *topic, vmt_buf *out, vmt_err *err);

/* The command's section of the man page, in roff's man macros. */
void vmt_flags_man(const vmt_command *command, vmt_buf *out);

/* The number of a SIZE: "4k" is 4000, "4K" is 4096, "1.5g".  false if malformed. */
bool vmt_flags_size(vmt_str text, int64_t *out);

#endif
