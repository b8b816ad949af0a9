#include "cli/flags.h"

#include "base/log.h"
#include "cli/flags_json.h"
#include "cli/flags_table.h"
#include "cli/flags_yaml.h"

#include <math.h>

#define PROSE_MAX 160 /* bytes of alternatives in a message */

/* One occurrence of a flag, on the command line or in the config file. */
struct setting {
    const vmt_flag *flag;
    bool is_negated;
    vmt_str path;         /* dotted keys behind the name, or empty */
    vmt_flag_list values; /* none for a bare boolean */
};

struct parse {
    const vmt_command *command;
    int argc;
    char **argv;
    vmt_arena *arena;
    void *options;
    vmt_err *err;
    struct setting *settings; /* the command line's, in order */
    uint32_t num_settings;
    vmt_str *positionals;
    uint32_t num_positionals;
    vmt_str last[VMT_FLAGS_MAX]; /* the text a flag ended up with, for the rows without a field */
    bool is_set[VMT_FLAGS_MAX];
};

/* What the last parse saw, for vmt_flags_given(). */
static struct {
    const vmt_command *command;
    bool is_set[VMT_FLAGS_MAX];
} given;

static uint32_t idx_of(const struct parse *p, const vmt_flag *flag) {
    return (uint32_t)(flag - p->command->flags);
}

static void *field_of(const struct parse *p, const vmt_flag *flag) {
    return (char *)p->options + flag->offset;
}

static bool has_field(const vmt_flag *flag) {
    return flag->ignored == NULL && (flag->refused == NULL || flag->choices != NULL);
}

#define FAIL(p, flag, ...) vmt_fail_param((p)->err, VMT_E_INVALID, (flag)->name, __VA_ARGS__)

/* ---- the value of one flag */

bool vmt_flags_size(vmt_str text, int64_t *out) {
    static const char units[] = "kmgt";
    bool has_unit = text.len > 0 && strchr("kmgtKMGT", text.ptr[text.len - 1]) != NULL && text.ptr[text.len - 1];
    if (!has_unit) return vmt_str_to_i64(text, out) && *out >= 0;
    char unit = text.ptr[text.len - 1];
    vmt_str number = vmt_str_slice(text, 0, text.len - 1);
    bool is_binary = unit >= 'A' && unit <= 'Z';
    int64_t factor = 1, whole;
    for (const char *u = units;; u++) {
        factor *= is_binary ? 1024 : 1000;
        if (*u == (is_binary ? unit + ('a' - 'A') : unit)) break;
    }
    if (vmt_str_find(number, VMT_STR("."), 0) == SIZE_MAX) {
        int64_t product;
        if (!vmt_str_to_i64(number, &whole) || whole < 0) return false;
        if (__builtin_mul_overflow(whole, factor, &product)) return false;
        *out = product;
        return true;
    }
    double decimal;
    if (is_binary || !vmt_str_to_f64(number, &decimal) || decimal < 0 ||
        strchr("0123456789", number.ptr[0]) == NULL) {
        return false;
    }
    decimal = round(decimal * (double)factor);
    if (decimal >= 0x1p63) return false;
    *out = (int64_t)decimal;
    return true;
}

static vmt_status check_range(struct parse *p, const vmt_flag *flag, vmt_str text, double value) {
    if (flag->min == flag->max || (value >= flag->min && value <= flag->max)) return VMT_OK;
    if (isinf(flag->max)) {
        return FAIL(p, flag, "--%s is %.*s, it must be at least %.15g", flag->name, VMT_STR_ARG(text), flag->min);
    }
    return FAIL(p, flag, "--%s is %.*s, allowed are %.15g to %.15g", flag->name, VMT_STR_ARG(text), flag->min,
                flag->max);
}

