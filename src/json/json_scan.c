#include "json/json_scan.h"

void vmt_json_scan_init(vmt_json_scan *scan) {
    *scan = (vmt_json_scan){.state = VMT_SCAN_VALUE};
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool top_is_object(const vmt_json_scan *s) {
    uint32_t i = s->depth - 1;
    return (s->is_object[i / 64] >> (i % 64)) & 1;
}

static vmt_json_scan_state open_container(vmt_json_scan *s, bool is_object) {
    if (s->depth == VMT_JSON_DEPTH_MAX) return VMT_SCAN_BAD;
    uint64_t bit = (uint64_t)1 << (s->depth % 64);
    if (is_object) {
        s->is_object[s->depth / 64] |= bit;
    } else {
        s->is_object[s->depth / 64] &= ~bit;
    }
    s->depth++;
    return is_object ? VMT_SCAN_FIRST_KEY : VMT_SCAN_FIRST_VALUE;
}

static vmt_json_scan_state after_value(const vmt_json_scan *s) {
    return s->depth ? VMT_SCAN_AFTER : VMT_SCAN_DONE;
}

static vmt_json_scan_state close_container(vmt_json_scan *s, bool is_object) {
    if (s->depth == 0 || top_is_object(s) != is_object) return VMT_SCAN_BAD;
    s->depth--;
    return after_value(s);
}

static vmt_json_scan_state begin_value(vmt_json_scan *s, char c) {
    switch (c) {
    case '{': return open_container(s, true);
    case '[': return open_container(s, false);
    case '"': s->in_key = false; return VMT_SCAN_STRING;
    case 't': s->literal = "rue"; return VMT_SCAN_LITERAL;
    case 'f': s->literal = "alse"; return VMT_SCAN_LITERAL;
    case 'n': s->literal = "ull"; return VMT_SCAN_LITERAL;
    case '-': return VMT_SCAN_MINUS;
    case '0': return VMT_SCAN_ZERO;
    default: return is_digit(c) ? VMT_SCAN_INT : VMT_SCAN_BAD;
    }
}

static vmt_json_scan_state after(vmt_json_scan *s, char c) {
    if (is_space(c)) return s->state == VMT_SCAN_DONE ? VMT_SCAN_DONE : VMT_SCAN_AFTER;
    if (s->depth == 0) return VMT_SCAN_BAD;
    if (c == ',') return top_is_object(s) ? VMT_SCAN_KEY : VMT_SCAN_VALUE;
    if (c == '}' || c == ']') return close_container(s, c == '}');
    return VMT_SCAN_BAD;
}

/* A number ends where it can't go on. */
static vmt_json_scan_state end_number(vmt_json_scan *s, char c) {
    s->state = after_value(s);
    return after(s, c);
}

static vmt_json_scan_state number(vmt_json_scan *s, char c) {
    bool is_exp = c == 'e' || c == 'E';
    switch (s->state) {
    case VMT_SCAN_MINUS: return c == '0' ? VMT_SCAN_ZERO : is_digit(c) ? VMT_SCAN_INT : VMT_SCAN_BAD;
    case VMT_SCAN_INT:
        if (is_digit(c)) return VMT_SCAN_INT;
        /* fall through */
    case VMT_SCAN_ZERO: return c == '.' ? VMT_SCAN_DOT : is_exp ? VMT_SCAN_EXP : end_number(s, c);
    case VMT_SCAN_DOT: return is_digit(c) ? VMT_SCAN_FRACTION : VMT_SCAN_BAD;
    case VMT_SCAN_FRACTION: return is_digit(c) ? VMT_SCAN_FRACTION : is_exp ? VMT_SCAN_EXP : end_number(s, c);
    case VMT_SCAN_EXP:
        if (c == '+' || c == '-') return VMT_SCAN_EXP_SIGN;
        /* fall through */
    case VMT_SCAN_EXP_SIGN: return is_digit(c) ? VMT_SCAN_EXP_DIGITS : VMT_SCAN_BAD;
    default: return is_digit(c) ? VMT_SCAN_EXP_DIGITS : end_number(s, c);
    }
}

static vmt_json_scan_state text(vmt_json_scan *s, char c) {
    if (s->state == VMT_SCAN_HEX) {
        bool is_hex = is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!is_hex) return VMT_SCAN_BAD;
        return ++s->num_hex == 4 ? VMT_SCAN_STRING : VMT_SCAN_HEX;
    }
    if (s->state == VMT_SCAN_ESCAPE) {
        s->num_hex = 0;
        if (c == 'u') return VMT_SCAN_HEX;
        return c != '\0' && strchr("\"\\/bfnrt", c) ? VMT_SCAN_STRING : VMT_SCAN_BAD;
    }
    if (c == '\\') return VMT_SCAN_ESCAPE;
    if (c == '"') return s->in_key ? VMT_SCAN_COLON : after_value(s);
    return (unsigned char)c < 0x20 ? VMT_SCAN_BAD : VMT_SCAN_STRING;
}

static vmt_json_scan_state step(vmt_json_scan *s, char c) {
    switch (s->state) {
    case VMT_SCAN_FIRST_VALUE:
        if (c == ']') return close_container(s, false);
        /* fall through */
    case VMT_SCAN_VALUE: return is_space(c) ? s->state : begin_value(s, c);
    case VMT_SCAN_FIRST_KEY:
        if (c == '}') return close_container(s, true);
        /* fall through */
    case VMT_SCAN_KEY:
        if (is_space(c)) return s->state;
        s->in_key = true;
        return c == '"' ? VMT_SCAN_STRING : VMT_SCAN_BAD;
    case VMT_SCAN_COLON: return is_space(c) ? VMT_SCAN_COLON : c == ':' ? VMT_SCAN_VALUE : VMT_SCAN_BAD;
    case VMT_SCAN_AFTER:
    case VMT_SCAN_DONE: return after(s, c);
    case VMT_SCAN_STRING:
    case VMT_SCAN_ESCAPE:
    case VMT_SCAN_HEX: return text(s, c);
    case VMT_SCAN_LITERAL:
        if (c != *s->literal) return VMT_SCAN_BAD;
        return *++s->literal ? VMT_SCAN_LITERAL : after_value(s);
    case VMT_SCAN_BAD: return VMT_SCAN_BAD;
    default: return number(s, c);
    }
}

vmt_json_scan_state vmt_json_scan_push(vmt_json_scan *scan, char byte) {
    return scan->state = step(scan, byte);
}

bool vmt_json_scan_is_whole(const vmt_json_scan *scan) {
    if (scan->state == VMT_SCAN_DONE) return true;
    if (scan->depth) return false;
    return scan->state == VMT_SCAN_ZERO || scan->state == VMT_SCAN_INT || scan->state == VMT_SCAN_FRACTION ||
           scan->state == VMT_SCAN_EXP_DIGITS;
}
