#include "api/structured_fields.h"
#include "api/fields.h"
#include "json/json_writer.h"

/* The kinds of form, by the name that structured_outputs has for them. */
enum slot { SLOT_JSON, SLOT_REGEX, SLOT_CHOICE, SLOT_GRAMMAR, SLOT_JSON_OBJECT, SLOT_TAG, NUM_SLOTS };

static const struct {
    const char *name;
    vmt_grammar_kind kind;
    const char *what; /* it should be */
} slots[NUM_SLOTS] = {
    [SLOT_JSON] = {"json", VMT_GRAMMAR_SCHEMA, "a JSON schema, as an object or in a string"},
    [SLOT_REGEX] = {"regex", VMT_GRAMMAR_REGEX, "a string"},
    [SLOT_CHOICE] = {"choice", VMT_GRAMMAR_CHOICE, "a list of strings"},
    [SLOT_GRAMMAR] = {"grammar", VMT_GRAMMAR_EBNF, "a string"},
    [SLOT_JSON_OBJECT] = {"json_object", VMT_GRAMMAR_JSON_OBJECT, "a boolean"},
    [SLOT_TAG] = {"structural_tag", VMT_GRAMMAR_TAGS, "a structural tag, as an object or in a string"},
};

struct form {
    const char *param; /* NULL: not given */
    vmt_json value;
};

static bool given(vmt_json value) {
    return vmt_json_exists(value) && !vmt_json_is_null(value);
}

static bool refuse_shape(vmt_fault *fault, const char *param, const char *member, const char *what) {
    return vmt_fault_schema(fault, param, "body.%s%s%s: Input should be %s", param, member ? "." : "",
                            member ? member : "", what);
}

/* ---- the fields, as forms by slot */

static bool read_structured_outputs(vmt_json outputs, struct form *forms, vmt_grammar_options *options,
                                    vmt_fault *fault) {
    static const char param[] = "structured_outputs";
    bool flag;
    vmt_json value;
    if (!given(outputs)) return true;
    for (int i = 0; i < NUM_SLOTS; i++) {
        value = vmt_json_member(outputs, vmt_str_from(slots[i].name));
        if (!given(value)) continue;
        if (i == SLOT_JSON_OBJECT) {
            if (!vmt_field_to_bool(value, &flag)) return refuse_shape(fault, param, slots[i].name, slots[i].what);
            if (!flag) continue;
        }
        forms[i] = (struct form){param, value};
    }
    value = VMT_JSON_AT(outputs, "disable_any_whitespace");
    if (given(value)) {
        if (!vmt_field_to_bool(value, &flag))
            return refuse_shape(fault, param, "disable_any_whitespace", "a boolean");
        options->space = flag ? VMT_SPACE_COMPACT : VMT_SPACE_ANY;
    }
    value = VMT_JSON_AT(outputs, "disable_additional_properties");
    if (given(value)) {
        if (!vmt_field_to_bool(value, &flag)) {
            return refuse_shape(fault, param, "disable_additional_properties", "a boolean");
        }
        options->closed_objects = flag;
    }
    value = VMT_JSON_AT(outputs, "whitespace_pattern");
    return !given(value) || vmt_json_get_str(value, &options->space_pattern) ||
           refuse_shape(fault, param, "whitespace_pattern", "a string");
}

static bool read_guided(const vmt_structured_fields *f, struct form *forms, vmt_grammar_options *options,
                        vmt_fault *fault) {
    const struct {
        const char *param;
        enum slot slot;
        vmt_json value;
    } rows[] = {
        {"guided_json", SLOT_JSON, f->guided_json},
        {"guided_regex", SLOT_REGEX, f->guided_regex},
        {"guided_choice", SLOT_CHOICE, f->guided_choice},
        {"guided_grammar", SLOT_GRAMMAR, f->guided_grammar},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        if (!given(rows[i].value)) continue;
        if (forms[rows[i].slot].param) {
            return vmt_fault_rule(fault, rows[i].param, NULL,
                                  "%s and structured_outputs.%s say the same thing twice.", rows[i].param,
                                  slots[rows[i].slot].name);
        }
        forms[rows[i].slot] = (struct form){rows[i].param, rows[i].value};
    }
    if (!given(f->guided_whitespace_pattern)) return true;
    return vmt_json_get_str(f->guided_whitespace_pattern, &options->space_pattern) ||
           refuse_shape(fault, "guided_whitespace_pattern", NULL, "a string");
}