static vmt_status set_number(struct parse *p, const vmt_flag *flag, vmt_str text) {
    int64_t integer = 0;
    double real = 0;
    bool is_good = false;
    const char *kind = "a whole number";
    if (flag->kind == VMT_FLAG_INT) {
        is_good = vmt_str_to_i64(text, &integer);
    } else if (flag->kind == VMT_FLAG_SIZE) {
        kind = flag->min == -1 ? "a size such as 8192, 8k, 8K or auto" : "a size such as 8192, 8k or 8K";
        bool is_auto = vmt_str_eq_c(text, "auto") || vmt_str_eq_c(text, "-1");
        integer = -1;
        is_good = (is_auto && flag->min == -1) || vmt_flags_size(text, &integer);
    } else {
        kind = "a number";
        is_good = vmt_str_to_f64(text, &real);
        if (!is_good && isinf(flag->max) && vmt_str_eq_nocase(text, VMT_STR("inf"))) {
            real = INFINITY;
            is_good = true;
        }
    }
    if (!is_good) return FAIL(p, flag, "--%s is \"%.*s\", it must be %s", flag->name, VMT_STR_ARG(text), kind);
    bool is_real = flag->kind == VMT_FLAG_FLOAT;
    VMT_TRY(check_range(p, flag, text, is_real ? real : (double)integer));
    if (is_real) {
        *(double *)field_of(p, flag) = real;
    } else {
        *(int64_t *)field_of(p, flag) = integer;
    }
    return VMT_OK;
}

static vmt_status check_choice(struct parse *p, const vmt_flag *flag, vmt_str text) {
    char prose[PROSE_MAX];
    if (flag->choices == NULL || vmt_flags_one_of(flag->choices, text)) return VMT_OK;
    if (flag->refused != NULL) {
        return FAIL(p, flag, "--%s %.*s is not available: %s", flag->name, VMT_STR_ARG(text), flag->refused);
    }
    vmt_str choices = vmt_flags_prose(flag->choices, prose, sizeof prose);
    return FAIL(p, flag, "--%s is \"%.*s\"; choose %.*s", flag->name, VMT_STR_ARG(text), VMT_STR_ARG(choices));
}

static vmt_status bool_value(struct parse *p, const struct setting *s, bool *out) {
    *out = true;
    if (s->values.num > 0) {
        vmt_str text = s->values.items[0];
        *out = vmt_flags_one_of("true|yes|on|1", text);
        if (!*out && !vmt_flags_one_of("false|no|off|0", text)) {
            return FAIL(p, s->flag, "--%s is \"%.*s\"; it takes no value, or true or false", s->flag->name,
                        VMT_STR_ARG(text));
        }
    }
    *out ^= s->is_negated;
    return VMT_OK;
}

static vmt_status set_json(struct parse *p, const struct setting *s) {
    vmt_str *field = field_of(p, s->flag);
    vmt_err why = {0};
    vmt_status status = vmt_flags_json_set(p->arena, *field, s->path, s->values.items[0], field, &why);
    if (status == VMT_OK) return VMT_OK;
    return vmt_fail_param(p->err, status, s->flag->name, "--%s: %s", s->flag->name, why.msg);
}

static vmt_status apply(struct parse *p, const struct setting *s) {
    const vmt_flag *flag = s->flag;
    uint32_t idx = idx_of(p, flag);
    bool truth = false;
    p->is_set[idx] = true;
    if (flag->kind == VMT_FLAG_BOOL) {
        VMT_TRY(bool_value(p, s, &truth));
        p->last[idx] = vmt_str_from(truth ? "true" : "false");
    } else {
        p->last[idx] = s->path.len == 0 && s->values.num > 0 ? s->values.items[0] : (vmt_str){0};
    }
    if (!has_field(flag)) return VMT_OK;
    for (uint32_t i = 0; i < s->values.num; i++) VMT_TRY(check_choice(p, flag, s->values.items[i]));
    switch (flag->kind) {
    case VMT_FLAG_BOOL: *(bool *)field_of(p, flag) = truth; return VMT_OK;
    case VMT_FLAG_INT:
    case VMT_FLAG_SIZE:
    case VMT_FLAG_FLOAT: return set_number(p, flag, s->values.items[0]);
    case VMT_FLAG_STR: *(vmt_str *)field_of(p, flag) = s->values.items[0]; return VMT_OK;
    case VMT_FLAG_LIST: *(vmt_flag_list *)field_of(p, flag) = s->values; return VMT_OK;
    case VMT_FLAG_JSON: return set_json(p, s);
    }
    return vmt_fail(p->err, VMT_E_INTERNAL, "--%s has no kind", flag->name);
}

