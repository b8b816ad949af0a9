#include "cli/flags.h"

/* roff reads a backslash as an escape, a leading dot or quote as a request, and a bare dash as a hyphen. */
static void append_escaped(vmt_buf *out, const char *text) {
    bool at_line_start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (at_line_start && (*c == '.' || *c == '\'')) vmt_buf_append_c(out, "\\&");
        if (*c == '\\') {
            vmt_buf_append_c(out, "\\e");
        } else if (*c == '-') {
            vmt_buf_append_c(out, "\\-");
        } else {
            vmt_buf_append_byte(out, *c);
        }
        at_line_start = *c == '\n';
    }
}

static bool is_working(const vmt_flag *flag) {
    return flag->ignored == NULL && (flag->refused == NULL || flag->choices != NULL);
}

static void append_flag(const vmt_flag *flag, vmt_buf *out) {
    vmt_buf_append_c(out, ".TP\n");
    if (flag->short_name != NULL) vmt_buf_printf(out, "\\fB\\-%s\\fR, ", flag->short_name);
    vmt_buf_append_c(out, "\\fB\\-\\-");
    append_escaped(out, flag->name);
    vmt_buf_append_c(out, "\\fR");
    if (flag->value != NULL) {
        vmt_buf_append_c(out, " \\fI");
        append_escaped(out, flag->value);
        vmt_buf_append_c(out, "\\fR");
    }
    vmt_buf_append_byte(out, '\n');
    append_escaped(out, flag->help);
    if (flag->choices != NULL) {
        vmt_buf_append_c(out, ": ");
        append_escaped(out, flag->choices);
    }
    if (flag->default_text != NULL) {
        vmt_buf_append_c(out, " (default ");
        append_escaped(out, flag->default_text);
        vmt_buf_append_c(out, ")");
    }
    vmt_buf_append_byte(out, '\n');
}

static void append_accepted(const vmt_command *command, bool refused, const char *intro, vmt_buf *out) {
    bool is_first = true;
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const vmt_flag *flag = &command->flags[i];
        if (is_working(flag) || (flag->refused != NULL) != refused) continue;
        vmt_buf_append_c(out, is_first ? ".PP\n" : ",\n");
        if (is_first) vmt_buf_printf(out, "%s\n", intro);
        vmt_buf_append_c(out, "\\-\\-");
        append_escaped(out, flag->name);
        is_first = false;
    }
    if (!is_first) vmt_buf_append_c(out, ".\n");
}

void vmt_flags_man(const vmt_command *command, vmt_buf *out) {
    vmt_buf_append_c(out, ".SS \"");
    append_escaped(out, command->usage);
    vmt_buf_append_c(out, "\"\n");
    append_escaped(out, command->summary);
    vmt_buf_append_c(out, ".\n");
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const vmt_flag *flag = &command->flags[i];
        if (flag->help != NULL && is_working(flag)) append_flag(flag, out);
    }
    append_accepted(command, false, "Accepted without an effect, with a warning that says why:", out);
    append_accepted(command, true, "Known, and refused unless they hold their default:", out);
    if (command->example != NULL) {
        vmt_buf_append_c(out, ".PP\nExample:\n.PP\n.nf\n");
        append_escaped(out, command->example);
        vmt_buf_append_c(out, "\n.fi\n");
    }
}
