#!/usr/bin/env python3
"""The kernels on an NVIDIA card: right, clean under compute-sanitizer, and how fast.  Needs gcc, python3 and the CUDA
toolkit; torch for the yardsticks.

usage: bench/h100.py [--out DIR] [--only build,test,sanitize,time,yardsticks] [--filter NAME] [--seconds N] [--jobs N]
                     [--checker FILE] [--tools memcheck,racecheck,synccheck,initcheck]

    build       tools/build_gpu_tests, and every kernel compiled into build-gpu/cubins
    test        each GPU test program on the card
    sanitize    the same under memcheck, racecheck, synccheck and initcheck, long programs as several processes that
                share its problems; each tool must find a fault planted for it, initcheck where it can look at
                threadgroup memory (buffers are never unwritten: they are zeroed when they are taken)
    time        the benchmarks of src/ops/gpu_*_bench.c
    yardsticks  copies, matmuls and attention of torch at the same sizes

Results go to DIR as CSV, with all output in report.txt and each program's in logs.tar.gz (DIR is build-gpu/results
unless given).  The last line counts what failed."""

import argparse
import concurrent.futures
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-gpu"
CUBINS = BUILD / "cubins"
LOGS = BUILD / "logs"
TOOLS = ["memcheck", "racecheck", "synccheck", "initcheck"]
PLANTED = "backend_fault_test"  # a case for each tool, whose name begins with the tool's
# Programs that run as so many processes under a tool: a prime, or one process might get all problems of one kind.
LONG = ["attention", "checks", "matmul", "rope", "sample"]
NUM_SHARES = 7
# Those that the installed version has are passed.
SEES_THREADGROUPS = "--initcheck-address-space=all"
CHECKER_OPTIONS = ["--launch-timeout=60", "--max-connections=64", "--racecheck-num-workers=2", SEES_THREADGROUPS]
failures = []
report = []


def say(*parts):
    text = "\n".join(str(part) for part in parts)
    report.append(text)
    print(text, flush=True)


def fail(what):
    failures.append(what)
    say(f"FAILED {what}")


def device(driver):
    return f"{driver}:{CUBINS}"


def programs(pattern):
    found = sorted(p for p in glob.glob(str(BUILD / "*_test")) if os.access(p, os.X_OK))
    return [p for p in found if pattern in p]


def toolkit():
    """Where CUDA's programs and libraries are, in front of what the environment has."""
    env = dict(os.environ)
    compiler = shutil.which("nvcc")
    folders = [os.path.dirname(os.path.dirname(os.path.realpath(compiler)))] if compiler else []
    for folder in ["/usr/local/cuda", *folders]:
        env["PATH"] = f"{folder}/bin:" + env["PATH"]
        env["LD_LIBRARY_PATH"] = f"{folder}/lib64:" + env.get("LD_LIBRARY_PATH", "")
    return env


def capability(env):
    if shutil.which("nvidia-smi", path=env["PATH"]) is None:
        return "90"
    asked = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], env=env, text=True,
                           capture_output=True)
    return asked.stdout.split("\n")[0].strip().replace(".", "") or "90"


def build(options, env):
    began = time.monotonic()
    done = subprocess.run(["tools/build_gpu_tests", str(BUILD)], cwd=ROOT, env=env, text=True, capture_output=True)
    if done.returncode != 0:
        say(done.stdout[-2000:], done.stderr[-4000:])
        fail("build")
        return
    say(f"built in {time.monotonic() - began:.0f} s")
    CUBINS.mkdir(exist_ok=True)
    began = time.monotonic()
    parts, architecture = os.cpu_count() or 4, capability(env)

    def part(i):
        program = str(BUILD / "backend_cuda_compile_bench")
        return subprocess.run([program, architecture, str(CUBINS), str(i), str(parts)], env=env, text=True,
                              capture_output=True)

    with concurrent.futures.ThreadPoolExecutor(parts) as pool:
        results = list(pool.map(part, range(parts)))
    rows = sorted(line for r in results for line in r.stdout.splitlines())
    (options.out / "compile.csv").write_text("kernel,seconds,bytes,error\n" + "\n".join(rows) + "\n")
    for r in results:
        if r.returncode != 0:
            say(r.stderr, *[line for line in r.stdout.splitlines() if not line.endswith(",")][:20])
            fail("compile")
    say(f"{len(rows)} kernels in {time.monotonic() - began:.0f} s")


