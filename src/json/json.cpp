/* The product's only C++: simdjson's DOM, read through its tape, so that a value is (document, index) and no more.
 *
 * Tape: one 64-bit word per element, a type letter in the top byte and a payload below.  Numbers take a second word.
 * A container's first word holds the index behind its end.  Word 0 is the root marker, the value starts at word 1. */
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <cstdlib>
#include <cstring>
#include <new>

extern "C" {
#include "base/utf8.h"
}
#include "json/json.h"

using simdjson::dom::document;
using simdjson::internal::tape_ref;
using simdjson::internal::tape_type;

struct vmt_json_doc {
    document doc;
};

static constexpr size_t root_idx = 1;

static tape_ref ref_of(vmt_json value) {
    return tape_ref(static_cast<const document *>(value.doc_), value.idx_);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Whether an integer literal of these digits is outside [INT64_MIN, UINT64_MAX]. */
static bool is_beyond_64_bits(const char *digits, size_t num_digits, bool negative) {
    const char *limit = negative ? "9223372036854775808" : "18446744073709551615";
    size_t num_limit = strlen(limit);
    if (num_digits != num_limit) return num_digits > num_limit;
    return memcmp(digits, limit, num_digits) > 0;
}

/* simdjson refuses integers beyond 64 bits, but model files have them ("model_max_length": 1e30 in plain digits) and
 * RFC 8259 allows them.  Copies text with "e0" behind each, which makes it a double.  Returns how many there were;
 * out may be NULL to count only, otherwise it has room for two bytes more for each. */
static size_t widen_big_integers(vmt_str text, char *out) {
    size_t num_found = 0, copied = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i];
        if (in_string && c == '\\') {
            i += 2;
            continue;
        }
        if (c == '"') in_string = !in_string;
        if (in_string || !is_digit(c)) {
            i++;
            continue;
        }
        size_t begin = i;
        while (i < text.len && is_digit(text.ptr[i])) i++;
        char before = begin > 0 ? text.ptr[begin - 1] : ' ';
        char after = i < text.len ? text.ptr[i] : ' ';
        bool is_integer = before != '.' && before != '+' && before != 'e' && before != 'E' && after != '.' &&
                          after != 'e' && after != 'E';
        bool is_exponent = before == '-' && begin > 1 && (text.ptr[begin - 2] | 0x20) == 'e';
        if (!is_integer || is_exponent || !is_beyond_64_bits(text.ptr + begin, i - begin, before == '-')) continue;
        if (out) {
            memcpy(out, text.ptr + copied, i - copied);
            out += i - copied;
            memcpy(out, "e0", 2);
            out += 2;
        }
        copied = i;
        num_found++;
    }
    if (out && copied < text.len) memcpy(out, text.ptr + copied, text.len - copied);
    return num_found;
}

static bool may_have_surrogates(vmt_str text) {
    for (size_t at = 0; (at = vmt_str_find(text, (vmt_str){"\\u", 2}, at)) != SIZE_MAX; at += 2) {
        if (at + 2 < text.len && (text.ptr[at + 2] | 0x20) == 'd') return true;
    }
    return false;
}

/* What simdjson leaves open.  It does not count an empty container as a level, and a lone surrogate escape gets
 * through some versions as three bytes that are no UTF-8. */
static simdjson::error_code check_tape(const document *doc, vmt_str text) {
    bool check_strings = may_have_surrogates(text);
    size_t depth = 0;
    tape_ref ref(doc, root_idx);
    for (size_t end = tape_ref(doc, 0).matching_brace_index() - 1; ref.json_index < end; ref.json_index++) {
        switch (ref.tape_ref_type()) {
        case tape_type::START_ARRAY:
        case tape_type::START_OBJECT:
            if (++depth > VMT_JSON_DEPTH_MAX) return simdjson::DEPTH_ERROR;
            break;
        case tape_type::END_ARRAY:
        case tape_type::END_OBJECT: depth--; break;
        case tape_type::INT64:
        case tape_type::UINT64:
        case tape_type::DOUBLE: ref.json_index++; break;
        case tape_type::STRING:
            if (check_strings && !vmt_utf8_valid((vmt_str){ref.get_c_str(), ref.get_string_length()})) {
                return simdjson::STRING_ERROR;
            }
            break;
        default: break;
        }
    }
    return simdjson::SUCCESS;
}

