"""What prepares the first day with a Mac: the kernels' self-test and the prediction, from outside."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VMETAL = os.environ.get("VMETAL", str(ROOT / "build/vmetal"))
GOLDEN = ROOT / "tests/golden"


def vmetal(*args):
    return subprocess.run([VMETAL, *map(str, args)], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)


def test_every_kernel_agrees_with_its_reference():
    done = vmetal("doctor", "--self-test", "--device", "host")
    if "no clang 17" in done.stderr or "built without" in done.stderr:
        pytest.skip("this build has no kernels for the host driver")
    assert done.returncode == 0, done.stdout + done.stderr
    kernels = int(re.search(r"^kernels: (\d+) compiled, 0 failed$", done.stdout, re.M)[1])
    passed, ran, of = map(int, re.search(r"^checks: (\d+) passed, 0 failed; they ran (\d+) of (\d+) kernels$", done.stdout,
                                         re.M).groups())
    assert passed > 500 and ran == of == kernels
    lines = re.findall(r"^(.+?)\s+worst (\S+)\s+allowed (\S+)\s+ok$", done.stdout, re.M)
    assert len(lines) == passed == len({name for name, _, _ in lines})
    assert all(float(worst) <= float(allowed) for _, worst, allowed in lines)
    for name in ("probe_frag f16", "matvec q4_k f16", "matmul_tiled mlx4 bf16", "attention prefill d128 x2 f16", "sampling"):
        assert any(line[0] == name for line in lines), name


def test_without_the_device_it_is_one_sentence():
    other = "metal" if sys.platform != "darwin" else "cuda"
    done = vmetal("doctor", "--self-test", "--device", other)
    if done.returncode == 0:
        pytest.skip("this machine has both")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("vmetal doctor: ")


def test_prediction_is_labelled_and_adds_up():
    done = vmetal("bench", "predict", GOLDEN / "qwen3", "--chip", "m4 max", "--context", 100, "--prompt-len", 100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PREDICTION, nothing ran: ")
    layers, others = re.search(r"dispatches +(\d+): 6 per layer in (\d+) layers, (\d+) beside them", done.stdout).groups()[1:]
    assert f"dispatches      {6 * int(layers) + int(others)}:" in done.stdout
    assert done.stdout.count("predicted speed") == done.stdout.count("predicted time") == 2
    for speed, ceiling, share in re.findall(r"predicted speed (\S+) tokens/s; the ceiling is (\S+): (\d+) %", done.stdout):
        assert float(speed) <= float(ceiling) and abs(100 * float(speed) / float(ceiling) - int(share)) <= 1


def test_prediction_of_a_shape_without_weights(tmp_path):
    subprocess.run([sys.executable, ROOT / "bench/make_shapes.py", tmp_path, "llama-3.1-8b", "Q4_K"], check=True,
                   stdout=subprocess.DEVNULL)
    done = vmetal("bench", "predict", tmp_path / "llama-3.1-8b.Q4_K.gguf", "--context", 100)
    assert done.returncode == 0, done.stderr
    assert "6 per layer in 32 layers" in done.stdout
    subprocess.run([sys.executable, ROOT / "bench/make_shapes.py", tmp_path, "llama-3.3-70b", "Q8_0"], check=True,
                   stdout=subprocess.DEVNULL)
    done = vmetal("bench", "predict", tmp_path / "llama-3.3-70b.Q8_0.gguf", "--chip", "M1")
    assert "! 75.0 GB of weights do not fit: the largest such Mac has 16 GiB" in done.stdout


def test_unknown_chips_are_listed():
    done = vmetal("bench", "predict", GOLDEN / "qwen3", "--chip", "M9")
    assert done.returncode == 2
    assert "--chip M9 is unknown; known are M1, M1-Pro" in done.stderr and "M5-Max" in done.stderr


def test_a_context_past_the_model_is_refused():
    done = vmetal("bench", "predict", GOLDEN / "qwen3", "--context", 100000)
    assert done.returncode == 1
    assert "a context of 100000; it can be 1 to 128 here" in done.stderr