/* ---- the command line */

static bool is_number(const char *text) {
    double value;
    return vmt_str_to_f64(vmt_str_from(text), &value);
}

/* Would this word begin a flag?  "-" and negative numbers are values. */
static bool is_flag_word(const char *text) {
    return text[0] == '-' && text[1] != '\0' && !is_number(text);
}

static vmt_status unknown_flag(struct parse *p, const char *word, vmt_str name) {
    const char *nearest = vmt_flags_nearest(p->command, name);
    vmt_str shown = vmt_str_from(word);
    size_t end = vmt_str_find(shown, VMT_STR("="), 0);
    if (end != SIZE_MAX) shown.len = end;
    bool is_negated = false;
    if (vmt_str_starts(name, VMT_STR("no-")) &&
        vmt_flags_find(p->command, vmt_str_slice(name, 3, name.len), &is_negated)) {
        return vmt_fail(p->err, VMT_E_INVALID, "unknown flag %.*s: that flag takes a value and has no --no- form",
                        VMT_STR_ARG(shown));
    }
    if (nearest == NULL) {
        return vmt_fail(p->err, VMT_E_INVALID, "unknown flag %.*s; \"vmetal %s --help=all\" lists the flags",
                        VMT_STR_ARG(shown), p->command->name);
    }
    return vmt_fail(p->err, VMT_E_INVALID, "unknown flag %.*s; did you mean --%s?", VMT_STR_ARG(shown), nearest);
}

/* Splits "--name.path=value" or "-nvalue".  value->ptr is NULL when none is attached. */
static vmt_status find_flag(struct parse *p, const char *word, struct setting *s, vmt_str *value) {
    bool is_long = word[1] == '-';
    vmt_str name = vmt_str_from(word + (is_long ? 2 : 1)), whole = name;
    *value = (vmt_str){0};
    size_t equals = vmt_str_find(name, VMT_STR("="), 0);
    if (equals != SIZE_MAX) {
        *value = vmt_str_slice(name, equals + 1, name.len);
        name.len = equals;
    }
    size_t dot = vmt_str_find(name, VMT_STR("."), 0);
    if (dot != SIZE_MAX && dot > 0) {
        s->path = vmt_str_slice(name, dot + 1, name.len);
        name.len = dot;
    }
    s->flag = is_long ? vmt_flags_find(p->command, name, &s->is_negated) : vmt_flags_find_short(p->command, name);
    if (s->flag != NULL && s->flag->kind != VMT_FLAG_JSON && dot != SIZE_MAX) s->flag = NULL;
    if (s->flag == NULL && !is_long && whole.len > 1) { /* "-O3" */
        s->path = (vmt_str){0};
        s->flag = vmt_flags_find_short(p->command, vmt_str_slice(whole, 0, 1));
        if (s->flag != NULL && s->flag->kind == VMT_FLAG_BOOL) s->flag = NULL;
        *value = vmt_str_slice(whole, 1, whole.len);
    }
    if (s->flag == NULL) return unknown_flag(p, word, name);
    if (dot != SIZE_MAX && s->path.len == 0 && s->flag->kind == VMT_FLAG_JSON) {
        return FAIL(p, s->flag, "--%s. needs a key behind the dot", s->flag->name);
    }
    return VMT_OK;
}

