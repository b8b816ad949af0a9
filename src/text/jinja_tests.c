/* text/jinja_tests.c: what stands after `is`. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#define TEST(name, expression)                                                     \
    static vmt_status test_##name(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) { \
        vmt_jval v = call->self;                                                   \
        *out = vmt_jbool(expression);                                              \
        return VMT_OK;                                                             \
    }

TEST(defined, v.kind != VMT_JUNDEF)
TEST(undefined, v.kind == VMT_JUNDEF)
TEST(none, v.kind == VMT_JNONE)
TEST(boolean, v.kind == VMT_JBOOL)
TEST(true, v.kind == VMT_JBOOL && v.b)
TEST(false, v.kind == VMT_JBOOL && !v.b)
TEST(integer, v.kind == VMT_JINT || v.kind == VMT_JUINT)
TEST(float, v.kind == VMT_JFLOAT)
TEST(number, vmt_jis_number(v))
TEST(string, v.kind == VMT_JSTR)
TEST(mapping, v.kind == VMT_JDICT)
/* jinja2 asks for len() and []: undefined has both, a dict's views have no []. */
TEST(sequence, vmt_jhas_len(v) && v.kind != VMT_JVIEW && v.kind != VMT_JLOOP)
TEST(iterable, vmt_jis_iterable(v) || v.kind == VMT_JLOOP)
TEST(callable, v.kind == VMT_JMACRO || v.kind == VMT_JMETHOD || v.kind == VMT_JFUNCTION || v.kind == VMT_JJOINER ||
                   v.kind == VMT_JLOOP || v.kind == VMT_JUNDEF)
TEST(escaped, v.kind == VMT_JSTR && v.sub == 1)
TEST(sameas, vmt_jsame(v, call->param[0]))
TEST(filter, v.kind == VMT_JSTR && vmt_jfilter_find(v.s) != NULL)
TEST(test, v.kind == VMT_JSTR && vmt_jtest_find(v.s) != NULL)

static vmt_status remainder_is(vmt_jrun *run, vmt_jval v, vmt_jval divisor, int64_t want, vmt_jval *out) {
    vmt_jval rest;
    bool equal;
    VMT_TRY(vmt_jarith(run, VMT_JT_MOD, v, divisor, &rest));
    VMT_TRY(vmt_jequal(run, rest, vmt_jint(want), &equal));
    *out = vmt_jbool(equal);
    return VMT_OK;
}

static vmt_status test_odd(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return remainder_is(run, call->self, vmt_jint(2), 1, out);
}

static vmt_status test_even(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return remainder_is(run, call->self, vmt_jint(2), 0, out);
}

static vmt_status test_divisibleby(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return remainder_is(run, call->self, call->param[0], 0, out);
}

static vmt_status test_in(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = vmt_jbool(false);
    return vmt_jcontains(run, call->param[0], call->self, &out->b);
}

static vmt_status test_eq(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = vmt_jbool(false);
    return vmt_jequal(run, call->self, call->param[0], &out->b);
}

static vmt_status test_ne(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    VMT_TRY(test_eq(run, call, out));
    out->b = !out->b;
    return VMT_OK;
}

static vmt_status order_of(vmt_jrun *run, vmt_jcall *call, int *order) {
    return vmt_jcompare(run, call->self, call->param[0], order);
}

static vmt_status test_lt(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int order;
    VMT_TRY(order_of(run, call, &order));
    *out = vmt_jbool(order < 0);
    return VMT_OK;
}

static vmt_status test_le(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int order;
    VMT_TRY(order_of(run, call, &order));
    *out = vmt_jbool(order <= 0);
    return VMT_OK;
}

static vmt_status test_gt(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int order;
    VMT_TRY(order_of(run, call, &order));
    *out = vmt_jbool(order == 1);
    return VMT_OK;
}

static vmt_status test_ge(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int order;
    VMT_TRY(order_of(run, call, &order));
    *out = vmt_jbool(order == 0 || order == 1);
    return VMT_OK;
}

static vmt_status is_in_case(vmt_jrun *run, vmt_jcall *call, const char *method, vmt_jval *out) {
    vmt_str text;
    VMT_TRY(vmt_jto_str(run, call->self, &text));
    vmt_jcall on_text = {.self = vmt_jstr(text)};
    return vmt_jbuiltin_call(run, vmt_jmethod_find(on_text.self, vmt_str_from(method)), &on_text, out);
}

static vmt_status test_lower(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return is_in_case(run, call, "islower", out);
}

static vmt_status test_upper(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return is_in_case(run, call, "isupper", out);
}

static const vmt_jbuiltin tests[] = {
    {"defined", test_defined, "", 0, 0},
    {"undefined", test_undefined, "", 0, 0},
    {"none", test_none, "", 0, 0},
    {"string", test_string, "", 0, 0},
    {"mapping", test_mapping, "", 0, 0},
    {"iterable", test_iterable, "", 0, 0},
    {"sequence", test_sequence, "", 0, 0},
    {"number", test_number, "", 0, 0},
    {"integer", test_integer, "", 0, 0},
    {"float", test_float, "", 0, 0},
    {"boolean", test_boolean, "", 0, 0},
    {"true", test_true, "", 0, 0},
    {"false", test_false, "", 0, 0},
    {"callable", test_callable, "", 0, 0},
    {"escaped", test_escaped, "", 0, 0},
    {"sameas", test_sameas, "other", 1, 0},
    {"filter", test_filter, "", 0, 0},
    {"test", test_test, "", 0, 0},
    {"odd", test_odd, "", 0, 0},
    {"even", test_even, "", 0, 0},
    {"divisibleby", test_divisibleby, "num", 1, 0},
    {"in", test_in, "seq", 1, 0},
    {"lower", test_lower, "", 0, 0},
    {"upper", test_upper, "", 0, 0},
    {"eq", test_eq, "other", 1, 0},
    {"equalto", test_eq, "other", 1, 0},
    {"==", test_eq, "other", 1, 0},
    {"ne", test_ne, "other", 1, 0},
    {"!=", test_ne, "other", 1, 0},
    {"lt", test_lt, "other", 1, 0},
    {"lessthan", test_lt, "other", 1, 0},
    {"<", test_lt, "other", 1, 0},
    {"le", test_le, "other", 1, 0},
    {"<=", test_le, "other", 1, 0},
    {"gt", test_gt, "other", 1, 0},
    {"greaterthan", test_gt, "other", 1, 0},
    {">", test_gt, "other", 1, 0},
    {"ge", test_ge, "other", 1, 0},
    {">=", test_ge, "other", 1, 0},
};

const vmt_jbuiltin *vmt_jtest_find(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(tests); i++) {
        if (vmt_str_eq_c(name, tests[i].name)) return &tests[i];
    }
    return NULL;
}
