"""Runs every test and ends with one line: N passed, N failed, N skipped.

Stages: tidy, the kernels' subset, unit tests (release), unit tests under address+undefined and thread sanitizers, cross
builds (aarch64 Linux under qemu-user, arm64 macOS to objects), black-box tests over HTTP with the official clients.
Stages that need PyPI count as skipped where it can't be reached, except under CI=true, where that fails."""

import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") == "true"
VENV = ROOT / ".venv"
PIP_PACKAGES = ["pytest==8.4.2", "openai>=2,<3", "anthropic>=0.125,<1", "ollama>=0.6,<1", "requests>=2.31",
                "langchain-openai>=1.7,<2", "litellm>=1.106,<2", "mcp>=2.3,<3",  # litellm imports mcp for tools
                "jsonschema>=4.20,<5", "instructor>=1.17,<2"]
ZIG = "ziglang==0.15.1"
# Modules with threads of their own; the rest has nothing for the thread sanitizer to see.  Kernels: threadgroups run on
# several threads, and a race of theirs is a race.
THREADED = "queue|log|pool|cpu|engine|generation|http|api|loop|server|render|backend_host|backend_gpu|gpu_norm|gpu_act"

totals = {"passed": 0, "failed": 0, "skipped": 0}


def note(kind, name, text=""):
    totals[kind] += 1
    if kind != "passed" or text:
        print(f"{kind.upper()}: {name}{': ' + text if text else ''}", flush=True)


def run(args, **kw):
    return subprocess.run(args, cwd=ROOT, **kw)


def stage(title):
    print(f"--- {title}", flush=True)
    return time.monotonic()


def count_junit(path, prefix):
    """Adds a junit file's cases to the totals; a missing file is one failure."""
    if not path.exists():
        note("failed", prefix, "no result was written")
        return
    for case in ET.parse(path).getroot().iter("testcase"):
        name = f"{prefix}: {case.get('classname', '')}.{case.get('name')}"
        status = case.get("status", "")
        if case.find("failure") is not None or case.find("error") is not None or status == "fail":
            note("failed", name)
        elif case.find("skipped") is not None or status in ("disabled", "notrun"):
            note("skipped", name)
        else:
            note("passed", name)


def without_pypi(title):
    note("failed" if CI else "skipped", title, "PyPI can't be reached")


def unit(build, title, cmake=(), only=None, env=None, fetch=False):
    began = stage(title)
    built = run(["scripts/build.sh", build, "Release", "tests", *cmake])
    if built.returncode != 0:
        note("failed", title, "it does not build")
        return
    print(f"    built in {time.monotonic() - began:.0f} s", flush=True)
    # The default model, for the tests that compare it with the reference; without it they are skipped.
    if fetch and run([f"{build}/vmetal", "fetch"], stdout=subprocess.DEVNULL).returncode != 0:
        without_pypi("the default model")
    junit = ROOT / build / "junit.xml"
    junit.unlink(missing_ok=True)
    args = ["ctest", "--test-dir", build, "-j", "2", "--output-on-failure", "--output-junit", str(junit), "-Q"]
    if only:
        args += ["-R", only]
    result = run(args, env={**os.environ, **(env or {})})
    if result.returncode != 0:
        run(["tail", "-n", "60", str(ROOT / build / "Testing/Temporary/LastTest.log")])
    count_junit(junit, title)
    print(f"    {time.monotonic() - began:.0f} s", flush=True)


def simple(title, args, **kw):
    began = stage(title)
    result = run(args, **kw)
    note("passed" if result.returncode == 0 else "failed", title)
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return result.returncode == 0


def python_packages():
    """The virtual environment with the official clients, or None when PyPI is out of reach."""
    stage("python packages")
    if not (VENV / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    got = run([str(VENV / "bin/pip"), "install", "-q", "--disable-pip-version-check", *PIP_PACKAGES, ZIG],
              stderr=subprocess.PIPE, text=True)
    if got.returncode == 0:
        return VENV / "bin/python"
    print(got.stderr[-2000:])
    return None


def main():
    simple("tidy", [sys.executable, "tools/tidy"])
    simple("kernel subset", [sys.executable, "tools/check_kernels"])
    unit("build", "unit", fetch=True)
    unit("build-asan", "unit, address and undefined", ["-DVMT_SANITIZE=address,undefined"],
         env={"UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "detect_stack_use_after_return=0"})
    unit("build-tsan", "unit, thread", ["-DVMT_SANITIZE=thread"], only=THREADED)
    if sys.platform == "linux":
        simple("aarch64 under qemu-user", ["tools/check_aarch64"])
    python = python_packages()
    if python is None:
        without_pypi("arm64 macOS objects")
        without_pypi("black-box tests")
    else:
        simple("arm64 macOS objects", ["tools/check_macos", str(python)])
        began = stage("black-box tests")
        junit = ROOT / "build/e2e.xml"
        junit.unlink(missing_ok=True)
        run([str(python), "-m", "pytest", "-q", "-x" if os.environ.get("FAIL_FAST") else "-q", "tests/e2e",
             f"--junitxml={junit}", "-p", "no:cacheprovider"],
            env={**os.environ, "VMETAL": str(ROOT / "build/vmetal"), "PYTHONDONTWRITEBYTECODE": "1"})
        count_junit(junit, "e2e")
        print(f"    {time.monotonic() - began:.0f} s", flush=True)
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
