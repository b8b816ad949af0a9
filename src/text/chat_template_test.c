/* text/chat_template_test.c: the language in small pieces, its errors, its budgets, and mutated templates. */
#include "text/chat_template.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char vars_json[] = "{\"s\": \"Hello\", \"u\": \"\\u00dfa\\ud83d\\ude42\", \"n\": 7, \"l\": [3, 1, "
                                "2], \"d\": {\"a\": 1, \"items\": 5},"
                                " \"nil\": null, \"big\": 18446744073709551615, \"f\": 1e16,"
                                " \"rows\": [{\"k\": \"x\", \"v\": 2}, {\"k\": \"Y\", \"v\": 1}]}";

/* Compiles and renders with the variables above. */
static vmt_status run(vmt_str source, vmt_buf *out, vmt_err *err) {
    vmt_chat_template *tmpl;
    vmt_json_doc *doc;
    vmt_template_var vars[16];
    vmt_render_options options = {.vars = vars, .now_unix_s = 86400 * 365};
    vmt_str key;
    vmt_json value;
    VMT_TRY(vmt_chat_template_compile(&tmpl, source, err));
    VMT_ASSERT(vmt_json_parse(&doc, vmt_str_from(vars_json), NULL) == VMT_OK);
    for (vmt_json_iter it = vmt_json_iter_begin(vmt_json_root(doc)); vmt_json_iter_next(&it, &key, &value);) {
        vars[options.num_vars++] = (vmt_template_var){.name = key, .json = value};
    }
    vars[options.num_vars++] = (vmt_template_var){.name = VMT_STR("text"), .text = VMT_STR("T")};
    vars[options.num_vars++] = (vmt_template_var){.name = VMT_STR("yes"), .boolean = 1};
    vars[options.num_vars++] = (vmt_template_var){.name = VMT_STR("none_var"), .boolean = -1};
    vmt_status status = vmt_chat_template_render(tmpl, &options, out, err);
    vmt_chat_template_destroy(tmpl);
    vmt_json_doc_destroy(doc);
    return status;
}

typedef struct piece {
    const char *source, *want;
} piece;

static void check_pieces(vmt_test *t, const piece *pieces, size_t count) {
    for (size_t i = 0; i < count; i++) {
        vmt_buf out;
        vmt_err err = {0};
        vmt_buf_init(&out, 0);
        run(vmt_str_from(pieces[i].source), &out, &err);
        vmt_expect_str(t, err.code == VMT_OK ? (out.ptr ? out.ptr : "") : err.msg, pieces[i].want);
        vmt_buf_free(&out);
    }
}

