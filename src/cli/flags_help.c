#include "cli/flags.h"
#include "cli/flags_table.h"

#include <math.h>

#define HELP_COLUMN 32 /* where the phrases begin */
#define HELP_WIDTH  96 /* columns of a help page */
#define PROSE_MAX   240

static bool is_main(const vmt_flag *flag) {
    bool is_working = flag->ignored == NULL && (flag->refused == NULL || flag->choices != NULL);
    return flag->help != NULL && is_working;
}

/* Appends text word by word from column indent on; the cursor stands at column at. */
static void wrap(vmt_buf *out, vmt_str text, size_t at, size_t indent) {
    size_t pos = 0;
    bool first = true;
    while (pos < text.len) {
        size_t space = vmt_str_find(text, VMT_STR(" "), pos);
        size_t end = space == SIZE_MAX ? text.len : space;
        size_t len = end - pos;
        if (first || at + 1 + len > HELP_WIDTH) {
            if (at >= indent) {
                vmt_buf_append_byte(out, '\n');
                at = 0;
            }
            for (; at < indent; at++) vmt_buf_append_byte(out, ' ');
        } else {
            vmt_buf_append_byte(out, ' ');
            at++;
        }
        vmt_buf_append(out, vmt_str_slice(text, pos, end));
        at += len;
        first = false;
        pos = end + 1;
    }
    vmt_buf_append_byte(out, '\n');
}

static void append_names(vmt_buf *out, const vmt_flag *flag) {
    if (flag->short_name != NULL) vmt_buf_printf(out, "-%s, ", flag->short_name);
    bool is_on = flag->kind == VMT_FLAG_BOOL && flag->default_text != NULL;
    vmt_buf_printf(out, is_on ? "--[no-]%s" : "--%s", flag->name);
    if (flag->value != NULL) vmt_buf_printf(out, " %s", flag->value);
    if (flag->kind == VMT_FLAG_LIST) vmt_buf_append_c(out, "...");
}

static void append_phrase(vmt_buf *out, const vmt_flag *flag) {
    char prose[PROSE_MAX];
    vmt_buf_append_c(out, flag->help ? flag->help : "");
    bool is_working = flag->ignored == NULL && (flag->refused == NULL || flag->choices != NULL);
    if (!is_working) {
        vmt_buf_printf(out, "%s%s: %s", flag->help && flag->help[0] ? "; " : "",
                       flag->refused ? "not available" : "no effect",
                       flag->refused ? flag->refused : flag->ignored);
        return;
    }
    if (flag->choices != NULL) {
        vmt_str choices = vmt_flags_prose(flag->choices, prose, sizeof prose);
        vmt_buf_printf(out, ": %.*s", VMT_STR_ARG(choices));
    }
    if (flag->default_text != NULL) vmt_buf_printf(out, " (default %s)", flag->default_text);
}

static void append_row(vmt_buf *out, const vmt_flag *flag) {
    vmt_buf phrase;
    vmt_buf_init(&phrase, 0);
    size_t begin = out->len;
    vmt_buf_append_c(out, "  ");
    append_names(out, flag);
    append_phrase(&phrase, flag);
    wrap(out, vmt_buf_str(&phrase), out->len - begin + 1, HELP_COLUMN);
    out->failed |= phrase.failed;
    vmt_buf_free(&phrase);
}

/* Is row i the first of its group among the rows that are shown? */
static bool begins_group(const vmt_command *command, uint32_t i, bool all) {
    for (uint32_t k = 0; k < i; k++) {
        const vmt_flag *flag = &command->flags[k];
        if (strcmp(flag->group, command->flags[i].group) == 0 && (all ? flag->help != NULL : is_main(flag)))
            return false;
    }
    return true;
}

static void append_group(vmt_buf *out, const vmt_command *command, const char *group, bool all) {
    vmt_buf_printf(out, "\n%s:\n", group);
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const vmt_flag *flag = &command->flags[i];
        bool is_shown = all ? flag->help != NULL : is_main(flag);
        if (is_shown && strcmp(flag->group, group) == 0) append_row(out, flag);
    }
}

