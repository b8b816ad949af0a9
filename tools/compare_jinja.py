#!/usr/bin/env python3
"""Compares vmetal's chat templates with jinja2, in the environment that transformers sets up.

  compare_jinja.py [--count N] [--seed S]   random snippets from a grammar of constructs
  VMT_TEMPLATE_DIR=... compare_jinja.py     also every *.jinja there, over the conversations of the golden tests

Needs a Python with transformers and jinja2, a C compiler, and the built library (--library).  Exits 1 on a difference.
"""

import argparse
import copy
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
import jinja_oracle  # noqa: E402
import template_cases  # noqa: E402

# What vmetal refuses on purpose; jinja2 may do as it likes then.
REFUSED = ("is not supported", "are not supported", "exceeds 64 bits", "unknown filter", "unknown test", "steps",
           "MiB", "nested deeper", "can't be repeated", "the limit is", "more than", "is no character")

# What Python prints with an address, or as a class that vmetal does not have.
ADDRESSES = (" object at 0x", "<function", "<class", "<bound", "markup(", "built-in")

VARIABLES = {
    "s": "Hello World",
    "t": "  spaced\ttext \n",
    "u": "Grüße, 世界 ß 🙂 İ",
    "e": "",
    "n": 7,
    "z": 0,
    "neg": -3,
    "f": 2.5,
    "g": -0.125,
    "yes": True,
    "no": False,
    "nil": None,
    "l": [3, 1, 2],
    "w": ["b", "A", "c", "a"],
    "mix": [1, "x", None, 2.0, True, [1, 2], {"k": "v"}],
    "el": [],
    "d": {"a": 1, "b": "two", "c": [1, 2], "items": 5},
    "ed": {},
    "rows": [{"name": "x", "v": 3, "ok": True}, {"name": "Y", "v": 1, "ok": False}, {"name": "z", "v": 2}],
    "deep": {"p": {"q": [{"r": 1}, {"r": "two"}]}},
    "html": "<a href='x'>\"&amp;\"</a>",
    "lines": "one\ntwo\r\n\nthree",
}


