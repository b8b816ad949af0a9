"""Prefill and decode rates of one request, interleaved with llama-bench."""

import json
import os
import re
import statistics
import subprocess

PREFILL = (512, 2048)
DECODE_AT = (128, 4096)
DECODE_TOKENS = 64


def ours(root, model, threads):
    """{'pp512': tok/s, ..., 'tg64@128': tok/s} from model_bench's line."""
    out = {}
    for n in PREFILL:
        out[f"pp{n}"] = one(root, model, threads, ["-p", n, "-n", 0], "prefill")
    for n in DECODE_AT:
        out[f"tg{DECODE_TOKENS}@{n}"] = one(root, model, threads, ["-p", 1, "-n", DECODE_TOKENS, "-d", n], "decode")
    return out


def one(root, model, threads, extra, what):
    args = [root / "build/model_bench", "-t", threads, *extra, model]
    got = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=True)
    return float(re.search(what + r" \d+: ([\d.]+) tok/s", got.stdout).group(1))


def theirs(program, model, threads):
    out = {}
    for n in PREFILL:
        out[f"pp{n}"] = bench(program, model, threads, ["-p", n, "-n", 0])
    for n in DECODE_AT:
        out[f"tg{DECODE_TOKENS}@{n}"] = bench(program, model, threads, ["-p", 0, "-n", DECODE_TOKENS, "-d", n])
    return out


def bench(program, model, threads, extra):
    """The better of llama.cpp's two attentions: on a CPU neither wins everywhere."""
    args = [program, "-m", model, "-t", threads, "-r", 1, "-fa", "0,1", "-o", "json", *extra]
    got = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=True)
    return max(test["avg_ts"] for test in json.loads(got.stdout))


def run(root, model, rounds):
    threads = os.cpu_count()
    llama = os.environ.get("LLAMA_BENCH")
    got = {"vmetal": [], "llama.cpp": []}
    for _ in range(rounds):
        got["vmetal"].append(ours(root, model, threads))
        if llama:
            got["llama.cpp"].append(theirs(llama, model, threads))
    rows = []
    for key in got["vmetal"][0]:
        mine = [g[key] for g in got["vmetal"]]
        row = {"work": key, "vmetal": statistics.median(mine)}
        if llama:
            other = [g[key] for g in got["llama.cpp"]]
            row["llama.cpp"] = statistics.median(other)
            row["ratio"] = statistics.median(a / b for a, b in zip(mine, other))
        rows.append(row)
    return rows