static void append_page(vmt_buf *out, const vmt_command *command, bool all) {
    bool has_more = false;
    vmt_buf_printf(out, "vmetal %s: %s\n\nUsage: %s\n", command->name, command->summary, command->usage);
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const vmt_flag *flag = &command->flags[i];
        bool is_shown = all ? flag->help != NULL : is_main(flag);
        has_more |= flag->help != NULL && !is_shown;
        if (is_shown && begins_group(command, i, all)) append_group(out, command, flag->group, all);
    }
    if (command->example != NULL) vmt_buf_printf(out, "\nExample:\n  %s\n", command->example);
    if (has_more) {
        vmt_buf_printf(out,
                       "\n--help=all lists every accepted flag, --help=GROUP a group, --help=FLAG one flag.\n");
    }
}

static const char *kind_name(const vmt_flag *flag) {
    switch (flag->kind) {
    case VMT_FLAG_BOOL: return "switch: also --no- before the name";
    case VMT_FLAG_INT: return "a whole number";
    case VMT_FLAG_SIZE: return "a size: 1k is 1000, 1K is 1024; m, g and t likewise";
    case VMT_FLAG_FLOAT: return "a number";
    case VMT_FLAG_STR: return "a text";
    case VMT_FLAG_LIST: return "one or more texts";
    case VMT_FLAG_JSON: return "a JSON object, or --name.key VALUE for one key of it";
    }
    return "";
}

static void append_detail(vmt_buf *out, const vmt_flag *flag) {
    append_row(out, flag);
    vmt_buf_printf(out, "\n  Group: %s\n  Kind:  %s\n", flag->group, kind_name(flag));
    if (flag->alias != NULL) vmt_buf_printf(out, "  Alias: --%s\n", flag->alias);
    if (flag->min != flag->max && isinf(flag->max)) {
        vmt_buf_printf(out, "  Range: at least %.15g\n", flag->min);
    } else if (flag->min != flag->max) {
        vmt_buf_printf(out, "  Range: %.15g to %.15g\n", flag->min, flag->max);
    }
}

static const char *find_group(const vmt_command *command, vmt_str topic) {
    for (uint32_t i = 0; i < command->num_flags; i++) {
        vmt_str group = vmt_str_from(command->flags[i].group);
        vmt_str begin = vmt_str_slice(group, 0, VMT_MIN(group.len, topic.len));
        if (topic.len >= 3 && vmt_str_eq_nocase(begin, topic)) return command->flags[i].group;
    }
    return NULL;
}

static bool contains(const char *name, vmt_str topic) {
    for (size_t at = 0; name[at] != '\0'; at++) {
        vmt_str rest = vmt_str_from(name + at);
        if (rest.len < topic.len) return false;
        if (vmt_str_eq_nocase(vmt_str_slice(rest, 0, topic.len), topic)) return true;
    }
    return false;
}

vmt_status vmt_flags_help(const vmt_command *command, const char *topic, vmt_buf *out, vmt_err *err) {
    if (topic == NULL || strcmp(topic, "all") == 0) {
        append_page(out, command, topic != NULL);
        return VMT_OK;
    }
    while (*topic == '-') topic++;
    vmt_str word = vmt_str_from(topic);
    bool is_negated;
    const vmt_flag *flag = vmt_flags_find(command, word, &is_negated);
    if (flag == NULL) flag = vmt_flags_find_short(command, word);
    if (flag != NULL) {
        append_detail(out, flag);
        return VMT_OK;
    }
    const char *group = find_group(command, word);
    if (group != NULL) {
        append_group(out, command, group, true);
        return VMT_OK;
    }
    uint32_t num_found = 0;
    for (uint32_t i = 0; i < command->num_flags && word.len >= 3; i++) {
        if (command->flags[i].help == NULL || !contains(command->flags[i].name, word)) continue;
        append_row(out, &command->flags[i]);
        num_found++;
    }
    if (num_found > 0) return VMT_OK;
    const char *nearest = vmt_flags_nearest(command, word);
    return vmt_fail(err, VMT_E_INVALID, "no flag or group \"%.60s\"%s%s%s", topic,
                    nearest ? "; did you mean --help=" : "", nearest ? nearest : "", nearest ? "?" : "");
}
