/* text/grammar_schema_number.c: numbers: exact bounds and multiples, digit by digit.
 *
 * The automaton writes a number without exponent and knows, after each digit, how the magnitude so far compares with
 * that of each bound, and its remainder.  Fractions have so many digits that two different texts near a bound are two
 * different doubles: whoever reads the text as a double sees the same order. */
#include "json/json_writer.h"
#include "text/grammar_schema.h"

#include <math.h>
#include <stdlib.h>

#define DIGITS_MAX       400u /* of a bound, before and after its point */
#define DOUBLE_DIGITS    15u  /* decimal digits that a double always keeps apart */
#define NUMBER_NODES_MAX 200000u

struct decimal {
    bool is_negative;
    uint32_t num_whole, num_fraction; /* whole has no leading zeros, but one for zero itself */
    uint8_t whole[DIGITS_MAX], fraction[DIGITS_MAX];
};

struct bound {
    bool exists, is_exclusive;
    struct decimal at;
};

struct limits {
    struct bound low, high;
    uint32_t multiple, multiple_decimals; /* a multiple of multiple * 10^-multiple_decimals; 0: of anything */
    bool is_integer;
    uint32_t fraction_max;
};

enum phase { AT_START, AT_SIGN, AT_ZERO, AT_WHOLE, AT_POINT, AT_FRACTION };
enum order { IS_LESS, IS_EQUAL, IS_GREATER };

struct place {
    uint32_t rest;                         /* remainder of the digits so far */
    uint16_t digits;                       /* of the part at hand, capped */
    uint8_t phase, is_negative, has_digit; /* has_digit: one that is not 0 */
    uint8_t low, high;                     /* enum order of the magnitude against those of the bounds */
};

/* ---- decimals */

static bool read_decimal(vmt_str text, struct decimal *out) {
    int64_t exponent = 0;
    uint8_t digits[2 * DIGITS_MAX];
    uint32_t n = 0, num_before = 0, first = 0;
    bool seen_point = false;
    size_t i = 0;
    *out = (struct decimal){0};
    if (text.len > 0 && text.ptr[0] == '-') out->is_negative = true, i++;
    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.') seen_point = true;
        if (c == 'e' || c == 'E') break;
        if (c < '0' || c > '9') continue;
        if (n == VMT_COUNT(digits)) return false;
        digits[n++] = (uint8_t)(c - '0');
        num_before += !seen_point;
    }
    if (i < text.len) {
        vmt_str power = vmt_str_slice(text, i + 1, text.len);
        if (power.len > 0 && power.ptr[0] == '+') power = vmt_str_slice(power, 1, power.len);
        if (!vmt_str_to_i64(power, &exponent) || exponent > 1000 || exponent < -1000) return false;
    }
    int64_t point = (int64_t)num_before + exponent;
    while (first < n && digits[first] == 0) first++;
    for (int64_t k = VMT_MIN((int64_t)first, point); k < VMT_MAX((int64_t)n, point); k++) {
        uint8_t digit = k >= 0 && k < (int64_t)n ? digits[k] : 0;
        if (k < point && (digit != 0 || out->num_whole > 0)) {
            if (out->num_whole == DIGITS_MAX) return false;
            out->whole[out->num_whole++] = digit;
        }
        if (k >= point) {
            if (out->num_fraction == DIGITS_MAX) return false;
            out->fraction[out->num_fraction++] = digit;
        }
    }
    while (out->num_fraction > 0 && out->fraction[out->num_fraction - 1] == 0) out->num_fraction--;
    if (out->num_whole == 0) out->whole[out->num_whole++] = 0;
    return true;
}

static bool is_zero(const struct decimal *d) {
    return d->num_whole == 1 && d->whole[0] == 0 && d->num_fraction == 0;
}

static enum order compare_magnitudes(const struct decimal *a, const struct decimal *b) {
    if (a->num_whole != b->num_whole) return a->num_whole < b->num_whole ? IS_LESS : IS_GREATER;
    int order = memcmp(a->whole, b->whole, a->num_whole);
    for (uint32_t i = 0; order == 0 && i < VMT_MAX(a->num_fraction, b->num_fraction); i++) {
        int x = i < a->num_fraction ? a->fraction[i] : 0, y = i < b->num_fraction ? b->fraction[i] : 0;
        order = x - y;
    }
    return order < 0 ? IS_LESS : order > 0 ? IS_GREATER : IS_EQUAL;
}

