"""make bench: prefill, decode, serving, tokenizer, grammars, engine, start and memory, beside llama.cpp in the same run
when it is there.

    LLAMA_BENCH, LLAMA_SERVER   llama.cpp's programs (build them from the llama-cpp-python sdist); without them only our
                                own figures are printed
    BENCH_ROUNDS=5              interleaved rounds; medians are reported
    BENCH_SERVE_ROUNDS=1        of serving: BENCH_SERVE_STREAMS=16,64, each with BENCH_SERVE_ANSWERS=2 that count
    BENCH_MODELS                .gguf files, separated by colons; default: the default model.  bench/make_models.py
                                writes those of Qwen3-0.6B's shape
    BENCH_ONLY=rates,serving    a subset of: rates, serving, prefix, tokenizer, grammar, engine,
                                start

Ends with one table of all rows.  Each section also goes to bench/results/<date>-<section>.csv with machine, commit and
command."""

import csv
import datetime
import os
import pathlib
import re
import subprocess
import sys

import grammars_bench
import machine
import rates
import serving
import tokenizers_bench

ROOT = pathlib.Path(__file__).resolve().parent.parent


def cell(value):
    if isinstance(value, float):
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return str(value)


def table(title, rows):
    """rows: dicts with the same keys."""
    if not rows:
        return
    keys = list(rows[0])
    text = [[cell(r[k]) for k in keys] for r in rows]
    widths = [max(len(k), *(len(t[i]) for t in text)) for i, k in enumerate(keys)]
    print(f"\n{title}")
    print("  ".join(k.ljust(w) for k, w in zip(keys, widths)))
    for t in text:
        print("  ".join(c.ljust(w) for c, w in zip(t, widths)))
    sys.stdout.flush()


def save(section, rows):
    if not rows:
        return
    out = ROOT / "bench/results"
    out.mkdir(exist_ok=True)
    path = out / f"{datetime.date.today().isoformat()}-{section}.csv"
    info = {"machine": machine.name(), "commit": machine.commit(), "command": "make bench"}
    with path.open("w", newline="") as f:
        writer = csv.DictWriter(f, fieldnames=[*rows[0], *info])
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, **info})


def engine():
    """Engine time and allocations a step beside the model, fake model, 256 sequences."""
    text = subprocess.run([ROOT / "build/engine_bench"], capture_output=True, text=True, check=True).stdout
    rows = []
    for line in text.splitlines():
        if got := re.match(r"vocabulary +(\d+), (.+): +([\d.]+) us a step", line):
            row = f"engine a step, 256 sequences, vocabulary {got[1]}, {got[2]}"
            target = 150 if row.endswith("vocabulary 64, greedy") else ""  # the others are the sampler's passes
            rows.append({"row": row, "unit": "us", "vmetal": float(got[3]), "llama.cpp": "", "ratio": "",
                         "target": target, "limit": "", "share": ""})
    counts = re.findall(r"(\d+) allocations$", text, re.M)  # none in a sanitized build
    if counts:
        rows.append({"row": "engine allocations in steady steps", "unit": "", "vmetal": sum(map(int, counts)),
                     "llama.cpp": "", "ratio": "", "target": 0, "limit": "", "share": ""})
    return rows


def main():
    only = os.environ.get("BENCH_ONLY", "rates,serving,prefix,tokenizer,grammar,engine,start").split(",")
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    serve_rounds = int(os.environ.get("BENCH_SERVE_ROUNDS", "1"))
    subprocess.run(["scripts/build.sh", "build", "Release", "tests"], cwd=ROOT, check=True)
    programs = ("model_bench", "machine_bench", "tokenizer_bench", "engine_bench")
    subprocess.run(["cmake", "--build", "build", "--target", *programs], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    vmetal = ROOT / "build/vmetal"
    models = os.environ.get("BENCH_MODELS", "").split(":")
    if models == [""]:
        models = [subprocess.run([vmetal, "fetch"], check=True, capture_output=True, text=True).stdout.strip()]
    print(f"machine: {machine.name()}\ncommit: {machine.commit()}\nrounds: {rounds}")
    sections = {
        "rates": ("prefill and decode", lambda: rates.run(ROOT, models, rounds)),
        "serving": (f"closed loop, {serving.IN_TOKENS} in, {serving.OUT_TOKENS} out",
                    lambda: [row for m in models for row in serving.run(vmetal, m, serve_rounds)]),
        "prefix": ("second turn", lambda: [row for m in models for row in serving.prefix(vmetal, m, serve_rounds)]),
        "tokenizer": ("tokenizers, MB/s on one core", lambda: tokenizers_bench.run(ROOT, rounds)),
        "grammar": ("grammars on a 150k vocabulary", lambda: grammars_bench.run(ROOT, rounds)),
        "engine": ("engine", engine),
        "start": ("start and memory", lambda: serving.start(vmetal, models[0], rounds)),
    }
    summary = []
    for key, (title, measure) in sections.items():
        if key in only:
            rows = measure()
            table(title, rows)
            save(key, rows)
            summary += [row for row in rows if "share" in row]
    table("all", summary)


if __name__ == "__main__":
    main()