class Grammar:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = list(VARIABLES) + ["missing"]

    def pick(self, *options):
        return self.r.choice(options)

    def fitting(self, *names):
        """One of these names, or now and then any expression."""
        return self.pick(*names) if self.r.random() < 0.85 else self.expr(1)

    def typed(self):
        """An operation on values that it is meant for."""
        text = lambda: self.fitting("s", "t", "u", "e", "html", "lines", self.string())  # noqa: E731
        listing = lambda: self.fitting("l", "w", "mix", "el", "rows", "d.keys()", "range(5)", "s", "u")  # noqa: E731
        number = lambda: self.fitting("n", "z", "neg", "f", "g", "yes", self.number())  # noqa: E731
        kind = self.r.randrange(9)
        if kind == 0:
            return f"{text()}|{self.filter(1)}"
        if kind == 1:
            return f"{listing()}|{self.filter(1)}"
        if kind == 2:
            return f"({text()}).{self.method(1)}"
        if kind == 3:
            return f"{number()} {self.pick('+', '-', '*', '/', '//', '%', '**', '<', '>=', '==')} {number()}"
        if kind == 4:
            return f"{text()} {self.pick('+', '~', 'in', '==', '<', 'not in')} {text()}"
        if kind == 5:
            return f"({listing()}|list)[{self.index()}]"
        if kind == 6:
            return f"({text()})[{self.index()}]"
        if kind == 7:
            spec = self.pick("%s", "%5s|", "%-6s|", "%05d", "%+d", "%x", "%#o", "%.2f", "%8.3e", "%g", "%r", "%%%s", "%.1s",
                             "%(a)s", "%c", "%i", "% d", "%08.2f", "%.3d")
            return f"'{spec}' % {self.pick(number(), text(), listing(), 'd', f'({number()},)')}"
        spec = self.pick("{}", "{:>8}", "{:*^9}", "{:<5}|", "{:05d}", "{:+.2f}", "{:,}", "{:x}", "{:#b}", "{:e}", "{:.3}", "{!r}",
                         "{0}{0}", "{:%}", "{:g}", "{0[0]}", "{0.a}", "{{}}{}", "{:_d}", "{:=+6}", "{:10.4f}", "{a}", "{:c}")
        return f"'{spec}'.format({self.pick(number(), text(), listing(), 'd')}, a=1)"

    def number(self):
        return self.pick("0", "1", "2", "3", "7", "-1", "-2", "10", "1.5", "0.1", "1e3", "100", "1_000", "0x1f", "2.0")

    def string(self):
        return self.pick("'a'", "'b'", "''", "'l'", "' '", "'o'", "'Hello'", "'a\\nb'", "\"it's\"", "'é\\u00e9\\x41'",
                         "'x' 'y'", "'%s-%d'", "'{} {}'", "'\\t'", "'世'", "', '", "'\\q'", "'ß'", "'name'", "'k'")

    def index(self):
        return self.pick("0", "1", "-1", "2", "-2", "5", "'a'", "'k'", "'name'", "n", "'items'", "1:", ":1", "::-1",
                         "1:-1", "-2:", "::2", "5:1:-1", ":", "'upper'", "nil", "1.0", "true")

    def atom(self, depth):
        kind = self.r.random()
        if kind < 0.55 or depth <= 0:
            return self.pick(*self.names)
        if kind < 0.7:
            return self.string()
        if kind < 0.82:
            return self.number()
        if kind < 0.86:
            return "[" + ", ".join(self.expr(depth - 1) for _ in range(self.r.randrange(4))) + "]"
        if kind < 0.89:
            return "(" + ", ".join(self.expr(depth - 1) for _ in range(2)) + ")"
        if kind < 0.93:
            return "{" + ", ".join(f"{self.string()}: {self.expr(depth - 1)}" for _ in range(self.r.randrange(3))) + "}"
        if kind < 0.97:
            return "(" + self.expr(depth - 1) + ")"
        return self.pick("range(4)", "range(1, 9, 3)", "range(3, 0, -1)", "dict(a=1, b=s)", "namespace(x=1).x",
                         "dict(d, z=2)", "joiner('|')()", "cycler(1, 2).next()", "range(n)")

    def method(self, depth):
        e = lambda: self.expr(0)  # noqa: E731
        return self.pick(
            "upper()", "lower()", "strip()", f"strip({self.string()})", "lstrip()", f"rstrip({self.string()})",
            f"split({self.string()})", "split()", f"split({self.string()}, 1)", "rsplit(None, 1)",
            f"rsplit({self.string()}, 1)", f"startswith({self.string()})", f"endswith(({self.string()}, {self.string()}))",
            f"replace({self.string()}, {self.string()})", f"replace({self.string()}, 'X', 1)", f"find({self.string()})",
            f"rfind({self.string()})", f"count({self.string()})", f"find({self.string()}, 2, -1)", "title()",
            "capitalize()", "splitlines()", "splitlines(true)", f"partition({self.string()})",
            f"rpartition({self.string()})", "isdigit()", "isalpha()", "isalnum()", "isspace()", "isupper()", "islower()",
            f"removeprefix({self.string()})", f"removesuffix({self.string()})", "zfill(8)", "center(15, '*')", "ljust(12)",
            "rjust(12, '.')", "swapcase()", "casefold()", "items()", "keys()", "values()", f"get({self.string()})",
            f"get({self.string()}, {e()})", f"index({e()})", f"count({e()})", "copy()", f"format({e()}, {e()})",
            f"join({e()})", "append(1)", "pop()", "update({})", "istitle()", "expandtabs(4)", "isdecimal()", "encode")

    def filter(self, depth):
        e = lambda: self.expr(0)  # noqa: E731
        return self.pick(
            "upper", "lower", "title", "capitalize", "trim", f"trim({self.string()})", "length", "count", "list", "first",
            "last", "sort", "sort(reverse=true)", "sort(attribute='v')", "sort(attribute='name', reverse=true)",
            "sort(case_sensitive=true)", "unique|list", "unique(attribute='ok')|list", "min", "max", "max(attribute='v')",
            "sum", "sum(attribute='v')", "sum(start=10)", "join", "join(', ')", "join('-', attribute='name')", "reverse|list",
            "reverse", "string", "int", "int(5)", "int(0, 16)", "float", "float(1.5)", "abs", "round", "round(1)",
            "round(2, 'floor')", "round(0, 'ceil')", f"default({e()})", f"default({e()}, true)", f"d({self.string()})",
            "tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))",
            "tojson(sort_keys=true)", "tojson(4)", f"replace({self.string()}, {self.string()})",
            f"replace({self.string()}, 'Z', 1)", "indent", "indent(2, true)", "indent('> ', blank=true)", "items|list",
            "dictsort", "dictsort(true)", "dictsort(by='value')", "dictsort(reverse=true)", "batch(2)|list",
            "batch(2, 'x')|list", "slice(2)|list", "slice(3, 'f')|list", "map('upper')|list", "map(attribute='name')|list",
            "map(attribute='ok', default='?')|list", "map('default', 1)|join", "select|list", "select('odd')|list",
            "select('string')|list", "reject('none')|list", "selectattr('ok')|list", "selectattr('v', 'gt', 1)|list",
            "rejectattr('ok')|list", "rejectattr('ok', 'defined')|list", "selectattr('name', 'equalto', 'x')|map(attribute='v')|list",
            "groupby('ok')", "groupby('name')|length", "wordcount", "truncate(5)", "truncate(8, true, '..', 0)",
            "urlencode", "escape", "e", "safe", "center(20)", f"format({e()})", "attr('upper')", "map('int')|sum",
            "map('length')|list", "format(a=1)", "select('in', [1, 3])|list", "map(attribute='p.q.0')|list", "first|upper")

    def test(self):
        return self.pick(
            "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable",
            "sequence", "callable", "true", "false", "odd", "even", "divisibleby 3", "divisibleby(2)", "in l", "in [1, 's']",
            "eq 7", "equalto('b')", "ne none", "lt 5", "gt(1)", "le 2.5", "ge 7", "lower", "upper", "sameas true",
            "not defined", "not none", "not string", "in 'Hello'", "escaped", "ge(0)")

    def expr(self, depth=3):
        kind = self.r.random()
        if depth <= 0 or kind < 0.1:
            return self.atom(depth)
        if self.r.random() < 0.5:
            return self.typed()
        a = self.expr(depth - 1)
        if kind < 0.35:
            return f"{a}|{self.filter(depth)}"
        if kind < 0.43:
            return f"({a}).{self.method(depth)}" if self.r.random() < 0.4 else f"{self.pick(*self.names)}.{self.method(depth)}"
        if kind < 0.51:
            return f"{self.atom(0)}[{self.index()}]"
        if kind < 0.55:
            return f"{self.atom(0)}.{self.pick('a', 'b', 'c', 'p', 'p.q', 'items', 'name', 'x', '0', 'upper', 'start')}"
        if kind < 0.68:
            op = self.pick("+", "-", "*", "/", "//", "%", "~", "**", "~", "+")
            return f"{a} {op} {self.expr(depth - 1)}"
        if kind < 0.78:
            op = self.pick("==", "!=", "<", "<=", ">", ">=", "in", "not in")
            return f"{a} {op} {self.expr(depth - 1)}"
        if kind < 0.86:
            return f"{a} {self.pick('and', 'or')} {self.expr(depth - 1)}"
        if kind < 0.9:
            return f"{self.pick('not', '-', '+')} {a}" if self.r.random() < 0.7 else f"not ({a})"
        if kind < 0.96:
            return f"{a} is {self.test()}"
        return f"({a} if {self.expr(depth - 1)}" + (f" else {self.expr(depth - 1)})" if self.r.random() < 0.8 else ")")

    def tag(self, text):
        return self.pick("{%", "{%", "{%-", "{%+") + " " + text + " " + self.pick("%}", "%}", "-%}", "+%}")

    def loop_body(self, depth):
        return self.pick(
            "{{ loop.index }}{{ x }},", "{{ loop.first }}{{ loop.last }};", "{{ loop.revindex }}/{{ loop.length }} ",
            "{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}", "{{ loop.cycle('o', 'e') }}", "{{ loop.changed(x) }}",
            "{{ x }}{% if loop.index0 == 1 %}{% break %}{% endif %}", "{% if not x %}{% continue %}{% endif %}{{ x }}",
            "{% set k = x %}{{ k }}", "{% set ns.v = ns.v + 1 %}{{ ns.v }}", "{{ loop }}{{ loop.depth }}",
            "{% for y in x %}{{ loop.index }}{{ y }}{% else %}-{% endfor %}{{ loop.revindex0 }}",
            "{% for y in l if y != x %}{{ y }}{% endfor %}", "{{ x }}") + self.body(depth - 1)

    def body(self, depth):
        out = []
        for _ in range(self.r.randrange(1, 3)):
            kind = self.r.random()
            if kind < 0.25 or depth <= 0:
                out.append(self.pick("text", "\n", "  \n  ", " a ", "\n\n", "\t", "{", "x\n  "))
            elif kind < 0.55:
                out.append(self.pick("{{", "{{-", "{{") + " " + self.expr(2) + " " + self.pick("}}", "-}}", "}}"))
            elif kind < 0.65:
                out.append(self.tag("if " + self.expr(2)) + self.body(depth - 1) +
                           (self.tag("elif " + self.expr(1)) + self.body(depth - 1) if self.r.random() < 0.3 else "") +
                           (self.tag("else") + self.body(depth - 1) if self.r.random() < 0.5 else "") + self.tag("endif"))
            elif kind < 0.78:
                over = self.pick("l", "w", "mix", "rows", "d", "s", "el", "range(3)", "d.items()", "missing", self.expr(1),
                                 "l|select('odd')", "rows|map(attribute='v')")
                target = "x" if "items" not in over or self.r.random() < 0.2 else "x, y2"
                cond = f" if {self.pick('x', 'x != 1', 'loop is defined', 'ns.v < 2', 'x is string')}" if self.r.random() < 0.25 else ""
                out.append(self.tag(f"for {target} in {over}{cond}") + self.loop_body(depth) +
                           (self.tag("else") + self.body(depth - 1) if self.r.random() < 0.3 else "") + self.tag("endfor"))
            elif kind < 0.88:
                out.append(self.pick(
                    self.tag(f"set {self.pick('k', 's', 'l', 'v')} = {self.expr(2)}"),
                    self.tag("set a1, b1 = " + self.pick("1, 2", "l[:2]", "'xy'", "mix", self.expr(1))) + "{{ a1 }}{{ b1 }}",
                    self.tag("set k") + self.body(depth - 1) + self.tag("endset") + "[{{ k }}]",
                    self.tag("set k | upper | trim") + self.body(depth - 1) + self.tag("endset") + "[{{ k }}]",
                    self.tag(f"set ns.v = {self.expr(1)}") + "{{ ns.v }}",
                    self.tag(f"with a1 = {self.expr(1)}, b1 = s") + "{{ a1 }}{{ b1 }}" + self.tag("endwith"),
                    self.tag("filter " + self.pick("upper", "trim", "replace('a', 'b')", "indent(2)|upper")) +
                    self.body(depth - 1) + self.tag("endfilter"),
                    "{#- note #}", "{# a\nb -#}\n", "{% raw %} {{ x }} {%- endraw -%}",
                    self.tag("generation") + self.body(depth - 1) + self.tag("endgeneration")))
            else:
                out.append(self.macro(depth))
        return "".join(out)

    def macro(self, depth):
        params = self.pick("", "p", "p, q=2", "p=s, q=p", "q")
        use = self.pick("{{ p }}{{ q }}", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "{{ p is defined }}{{ k }}",
                        "{% set k = 9 %}{{ k }}{{ s }}", "{{ caller(1) if caller }}")
        call = self.pick("m()", "m(1)", "m(1, 2)", "m(q=5)", "m(p=1, q=2, r=3)", "m(1, 2, 3)", "m(*l)", "m(**{'p': 4})",
                         "m(z)|upper", "m(s) ~ m(t)")
        text = self.tag(f"macro m({params})") + use + self.body(depth - 1) + self.tag("endmacro")
        if self.r.random() < 0.25:
            head = self.pick("call m()", "call(v1) m(1)", "call(v1=3) m()")
            return text + self.tag(head) + "{{ v1 }}" + self.body(depth - 1) + self.tag("endcall")
        return text + "{{ " + call + " }}"

    def template(self):
        head = "{% set ns = namespace(v=0) %}" if self.r.random() < 0.7 else ""
        return head + self.body(3)