static vmt_status read_flag(struct parse *p, int *i) {
    struct setting *s = &p->settings[p->num_settings++];
    vmt_str attached;
    VMT_TRY(find_flag(p, p->argv[*i], s, &attached));
    const vmt_flag *flag = s->flag;
    if (attached.ptr == NULL && flag->kind == VMT_FLAG_BOOL) return VMT_OK;
    int rest = p->argc - *i - 1;
    int max = attached.ptr != NULL ? 1 : flag->kind == VMT_FLAG_LIST ? rest : VMT_MIN(rest, 1);
    vmt_str *items = VMT_ARENA_NEW(p->arena, vmt_str, (size_t)max + 1);
    if (items == NULL) return vmt_fail(p->err, VMT_E_NO_MEMORY, "no memory for the command line");
    if (attached.ptr != NULL) {
        items[0] = attached;
        s->values = (vmt_flag_list){items, 1};
        return VMT_OK;
    }
    uint32_t num = 0;
    while (num < (uint32_t)max && !is_flag_word(p->argv[*i + 1])) items[num++] = vmt_str_from(p->argv[++*i]);
    if (num == 0) {
        return FAIL(p, flag, "--%s needs a value%s%s", flag->name, flag->value ? ": " : "",
                    flag->value ? flag->value : "");
    }
    s->values = (vmt_flag_list){items, num};
    return VMT_OK;
}

static vmt_status read_positional(struct parse *p, const char *word) {
    const vmt_command *command = p->command;
    if (command->positional == NULL) {
        return vmt_fail(p->err, VMT_E_INVALID, "%s takes no argument, got \"%.100s\"", command->name, word);
    }
    if (p->num_positionals == command->positionals_max) {
        return vmt_fail(p->err, VMT_E_INVALID, "%s takes %s%u %s, got also \"%.100s\"", command->name,
                        command->positionals_max > 1 ? "at most " : "", command->positionals_max,
                        command->positional, word);
    }
    p->positionals[p->num_positionals++] = vmt_str_from(word);
    return VMT_OK;
}

static vmt_status read_command_line(struct parse *p) {
    size_t words = (size_t)p->argc + 1;
    p->settings = VMT_ARENA_NEW(p->arena, struct setting, words);
    p->positionals = VMT_ARENA_NEW(p->arena, vmt_str, words);
    if (p->settings == NULL || p->positionals == NULL) {
        return vmt_fail(p->err, VMT_E_NO_MEMORY, "no memory for the command line");
    }
    bool flags_ended = false;
    for (int i = 0; i < p->argc; i++) {
        const char *word = p->argv[i];
        if (!flags_ended && strcmp(word, "--") == 0) {
            flags_ended = true;
        } else if (!flags_ended && is_flag_word(word)) {
            VMT_TRY(read_flag(p, &i));
        } else {
            VMT_TRY(read_positional(p, word));
        }
    }
    return VMT_OK;
}

/* ---- the config file */