def run_test(env, prefix, program, arguments, name, seconds, driver="cuda"):
    log = LOGS / f"{name}.txt"
    with log.open("w") as file:
        try:
            done = subprocess.run([*prefix, program, device(driver), *arguments], cwd=ROOT, env=env, stdout=file,
                                  stderr=subprocess.STDOUT, timeout=seconds)
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = "ran out of time"
    return code, log.read_text(errors="replace")


def test(options, env):
    found = programs(options.filter)
    # What NVIDIA's library does in a kernel's place is tried without it too.
    for program, driver in [(p, "cuda") for p in found] + [(p, "cuda-kernels") for p in found if "matmul" in p]:
        name = os.path.basename(program) + driver.removeprefix("cuda")
        began = time.monotonic()
        code, text = run_test(env, [], program, [], name, options.seconds, driver)
        passed, skipped = len(re.findall(r"^ok ", text, re.M)), len(re.findall(r"^skipped ", text, re.M))
        say(f"{name}: {passed} passed, {skipped} skipped ({time.monotonic() - began:.0f} s)")
        if code != 0 or passed == 0:
            say("\n".join(text.splitlines()[-12:]))
            fail(f"{name}: {code}")


def num_shares(program):
    return NUM_SHARES if os.path.basename(program) in [f"ops_gpu_{name}_test" for name in LONG] else 1


def sanitizer_runs(program, extra):
    """(tool, what tells the run from the program's others, arguments) of one program."""
    name = os.path.basename(program)
    if name == PLANTED:
        cases = re.findall(r'{"((\w+?)_\w+)"', (ROOT / "src/backend/fault_test.c").read_text())
        runs = [(tool, case, [case]) for case, tool in cases]
        return [run for run in runs if run[0] != "initcheck" or SEES_THREADGROUPS in extra]
    count = num_shares(program)
    return [(tool, f"{i}of{count}", [f"{i}/{count}"]) for tool in TOOLS for i in range(1, count + 1)]


def sanitize(options, env):
    """Reports counted by tool and process; processes share the card."""
    checker = shutil.which(options.checker, path=env["PATH"])
    if checker is None:
        fail(f"{options.checker} is not installed")
        return
    known = subprocess.run([checker, "--help"], env=env, text=True, capture_output=True).stdout
    extra = [option for option in CHECKER_OPTIONS if option.split("=")[0] + " " in known]
    say(" ".join(extra))
    found = sorted(programs(options.filter), key=num_shares)
    jobs = [(p, *run) for p in found for run in sanitizer_runs(p, extra) if run[0] in options.tools]

    def job(what):
        program, tool, part, arguments = what
        name = f"{os.path.basename(program)}-{tool}-{part}"
        prefix = [checker, f"--tool={tool}", "--error-exitcode=9", "--print-limit=20", *extra]
        began = time.monotonic()
        code, text = run_test(env, prefix, program, arguments, name, options.seconds, "cuda-kernels")
        return os.path.basename(program), tool, part, time.monotonic() - began, code, text

    rows = []
    blind = {tool for program, tool, *_ in jobs if os.path.basename(program) == PLANTED}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(job, what) for what in jobs]):
            name, tool, part, took, code, text = done.result()
            counted = re.findall(r"(?:ERROR SUMMARY: |RACECHECK SUMMARY: )(\d+)", text)
            reports = int(counted[-1]) if counted else -1
            rows.append(f"{name},{tool},{part},{took:.0f},{reports},{code}")
            say(rows[-1])
            if name == PLANTED and reports > 0:
                blind.discard(tool)
            elif name != PLANTED and (reports != 0 or code != 0 or re.search("^skipped", text, re.M)):
                say("\n".join(line for line in text.splitlines() if line.startswith("====="))[:1500])
                fail(f"{name}, {tool}, {part}: {reports} reports, {code}")
    for tool in sorted(blind):
        fail(f"{tool} finds nothing of what is planted for it")
    header = "program,tool,part,seconds,reports,result"
    (options.out / "sanitize.csv").write_text("\n".join([header, *sorted(rows)]) + "\n")


