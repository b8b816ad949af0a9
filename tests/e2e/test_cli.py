"""The command line from outside: help, hints, exit codes, the probes of launchers.  No model is needed."""

import os
import pathlib
import re
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VMETAL = os.environ.get("VMETAL", str(ROOT / "build/vmetal"))
COMMANDS = ["serve", "chat", "complete", "launch", "bench serve", "bench throughput", "bench latency", "bench predict",
            "tokenize", "fetch", "doctor", "completion"]


def vmetal(*args, **kw):
    return subprocess.run([VMETAL, *args], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, **kw)


def last_line(text):
    return text.rstrip("\n").split("\n")[-1]


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(flag):
    done = vmetal(flag)
    assert done.returncode == 0
    assert re.fullmatch(r"vmetal \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_overview_lists_the_commands(args):
    done = vmetal(*args)
    assert done.returncode == 0 and done.stderr == ""
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.stdout, re.M), command
    assert "man-page" not in done.stdout


def test_no_arguments_is_an_error_that_shows_the_commands():
    done = vmetal()
    assert done.returncode == 2
    assert "Usage: vmetal COMMAND" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    words = command.split()
    page = vmetal(*words, "--help")
    assert page.returncode == 0
    assert page.stdout.startswith(f"vmetal {command}: ")
    assert vmetal("help", *words).stdout == page.stdout
    assert all(len(line) <= 100 for line in page.stdout.splitlines())


def test_help_forms_of_serve():
    page, everything = vmetal("serve", "--help"), vmetal("serve", "--help=all")
    assert "--max-model-len" in page.stdout and "--swap-space" not in page.stdout
    assert "--swap-space" in everything.stdout and len(everything.stdout) > len(page.stdout)
    group = vmetal("serve", "--help=Scheduling").stdout
    assert "--max-num-seqs" in group and "--port" not in group
    flag = vmetal("serve", "--help=--max-num-batched-tokens").stdout
    assert "default 512" in flag and "--port" not in flag
    assert "--max-num-seqs" in vmetal("serve", "--help=max").stdout
    unknown = vmetal("serve", "--help=max-model-length")
    assert unknown.returncode == 2 and "max-model-len" in unknown.stderr


def test_loopback_is_the_default_and_help_says_how_to_open():
    text = " ".join(vmetal("serve", "--help=host").stdout.split())
    assert "0.0.0.0" in text and "default 127.0.0.1" in text


@pytest.mark.parametrize("args, message", [
    (["serve", "--max-model-length", "5"], "unknown flag --max-model-length; did you mean --max-model-len?"),
    (["serve", "m", "--port", "banana"], '--port is "banana", it must be a whole number'),
    (["serve", "m", "--port", "70000"], "--port is 70000, allowed are 0 to 65535"),
    (["serve", "m", "-tp", "2"], "--tensor-parallel-size 2 is not available: one process serves one device"),
    (["serve", "m", "--device", "tpu"], "--device tpu is not available: devices are auto, cpu, metal, cuda and host"),
    (["serve", "m", "--scheduling-policy", "lifo"], '--scheduling-policy is "lifo"; choose fcfs or priority'),
    (["serve", "a", "b"], 'serve takes 1 MODEL, got also "b"'),
    (["serve", "m", "--config", "/nonexistent.yaml"], "/nonexistent.yaml"),
    (["chat", "--quik", "x"], "unknown flag --quik; did you mean --quick?"),
    (["serv"], 'unknown command "serv"; did you mean "vmetal serve"?'),
    (["bench", "serv"], 'unknown command "bench"; did you mean "vmetal bench serve"?'),
    (["pull"], 'unknown command "pull"; did you mean "vmetal fetch"?'),
    (["frobnicate"], 'unknown command "frobnicate"; "vmetal --help" lists the commands'),
])
def test_a_wrong_command_line_exits_2_with_a_hint(args, message):
    done = vmetal(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in last_line(done.stderr)


def test_config_file_errors_name_the_file_and_line(tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text("port: 8001\nmax-model-length: 5\n")
    done = vmetal("serve", "m", "--config", str(config))
    assert done.returncode == 2
    assert "unknown key max-model-length; did you mean max-model-len?" in last_line(done.stderr)
    config.write_text("model: &m x\ntokenizer: *m\n")
    assert "line 2: aliases are not allowed" in last_line(vmetal("serve", "--config", str(config)).stderr)


def test_a_failure_at_work_exits_1_with_one_sentence(tmp_path):
    done = vmetal("serve", str(tmp_path / "no-such-model"), "--port", "0", "--quiet", "--no-trust-remote-code")
    assert done.returncode == 1
    assert last_line(done.stderr).startswith("vmetal")
    assert "no-such-model" in last_line(done.stderr)


def test_flags_without_effect_warn_once_and_go_on(tmp_path):
    done = vmetal("serve", str(tmp_path / "none"), "--swap-space", "4", "--kv-cache-metrics", "--port", "0")
    warnings = [line for line in done.stderr.splitlines() if "flag_ignored" in line]
    assert len(warnings) == 2
    assert any("--swap-space" in line and "removed" in line for line in warnings)
    assert any("--kv-cache-metrics" in line for line in warnings)


def test_python_probe():
    assert vmetal("-c", "import vllm_metal").returncode == 0
    assert vmetal("-c", "import vllm_metal; print(1)").returncode == 2
    assert vmetal("-c", "import os").returncode == 2
    assert vmetal("-c").returncode == 2


def test_python_module_is_serve():
    done = vmetal("-m", "vllm.entrypoints.openai.api_server", "--help")
    assert done.stdout == vmetal("serve", "--help").stdout
    done = vmetal("-m", "vllm.entrypoints.openai.api_server", "--model", "m", "--prot", "1")
    assert done.returncode == 2 and "did you mean --port?" in done.stderr
    assert vmetal("-m", "http.server").returncode == 2


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("args", [["chat", "-q", "hi"], ["complete", "-q", "hi"]])
def test_nobody_there_says_what_to_start(args):
    done = vmetal(*args, "--url", f"http://127.0.0.1:{closed_port()}/v1")
    assert done.returncode == 1
    assert last_line(done.stderr).endswith("start it with: vmetal serve")


def test_bench_against_nobody():
    done = vmetal("bench", "serve", "--port", str(closed_port()), "--num-prompts", "1")
    assert done.returncode == 1
    assert "start it with: vmetal serve" in last_line(done.stderr)


def test_man_page_is_the_committed_one():
    done = vmetal("man-page")
    assert done.returncode == 0
    assert done.stdout == (ROOT / "docs/vmetal.1").read_text()


def test_completion_completes():
    script = vmetal("completion", "bash").stdout
    ask = script + '\nCOMP_WORDS=(vmetal serve --max-model); COMP_CWORD=2; _vmetal; echo "${COMPREPLY[*]}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["--max-model-len"]
    assert vmetal("completion", "fish").returncode == 2


def test_doctor_reports_and_succeeds():
    done = vmetal("doctor")
    assert done.returncode == 0
    for label in ("processor", "instructions", "memory", "open files", "models", "default model"):
        assert re.search(rf"^{label} ", done.stdout, re.M), label
