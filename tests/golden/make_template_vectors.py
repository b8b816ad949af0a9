#!/usr/bin/env python3
"""Renders templates/*.jinja with jinja2 over template_cases.py, and writes template_vectors.jsonl.

Needs transformers and jinja2.  First line: {"now": ..., "cases": [{"name": ..., "vars": {...}}]}.  Then one line per
template: {"template": "x.jinja", "wants": [...]}, one entry per case: a text, {"same": earlier case number},
{"raised": words of raise_exception}, or {"error": true} for any other failure.
"""

import glob
import json
import os

import jinja_oracle
import template_cases

HERE = os.path.dirname(os.path.abspath(__file__))


def wanted(source, cases):
    wants, seen = [], {}
    for _, variables in cases:
        kind, text = jinja_oracle.render(source, variables, template_cases.NOW)
        if kind == "raised":
            wants.append({"raised": text})
        elif kind == "error":
            wants.append({"error": True})
        elif text in seen:
            wants.append({"same": seen[text]})
        else:
            seen[text] = len(wants)
            wants.append(text)
    return wants


def main():
    cases = list(template_cases.cases())
    lines = [{"now": template_cases.NOW, "cases": [{"name": name, "vars": variables} for name, variables in cases]}]
    for path in sorted(glob.glob(os.path.join(HERE, "templates", "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as file:
            source = file.read()
        lines.append({"template": os.path.basename(path), "wants": wanted(source, cases)})
    with open(os.path.join(HERE, "template_vectors.jsonl"), "w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