def timings(options, env):
    for program in sorted(glob.glob(str(BUILD / "ops_gpu_*_bench"))):
        name = os.path.basename(program)
        if options.filter not in name:
            continue
        code, text = run_test(env, [], program, [], name, options.seconds)
        say(name, text)
        if code != 0 or "WRONG" in text:
            fail(f"{name}: {code}")


YARDSTICKS = r"""
import torch
torch.manual_seed(0)
print("name,us,GB/s,TFLOP/s")

def timed(name, call, count, traffic=0, flops=0):
    # A graph, as ours; the smallest of several.
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            for i in range(count):
                call(i)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for i in range(count):
                call(i)
        best = 1e30
        for _ in range(8):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record(); graph.replay(); end.record(); end.synchronize()
            best = min(best, begin.elapsed_time(end) * 1e6 / count)
    print(f"{name},{best / 1e3:.2f},{traffic / best:.0f},{flops / best / 1e3:.1f}")

b = dict(dtype=torch.bfloat16, device="cuda")
x = torch.randn(1 << 29, **b); y = torch.empty_like(x)
timed("copy 1 GiB", lambda i: y.copy_(x), 4, 4 * (1 << 29))
timed("x + 1, 1 GiB", lambda i: torch.add(x, 1, out=y), 4, 4 * (1 << 29))  # a copy may go by a copy engine
del x, y
for rows, m, k in [(1, 4096, 4096), (1, 14336, 4096), (1, 128256, 4096), (16, 14336, 4096), (512, 14336, 4096),
                   (4096, 14336, 4096), (8192, 8192, 8192)]:
    copies = max(1, min(32, int(5e8 / (2 * m * k))))
    w = [torch.randn(m, k, **b) for _ in range(copies)]
    a = torch.randn(rows, k, **b)
    out = torch.empty(rows, m, **b)
    timed(f"torch matmul bf16 {rows} x {m}x{k}", lambda i: torch.mm(a, w[i].T, out=out), copies,
          2 * m * k + 2 * rows * (m + k), 2 * rows * m * k)
    del w
for seqs, context, rows in [(64, 4096, 1), (1, 32768, 1), (4, 4096, 4096), (1, 16384, 16384)]:
    q = torch.randn(seqs, 32, rows, 128, **b)
    k, v = (torch.randn(seqs, 8, context, 128, **b) for _ in range(2))
    pairs = context if rows == 1 else rows * context / 2
    timed(f"torch sdpa {'decode' if rows == 1 else 'prefill'} {seqs} x {context}",
          lambda i: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=rows > 1, enable_gqa=True), 4,
          2 * k.numel() * 2, 4 * seqs * pairs * 32 * 128)
"""


def yardsticks(options, env):
    done = subprocess.run([sys.executable, "-c", YARDSTICKS], env=dict(os.environ), text=True, capture_output=True)
    (options.out / "yardsticks.csv").write_text(done.stdout)
    say(done.stdout, done.stderr[-2000:])
    if done.returncode != 0:
        fail("yardsticks")


STAGES = {"build": build, "test": test, "sanitize": sanitize, "time": timings, "yardsticks": yardsticks}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=BUILD / "results")
    parser.add_argument("--only", default=",".join(STAGES))
    parser.add_argument("--filter", default="", help="a part of a test program's name")
    parser.add_argument("--seconds", type=float, default=240, help="at most, for one process")
    parser.add_argument("--checker", default="compute-sanitizer", help="a newer one than the toolkit's, say")
    parser.add_argument("--tools", type=lambda text: text.split(","), default=TOOLS)
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2),
                        help="processes under a sanitizer at a time")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    env = toolkit()
    for name in options.only.split(","):
        say(f"--- {name}")
        STAGES[name](options, env)
        if name == "build" and failures:
            break
    say(f"{len(failures)} failed" + "".join(f"; {f}" for f in failures))
    with (options.out / "report.txt").open("a") as file:
        file.write("\n".join(report) + "\n")
    with tarfile.open(options.out / "logs.tar.gz", "w:gz") as archive:
        archive.add(LOGS, "logs")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