static enum order compare_decimals(const struct decimal *a, const struct decimal *b) {
    if (is_zero(a) && is_zero(b)) return IS_EQUAL;
    if (a->is_negative != b->is_negative) return a->is_negative ? IS_LESS : IS_GREATER;
    enum order order = compare_magnitudes(a, b);
    return a->is_negative ? IS_GREATER - order : order;
}

static vmt_status decimal_of(vmt_schema *s, vmt_json value, struct decimal *out, bool *ok) {
    vmt_buf buf;
    vmt_json_writer writer;
    vmt_buf_init(&buf, 4096);
    vmt_json_writer_init(&writer, &buf);
    vmt_json_value(&writer, value);
    *ok = !buf.failed && read_decimal(vmt_buf_str(&buf), out);
    vmt_buf_free(&buf);
    return VMT_OK;
}

/* ---- limits */

static void tighten(struct bound *bound, const struct decimal *at, bool is_exclusive, bool is_low) {
    enum order order = bound->exists ? compare_decimals(at, &bound->at) : IS_EQUAL;
    bool is_tighter = order == (is_low ? IS_GREATER : IS_LESS);
    if (bound->exists && order == IS_EQUAL) is_tighter = is_exclusive && !bound->is_exclusive;
    if (!bound->exists || is_tighter) *bound = (struct bound){true, is_exclusive, *at};
}

static vmt_status read_bound(vmt_schema *s, const vmt_atom *atom, const char *keyword, const char *exclusive,
                             struct bound *bound, bool is_low) {
    double number;
    bool flag = false, ok;
    struct decimal *at = malloc(sizeof *at);
    vmt_json values[2] = {vmt_atom_get(atom, keyword), vmt_atom_get(atom, exclusive)};
    if (!at) return vmt_schema_no_memory(s);
    vmt_status status = VMT_OK;
    vmt_json_get_bool(values[1], &flag); /* draft 4: it makes the other one exclusive */
    for (uint32_t k = 0; k < 2 && status == VMT_OK; k++) {
        if (!vmt_json_exists(values[k]) || vmt_json_typeof(values[k]) == VMT_JSON_BOOL) continue;
        const char *name = k == 0 ? keyword : exclusive;
        if (!vmt_json_get_f64(values[k], &number)) {
            status = vmt_schema_invalid(s, atom->place, name, "it must be a number");
            continue;
        }
        status = decimal_of(s, values[k], at, &ok);
        if (status == VMT_OK && !ok) {
            status = vmt_schema_unsupported(s, atom->place, name, "it has too many digits");
        }
        if (status == VMT_OK) tighten(bound, at, k == 1 || flag, is_low);
    }
    free(at);
    return status;
}