/* What each gives was checked with jinja2. */
static void renders_pieces(vmt_test *t) {
    static const piece pieces[] = {
        {"a\n", "a"},
        {"{% if yes %}\n  x\n{% endif %}\ny", "  x\ny"},
        {"  {%- if yes -%}  x  {%- endif %}  y", "x  y"},
        {"  {%+ if yes %}x{% endif +%}\ny", "  x\ny"},
        {"{# c #}\n{{ '{{' }}{% raw %}\n{{ x }}{% endraw %}", "{{\n{{ x }}"},
        {"{{ text }}{{ yes }}{{ none_var }}{{ nil }}{{ missing }}", "TTrueNoneNone"},
        {"{{ u|length }}{{ u[::-1] }}{{ u[-1] }}{{ u|upper }}", "3\xF0\x9F\x99\x82"
                                                                "a\xC3\x9F\xF0\x9F\x99\x82SSA\xF0\x9F\x99\x82"},
        {"{{ [1, 'a\\'b', none, 1.0, {'x': (1,)}] }}", "[1, \"a'b\", None, 1.0, {'x': (1,)}]"},
        {"{{ f }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ big }}", "1e+16 0.30000000000000004 1e-05 18446744073709551615"},
        {"{{ 7 // -2 }} {{ 7 % -2 }} {{ -7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }}", "-4 -1 -3.5 1024 0.5"},
        {"{{ 1 < 2 < 3 }} {{ 'l' in s }} {{ 4 not in l }} {{ not n is odd }}", "True True True False"},
        {"{{ d.items()|list }}{{ d['items'] }}", "[('a', 1), ('items', 5)]5"},
        {"{{ d|tojson }}{{ {'b': [], 'a': 'é\\n'}|tojson(sort_keys=true, indent=1) }}",
         "{\"a\": 1, \"items\": 5}{\n \"a\": \"\xC3\xA9\\n\",\n \"b\": []\n}"},
        {"{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% else %}-{% endfor %}",
         "13,22"},
        {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "32"},
        {"{% for k, v in d.items() %}{{ k }}{{ v }}{% break %}{% endfor %}", "a1"},
        {"{% set x = 1 %}{% for i in l %}{% set x = i %}{% endfor %}{{ x }}", "1"},
        {"{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "6"},
        {"{% macro m(a, b=a) %}[{{ a }}{{ b }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ m(1, 2, 3, k=4) }}{{ "
         "m(5) }}",
         "[12(3,){'k': 4}][55(){}]"},
        {"{% macro m() %}<{{ caller(2) }}>{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}", "<2>"},
        {"{% set x %}a{% endset %}{{ x }}{% filter upper %}b{% endfilter %}{% with y = 1 %}{{ y }}{% endwith %}",
         "aB1"},
        {"{% generation %}g{% endgeneration %}", "g"},
        {"{{ rows|sort(attribute='v')|map(attribute='k')|join }}{{ rows|selectattr('v', 'gt', 1)|list|length }}",
         "Yx1"},
        {"{{ 'a b'.split() }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' x '.strip() }}{{ 'ab'.endswith(('x', 'b')) }}",
         "['a', 'b']['a,b', 'c']xTrue"},
        {"{{ '%05.1f|%-4s|%x' % (2.25, 'a', 255) }}{{ '{:>4}{!r}{0}'.replace('{0}', '').format(1, 'q') }}",
         "002.2|a   |ff   1'q'"},
        {"{{ strftime_now('%Y-%m-%d') }}", "1971-01-01"},
        {"{{ 'a' 'b' ~ 1 }}{{ (1 if false) is undefined }}", "ab1True"},
        {"{{ l|select|first }}{% if l|select('none') %}lazy{% endif %}", "3lazy"},
    };
    setenv("TZ", "UTC", 1);
    tzset();
    check_pieces(t, pieces, VMT_COUNT(pieces));
}

static void says_what_is_wrong(vmt_test *t) {
    static const piece pieces[] = {
        {"\n\n{{ x.y }}", "chat template, line 3: 'x' is undefined"},
        {"{{ d.b.c }}", "chat template, line 1: 'dict object' has no attribute 'b'"},
        {"{{ raise_exception('No ' ~ n) }}", "No 7"},
        {"a\n{{ l|foo }}", "chat template, line 2: unknown filter 'foo'"},
        {"{% if false %}{{ l|foo }}{% endif %}ok", "ok"},
        {"{% include 'x' %}", "chat template, line 1: the tag 'include' is not supported"},
        {"{% for x in l %}", "chat template, line 1: unexpected end of template, 'endfor' is missing (line 1)"},
        {"{{ 'x }}", "chat template, line 1: a string has no end"},
        {"{{ (1] }}", "chat template, line 1: unexpected ']', expected ')'"},
        {"{{ s + 1 }}", "chat template, line 1: can only concatenate str (not \"int\") to str"},
        {"{{ l.append(1) }}", "chat template, line 1: access to attribute 'append' is unsafe"},
        {"{% break %}", "chat template, line 1: break or continue outside a loop"},
        {"{{ 9223372036854775807 + 1 }}", "chat template, line 1: integer result exceeds 64 bits"},
        {"{% set d.x = 1 %}", "chat template, line 1: cannot assign attribute on non-namespace object"},
        {"{{ nil|tojson ~ missing|tojson }}",
         "chat template, line 1: Object of type Undefined is not JSON serializable"},
        {"{{ 1 / 0 }}", "chat template, line 1: division by zero"},
    };
    check_pieces(t, pieces, VMT_COUNT(pieces));
}

static vmt_str repeated(vmt_test *t, const char *head, const char *middle, size_t n, const char *tail) {
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    vmt_buf_append_c(&buf, head);
    for (size_t i = 0; i < n; i++) vmt_buf_append_c(&buf, middle);
    vmt_buf_append_c(&buf, tail);
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&buf));
    vmt_buf_free(&buf);
    return copy;
}

static void expect_refusal(vmt_test *t, vmt_str source) {
    vmt_buf out;
    vmt_err err = {0};
    vmt_buf_init(&out, 0);
    vmt_expect(t, run(source, &out, &err) != VMT_OK);
    vmt_expect(t, err.msg[0] != 0);
    vmt_expect_eq(t, out.len, 0);
    vmt_buf_free(&out);
}

