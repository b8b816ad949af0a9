"""Prefill and decode rates of one request, interleaved with llama-bench, and the machine's limit for each."""

import json
import os
import pathlib
import re
import statistics
import subprocess

PREFILL, DECODE_AT, DECODE_TOKENS = (512, 2048), (128, 4096), 64
TARGETS = {"prefill": 1.5, "decode": 1.2}


def works():
    """(kind, tokens or context)"""
    return [("prefill", n) for n in PREFILL] + [("decode", n) for n in DECODE_AT]


def output(args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, check=True).stdout


def ours(root, model, threads, kind, n):
    """(tokens/s, model_bench's text)"""
    extra = ["-p", n, "-n", 0] if kind == "prefill" else ["-p", 1, "-n", DECODE_TOKENS, "-d", n]
    text = output([root / "build/model_bench", "-t", threads, *extra, model])
    return float(re.search(kind + r" \d+: ([\d.]+) tok/s", text).group(1)), text


def theirs(program, model, threads, kind, n, attention):
    """{-fa value: tokens/s}"""
    extra = ["-p", n, "-n", 0] if kind == "prefill" else ["-p", 0, "-n", DECODE_TOKENS, "-d", n]
    text = output([program, "-m", model, "-t", threads, "-r", 1, "-fa", attention, "-o", "json", *extra])
    return {int(test["flash_attn"]): test["avg_ts"] for test in json.loads(text)}


def peaks(root, threads):
    """{'memory': bytes/s, 'f32_fma': operations/s, ...}"""
    lines = output([root / "build/machine_bench", threads]).splitlines()
    return {name: float(value) * 1e9 for name, value, *unit in (line.split() for line in lines) if unit}


def floor_s(limits, model, kind, n, text):
    """Seconds that the machine needs at least.  Prefill: the layers' products at the rate of the widest unit that takes
    the weights' type, and attention's at that of FMA.  A decoded token: weights and cache are read once."""
    got = re.search(r"work: (\d+) weight bytes; a token: (\d+) mult\S+ in layers, (\d+) a key, (\d+) bytes", text)
    weights, macs, per_key, cache = (int(x) for x in got.groups())
    if kind == "decode":
        return (weights + cache * (n + DECODE_TOKENS / 2)) / limits["memory"]
    wide = ("amx_bf16",) if "BF16" in model else ("amx_int8", "vnni")
    peak = next((limits[w] for w in (*wide, "f32_fma") if w in limits), None)
    if peak is None:
        return 0
    return 2 * macs * n / peak + 2 * per_key * n * n / 2 / limits["f32_fma"]


def label(model):
    """'SmolLM2-135M-Instruct.Q4_1' and the like"""
    return pathlib.Path(model).stem


def rows_of(root, model, rounds, limits):
    threads, llama = os.cpu_count(), os.environ.get("LLAMA_BENCH")
    rows = []
    for kind, n in works():
        mine, other, attention, text = [], [], "0,1", ""
        for _ in range(rounds):
            rate, text = ours(root, model, threads, kind, n)
            mine.append(rate)
            if llama:
                got = theirs(llama, model, threads, kind, n, attention)
                best = max(got, key=got.get)
                other.append(got[best])
                attention = str(best)  # the better of its two in the first round; neither wins everywhere
        tokens = n if kind == "prefill" else 1
        limit = floor_s(limits, label(model), kind, n, text)
        row = {"row": f"{label(model)} {kind} {n}", "unit": "tok/s", "vmetal": statistics.median(mine)}
        row["llama.cpp"] = statistics.median(other) if other else ""
        row["ratio"] = statistics.median(a / b for a, b in zip(mine, other)) if other else ""
        row["target"] = TARGETS[kind]
        row["limit"] = tokens / limit if limit else ""
        row["share"] = row["vmetal"] / row["limit"] if limit else ""
        rows.append(row)
    return rows


def run(root, models, rounds):
    threads = os.cpu_count()
    limits = peaks(root, threads)
    print("limits: " + ", ".join(f"{k} {v / 1e9:.1f} G/s" for k, v in limits.items()))
    return [row for model in models for row in rows_of(root, model, rounds, limits)]