static vmt_status fail_with(simdjson::error_code error, vmt_err *err) {
    switch (error) {
    case simdjson::CAPACITY: return vmt_fail(err, VMT_E_EXHAUSTED, "the JSON text is over 4 GiB");
    case simdjson::MEMALLOC: return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to read the JSON text");
    case simdjson::DEPTH_ERROR:
        return vmt_fail(err, VMT_E_EXHAUSTED, "JSON is nested deeper than %d levels", VMT_JSON_DEPTH_MAX);
    case simdjson::STRING_ERROR: return vmt_fail(err, VMT_E_INVALID, "JSON has a string with a bad escape");
    case simdjson::T_ATOM_ERROR: return vmt_fail(err, VMT_E_INVALID, "JSON has a word like true that is misspelt");
    case simdjson::F_ATOM_ERROR:
        return vmt_fail(err, VMT_E_INVALID, "JSON has a word like false that is misspelt");
    case simdjson::N_ATOM_ERROR: return vmt_fail(err, VMT_E_INVALID, "JSON has a word like null that is misspelt");
    case simdjson::NUMBER_ERROR:
        return vmt_fail(err, VMT_E_INVALID, "JSON has a number that is malformed or out of range");
    case simdjson::UTF8_ERROR: return vmt_fail(err, VMT_E_INVALID, "JSON text is not valid UTF-8");
    case simdjson::EMPTY: return vmt_fail(err, VMT_E_INVALID, "JSON text is empty");
    case simdjson::UNESCAPED_CHARS:
        return vmt_fail(err, VMT_E_INVALID, "JSON has a string with an unescaped control character");
    case simdjson::UNCLOSED_STRING: return vmt_fail(err, VMT_E_INVALID, "JSON has a string without its end quote");
    case simdjson::TAPE_ERROR:
    default:
        return vmt_fail(err, VMT_E_INVALID,
                        "JSON is malformed: a bracket, comma, colon or value is missing or out of place");
    }
}

/* Parses a padded copy of text, whose big integers (num_big of them) are widened on the way. */
static simdjson::error_code parse_copy(document *doc, vmt_str text, size_t num_big) {
    size_t len = text.len + 2 * num_big;
    char *copy = static_cast<char *>(malloc(len + simdjson::SIMDJSON_PADDING));
    if (!copy) return simdjson::MEMALLOC;
    if (num_big) {
        (void)widen_big_integers(text, copy);
    } else {
        memcpy(copy, text.ptr, len);
    }
    memset(copy + len, ' ', simdjson::SIMDJSON_PADDING);

    /* One level more, for simdjson counts the document itself; check_tape() draws the exact line. */
    simdjson::dom::parser parser;
    simdjson::error_code error =
        parser.allocate(VMT_MAX(len, simdjson::dom::MINIMAL_DOCUMENT_CAPACITY), VMT_JSON_DEPTH_MAX + 1);
    if (!error) error = parser.parse_into_document(*doc, copy, len, false).error();
    free(copy);
    return error;
}

vmt_status vmt_json_parse(vmt_json_doc **out, vmt_str text, vmt_err *err) {
    *out = nullptr;
    if (text.len == 0) return fail_with(simdjson::EMPTY, err);
    if (text.len > simdjson::SIMDJSON_MAXSIZE_BYTES / 2) return fail_with(simdjson::CAPACITY, err);
    if (memchr(text.ptr, 0, text.len)) return vmt_fail(err, VMT_E_INVALID, "JSON text contains a NUL byte");
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0) {
        return vmt_fail(err, VMT_E_INVALID, "JSON text begins with a byte order mark, which JSON forbids");
    }

    vmt_json_doc *doc = new (std::nothrow) vmt_json_doc;
    if (!doc) return fail_with(simdjson::MEMALLOC, err);
    simdjson::error_code error = parse_copy(&doc->doc, text, 0);
    if (error && error != simdjson::MEMALLOC) {
        size_t num_big = widen_big_integers(text, nullptr);
        if (num_big) error = parse_copy(&doc->doc, text, num_big);
    }
    if (!error) error = check_tape(&doc->doc, text);
    if (error) {
        delete doc;
        return fail_with(error, err);
    }
    *out = doc;
    return VMT_OK;
}

void vmt_json_doc_destroy(vmt_json_doc *doc) {
    delete doc;
}

vmt_json vmt_json_root(const vmt_json_doc *doc) {
    return {&doc->doc, root_idx};
}

