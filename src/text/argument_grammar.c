/* text/argument_grammar.c: the arguments of a call as formats: one object, or an argument at a time. */
#include "text/call_grammar.h"

#define PROPERTIES_MAX 1024u /* of a tool whose arguments have markup of their own */

static vmt_status refuse(vmt_format_writer *f, const vmt_called_tool *tool, vmt_str property, const char *why) {
    return vmt_fail_param(f->err, VMT_E_UNSUPPORTED, "tools",
                          "calls of '%.*s' can't be held to its schema in the syntax of %s: '%.*s' %s",
                          (int)VMT_MIN(tool->name.len, (size_t)64), tool->name.ptr,
                          vmt_tool_dialect_name(f->form->dialect), (int)VMT_MIN(property.len, (size_t)64),
                          property.ptr ? property.ptr : "", why);
}

/* ---- one object */

vmt_status vmt_arguments_write_json(vmt_format_writer *f, const vmt_called_tool *tool) {
    vmt_str key, type = {0};
    vmt_json value, given = VMT_JSON_AT(tool->parameters, "type");
    bool has_parameters = vmt_json_typeof(tool->parameters) == VMT_JSON_OBJECT;
    if (vmt_json_exists(given) && (!vmt_json_get_str(given, &type) || !vmt_str_eq_c(type, "object"))) {
        return vmt_fail_param(f->err, VMT_E_INVALID, "tools", "the parameters of '%.*s' must be of type object",
                              (int)VMT_MIN(tool->name.len, (size_t)64), tool->name.ptr);
    }
    vmt_format_begin(f, "json_schema", NULL);
    vmt_json_key(&f->w, "json_schema");
    vmt_json_begin_object(&f->w);
    vmt_json_key(&f->w, "type");
    vmt_json_c_str(&f->w, "object");
    if (!has_parameters && !tool->is_loose) {
        vmt_json_key(&f->w, "additionalProperties");
        vmt_json_bool(&f->w, false);
    }
    for (vmt_json_iter it = vmt_json_iter_begin(tool->parameters);
         !tool->is_loose && has_parameters && vmt_json_iter_next(&it, &key, &value);) {
        if (vmt_str_eq_c(key, "type")) continue;
        vmt_json_key_str(&f->w, key);
        vmt_json_value(&f->w, value);
    }
    vmt_json_end_object(&f->w);
    vmt_json_end_object(&f->w);
    return VMT_OK;
}

/* ---- an argument at a time: values */

static bool is_one_of(vmt_str word, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (vmt_str_eq_c(word, list[i])) return true;
    }
    return false;
}

/* Nothing but types, and words that say nothing: whatever text is written has one of the types. */
static bool says_only_types(vmt_json schema) {
    static const char *const words[] = {"type", "title", "description", "default", "examples", "deprecated"};
    vmt_str key;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(schema); vmt_json_iter_next(&it, &key, &value);) {
        if (!is_one_of(key, words, VMT_COUNT(words))) return false;
    }
    return true;
}

static bool is_plain(vmt_json schema) {
    vmt_json options = VMT_JSON_AT(schema, "anyOf"), option;
    vmt_str key;
    vmt_json value;
    if (!vmt_json_exists(options)) return says_only_types(schema);
    for (vmt_json_iter it = vmt_json_iter_begin(schema); vmt_json_iter_next(&it, &key, &value);) {
        bool says_nothing = vmt_str_eq_c(key, "title") || vmt_str_eq_c(key, "description") ||
                            vmt_str_eq_c(key, "default") || vmt_str_eq_c(key, "anyOf");
        if (!says_nothing) return false;
    }
    for (vmt_json_iter it = vmt_json_iter_begin(options); vmt_json_iter_next(&it, NULL, &option);) {
        if (!says_only_types(option)) return false;
    }
    return true;
}

/* The strings of enum, or the one of const, as texts.  false: there are none, or others among them. */
static bool write_choices(vmt_format_writer *f, vmt_json schema) {
    vmt_json list = VMT_JSON_AT(schema, "enum"), only = VMT_JSON_AT(schema, "const"), item;
    vmt_str text;
    if (vmt_json_get_str(only, &text)) {
        vmt_format_text(f, text);
        return true;
    }
    if (vmt_json_size(list) == 0) return false;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &item);) {
        if (!vmt_json_get_str(item, &text)) return false;
    }
    vmt_format_begin(f, "or", "elements");
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &item);) {
        vmt_json_get_str(item, &text);
        vmt_format_text(f, text);
    }
    vmt_format_end(f);
    return true;
}