static void stays_in_its_budgets(vmt_test *t) {
    static const char *const greedy[] = {
        "{{ 'x' * 10**9 }}",
        "{{ [1] * 10**12 }}",
        "{{ range(10**9) }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'y' in s * 1000 }}{% endfor %}{% endfor %}",
        "{% set a = 'x' * 1000 %}{% for i in range(30) %}{% set a = a ~ a %}{{ a }}{{ a }}{% endfor %}"
        "{% set ns = namespace(a='x') %}{% for i in range(40) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(40) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a "
        "}}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(5000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(5000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ "
        "ns.a|tojson }}",
        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(5000) %}{% set ns.a = [ns.a] %}{% set ns.b = "
        "[ns.b] %}"
        "{% endfor %}{{ ns.a == ns.b }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{{ m(n ~ n) }}{{ m(n ~ n) }}{% endmacro %}{{ m('ab') }}",
        "{{ 'a\\nb'|indent(10**9) }}",
        "{{ l|tojson(indent=10**8) }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a'.center(10**10) }}",
        "{{ l|batch(10**10, 'x')|list }}",
        "{{ l|slice(10**10)|list }}",
        "{{ ('x' * 10**6).replace('', 'y' * 1000) }}",
    };
    for (size_t i = 0; i < VMT_COUNT(greedy); i++) expect_refusal(t, vmt_str_from(greedy[i]));
    expect_refusal(t, repeated(t, "{{ ", "(", 100000, ""));
    expect_refusal(t, repeated(t, "{{ ", "[", 100000, ""));
    expect_refusal(t, repeated(t, "{{ ", "-", 100000, "1 }}"));
    expect_refusal(t, repeated(t, "{{ ", "not ", 100000, "1 }}"));
    expect_refusal(t, repeated(t, "{{ s", ".x", 100000, " }}"));
    expect_refusal(t, repeated(t, "{{ s", "|trim", 100000, " }}"));
    expect_refusal(t, repeated(t, "{{ ", "1 if 1 else ", 50000, "1 }}"));
    expect_refusal(t, repeated(t, "", "{% if 1 %}", 50000, ""));
    expect_refusal(t, repeated(t, "", "{% for x in l %}", 50000, ""));
    expect_refusal(t, repeated(t, "", "x", VMT_TEMPLATE_SOURCE_MAX + 1, ""));
}

/* Long chains are lists, not towers: they render. */
static void takes_long_chains(vmt_test *t) {
    vmt_buf out;
    vmt_err err = {0};
    vmt_buf_init(&out, 0);
    vmt_expect_eq(t, run(repeated(t, "{{ 0", " + 1", 50000, " }}"), &out, &err), VMT_OK);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("50000"));
    vmt_buf_clear(&out);
    vmt_expect_eq(t, run(repeated(t, "{% if 0 %}", "{% elif 0 %}", 20000, "{% else %}e{% endif %}"), &out, &err),
                  VMT_OK);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("e"));
    vmt_buf_clear(&out);
    /* Text grown piece by piece is not quadratic in memory. */
    vmt_str grow =
        VMT_STR("{% set ns = namespace(t='') %}{% for i in range(50000) %}{% set ns.t = ns.t + 'abcdefgh' %}"
                "{% endfor %}{{ ns.t|length }}");
    vmt_expect_eq(t, run(grow, &out, &err), VMT_OK);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("400000"));
    vmt_buf_free(&out);
}

static bool wants_parts(vmt_test *t, const char *source) {
    vmt_chat_template *tmpl;
    vmt_expect_eq(t, vmt_chat_template_compile(&tmpl, vmt_str_from(source), NULL), VMT_OK);
    bool wants = vmt_chat_template_wants_parts(tmpl);
    vmt_chat_template_destroy(tmpl);
    return wants;
}

