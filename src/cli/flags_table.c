#include "cli/flags_table.h"

#include "cli/nearest.h"

#include <stdio.h>

bool vmt_flags_same_name(vmt_str typed, const char *name) {
    if (name == NULL) return false;
    size_t i = 0;
    for (; i < typed.len && name[i] != '\0'; i++) {
        char c = typed.ptr[i] == '_' ? '-' : typed.ptr[i];
        if (c != name[i]) return false;
    }
    return i == typed.len && name[i] == '\0';
}

static const vmt_flag *find_long(const vmt_command *command, vmt_str name) {
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const vmt_flag *flag = &command->flags[i];
        if (vmt_flags_same_name(name, flag->name) || vmt_flags_same_name(name, flag->alias)) return flag;
    }
    return NULL;
}

const vmt_flag *vmt_flags_find(const vmt_command *command, vmt_str name, bool *is_negated) {
    *is_negated = false;
    const vmt_flag *flag = find_long(command, name);
    if (flag != NULL) return flag;
    if (!vmt_str_starts(name, VMT_STR("no-")) && !vmt_str_starts(name, VMT_STR("no_"))) return NULL;
    flag = find_long(command, vmt_str_slice(name, 3, name.len));
    if (flag == NULL || flag->kind != VMT_FLAG_BOOL) return NULL;
    *is_negated = true;
    return flag;
}

const vmt_flag *vmt_flags_find_short(const vmt_command *command, vmt_str name) {
    for (uint32_t i = 0; i < command->num_flags; i++) {
        const char *short_name = command->flags[i].short_name;
        if (short_name != NULL && vmt_str_eq_c(name, short_name)) return &command->flags[i];
    }
    return NULL;
}

const char *vmt_flags_nearest(const vmt_command *command, vmt_str name) {
    vmt_nearest nearest = vmt_nearest_begin(name);
    for (uint32_t i = 0; i < command->num_flags; i++) {
        vmt_nearest_offer(&nearest, command->flags[i].name);
        if (command->flags[i].alias != NULL) vmt_nearest_offer(&nearest, command->flags[i].alias);
    }
    return nearest.best;
}

static bool next_alternative(const char **rest, vmt_str *out) {
    if (*rest == NULL) return false;
    const char *bar = strchr(*rest, '|');
    *out = bar ? (vmt_str){*rest, (size_t)(bar - *rest)} : vmt_str_from(*rest);
    *rest = bar ? bar + 1 : NULL;
    return true;
}

bool vmt_flags_one_of(const char *alternatives, vmt_str value) {
    vmt_str one;
    while (next_alternative(&alternatives, &one)) {
        if (vmt_str_eq_nocase(one, value)) return true;
    }
    return false;
}

vmt_str vmt_flags_prose(const char *alternatives, char *out, size_t out_bytes) {
    size_t len = 0;
    vmt_str one;
    for (bool first = true; next_alternative(&alternatives, &one); first = false) {
        const char *joint = first ? "" : alternatives == NULL ? " or " : ", ";
        int n = snprintf(out + len, out_bytes - len, "%s%.*s", joint, VMT_STR_ARG(one));
        if (n < 0 || (size_t)n >= out_bytes - len) break;
        len += (size_t)n;
    }
    return (vmt_str){out, len};
}