static uint32_t gcd(uint32_t a, uint32_t b) {
    while (b != 0) {
        uint32_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* multipleOf as digits and decimals; two of them as their least common multiple. */
static vmt_status read_multiple(vmt_schema *s, const vmt_atom *atom, struct limits *limits) {
    vmt_json value = vmt_atom_get(atom, "multipleOf");
    double number;
    bool ok;
    if (!vmt_json_exists(value)) return VMT_OK;
    if (!vmt_json_get_f64(value, &number) || !(number > 0)) {
        return vmt_schema_invalid(s, atom->place, "multipleOf", "it must be a number above 0");
    }
    struct decimal *d = malloc(sizeof *d);
    if (!d) return vmt_schema_no_memory(s);
    vmt_status status = decimal_of(s, value, d, &ok);
    uint64_t digits = 0, scaled = limits->multiple;
    uint32_t decimals = limits->multiple_decimals;
    for (uint32_t i = 0; ok && i < d->num_whole && digits < UINT32_MAX; i++) digits = digits * 10 + d->whole[i];
    for (uint32_t i = 0; ok && i < d->num_fraction && digits < UINT32_MAX; i++) {
        digits = digits * 10 + d->fraction[i];
    }
    for (uint32_t i = d->num_fraction; i < decimals && digits < UINT32_MAX; i++) digits *= 10;
    for (uint32_t i = decimals; i < d->num_fraction && scaled < UINT32_MAX; i++) scaled *= 10;
    decimals = VMT_MAX(decimals, d->num_fraction);
    free(d);
    if (ok && scaled > 0 && digits > 0 && scaled < UINT32_MAX && digits < UINT32_MAX) {
        digits = digits / gcd((uint32_t)digits, (uint32_t)scaled) * scaled;
    }
    if (status == VMT_OK && (!ok || digits == 0 || digits > VMT_SCHEMA_MULTIPLE_MAX || decimals > DOUBLE_DIGITS)) {
        return vmt_fail(s->err, VMT_E_EXHAUSTED, "schema keyword multipleOf: more than %u without its point",
                        VMT_SCHEMA_MULTIPLE_MAX);
    }
    limits->multiple = (uint32_t)digits;
    limits->multiple_decimals = decimals;
    return status;
}

/* Formats that OpenAPI gives to numbers. */
static vmt_status read_format(vmt_schema *s, const vmt_atom *atom, struct limits *limits) {
    static const struct {
        const char *name, *low, *high;
    } ranges[] = {
        {"int32", "-2147483648", "2147483647"},
        {"int64", "-9223372036854775808", "9223372036854775807"},
        {"uint32", "0", "4294967295"},
        {"uint64", "0", "18446744073709551615"},
    };
    vmt_str name;
    struct decimal *at = malloc(sizeof *at);
    if (!at) return vmt_schema_no_memory(s);
    if (vmt_json_get_str(vmt_atom_get(atom, "format"), &name)) {
        for (size_t i = 0; i < VMT_COUNT(ranges); i++) {
            if (!vmt_str_eq_c(name, ranges[i].name)) continue;
            if (read_decimal(vmt_str_from(ranges[i].low), at)) tighten(&limits->low, at, false, true);
            if (read_decimal(vmt_str_from(ranges[i].high), at)) tighten(&limits->high, at, false, false);
        }
    }
    free(at);
    return VMT_OK;
}

static vmt_status read_limits(vmt_schema *s, const vmt_atoms *atoms, bool is_integer, struct limits *limits) {
    *limits = (struct limits){.is_integer = is_integer};
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind != VMT_ATOM_SCHEMA) continue;
        VMT_TRY(read_bound(s, atom, "minimum", "exclusiveMinimum", &limits->low, true));
        VMT_TRY(read_bound(s, atom, "maximum", "exclusiveMaximum", &limits->high, false));
        VMT_TRY(read_multiple(s, atom, limits));
        VMT_TRY(read_format(s, atom, limits));
    }
    uint32_t num_whole = 1, num_fraction = 0;
    const struct bound *bounds[2] = {&limits->low, &limits->high};
    for (uint32_t k = 0; k < 2; k++) {
        if (!bounds[k]->exists) continue;
        num_whole = VMT_MAX(num_whole, bounds[k]->at.num_whole);
        num_fraction = VMT_MAX(num_fraction, bounds[k]->at.num_fraction);
    }
    uint32_t room = num_whole < DOUBLE_DIGITS ? DOUBLE_DIGITS - num_whole : 0;
    limits->fraction_max = is_integer ? 0 : VMT_MAX(room, num_fraction);
    if (limits->multiple > 0) limits->fraction_max = VMT_MIN(limits->fraction_max, limits->multiple_decimals);
    return VMT_OK;
}

/* ---- the automaton */

/* Order of the magnitude with whole digits as many as `digits`, given the order of the digits themselves. */
static enum order end_whole(const struct bound *bound, uint32_t digits, uint8_t order) {
    if (digits == bound->at.num_whole) return (enum order)order;
    return digits < bound->at.num_whole ? IS_LESS : IS_GREATER;
}

