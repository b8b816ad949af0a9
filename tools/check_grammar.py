#!/usr/bin/env python3
"""Checks grammars against outside authorities, through grammar_bench.

  check_grammar.py BENCH TOKENIZER --suite DIR        JSON-Schema-Test-Suite's folder of a draft: is what is valid allowed,
                                                      and nothing else?
  check_grammar.py BENCH TOKENIZER --random FILE [-n N]
                                                      N random texts for each schema of a JSON list of {name, schema}:
                                                      does the jsonschema package find each of them valid?

Exits 1 if an invalid text was allowed or generated.  Valid texts that are not allowed are listed, not counted as wrong:
of two spellings of one value a grammar may allow one.  Needs the packages jsonschema and rfc3339-validator, rfc3987 or
what else of jsonschema[format] is there.
"""

import argparse
import decimal
import glob
import json
import os
import subprocess
import sys

import jsonschema


class Bench:
    def __init__(self, binary, tokenizer):
        self.process = subprocess.Popen([binary, tokenizer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def names_in_order(schema, names):
    """Property names as the schema mentions them: grammars write properties in that order."""
    if isinstance(schema, dict):
        for name in schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else []:
            names.setdefault(name, len(names))
        for keyword in ("dependentRequired", "dependencies"):
            for name, others in schema.get(keyword, {}).items() if isinstance(schema.get(keyword), dict) else []:
                for each in (name, *(others if isinstance(others, list) else ())):
                    names.setdefault(each, len(names))
        for value in schema.values():
            names_in_order(value, names)
    elif isinstance(schema, list):
        for value in schema:
            names_in_order(value, names)
    return names


def reorder(value, names):
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: names.get(key, len(names)))
        return {key: reorder(value[key], names) for key in keys}
    if isinstance(value, list):
        return [reorder(item, names) for item in value]
    return value


def run_suite(bench, folder, verbose):
    counts = {"groups": 0, "refused groups": 0, "cases": 0, "agree": 0, "valid but not allowed": 0,
              "invalid but allowed": 0}
    refusals = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            groups = json.load(file)
        for group in groups:
            schema, names = group["schema"], names_in_order(group["schema"], {})
            texts = [json.dumps(reorder(test["data"], names), ensure_ascii=False) for test in group["tests"]]
            answer = bench.ask(kind="schema", source=json.dumps(schema), texts=texts)
            counts["groups"] += 1
            name = f"{os.path.basename(path)}: {group['description']}"
            if "error" in answer:
                # A schema that nothing satisfies is refused: that agrees with a suite that finds nothing valid.
                is_empty = "no text at all" in answer["error"] or "is false" in answer["error"]
                if is_empty and not any(test["valid"] for test in group["tests"]):
                    counts["cases"] += len(texts)
                    counts["agree"] += len(texts)
                    continue
                counts["refused groups"] += 1
                refusals.setdefault(answer["error"].split(" at ")[0][:70], []).append(name)
                continue
            for test, text, allowed in zip(group["tests"], texts, answer["allowed"]):
                counts["cases"] += 1
                if allowed == test["valid"]:
                    counts["agree"] += 1
                    continue
                kind = "valid but not allowed" if test["valid"] else "invalid but allowed"
                counts[kind] += 1
                if verbose or not test["valid"]:
                    print(f"{kind}: {name}: {test['description']}: {text}")
    for error, groups in sorted(refusals.items()):
        print(f"refused ({len(groups)}): {error}")
        if verbose:
            for group in groups:
                print(f"    {group}")
    print(counts)
    return counts["invalid but allowed"] == 0


def run_random(bench, path, count, verbose):
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    total = wrong = 0
    for entry in entries:
        schema = entry["schema"]
        answer = bench.ask(kind="schema", source=json.dumps(schema), generate=count, seed=7,
                           compact=entry.get("compact", False))
        if "error" in answer:
            print(f"refused: {entry['name']}: {answer['error']}")
            wrong += not entry.get("refused", False)
            continue
        exact = json.loads(json.dumps(schema), parse_float=decimal.Decimal)
        draft = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        validator = draft(exact, format_checker=draft.FORMAT_CHECKER)
        num_failed = 0
        for problem, text in answer["generated"]:
            total += 1
            why = problem
            if why is None:
                try:
                    value = json.loads(text, parse_float=decimal.Decimal)
                    why = next((error.message for error in validator.iter_errors(value)), None)
                except ValueError as error:
                    why = str(error)
            if why is not None:
                num_failed += 1
                if num_failed <= 3 or verbose:
                    print(f"wrong: {entry['name']}: {why[:200]}: {' '.join(text.split())[:300]!r}")
        wrong += num_failed
        if verbose:
            print(f"{entry['name']}: {len(answer['generated'])} texts, {num_failed} wrong, {answer['states']} states, "
                  f"{answer['compile_ns'] / 1e6:.2f} ms")
    print(f"{len(entries)} schemas, {total} texts, {wrong} wrong")
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("tokenizer")
    parser.add_argument("--suite")
    parser.add_argument("--random")
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    bench = Bench(options.bench, options.tokenizer)
    good = True
    if options.suite:
        good = run_suite(bench, options.suite, options.verbose) and good
    if options.random:
        good = run_random(bench, options.random, options.n, options.verbose) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