/* It takes the place of what structured_outputs has in the same slot. */
static bool read_response_format(vmt_json format, const char *param, struct form *forms, vmt_fault *fault) {
    vmt_str type;
    if (!given(format)) return true;
    if (!vmt_json_get_str(VMT_JSON_AT(format, "type"), &type)) {
        return vmt_fault_schema(fault, param, "body.%s.type: Field required", param);
    }
    if (vmt_str_eq_c(type, "text")) return true;
    if (vmt_str_eq_c(type, "json_object")) {
        forms[SLOT_JSON_OBJECT] = (struct form){param, format};
        return true;
    }
    if (vmt_str_eq_c(type, "structural_tag")) {
        forms[SLOT_TAG] = (struct form){param, format};
        return true;
    }
    if (!vmt_str_eq_c(type, "json_schema")) {
        return vmt_fault_schema(
            fault, param,
            "body.response_format.type: Input should be 'text', 'json_object', 'json_schema' or "
            "'structural_tag'");
    }
    vmt_json schema = VMT_JSON_AT(VMT_JSON_AT(format, "json_schema"), "schema");
    if (!given(schema)) {
        return vmt_fault_rule(
            fault, param, NULL,
            "When response_format type is 'json_schema', the 'json_schema' field must be provided, "
            "with a 'schema'.");
    }
    forms[SLOT_JSON] = (struct form){param, schema};
    return true;
}

/* ---- one form */

static bool check_shape(enum slot slot, vmt_json value) {
    vmt_str text;
    bool is_string = vmt_json_get_str(value, &text);
    vmt_json item;
    switch (slot) {
    case SLOT_JSON:
        return is_string || vmt_json_typeof(value) == VMT_JSON_OBJECT || vmt_json_typeof(value) == VMT_JSON_BOOL;
    case SLOT_TAG: return is_string || vmt_json_typeof(value) == VMT_JSON_OBJECT;
    case SLOT_REGEX:
    case SLOT_GRAMMAR: return is_string;
    case SLOT_CHOICE:
        if (vmt_json_typeof(value) != VMT_JSON_ARRAY) return false;
        for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, NULL, &item);) {
            if (!vmt_json_get_str(item, &text)) return false;
        }
        return true;
    case SLOT_JSON_OBJECT:
    case NUM_SLOTS: break;
    }
    return true;
}

/* The form's text: what a string says, or the value as JSON. */
static bool read_source(vmt_structured *out, enum slot slot, const struct form *form, vmt_arena *arena,
                        vmt_fault *fault) {
    bool is_member = strcmp(form->param, "structured_outputs") == 0;
    vmt_str text = VMT_STR("");
    vmt_buf json;
    if (!check_shape(slot, form->value)) {
        return refuse_shape(fault, form->param, is_member ? slots[slot].name : NULL, slots[slot].what);
    }
    vmt_buf_init(&json, VMT_GRAMMAR_SOURCE_MAX);
    if (slot != SLOT_JSON_OBJECT && !vmt_json_get_str(form->value, &text)) {
        vmt_json_writer w;
        vmt_json_writer_init(&w, &json);
        vmt_json_value(&w, form->value);
        text = vmt_buf_str(&json);
    }
    bool fits = !json.failed && text.len <= VMT_GRAMMAR_SOURCE_MAX;
    if (fits) out->source = vmt_arena_dup(arena, text);
    vmt_buf_free(&json);
    if (!fits) {
        return vmt_fault_rule(fault, form->param, NULL, "%s is larger than the limit of %zu bytes.", form->param,
                              VMT_GRAMMAR_SOURCE_MAX);
    }
    return out->source.ptr || vmt_fault_other(fault, VMT_FAULT_BUSY, form->param, "no memory for %s", form->param);
}