static uint8_t order_digit(uint8_t order, uint32_t digit, const uint8_t *digits, uint32_t num, uint32_t at) {
    if (order != IS_EQUAL) return order;
    uint32_t want = at < num ? digits[at] : 0;
    return digit == want ? IS_EQUAL : digit < want ? IS_LESS : IS_GREATER;
}

static enum order end_number(const struct bound *bound, const struct place *p, uint8_t order) {
    if (p->phase == AT_ZERO || p->phase == AT_WHOLE) order = (uint8_t)end_whole(bound, p->digits, order);
    if (order != IS_EQUAL) return (enum order)order;
    uint32_t num_written = p->phase == AT_FRACTION ? p->digits : 0;
    return num_written < bound->at.num_fraction ? IS_LESS : IS_EQUAL;
}

static bool satisfies(const struct bound *bound, const struct place *p, uint8_t order, bool is_low) {
    if (!bound->exists) return true;
    enum order magnitude = end_number(bound, p, order);
    enum order value;
    if (!p->has_digit && is_zero(&bound->at))
        value = IS_EQUAL;
    else if ((p->is_negative != 0) != bound->at.is_negative)
        value = p->is_negative ? IS_LESS : IS_GREATER;
    else
        value = p->is_negative ? IS_GREATER - magnitude : magnitude;
    if (value == IS_EQUAL) return !bound->is_exclusive;
    return value == (is_low ? IS_GREATER : IS_LESS);
}

static bool is_whole_number(const struct limits *l, const struct place *p) {
    if (p->phase != AT_ZERO && p->phase != AT_WHOLE && p->phase != AT_FRACTION) return false;
    if (p->is_negative && !p->has_digit) return false;
    if (!satisfies(&l->low, p, p->low, true) || !satisfies(&l->high, p, p->high, false)) return false;
    if (l->multiple == 0) return true;
    uint64_t rest = p->rest;
    uint32_t num_written = p->phase == AT_FRACTION ? p->digits : 0;
    for (uint32_t i = num_written; i < l->multiple_decimals; i++) rest = rest * 10 % l->multiple;
    return rest == 0;
}

/* Where a byte leads; false: nowhere. */
static bool step(const struct limits *l, struct place *p, uint8_t byte) {
    uint32_t digit = (uint32_t)(byte - '0');
    if (byte == '-') {
        if (p->phase != AT_START) return false;
        p->phase = AT_SIGN;
        p->is_negative = 1;
        return true;
    }
    if (byte == '.') {
        if ((p->phase != AT_ZERO && p->phase != AT_WHOLE) || l->fraction_max == 0) return false;
        p->low = (uint8_t)end_whole(&l->low, p->digits, p->low);
        p->high = (uint8_t)end_whole(&l->high, p->digits, p->high);
        p->phase = AT_POINT;
        p->digits = 0;
        return true;
    }
    if (p->phase == AT_ZERO || (p->phase == AT_FRACTION && p->digits >= l->fraction_max)) return false;
    if (p->phase == AT_START || p->phase == AT_SIGN) p->phase = digit == 0 ? AT_ZERO : AT_WHOLE;
    if (p->phase == AT_POINT) p->phase = AT_FRACTION;
    bool is_whole = p->phase != AT_FRACTION;
    uint8_t *orders[2] = {&p->low, &p->high};
    const struct bound *bounds[2] = {&l->low, &l->high};
    uint32_t digits_cap = l->fraction_max;
    for (uint32_t k = 0; k < 2; k++) {
        const struct decimal *at = &bounds[k]->at;
        if (is_whole) {
            digits_cap = VMT_MAX(digits_cap, at->num_whole + 1);
            if (p->digits < at->num_whole) {
                *orders[k] = order_digit(*orders[k], digit, at->whole, at->num_whole, p->digits);
            }
        } else {
            *orders[k] = order_digit(*orders[k], digit, at->fraction, at->num_fraction, p->digits);
        }
        if (!bounds[k]->exists) *orders[k] = IS_EQUAL;
        /* Once longer than the bound, its digits no longer matter. */
        else if (is_whole && p->digits >= at->num_whole)
            *orders[k] = IS_GREATER;
    }
    if (is_whole) digits_cap = VMT_MAX(l->low.at.num_whole, l->high.at.num_whole) + 1;
    p->digits = (uint16_t)VMT_MIN(p->digits + 1u, digits_cap);
    p->has_digit |= digit != 0;
    if (l->multiple > 0) p->rest = (uint32_t)(((uint64_t)p->rest * 10 + digit) % l->multiple);
    return true;
}

