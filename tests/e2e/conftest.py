"""A server per session on the default model; VMETAL names the binary."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest
import requests
from openai import OpenAI

VMETAL = os.environ.get("VMETAL", str(pathlib.Path(__file__).resolve().parents[2] / "build/vmetal"))
MODEL = "SmolLM2-135M-Instruct"


class Server:
    """`vmetal serve` on a free port; logs are kept for assertions."""

    def __init__(self, *args, model=MODEL, env=None, wait=True):
        self.lines = []
        self.process = subprocess.Popen([VMETAL, "serve", model, "--port", "0", "--quiet", *map(str, args)],
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                        env={**os.environ, **(env or {})})
        self.url = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        if wait:
            if not self.ready.wait(120) or self.url is None:
                raise RuntimeError("the server did not become ready:\n" + "".join(self.lines))

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"event=ready address=(\S+)", line)
            if found:
                self.url = found.group(1)
                self.ready.set()
        self.ready.set()

    @property
    def log(self):
        return "".join(self.lines)

    def client(self, **kw):
        return OpenAI(base_url=self.url + "/v1", api_key=kw.pop("api_key", "none"), max_retries=0, timeout=120, **kw)

    def get(self, path, **kw):
        return requests.get(self.url + path, timeout=60, **kw)

    def post(self, path, body=None, **kw):
        return requests.post(self.url + path, json=body, timeout=120, **kw)

    def metrics(self):
        """Sample name with labels -> value."""
        out = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def metric(self, name):
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name)

    def idle(self, seconds=20):
        """Waits until nothing runs or waits."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.metric("vllm:num_requests_running") + self.metric("vllm:num_requests_waiting") == 0:
                return True
            time.sleep(0.02)
        return False

    def stop(self, sig=signal.SIGTERM, timeout=40):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(timeout)
        self.thread.join(5)
        return code


def sse(response):
    """The data of each event; stops at [DONE]."""
    for line in response.iter_lines(decode_unicode=True):
        if line.startswith("data: "):
            if line == "data: [DONE]":
                return
            yield json.loads(line[6:])


@pytest.fixture(scope="session", autouse=True)
def model_file():
    done = subprocess.run([VMETAL, "fetch", MODEL], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def server(model_file):
    s = Server()
    yield s
    assert s.stop() == 0, s.log


@pytest.fixture(scope="session")
def client(server):
    return server.client()