bool vmt_structured_read(vmt_structured *out, const vmt_structured_fields *f, vmt_arena *arena, vmt_fault *fault) {
    struct form forms[NUM_SLOTS] = {0};
    const char *format_param = f->format_param ? f->format_param : "response_format";
    /* An object that names its properties has those: what else a model thinks of is no help to who asked. */
    *out = (vmt_structured){.options = {.closed_objects = true}};
    if (!read_structured_outputs(f->structured_outputs, forms, &out->options, fault) ||
        !read_guided(f, forms, &out->options, fault) ||
        !read_response_format(f->response_format, format_param, forms, fault)) {
        return false;
    }
    int found = -1, num_found = 0;
    for (int i = 0; i < NUM_SLOTS; i++) {
        if (!forms[i].param) continue;
        found = i;
        num_found++;
    }
    if (num_found > 1) {
        return vmt_fault_rule(
            fault, forms[found].param, NULL,
            "You can only use one kind of structured outputs constraint but multiple are specified.");
    }
    if (num_found == 0) {
        return !given(f->structured_outputs) ||
               vmt_fault_rule(fault, "structured_outputs", NULL,
                              "You must use one kind of structured outputs constraint but none are specified.");
    }
    out->is_given = true;
    out->param = forms[found].param;
    out->kind = slots[found].kind;
    if (!read_source(out, (enum slot)found, &forms[found], arena, fault)) return false;
    if (out->options.space_pattern.len == 0) return true;
    out->options.space_pattern = vmt_arena_dup(arena, out->options.space_pattern);
    return out->options.space_pattern.ptr || vmt_fault_other(fault, VMT_FAULT_BUSY, out->param, "no memory");
}

/* ---- as a format */

static void write_member(vmt_json_writer *w, const char *type, const char *member, vmt_str value, bool is_json) {
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, type);
    vmt_json_key(w, member);
    if (is_json) {
        vmt_json_raw(w, value);
    } else {
        vmt_json_str(w, value);
    }
    vmt_json_end_object(w);
}

/* A whole structural tag within another: its format, or the older form under its new name. */
static bool write_tag(vmt_json_writer *w, const vmt_structured *s, vmt_json root, vmt_fault *fault) {
    vmt_json format = VMT_JSON_AT(root, "format");
    vmt_str key;
    vmt_json value;
    if (given(format)) {
        vmt_json_value(w, format);
        return true;
    }
    if (!given(VMT_JSON_AT(root, "structures"))) {
        return vmt_fault_rule(fault, s->param, NULL, "a structural tag needs a 'format', or 'structures'.");
    }
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "triggered_tags");
    for (vmt_json_iter it = vmt_json_iter_begin(root); vmt_json_iter_next(&it, &key, &value);) {
        if (vmt_str_eq_c(key, "type")) continue;
        vmt_json_key_str(w, vmt_str_eq_c(key, "structures") ? VMT_STR("tags") : key);
        vmt_json_value(w, value);
    }
    vmt_json_end_object(w);
    return true;
}

bool vmt_structured_write_format(const vmt_structured *s, vmt_buf *out, vmt_fault *fault) {
    vmt_json_writer w;
    vmt_json_doc *doc = NULL;
    vmt_err err = {0};
    vmt_json_writer_init(&w, out);
    switch (s->kind) {
    case VMT_GRAMMAR_REGEX: write_member(&w, "regex", "pattern", s->source, false); return true;
    case VMT_GRAMMAR_EBNF: write_member(&w, "grammar", "grammar", s->source, false); return true;
    case VMT_GRAMMAR_CHOICE: write_member(&w, "choice", "choices", s->source, true); return true;
    case VMT_GRAMMAR_JSON_OBJECT:
        write_member(&w, "json_schema", "json_schema", VMT_STR("{\"type\":\"object\"}"), true);
        return true;
    case VMT_GRAMMAR_SCHEMA:
    case VMT_GRAMMAR_TAGS: break;
    }
    if (vmt_json_parse(&doc, s->source, &err) != VMT_OK) {
        return vmt_fault_rule(fault, s->param, NULL, "%s: %s", s->param, err.msg);
    }
    bool ok = true;
    if (s->kind == VMT_GRAMMAR_TAGS) {
        ok = write_tag(&w, s, vmt_json_root(doc), fault);
    } else {
        write_member(&w, "json_schema", "json_schema", s->source, true);
    }
    vmt_json_doc_destroy(doc);
    return ok;
}