struct explorer {
    struct place *places;
    size_t places_cap;
    uint32_t num_places, first;
    uint32_t *table;
    uint32_t table_mask;
};

static vmt_status find_place(vmt_schema *s, vmt_rules *r, struct explorer *x, const struct place *place,
                             uint32_t *index) {
    uint64_t h64 = vmt_hash_fast(place, sizeof *place);
    uint32_t at = (uint32_t)(h64 ^ h64 >> 32) & x->table_mask;
    for (; x->table[at] != 0; at = (at + 1) & x->table_mask) {
        *index = x->table[at] - 1;
        if (memcmp(&x->places[*index], place, sizeof *place) == 0) return VMT_OK;
    }
    *index = x->num_places;
    if (vmt_array_grow((void **)&x->places, &x->places_cap, (size_t)x->num_places + 1, sizeof *x->places,
                       NUMBER_NODES_MAX) != VMT_OK) {
        return vmt_fail(s->err, VMT_E_EXHAUSTED,
                        "schema keywords minimum, maximum and multipleOf need more than %u states",
                        NUMBER_NODES_MAX);
    }
    x->places[x->num_places++] = *place;
    x->table[at] = x->num_places;
    uint32_t state = vmt_rules_state(r);
    if (x->num_places == 1) x->first = state;
    return vmt_rules_status(r, s->err);
}

static vmt_status explore(vmt_schema *s, vmt_rules *r, const struct limits *l, uint32_t from, uint32_t to) {
    static const uint8_t bytes[] = "-.0123456789";
    struct explorer x = {.table_mask = (1u << 19) - 1};
    struct place start;
    memset(&start, 0, sizeof start); /* its padding is compared too */
    start.phase = AT_START;
    start.low = start.high = IS_EQUAL;
    uint32_t index;
    /* A table for the most there can be costs more to clear than most numbers to build. */
    if (l->multiple == 0) x.table_mask = (1u << 14) - 1;
    x.table = calloc((size_t)x.table_mask + 1, sizeof *x.table);
    vmt_status status = x.table ? find_place(s, r, &x, &start, &index) : vmt_schema_no_memory(s);
    if (status == VMT_OK) vmt_rules_epsilon(r, from, x.first);
    for (uint32_t i = 0; i < x.num_places && status == VMT_OK; i++) {
        if (is_whole_number(l, &x.places[i])) vmt_rules_epsilon(r, x.first + i, to);
        for (size_t b = 0; b + 1 < sizeof bytes && status == VMT_OK; b++) {
            struct place next = x.places[i];
            if (!step(l, &next, bytes[b])) continue;
            if (x.num_places * 2 > x.table_mask) {
                status =
                    vmt_fail(s->err, VMT_E_EXHAUSTED, "schema keywords minimum and maximum have too many digits");
                continue;
            }
            status = find_place(s, r, &x, &next, &index);
            if (status == VMT_OK) vmt_rules_bytes(r, x.first + i, x.first + index, bytes[b], bytes[b]);
        }
    }
    free(x.places);
    free(x.table);
    return status == VMT_OK ? vmt_rules_status(r, s->err) : status;
}

