"""make bench: prefill, decode, serving, tokenizer, grammars, start and memory, beside llama.cpp in the same run when it
is there.

    LLAMA_BENCH, LLAMA_SERVER   llama.cpp's programs (build them from the llama-cpp-python sdist); without them only our
                                own figures are printed
    BENCH_ROUNDS=5              interleaved rounds; medians are reported
    BENCH_MODEL                 a .gguf file; default: the default model
    BENCH_ONLY=rates,serving    a subset of: rates, serving, prefix, tokenizer, grammar, start

Results go to bench/results/<date>-<section>.csv with machine, commit and command."""

import csv
import datetime
import os
import pathlib
import statistics
import subprocess
import sys

import grammars_bench
import machine
import rates
import serving
import tokenizers_bench

ROOT = pathlib.Path(__file__).resolve().parent.parent


def table(title, rows):
    """rows: dicts with the same keys."""
    if not rows:
        return
    keys = list(rows[0])
    text = [[f"{r[k]:.2f}" if isinstance(r[k], float) else str(r[k]) for k in keys] for r in rows]
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


def main():
    only = os.environ.get("BENCH_ONLY", "rates,serving,prefix,tokenizer,grammar,start").split(",")
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    subprocess.run(["scripts/build.sh", "build", "Release", "tests"], cwd=ROOT, check=True)
    subprocess.run(["cmake", "--build", "build", "--target", "model_bench", "tokenizer_bench", "matmul_bench"], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    vmetal = ROOT / "build/vmetal"
    model = os.environ.get("BENCH_MODEL") or subprocess.run([vmetal, "fetch"], check=True, capture_output=True,
                                                            text=True).stdout.strip()
    print(f"machine: {machine.name()}\ncommit: {machine.commit()}\nmodel: {pathlib.Path(model).name}\nrounds: {rounds}")
    sections = {
        "rates": ("prefill and decode, tokens/s", lambda: rates.run(ROOT, model, rounds)),
        "serving": ("closed loop, 256 in, 128 out", lambda: serving.run(vmetal, model, rounds)),
        "prefix": ("second turn after a long first turn", lambda: serving.prefix(vmetal, model, rounds)),
        "tokenizer": ("tokenizers, MB/s on one core", lambda: tokenizers_bench.run(ROOT, rounds)),
        "grammar": ("grammars on a 150k vocabulary", lambda: grammars_bench.run(ROOT, rounds)),
        "start": ("start and memory", lambda: serving.start(vmetal, model, rounds)),
    }
    for key, (title, measure) in sections.items():
        if key in only:
            rows = measure()
            table(title, rows)
            save(key, rows)


def median(values):
    return statistics.median(values)


if __name__ == "__main__":
    main()