static vmt_status apply_entry(struct parse *p, const vmt_yaml_entry *entry, const char *path) {
    struct setting s = {0};
    s.flag = vmt_flags_find(p->command, entry->key, &s.is_negated);
    if (s.flag == NULL) {
        const char *nearest = vmt_flags_nearest(p->command, entry->key);
        return vmt_fail(p->err, VMT_E_INVALID, "%.80s: unknown key %.*s%s%s%s", path, VMT_STR_ARG(entry->key),
                        nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    }
    const char *name = s.flag->name;
    if (vmt_flags_same_name(VMT_STR("config"), name)) {
        return vmt_fail(p->err, VMT_E_INVALID, "%.80s: a config file can't name another one", path);
    }
    if (p->is_set[idx_of(p, s.flag)])
        return vmt_fail(p->err, VMT_E_INVALID, "%.80s: %s is given twice", path, name);
    bool as_json = s.flag->kind == VMT_FLAG_JSON || (s.flag->kind == VMT_FLAG_STR && !entry->is_scalar);
    if (as_json) {
        /* A scalar may hold the JSON text itself. */
        s.values = entry->is_scalar ? entry->values : (vmt_flag_list){&entry->json, 1};
    } else {
        s.values = entry->values;
    }
    if (s.values.num == 0 || (s.values.num > 1 && s.flag->kind != VMT_FLAG_LIST)) {
        return vmt_fail(p->err, VMT_E_INVALID, "%.80s: %s takes %s", path, name,
                        s.flag->kind == VMT_FLAG_LIST ? "one value or more" : "one value");
    }
    return apply(p, &s);
}

static vmt_status apply_config_file(struct parse *p) {
    const struct setting *config = NULL;
    for (uint32_t i = 0; i < p->num_settings; i++) {
        if (!vmt_flags_same_name(VMT_STR("config"), p->settings[i].flag->name)) continue;
        if (config != NULL) return FAIL(p, config->flag, "--config is given twice");
        config = &p->settings[i];
    }
    if (config == NULL) return VMT_OK;
    vmt_yaml_entry *entries;
    uint32_t num = 0;
    vmt_str path = vmt_arena_dup(p->arena, config->values.items[0]);
    if (path.ptr == NULL) return vmt_fail(p->err, VMT_E_NO_MEMORY, "no memory for --config");
    VMT_TRY(vmt_flags_yaml_read(path.ptr, p->arena, &entries, &num, p->err));
    for (uint32_t i = 0; i < num; i++) VMT_TRY(apply_entry(p, &entries[i], path.ptr));
    return VMT_OK;
}

/* ---- the rows without an effect */

static vmt_status judge(struct parse *p, const vmt_flag *flag) {
    vmt_str text = p->last[idx_of(p, flag)];
    if (flag->harmless != NULL && text.ptr != NULL && vmt_flags_one_of(flag->harmless, text)) return VMT_OK;
    bool is_bool = flag->kind == VMT_FLAG_BOOL;
    const char *negation = is_bool && vmt_str_eq_c(text, "false") ? "no-" : "";
    if (flag->refused != NULL) {
        vmt_str shown = is_bool || text.len > 60 ? (vmt_str){0} : text;
        return FAIL(p, flag, "--%s%s%s%.*s is not available: %s", negation, flag->name, shown.len > 0 ? " " : "",
                    VMT_STR_ARG(shown), flag->refused);
    }
    vmt_log_warn("event=flag_ignored flag=--%s%s reason=\"%s\"", negation, flag->name, flag->ignored);
    return VMT_OK;
}

vmt_status vmt_flags_parse(const vmt_command *command, int argc, char **argv, vmt_arena *arena, void *options,
                           vmt_err *err) {
    VMT_ASSERT(command->num_flags <= VMT_FLAGS_MAX);
    struct parse p = {
        .command = command, .argc = argc, .argv = argv, .arena = arena, .options = options, .err = err};
    if (command->defaults != NULL) memcpy(options, command->defaults, command->options_bytes);
    VMT_TRY(read_command_line(&p));
    VMT_TRY(apply_config_file(&p));
    for (uint32_t i = 0; i < p.num_settings; i++) VMT_TRY(apply(&p, &p.settings[i]));
    for (uint32_t i = 0; i < command->num_flags; i++) {
        if (p.is_set[i] && !has_field(&command->flags[i])) VMT_TRY(judge(&p, &command->flags[i]));
    }
    if (command->positional != NULL) {
        *(vmt_flag_list *)((char *)options + command->positional_offset) =
            (vmt_flag_list){p.positionals, p.num_positionals};
    }
    given.command = command;
    memcpy(given.is_set, p.is_set, sizeof given.is_set);
    return VMT_OK;
}

bool vmt_flags_given(const vmt_command *command, const char *name) {
    VMT_ASSERT(given.command == command);
    bool is_negated;
    const vmt_flag *flag = vmt_flags_find(command, vmt_str_from(name), &is_negated);
    VMT_ASSERT(flag != NULL && !is_negated);
    return given.is_set[flag - command->flags];
}
