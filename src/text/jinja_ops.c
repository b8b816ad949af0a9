/* text/jinja_ops.c: arithmetic on numbers, and + * % on text and lists. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"

#include <math.h>

static vmt_status overflow(vmt_jrun *run) {
    return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "integer result exceeds 64 bits");
}

static vmt_status repeat_list(vmt_jrun *run, vmt_jval v, int64_t n, vmt_jval *out) {
    vmt_jlist *list;
    size_t count = v.list->count;
    if (n < 0 || count == 0) n = 0;
    if (n > 0 && (uint64_t)n > VMT_TEMPLATE_OUTPUT_MAX / count) {
        return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "a list of %zu items can't be repeated %lld times", count,
                             (long long)n);
    }
    VMT_TRY(vmt_jrun_charge(run, count * (size_t)n));
    VMT_TRY(vmt_jlist_new(run, count * (size_t)n, &list));
    for (int64_t i = 0; i < n; i++) {
        memcpy(list->items + list->count, v.list->items, count * sizeof *list->items);
        list->count += count;
    }
    *out = vmt_jof_list(v.kind, list);
    return VMT_OK;
}

static vmt_status repeat(vmt_jrun *run, vmt_jval v, int64_t n, vmt_jval *out) {
    if (v.kind != VMT_JSTR) return repeat_list(run, v, n, out);
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jtext_repeat(run, v.s, n));
    return vmt_jtext_end_value(run, begin, out);
}

static vmt_status join_lists(vmt_jrun *run, vmt_jval a, vmt_jval b, vmt_jval *out) {
    vmt_jlist *list;
    size_t na = a.list->count, nb = b.list->count;
    VMT_TRY(vmt_jrun_charge(run, na + nb));
    VMT_TRY(vmt_jlist_new(run, na + nb, &list));
    if (na > 0) memcpy(list->items, a.list->items, na * sizeof *list->items);
    if (nb > 0) memcpy(list->items + na, b.list->items, nb * sizeof *list->items);
    list->count = na + nb;
    *out = vmt_jof_list(a.kind, list);
    return VMT_OK;
}

static double floor_mod(double a, double b) {
    double mod = fmod(a, b);
    if (mod != 0 && (mod < 0) != (b < 0)) mod += b;
    return mod == 0 ? copysign(0, b) : mod;
}

static vmt_status float_op(vmt_jrun *run, int op, double a, double b, vmt_jval *out) {
    if (b == 0 && (op == VMT_JT_DIV || op == VMT_JT_FLOORDIV || op == VMT_JT_MOD)) {
        return vmt_jinvalid(run, "division by zero");
    }
    switch (op) {
    case VMT_JT_ADD: *out = vmt_jfloat(a + b); return VMT_OK;
    case VMT_JT_SUB: *out = vmt_jfloat(a - b); return VMT_OK;
    case VMT_JT_MUL: *out = vmt_jfloat(a * b); return VMT_OK;
    case VMT_JT_DIV: *out = vmt_jfloat(a / b); return VMT_OK;
    case VMT_JT_MOD: *out = vmt_jfloat(floor_mod(a, b)); return VMT_OK;
    case VMT_JT_FLOORDIV: {
        double div = (a - floor_mod(a, b)) / b, whole = floor(div);
        if (div - whole > 0.5) whole += 1;
        *out = vmt_jfloat(div == 0 ? copysign(0, a / b) : whole);
        return VMT_OK;
    }
    default:
        if (a == 0 && b < 0) return vmt_jinvalid(run, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b) && isfinite(b)) {
            return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "complex numbers are not supported");
        }
        *out = vmt_jfloat(pow(a, b));
        if (isinf(out->f) && isfinite(a) && isfinite(b)) return vmt_jinvalid(run, "result too large");
        return VMT_OK;
    }
}

static vmt_status int_pow(vmt_jrun *run, int64_t a, int64_t b, vmt_jval *out) {
    if (b < 0) {
        if (a == 0) return vmt_jinvalid(run, "0.0 cannot be raised to a negative power");
        *out = vmt_jfloat(pow((double)a, (double)b));
        return VMT_OK;
    }
    int64_t result = 1;
    for (bool wide = false; b > 0; b >>= 1) {
        if (wide && a != 0) return overflow(run);
        if ((b & 1) && __builtin_mul_overflow(result, a, &result)) return overflow(run);
        wide = b > 1 && __builtin_mul_overflow(a, a, &a);
        if (wide) return overflow(run);
    }
    *out = vmt_jint(result);
    return VMT_OK;
}

static vmt_status int_op(vmt_jrun *run, int op, int64_t a, int64_t b, vmt_jval *out) {
    int64_t r = 0;
    if (b == 0 && (op == VMT_JT_DIV || op == VMT_JT_FLOORDIV || op == VMT_JT_MOD)) {
        return vmt_jinvalid(run, "division by zero");
    }
    switch (op) {
    case VMT_JT_ADD:
        if (__builtin_add_overflow(a, b, &r)) return overflow(run);
        break;
    case VMT_JT_SUB:
        if (__builtin_sub_overflow(a, b, &r)) return overflow(run);
        break;
    case VMT_JT_MUL:
        if (__builtin_mul_overflow(a, b, &r)) return overflow(run);
        break;
    case VMT_JT_DIV: *out = vmt_jfloat((double)((long double)a / (long double)b)); return VMT_OK;
    case VMT_JT_FLOORDIV:
        if (a == INT64_MIN && b == -1) return overflow(run);
        r = a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
        break;
    case VMT_JT_MOD:
        if (b == -1) break;
        r = a % b;
        if (r != 0 && (r < 0) != (b < 0)) r += b;
        break;
    default: return int_pow(run, a, b, out);
    }
    *out = vmt_jint(r);
    return VMT_OK;
}

static const char *op_name(int op) {
    switch (op) {
    case VMT_JT_ADD: return "+";
    case VMT_JT_SUB: return "-";
    case VMT_JT_MUL: return "*";
    case VMT_JT_DIV: return "/";
    case VMT_JT_FLOORDIV: return "//";
    case VMT_JT_MOD: return "%";
    default: return "**";
    }
}

static bool is_repeatable(vmt_jval v) {
    return v.kind == VMT_JSTR || vmt_jis_seq(v);
}

vmt_status vmt_jarith(vmt_jrun *run, int op, vmt_jval a, vmt_jval b, vmt_jval *out) {
    VMT_TRY(vmt_jrun_charge(run, 1));
    int64_t x, y;
    if (op == VMT_JT_MOD && a.kind == VMT_JSTR) return vmt_jformat_percent(run, a.s, b, out);
    if (a.kind == VMT_JUNDEF) return vmt_jundef_fail(run, a);
    if (b.kind == VMT_JUNDEF) return vmt_jundef_fail(run, b);
    if (vmt_jget_int(a, &x) && vmt_jget_int(b, &y)) return int_op(run, op, x, y, out);
    if (vmt_jis_number(a) && vmt_jis_number(b)) {
        if (a.kind != VMT_JFLOAT && b.kind != VMT_JFLOAT && op != VMT_JT_DIV) return overflow(run);
        return float_op(run, op, vmt_jget_float(a), vmt_jget_float(b), out);
    }
    if (op == VMT_JT_ADD && a.kind == VMT_JSTR && b.kind == VMT_JSTR) {
        if (a.sub != b.sub) VMT_TRY(vmt_jescape(run, a.sub ? b.s : a.s, a.sub ? &b.s : &a.s));
        *out = (vmt_jval){.kind = VMT_JSTR, .sub = a.sub | b.sub};
        return vmt_jconcat(run, a.s, b.s, &out->s);
    }
    if (op == VMT_JT_ADD && a.kind == b.kind && vmt_jis_seq(a)) return join_lists(run, a, b, out);
    if (op == VMT_JT_MUL && is_repeatable(a) && vmt_jget_int(b, &y)) return repeat(run, a, y, out);
    if (op == VMT_JT_MUL && is_repeatable(b) && vmt_jget_int(a, &x)) return repeat(run, b, x, out);
    if (op == VMT_JT_ADD && a.kind == VMT_JSTR) {
        return vmt_jinvalid(run, "can only concatenate str (not \"%s\") to str", vmt_jtype_name(b));
    }
    return vmt_jinvalid(run, "unsupported operand type(s) for %s: '%s' and '%s'", op_name(op), vmt_jtype_name(a),
                        vmt_jtype_name(b));
}

vmt_status vmt_jnegate(vmt_jrun *run, vmt_jval v, vmt_jval *out) {
    int64_t i;
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    if (v.kind == VMT_JFLOAT) {
        *out = vmt_jfloat(-v.f);
        return VMT_OK;
    }
    if (v.kind == VMT_JUINT) return overflow(run);
    if (!vmt_jget_int(v, &i)) return vmt_jinvalid(run, "bad operand type for unary -: '%s'", vmt_jtype_name(v));
    if (i == INT64_MIN) return overflow(run);
    *out = vmt_jint(-i);
    return VMT_OK;
}
