#!/usr/bin/env python3
"""Speed of vmetal's tokenizer beside `tokenizers` and `tiktoken`, one after the other in each of a few rounds, so that
whatever else the machine does falls on all three.  One thread each, processor time, best round; all with the same
merges: tiktoken gets an encoding built from the tokenizer.json.

Usage: bench_tokenizers.py BENCH TEXT TOKENIZER.json... [--rounds N] [--reference-bytes N]
  BENCH              build/tokenizer_bench
  --reference-bytes  how much of the text the slower two get (default 1000000)
Needs: pip install tokenizers tiktoken"""
import argparse
import json
import os
import re
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tiktoken  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

BYTES = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
BYTE_OF = {chr(b): b for b in BYTES}
BYTE_OF.update({chr(0x100 + n): b for n, b in enumerate(b for b in range(256) if b not in BYTES)})


def tiktoken_from(path):
    """None if the tokenizer is not one pattern and byte-level ranks in order of their ids."""
    data = json.load(open(path, encoding="utf-8"))
    stages = (data["pre_tokenizer"] or {}).get("pretokenizers", [])
    if len(stages) != 2 or stages[0]["type"] != "Split" or stages[1]["type"] != "ByteLevel":
        return None
    ranks = {}
    for token, rank in data["model"]["vocab"].items():
        if all(c in BYTE_OF for c in token):
            ranks[bytes(BYTE_OF[c] for c in token)] = rank
    pattern = stages[0]["pattern"]["Regex"]
    return tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def seconds(run):
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("text")
    parser.add_argument("tokenizers", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference-bytes", type=int, default=1000000)
    args = parser.parse_args()
    text = open(args.text, encoding="utf-8", errors="ignore").read()[: args.reference_bytes]
    size = len(text.encode()) / 1e6
    # Documents of some kilobytes, as requests are: one string of megabytes would be unfair to the others.
    documents = [text[i : i + 4000] for i in range(0, len(text), 4000)]
    print("tokenizer load_ms cold_mb_s warm_mb_s tokenizers_mb_s tiktoken_mb_s ratio_tokenizers ratio_tiktoken")
    for path in args.tokenizers:
        reference, other = Tokenizer.from_file(path), tiktoken_from(path)
        best = {"load": 1e9, "cold": 0.0, "warm": 0.0, "tokenizers": 0.0, "tiktoken": 0.0}
        for _ in range(args.rounds):
            out = subprocess.run([args.bench, path, args.text, "4"], stdout=subprocess.PIPE, text=True, check=True).stdout
            rates = [float(x) for x in re.findall(r" mb_per_s=([0-9.]+)", out)]
            best["load"] = min(best["load"], float(re.search(r"load_ms=([0-9.]+)", out)[1]))
            best["cold"] = max(best["cold"], rates[0])
            best["warm"] = max(best["warm"], *rates[1:])
            used = seconds(lambda: [reference.encode(d, add_special_tokens=False) for d in documents])
            best["tokenizers"] = max(best["tokenizers"], size / used)
            if other:
                used = seconds(lambda: [other.encode_ordinary(d) for d in documents])
                best["tiktoken"] = max(best["tiktoken"], size / used)
        name = path.split(os.sep)[-4] if path.endswith("package/models/tokenizer.json") else os.path.basename(path)
        print("%s %.0f %.1f %.1f %.2f %.2f %.1f %s" % (
            name, best["load"], best["cold"], best["warm"], best["tokenizers"], best["tiktoken"],
            best["cold"] / best["tokenizers"], "%.1f" % (best["cold"] / best["tiktoken"]) if other else "-"), flush=True)


main()