/* The property's schema as a document of its own, which keeps what references name. */
static void write_schema(vmt_format_writer *f, const vmt_called_tool *tool, vmt_json schema) {
    static const char *const shared[] = {"$defs", "definitions", "$schema"};
    vmt_format_begin(f, "json_schema", NULL);
    vmt_json_key(&f->w, "json_schema");
    if (vmt_json_typeof(schema) != VMT_JSON_OBJECT) {
        vmt_json_value(&f->w, schema);
        vmt_json_end_object(&f->w);
        return;
    }
    vmt_str key;
    vmt_json value;
    vmt_json_begin_object(&f->w);
    for (size_t i = 0; i < VMT_COUNT(shared); i++) {
        value = vmt_json_member(tool->parameters, vmt_str_from(shared[i]));
        if (!vmt_json_exists(value) || vmt_json_exists(vmt_json_member(schema, vmt_str_from(shared[i])))) continue;
        vmt_json_key(&f->w, shared[i]);
        vmt_json_value(&f->w, value);
    }
    for (vmt_json_iter it = vmt_json_iter_begin(schema); vmt_json_iter_next(&it, &key, &value);) {
        vmt_json_key_str(&f->w, key);
        vmt_json_value(&f->w, value);
    }
    vmt_json_end_object(&f->w);
    vmt_json_end_object(&f->w);
}

/* A string that stands as it is, between quotes if the dialect has them. */
static vmt_status write_string(vmt_format_writer *f, const vmt_called_tool *tool, vmt_str name, vmt_json schema) {
    const vmt_call_frame *frame = f->form->dialect->frame;
    if (frame->quote) vmt_format_begin_tag(f, vmt_str_from(frame->quote));
    if (!write_choices(f, schema)) {
        if (tool->is_strict && !is_plain(schema)) {
            return refuse(f, tool, name, "is a string with more than a type, enum or const");
        }
        vmt_format_any_text(f, frame->excludes);
    }
    if (frame->quote) vmt_format_end_tag(f, frame->quote);
    return VMT_OK;
}

/* Values that are no strings are JSON; where strings have quotes of their own, that holds for those without. */
static bool is_written_as_json(const vmt_call_frame *frame, vmt_json schema) {
    static const char *const scalars[] = {"integer", "number", "boolean", "null"};
    vmt_str type;
    if (!frame->quote) return true;
    vmt_json of = vmt_json_get_str(VMT_JSON_AT(schema, "type"), &type) && vmt_str_eq_c(type, "array")
                      ? VMT_JSON_AT(schema, "items")
                      : schema;
    return vmt_json_get_str(VMT_JSON_AT(of, "type"), &type) && is_one_of(type, scalars, VMT_COUNT(scalars));
}

/* Python's other quotes, which most models prefer; without escapes. */
static void write_python_string(vmt_format_writer *f, const vmt_called_tool *tool, vmt_json schema) {
    static const char *const excludes[] = {"'", "\\", "\n", NULL};
    vmt_format_begin(f, "or", "elements");
    write_schema(f, tool, schema);
    vmt_format_begin_tag(f, VMT_STR("'"));
    if (!write_choices(f, schema)) vmt_format_any_text(f, excludes);
    vmt_format_end_tag(f, "'");
    vmt_format_end(f);
}

/* Choices that can stand between those quotes, or any text. */
static bool is_python_string(vmt_json schema) {
    vmt_json list = VMT_JSON_AT(schema, "enum"), item;
    vmt_str text;
    if (!vmt_typed_is_string(schema) || vmt_json_exists(VMT_JSON_AT(schema, "const"))) return false;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &item);) {
        if (!vmt_json_get_str(item, &text)) return false;
        for (size_t i = 0; i < text.len; i++) {
            if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == '\'' || text.ptr[i] == '\\') return false;
        }
    }
    return vmt_json_exists(list) || (vmt_json_exists(VMT_JSON_AT(schema, "type")) && is_plain(schema));
}

static vmt_status write_value(vmt_format_writer *f, const vmt_called_tool *tool, vmt_str name, vmt_json schema) {
    const vmt_call_frame *frame = f->form->dialect->frame;
    bool is_string = vmt_typed_is_string(schema);
    if (frame->strings_are_json && is_python_string(schema)) {
        write_python_string(f, tool, schema);
    } else if (frame->strings_are_json) {
        write_schema(f, tool, schema);
    } else if (is_string) {
        return write_string(f, tool, name, schema);
    } else if (vmt_typed_may_be_string(schema)) {
        if (frame->quote) { /* bare text is typed by the schema, and so is a word that is none of its types */
            vmt_format_begin(f, "or", "elements");
            vmt_format_text(f, VMT_STR("null"));
            VMT_TRY(write_string(f, tool, name, schema));
            vmt_format_end(f);
            return VMT_OK;
        }
        return write_string(f, tool, name, schema);
    } else if (is_written_as_json(frame, schema)) {
        write_schema(f, tool, schema);
    } else {
        return refuse(f, tool, name, "is an object, or a list of more than numbers");
    }
    return VMT_OK;
}

/* ---- members */

struct members {
    const vmt_called_tool *tool;
    vmt_json properties, required;
};