vmt_json_type vmt_json_typeof(vmt_json value) {
    if (!value.doc_) return VMT_JSON_ABSENT;
    switch (ref_of(value).tape_ref_type()) {
    case tape_type::START_ARRAY: return VMT_JSON_ARRAY;
    case tape_type::START_OBJECT: return VMT_JSON_OBJECT;
    case tape_type::STRING: return VMT_JSON_STRING;
    case tape_type::INT64: return VMT_JSON_INT;
    case tape_type::UINT64: return VMT_JSON_UINT;
    case tape_type::DOUBLE: return VMT_JSON_DOUBLE;
    case tape_type::TRUE_VALUE:
    case tape_type::FALSE_VALUE: return VMT_JSON_BOOL;
    case tape_type::NULL_VALUE: return VMT_JSON_NULL;
    default: return VMT_JSON_ABSENT;
    }
}

const char *vmt_json_type_name(vmt_json_type type) {
    switch (type) {
    case VMT_JSON_ABSENT: return "absent";
    case VMT_JSON_NULL: return "null";
    case VMT_JSON_BOOL: return "a boolean";
    case VMT_JSON_INT:
    case VMT_JSON_UINT: return "an integer";
    case VMT_JSON_DOUBLE: return "a number";
    case VMT_JSON_STRING: return "a string";
    case VMT_JSON_ARRAY: return "an array";
    case VMT_JSON_OBJECT: return "an object";
    }
    return "unknown";
}

bool vmt_json_is_null(vmt_json value) {
    return vmt_json_typeof(value) == VMT_JSON_NULL;
}

bool vmt_json_get_bool(vmt_json value, bool *out) {
    if (vmt_json_typeof(value) != VMT_JSON_BOOL) return false;
    *out = ref_of(value).is_true();
    return true;
}

bool vmt_json_get_i64(vmt_json value, int64_t *out) {
    if (vmt_json_typeof(value) != VMT_JSON_INT) return false;
    *out = ref_of(value).next_tape_value<int64_t>();
    return true;
}

bool vmt_json_get_u64(vmt_json value, uint64_t *out) {
    vmt_json_type type = vmt_json_typeof(value);
    if (type != VMT_JSON_UINT && type != VMT_JSON_INT) return false;
    if (type == VMT_JSON_INT && ref_of(value).next_tape_value<int64_t>() < 0) return false;
    *out = ref_of(value).next_tape_value<uint64_t>();
    return true;
}

bool vmt_json_get_f64(vmt_json value, double *out) {
    switch (vmt_json_typeof(value)) {
    case VMT_JSON_INT: *out = static_cast<double>(ref_of(value).next_tape_value<int64_t>()); return true;
    case VMT_JSON_UINT: *out = static_cast<double>(ref_of(value).next_tape_value<uint64_t>()); return true;
    case VMT_JSON_DOUBLE: *out = ref_of(value).next_tape_value<double>(); return true;
    default: return false;
    }
}

bool vmt_json_get_str(vmt_json value, vmt_str *out) {
    if (vmt_json_typeof(value) != VMT_JSON_STRING) return false;
    tape_ref ref = ref_of(value);
    *out = {ref.get_c_str(), ref.get_string_length()};
    return true;
}

vmt_json_iter vmt_json_iter_begin(vmt_json container) {
    vmt_json_type type = vmt_json_typeof(container);
    if (type != VMT_JSON_ARRAY && type != VMT_JSON_OBJECT) return {nullptr, 0, 0, false};
    size_t after = ref_of(container).matching_brace_index();
    return {container.doc_, container.idx_ + 1, after - 1, type == VMT_JSON_OBJECT};
}

bool vmt_json_iter_next(vmt_json_iter *it, vmt_str *key, vmt_json *value) {
    if (it->idx_ >= it->end_) return false;
    vmt_str name = {nullptr, 0};
    if (it->is_object_) (void)vmt_json_get_str({it->doc_, it->idx_++}, &name);
    if (key) *key = name;
    *value = {it->doc_, it->idx_};
    it->idx_ = ref_of(*value).after_element();
    return true;
}

vmt_json vmt_json_member(vmt_json object, vmt_str key) {
    vmt_json found = {nullptr, 0};
    if (vmt_json_typeof(object) != VMT_JSON_OBJECT) return found;
    vmt_str name;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(object); vmt_json_iter_next(&it, &name, &value);) {
        if (vmt_str_eq(name, key)) found = value;
    }
    return found;
}

size_t vmt_json_size(vmt_json container) {
    /* The tape has a count, but one that stops at 2^24 - 1. */
    size_t count = 0;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(container); vmt_json_iter_next(&it, nullptr, &value);) count++;
    return count;
}
