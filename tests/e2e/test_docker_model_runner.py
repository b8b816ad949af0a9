"""Docker Model Runner's part, played by a script: its probe, its command lines, its polling, its proxying, its stop.

The runner starts what VLLM_METAL_SERVER_PATH (macOS) or VLLM_SERVER_PATH (Linux) names, waits until /health answers
200, forwards requests with Host: localhost, and ends the process with SIGINT."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import VMETAL

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/llama"
DIGEST = "sha256:" + "5a" * 32
REF = "ai/tiny:latest"
SMALL = ["--max-num-seqs", "8", "--max-num-batched-tokens", "64"]  # on the runner's list of runtime flags
POLL_S, TRIES = 0.5, 600
STOP_S = 3
STDERR_SHOWN = 1024


def byte_letters():
    """GPT-2's letter for each byte: printable ones stand for themselves."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), ord("\xff") + 1)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """An unpacked artifact: DMR's config.json above, the model's files in model/.  A token is a byte."""
    root = tmp_path_factory.mktemp("bundle")
    (root / "config.json").write_text('{"config": {"format": "safetensors", "architecture": "llama"}}')
    model = root / "model"
    model.mkdir()
    shutil.copy(GOLDEN / "model.safetensors", model)
    shutil.copy(GOLDEN / "config.json", model)
    letters = byte_letters()
    (model / "tokenizer.json").write_text(json.dumps({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {"type": "BPE", "vocab": {letters[b]: b for b in range(256)}, "merges": []},
    }))
    (model / "tokenizer_config.json").write_text(json.dumps({
        "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:",
    }))
    (root / "template.jinja").write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    return root


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Backend:
    """One process of the runner, on a Unix socket or a TCP port of this machine."""

    def __init__(self, args, home, socket_path=None, port=None):
        self.socket_path, self.port = socket_path, port
        self.stderr = b""
        env = {**os.environ, "VLLM_HOST_IP": "127.0.0.1", "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
        self.process = subprocess.Popen([VMETAL, *map(str, args)], env=env, cwd=home, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.stderr += line

    def connection(self, timeout=60):
        if self.socket_path is not None:
            return UnixConnection(str(self.socket_path), timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        connection = self.connection()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Host": "localhost", "Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, data, headers)
        return connection.getresponse()

    def wait_until_ready(self):
        """As the runner does: any answer but 200, and any refused connection, is tried again."""
        statuses = []
        for _ in range(TRIES):
            assert self.process.poll() is None, self.shown()
            try:
                statuses.append(self.request("GET", "/health").status)
            except OSError:
                statuses.append(None)
            if statuses[-1] == 200:
                return statuses
            time.sleep(POLL_S)
        raise AssertionError(f"never ready: {statuses[-3:]}")

    def stop(self):
        """The seconds from SIGINT to the end; the process must end by itself, with code 0."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0, self.shown()
        self.reader.join(5)
        return time.monotonic() - begin

    def shown(self):
        """What the runner shows a person after a failure."""
        self.reader.join(5 if self.process.poll() is not None else 0)
        return self.stderr[-STDERR_SHOWN:].decode()


def macos_args(directory, port, *more):
    return ["-m", "vllm.entrypoints.openai.api_server", "--model", directory, "--host", "127.0.0.1", "--port", port,
            "--enable-auto-tool-choice", "--tool-call-parser", "hermes", *more, "--served-model-name", DIGEST, REF, *SMALL]


def linux_args(directory, path, *more):
    return ["serve", directory, "--uds", path, *more, *SMALL, "--served-model-name", DIGEST, REF]


@pytest.fixture(params=["macos", "linux"])
def backend(request, bundle, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    if request.param == "macos":
        port = free_port()
        b = Backend(macos_args(bundle / "model", port), home, port=port)
    else:
        path = tmp_path / "inference-runner-0.sock"
        b = Backend(linux_args(bundle / "model", path), home, socket_path=path)
    b.home = home
    b.wait_until_ready()
    yield b
    if b.process.poll() is None:
        b.stop()


def chat(model=REF, **more):
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0, **more}


def test_probe():
    done = subprocess.run([VMETAL, "-c", "import vllm_metal"], capture_output=True, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", [DIGEST, REF])
def test_chat_under_both_names(backend, name):
    response = backend.request("POST", "/v1/chat/completions", chat(name))
    answer = json.loads(response.read())
    assert response.status == 200, answer
    assert answer["object"] == "chat.completion" and answer["usage"]["completion_tokens"] > 0
    names = [m["id"] for m in json.loads(backend.request("GET", "/v1/models").read())["data"]]
    assert names[0] == DIGEST and REF in names


def test_another_model_is_refused(backend):
    assert backend.request("POST", "/v1/chat/completions", chat("ai/other")).status in (404, 421)


def test_stream(backend):
    whole = json.loads(backend.request("POST", "/v1/chat/completions", chat()).read())["choices"][0]["message"]["content"]
    response = backend.request("POST", "/v1/chat/completions", chat(stream=True))
    assert response.status == 200 and response.getheader("Content-Type").startswith("text/event-stream")
    events = [line[6:] for line in response.read().decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    pieces = [json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events[:-1]]
    assert "".join(pieces) == (whole or "")


def test_headers_of_the_runner_are_taken(backend):
    response = backend.request("POST", "/v1/chat/completions", chat(), {"X-Preload-Only": "true", "Origin": "http://localhost"})
    assert response.status == 200
    json.loads(response.read())


def test_metrics(backend):
    backend.request("POST", "/v1/chat/completions", chat()).read()
    response = backend.request("GET", "/metrics")
    text = response.read().decode()
    assert response.status == 200
    assert "vllm:generation_tokens_total" in text


def test_stop_while_idle(backend):
    assert backend.stop() < STOP_S
    if backend.socket_path is not None:
        assert not backend.socket_path.exists()


def test_stop_with_a_stream_open(backend):
    response = backend.request("POST", "/v1/chat/completions", chat(stream=True, max_tokens=100, ignore_eos=True))
    assert response.readline().startswith(b"data: ")
    assert backend.stop() < STOP_S


def test_stop_with_an_idle_connection_open(backend):
    connection = backend.connection()
    connection.connect()
    assert backend.stop() < STOP_S
    connection.close()


def test_nothing_is_written_at_home(backend):
    backend.request("POST", "/v1/chat/completions", chat()).read()
    backend.stop()
    assert list(backend.home.rglob("*")) == []


def test_a_second_start_on_the_same_socket(bundle, tmp_path):
    """A process that was killed leaves its socket; the runner removes it, and the server must not need that."""
    path = tmp_path / "inference-runner-0.sock"
    first = Backend(linux_args(bundle / "model", path), tmp_path, socket_path=path)
    first.wait_until_ready()
    first.process.kill()
    first.process.wait(10)
    second = Backend(linux_args(bundle / "model", path), tmp_path, socket_path=path)
    second.wait_until_ready()
    assert second.stop() < STOP_S


def test_runtime_flags_and_template(bundle, tmp_path):
    """Flags of the runner's allow-list, two of which vLLM itself has dropped, and a template beside the model."""
    path = tmp_path / "s.sock"
    flags = ["--chat-template", bundle / "template.jinja", "--max-model-len", "96", "--swap-space", "4",
             "--use-v2-block-manager", "--gpu-memory-utilization", "0.5", "--enforce-eager", "--seed", "1", "-tp", "1"]
    b = Backend(linux_args(bundle / "model", path, *flags), tmp_path, socket_path=path)
    b.wait_until_ready()
    model = json.loads(b.request("GET", "/v1/models").read())["data"][0]
    usage = json.loads(b.request("POST", "/v1/chat/completions", chat()).read())["usage"]
    assert model["max_model_len"] == 96
    assert usage["prompt_tokens"] == len("[hello]")
    b.stop()
    warned = [line for line in b.stderr.decode().splitlines() if "event=flag_ignored" in line]
    assert any("--swap-space" in line for line in warned)


def test_folder_of_a_gguf_artifact(model_file, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.gguf").symlink_to(model_file)
    port = free_port()
    b = Backend(macos_args(folder, port, "--kv-cache-memory-bytes", "200000000"), tmp_path, port=port)
    b.wait_until_ready()
    answer = json.loads(b.request("POST", "/v1/chat/completions", chat(DIGEST)).read())
    assert answer["choices"][0]["message"]["content"]
    assert b.stop() < STOP_S


FAILURES = [
    (["--runner", "pooling", "--pooler-config", '{"pooling_type": "STEP"}'], 1, "pooling_type must be"),
    (["--max-model-len", "100000"], 1, "--max-model-len is 100000, the model's context is 128 tokens"),
    (["--quantization", "awq"], 2, "--quantization awq is not available"),
    (["--hf-overrides", '{"rope_theta": 1}'], 1, "--hf-overrides: rope_theta is not supported"),
    (["--speculative_config", '{"model": "ai/draft", "num_speculative_tokens": 3}', "--use-v2-block-manager"], 2,
     "--speculative-config"),
]


@pytest.mark.parametrize("more, code, sentence", FAILURES)
@pytest.mark.parametrize("system", ["macos", "linux"])
def test_a_failure_ends_with_one_clear_line(bundle, tmp_path, system, more, code, sentence):
    args = macos_args(bundle / "model", free_port(), *more) if system == "macos" else \
        linux_args(bundle / "model", tmp_path / "s.sock", *more)
    b = Backend(args, tmp_path)
    assert b.process.wait(60) == code
    last = b.shown().rstrip("\n").split("\n")[-1]
    assert last.startswith("vmetal") and sentence in last


def test_a_missing_or_damaged_model_is_named(bundle, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle / "model", damaged)
    with open(damaged / "model.safetensors", "r+b") as f:
        f.truncate(1000)
    for folder, word in ((tmp_path / "absent", "absent"), (damaged, "model.safetensors"), (bundle, "*.safetensors")):
        b = Backend(macos_args(folder, free_port()), tmp_path)
        assert b.process.wait(60) == 1
        assert word in b.shown().rstrip("\n").split("\n")[-1], b.shown()