/* Integers without those that are excluded by value. */
static vmt_status add_without(vmt_schema *s, const vmt_atoms *atoms, const struct limits *l, uint32_t from,
                              uint32_t to) {
    vmt_automaton all = {0}, excluded = {0}, rest = {0};
    vmt_rules rules;
    vmt_rules_init(&rules);
    uint32_t a = vmt_rules_state(&rules), b = vmt_rules_state(&rules);
    uint32_t c = vmt_rules_state(&rules), d = vmt_rules_state(&rules);
    vmt_status status = explore(s, &rules, l, a, b);
    for (uint32_t i = 0; i < atoms->len && status == VMT_OK; i++) {
        double number;
        if (atoms->list[i].kind != VMT_ATOM_NOT_VALUE || !vmt_json_get_f64(atoms->list[i].json, &number)) continue;
        vmt_buf buf;
        vmt_buf_init(&buf, 64);
        if (number == floor(number) && fabs(number) < 1e18) vmt_buf_printf(&buf, "%.0f", number);
        vmt_rules_epsilon(&rules, vmt_rules_literal(&rules, c, vmt_buf_str(&buf)), d);
        vmt_buf_free(&buf);
    }
    if (status == VMT_OK) status = vmt_language_compile(&all, &rules, (vmt_fragment){a, b}, s->err);
    if (status == VMT_OK) status = vmt_language_compile(&excluded, &rules, (vmt_fragment){c, d}, s->err);
    vmt_language_part parts[2] = {{&all, false}, {&excluded, true}};
    if (status == VMT_OK) status = vmt_language_intersect(&rest, parts, 2, s->err);
    if (status == VMT_OK) vmt_language_emit(s->rules, from, to, &rest);
    vmt_rules_free(&rules);
    vmt_automaton_free(&all);
    vmt_automaton_free(&excluded);
    vmt_automaton_free(&rest);
    return status;
}

vmt_status vmt_schema_number(vmt_schema *s, const vmt_atoms *atoms, bool is_integer, uint32_t from, uint32_t to) {
    struct limits *l = malloc(sizeof *l);
    bool excludes = false;
    double number;
    if (!l) return vmt_schema_no_memory(s);
    vmt_status status = read_limits(s, atoms, is_integer, l);
    for (uint32_t i = 0; i < atoms->len; i++) {
        if (atoms->list[i].kind == VMT_ATOM_NOT_VALUE && vmt_json_get_f64(atoms->list[i].json, &number))
            excludes = true;
    }
    if (status != VMT_OK) {
        free(l);
        return status;
    }
    if (excludes) {
        status = add_without(s, atoms, l, from, to);
    } else if (l->low.exists || l->high.exists || l->multiple > 0) {
        status = explore(s, s->rules, l, from, to);
    } else {
        vmt_schema_builtin builtin = is_integer ? VMT_BUILTIN_INTEGER : VMT_BUILTIN_NUMBER;
        vmt_rules_call(s->rules, from, to, vmt_schema_builtin_rule(s, builtin));
        status = vmt_rules_status(s->rules, s->err);
    }
    free(l);
    return status;
}

vmt_status vmt_schema_admits_number(vmt_schema *s, const vmt_atoms *atoms, vmt_json number, bool *admits) {
    struct limits *l = malloc(sizeof *l);
    struct decimal *d = malloc(sizeof *d);
    bool ok = false;
    vmt_status status = l && d ? read_limits(s, atoms, false, l) : vmt_schema_no_memory(s);
    if (status == VMT_OK) status = decimal_of(s, number, d, &ok);
    if (status == VMT_OK) {
        *admits = ok;
        if (l->low.exists) {
            enum order order = compare_decimals(d, &l->low.at);
            if (order == IS_LESS || (order == IS_EQUAL && l->low.is_exclusive)) *admits = false;
        }
        if (l->high.exists) {
            enum order order = compare_decimals(d, &l->high.at);
            if (order == IS_GREATER || (order == IS_EQUAL && l->high.is_exclusive)) *admits = false;
        }
        if (l->multiple > 0) {
            uint64_t rest = 0;
            for (uint32_t i = 0; i < d->num_whole; i++) rest = (rest * 10 + d->whole[i]) % l->multiple;
            uint32_t n = VMT_MAX(l->multiple_decimals, d->num_fraction);
            for (uint32_t i = 0; i < n; i++) {
                uint32_t digit = i < d->num_fraction ? d->fraction[i] : 0;
                if (i >= l->multiple_decimals && digit != 0) *admits = false;
                if (i < l->multiple_decimals) rest = (rest * 10 + digit) % l->multiple;
            }
            if (rest != 0) *admits = false;
        }
    }
    free(l);
    free(d);
    return status;
}