static void knows_what_a_template_uses(vmt_test *t) {
    vmt_expect(
        t,
        wants_parts(t, "{% for m in messages %}{% for p in m['content'] %}{{ p.text }}{% endfor %}{% endfor %}"));
    vmt_expect(
        t,
        wants_parts(t, "{% for m in messages %}{% set c = m.content %}{% for p in c %}{% endfor %}{% endfor %}"));
    vmt_expect(t,
               wants_parts(t, "{% macro r(c) %}{% for p in c %}{% endfor %}{% endmacro %}{{ r(m.content, 1) }}"));
    vmt_expect(t, !wants_parts(t, "{% for m in messages %}{{ m['content'] }}{% endfor %}"));
    vmt_expect(t, !wants_parts(t, "{% for x in m.content.split('\\n') %}{{ x }}{% endfor %}"));
    vmt_chat_template *tmpl;
    vmt_str source =
        VMT_STR("{# hidden #}<|im_start|>{{ enable_thinking }}{{ m.reasoning_content }}{{ m['name'] }}");
    vmt_expect_eq(t, vmt_chat_template_compile(&tmpl, source, NULL), VMT_OK);
    vmt_expect(t, vmt_chat_template_mentions(tmpl, VMT_STR("enable_thinking")));
    vmt_expect(t, vmt_chat_template_mentions(tmpl, VMT_STR("reasoning_content")));
    vmt_expect(t, vmt_chat_template_mentions(tmpl, VMT_STR("name")));
    vmt_expect(t, vmt_chat_template_mentions(tmpl, VMT_STR("<|im_start|>")));
    vmt_expect(t, !vmt_chat_template_mentions(tmpl, VMT_STR("hidden")));
    vmt_expect(t, !vmt_chat_template_mentions(tmpl, VMT_STR("tools")));
    vmt_chat_template_destroy(tmpl);
}

static const char *const seeds[] = {
    "{% for x in rows|sort(attribute='v') if x.k %}{{ loop.index }}{{ x|tojson(indent=2) }}{% else %}-{% endfor "
    "%}",
    "{%- macro m(a, b=1, *c) -%}{{ a ~ b|upper }}{{ caller() if caller }}{%- endmacro -%}{% call m(1) %}x{% "
    "endcall %}",
    "{% set ns = namespace(x='') %}{% for i in range(9) %}{% set ns.x = ns.x + s[i:] %}{% endfor %}{{ ns.x[::-1] "
    "}}",
    "{{ '%5.2f %s %(a)d' % (1, s) }}{{ '{0:>{1}} {a!r}'.format(n, 9, a=l) }}{{ u.split('a')|join('\\u00e9') }}",
    "{% if n is divisibleby(7) and not s is none %}{{ d.items()|list }}{{ l[1:] + [n ** 2, -n // 2] }}{% endif %}",
    "{% raw %}{{ x }}{% endraw %}{# c #}{% filter indent(2)|title %}{{ s }}\n{{ u }}{% endfilter %}{{ missing.x "
    "}}",
    "{{ rows|groupby('k')|map('first')|list }}{{ l|batch(2, 0)|list }}{{ s|replace('l', u)|center(30)|truncate(9) "
    "}}",
};

/* Bytes of templates that work, changed at random: any outcome but a crash is fine. */
static void survives_mutation(vmt_test *t) {
    static const char *const scraps[] = {"{{", "}}", "{%", "%}",   "(",  ")",    "[",    "]",  "|",
                                         "'",  "-",  "~",  ":",    ",",  " if ", " in ", "**", "999999999",
                                         "u",  "l",  "d",  "\xC3", "\\", "=",    "."};
    uint64_t state = t->seed;
    for (int round = 0; round < 6000; round++) {
        char text[512];
        const char *seed = seeds[vmt_splitmix64(&state) % VMT_COUNT(seeds)];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (uint64_t changes = 1 + vmt_splitmix64(&state) % 4; changes > 0; changes--) {
            const char *scrap = scraps[vmt_splitmix64(&state) % VMT_COUNT(scraps)];
            size_t at = vmt_splitmix64(&state) % len, n = strlen(scrap), cut = vmt_splitmix64(&state) % 4;
            if (len + n > sizeof text || at + cut > len) continue;
            memmove(text + at + n, text + at + cut, len - at - cut);
            memcpy(text + at, scrap, n);
            len += n;
            len -= cut;
        }
        vmt_buf out;
        vmt_err err = {0};
        vmt_buf_init(&out, 0);
        vmt_status status = run((vmt_str){text, len}, &out, &err);
        vmt_expect(t, (status == VMT_OK) == (err.msg[0] == 0));
        vmt_expect(t, status != VMT_E_INTERNAL);
        vmt_expect(t, vmt_utf8_valid(vmt_buf_str(&out)));
        vmt_buf_free(&out);
    }
}

static const vmt_test_case cases[] = {
    {"renders_pieces", renders_pieces},
    {"says_what_is_wrong", says_what_is_wrong},
    {"stays_in_its_budgets", stays_in_its_budgets},
    {"takes_long_chains", takes_long_chains},
    {"knows_what_a_template_uses", knows_what_a_template_uses},
    {"survives_mutation", survives_mutation},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