static bool is_required(const struct members *m, vmt_str name) {
    vmt_json item;
    vmt_str text;
    for (vmt_json_iter it = vmt_json_iter_begin(m->required); vmt_json_iter_next(&it, NULL, &item);) {
        if (vmt_json_get_str(item, &text) && vmt_str_eq(text, name)) return true;
    }
    return false;
}

static vmt_status write_member(vmt_format_writer *f, const struct members *m, vmt_str name, vmt_json schema,
                               bool has_comma) {
    const vmt_call_frame *frame = f->form->dialect->frame;
    bool is_json = frame->key_end_json && !vmt_typed_may_be_string(schema);
    vmt_buf begin = {0};
    vmt_buf_printf(&begin, "%s%s%.*s%s", has_comma ? frame->comma : "", frame->key, VMT_STR_ARG(name),
                   is_json ? frame->key_end_json : frame->key_end);
    vmt_format_begin_tag(f, vmt_buf_str(&begin));
    vmt_buf_free(&begin);
    VMT_TRY(write_value(f, m->tool, name, schema));
    vmt_format_end_tag(f, frame->value_end);
    return VMT_OK;
}

/* The members from the first-th on, each after a comma if the dialect has any. */
static vmt_status write_rest(vmt_format_writer *f, const struct members *m, size_t first) {
    bool has_comma = f->form->dialect->frame->comma != NULL;
    vmt_str name;
    vmt_json schema;
    size_t i = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(m->properties); vmt_json_iter_next(&it, &name, &schema); i++) {
        if (i < first) continue;
        bool must = is_required(m, name);
        if (!must) {
            vmt_format_begin(f, "or", "elements");
            vmt_format_text(f, VMT_STR(""));
        }
        VMT_TRY(write_member(f, m, name, schema, has_comma));
        if (!must) vmt_format_end(f);
    }
    return VMT_OK;
}

/* With commas it matters which member comes first: one alternative for each that may. */
static vmt_status write_listed(vmt_format_writer *f, const struct members *m) {
    bool may_be_empty = true;
    vmt_str name;
    vmt_json schema;
    size_t i = 0;
    vmt_format_begin(f, "or", "elements");
    for (vmt_json_iter it = vmt_json_iter_begin(m->properties);
         may_be_empty && vmt_json_iter_next(&it, &name, &schema); i++) {
        vmt_format_begin(f, "sequence", "elements");
        VMT_TRY(write_member(f, m, name, schema, false));
        VMT_TRY(write_rest(f, m, i + 1));
        vmt_format_end(f);
        may_be_empty = !is_required(m, name);
    }
    if (may_be_empty) vmt_format_text(f, VMT_STR(""));
    vmt_format_end(f);
    return VMT_OK;
}

/* Only what is said of each property by itself can be held. */
static vmt_status check_schema(vmt_format_writer *f, const struct members *m) {
    static const char *const known[] = {"type",    "properties",  "required", "additionalProperties",
                                        "title",   "description", "$defs",    "definitions",
                                        "$schema", "$id",         "default",  "examples"};
    vmt_str key, name;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(m->tool->parameters); vmt_json_iter_next(&it, &key, &value);) {
        if (!is_one_of(key, known, VMT_COUNT(known)))
            return refuse(f, m->tool, key, "is a keyword of its parameters");
    }
    for (vmt_json_iter it = vmt_json_iter_begin(m->required); vmt_json_iter_next(&it, NULL, &value);) {
        if (!vmt_json_get_str(value, &name) || !vmt_json_exists(vmt_json_member(m->properties, name))) {
            return refuse(f, m->tool, name, "is required and no property");
        }
    }
    for (vmt_json_iter it = vmt_json_iter_begin(m->properties); vmt_json_iter_next(&it, &key, &value);) {
        for (size_t i = 0; i < key.len; i++) {
            char c = key.ptr[i];
            bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '_' || c == '-' || c == '.';
            if (!is_word) return refuse(f, m->tool, key, "is a name that its markup can't have");
        }
        if (key.len == 0) return refuse(f, m->tool, key, "is a name that its markup can't have");
    }
    return VMT_OK;
}

vmt_status vmt_arguments_write(vmt_format_writer *f, const vmt_called_tool *tool) {
    const struct members m = {
        .tool = tool,
        .properties = VMT_JSON_AT(tool->parameters, "properties"),
        .required = VMT_JSON_AT(tool->parameters, "required"),
    };
    VMT_TRY(check_schema(f, &m));
    size_t count = vmt_json_size(m.properties);
    if (count > PROPERTIES_MAX) {
        return vmt_fail_param(f->err, VMT_E_EXHAUSTED, "tools", "a tool has %zu parameters, the limit is %u",
                              count, PROPERTIES_MAX);
    }
    return f->form->dialect->frame->comma ? write_listed(f, &m) : write_rest(f, &m, 0);
}