class Renderer:
    def __init__(self, library):
        self.dir = tempfile.TemporaryDirectory()
        program = os.path.join(self.dir.name, "render")
        source = os.path.join(ROOT, "tools", "render_template.c")
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-D_GNU_SOURCE", "-I", os.path.join(ROOT, "src"), source, library,
                        "-o", program, "-lsimdjson", "-lutf8proc", "-lstdc++", "-lm", "-lpthread"], check=True)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding="utf-8", env={**os.environ, "TZ": "UTC"})

    def render(self, source, variables):
        request = {"template": source, "vars": variables, "now": template_cases.NOW}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def same(kind, want, got):
    if kind == "text":
        return got.get("text") == want
    if kind == "raised":
        return "error" in got and want.startswith(got["error"])
    return "error" in got


def refused(got):
    return "error" in got and any(phrase in got["error"] for phrase in REFUSED)


def show(title, source, kind, want, got):
    print(f"--- {title}\n{source if len(source) < 1500 else ''}\n  jinja2 {kind}: {want!r:.600}\n  vmetal: {got!r:.600}")


def compare_fuzz(renderer, count, seed):
    differ = skipped = errors = 0
    for i in range(count):
        source = Grammar(seed + i).template()
        # A copy: jinja2's indent filter extends a list in place.
        kind, want = jinja_oracle.render(source, copy.deepcopy(VARIABLES), template_cases.NOW)
        if kind == "text" and any(mark in want.lower() for mark in ADDRESSES):
            skipped += 1
            continue
        got = renderer.render(source, VARIABLES)
        errors += kind != "text"
        if same(kind, want, got):
            continue
        if refused(got):
            skipped += 1
            continue
        differ += 1
        if differ <= 20:
            show(f"seed {seed + i}", source, kind, want, got)
    print(f"{count} snippets: {differ} differ, {errors} are errors in jinja2, {skipped} not compared")
    return differ


def compare_folder(renderer, folder):
    count = differ = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as file:
            source = file.read()
        for name, variables in template_cases.cases():
            kind, want = jinja_oracle.render(source, variables, template_cases.NOW)
            got = renderer.render(source, variables)
            count += 1
            if not same(kind, want, got):
                differ += 1
                show(f"{os.path.basename(path)} {name}", source, kind, want, got)
    print(f"{count} renderings of templates in a folder: {differ} differ")
    return differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--library", default=os.path.join(ROOT, "build", "libvmetal_core.a"))
    options = parser.parse_args()
    renderer = Renderer(options.library)
    differ = compare_fuzz(renderer, options.count, options.seed)
    if os.environ.get("VMT_TEMPLATE_DIR"):
        differ += compare_folder(renderer, os.environ["VMT_TEMPLATE_DIR"])
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
