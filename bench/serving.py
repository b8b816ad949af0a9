"""Serving over HTTP: closed-loop streams, prefix reuse, start and memory; llama-server beside us when it is there."""

import http.client
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import threading
import time

STREAMS = tuple(int(n) for n in os.environ.get("BENCH_SERVE_STREAMS", "16,64").split(","))
IN_TOKENS, OUT_TOKENS = 256, 128
ANSWERS = int(os.environ.get("BENCH_SERVE_ANSWERS", "2"))  # of each stream that count, after one that does not
SECOND_TURN = {"SmolLM2": 7600}  # of the first turn, where the context is shorter than 8,192
TARGETS = {"tok/s": 2.0, "first token p50": 0.5, "gap p99": 1.0}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server process under test."""

    def __init__(self, kind, program, model, slots=64, context=8192):
        self.kind, self.port = kind, free_port()
        if kind == "vmetal":
            args = [program, "serve", model, "--port", self.port, "--quiet", "--log-level", "error"]
        else:
            # --no-cache-prompt is not given: both sides may reuse prefixes; prompts of a load run share none.
            args = [program, "-m", model, "--host", "127.0.0.1", "--port", self.port, "-np", slots, "-c",
                    context if slots == 1 else slots * 512, "-t", os.cpu_count(), "-tb", os.cpu_count(), "-fa", "on",
                    "--no-webui", "-cb"]
        self.began = time.monotonic()
        self.process = subprocess.Popen([str(a) for a in args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self._healthy():
            if self.process.poll() is not None:
                raise RuntimeError(f"{kind} exited with {self.process.returncode}")
            time.sleep(0.002)
        self.ready_s = time.monotonic() - self.began

    def _healthy(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            c.request("GET", "/health")
            ok = c.getresponse().status == 200
            c.close()
            return ok
        except OSError:
            return False

    def complete(self, prompt, max_tokens, over=None):
        """When one streamed completion was asked for and when its pieces came; None if `over` was set before its end."""
        body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True,
                           "stream": True, "model": ""}).encode()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        began, times = time.monotonic(), []
        try:
            c.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            r = c.getresponse()
            if r.status != 200:
                raise RuntimeError(f"{self.kind}: {r.status} {r.read(300)}")
            for line in r:
                if line.startswith(b"data: {") and b'"text":""' not in line and b'"choices":[]' not in line:
                    times.append(time.monotonic())
                if over and over.is_set():
                    return None
        finally:
            c.close()
        return began, times

    def first_token_s(self, prompt, max_tokens):
        began, times = self.complete(prompt, max_tokens)
        return times[0] - began

    def rss_mb(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {k: int(v) / 1000 for k, v in re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", text)}

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def prompt_of(seed, tokens=IN_TOKENS):
    """Token ids, so that both sides get exactly as many; no two prompts share a prefix."""
    x = seed * 2654435761 + 12345
    out = []
    for _ in range(tokens):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(1000 + (x >> 33) % 40000)
    return out


def load(server, streams, salt):
    """Closed loop: each stream asks again as soon as it is answered, until every one has its ANSWERS that count and the
    one before them.  Whole answers, because a window of time favours a server whose streams go in step by where in
    their cycle it opens and closes."""
    answers, errors, over = [[] for _ in range(streams)], [], threading.Event()

    def client(own, first_seed):
        try:
            while not over.is_set():
                answer = server.complete(prompt_of(first_seed + len(own)), OUT_TOKENS, over)
                if answer:
                    own.append(answer)
                if all(len(a) > ANSWERS for a in answers):
                    over.set()
        except Exception as e:  # a failed request is a result too
            errors.append(e)
            over.set()

    threads = [threading.Thread(target=client, args=(answers[i], (salt * 100 + i) * 1009)) for i in range(streams)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    rate, gaps, firsts = 0.0, [], []
    for own in answers:
        counted = own[1:1 + ANSWERS]
        rate += ANSWERS * OUT_TOKENS / (counted[-1][1][-1] - own[0][1][-1])
        firsts += [times[0] - asked for asked, times in counted]
        gaps += [b - a for _, times in counted for a, b in zip(times, times[1:])]
    return {"tok/s": rate, "first token p50": statistics.median(firsts), "gap p99": sorted(gaps)[int(len(gaps) * 0.99)]}


def contenders(vmetal):
    out = [("vmetal", vmetal)]
    if os.environ.get("LLAMA_SERVER"):
        out.append(("llama.cpp", os.environ["LLAMA_SERVER"]))
    return out


def run(vmetal, model, rounds):
    """Rows of the table: output rate, median time to first token, 99th percentile of gaps."""
    rows = []
    for streams in STREAMS:
        got = {}
        for r in range(rounds):
            for kind, program in contenders(vmetal):
                s = Server(kind, program, model, slots=streams)
                try:
                    s.complete(prompt_of(1, 8), 4)
                    got.setdefault(kind, []).append(load(s, streams, r * 1000 + streams))
                finally:
                    s.stop()
        for key, target in TARGETS.items():
            median = {kind: statistics.median(x[key] for x in results) for kind, results in got.items()}
            other = median.get("llama.cpp", "")
            rows.append({"row": f"{pathlib.Path(model).stem} {streams} streams, {key}",
                         "unit": "tok/s" if key == "tok/s" else "s", "vmetal": median["vmetal"], "llama.cpp": other,
                         "ratio": median["vmetal"] / other if other else "", "target": target, "limit": "",
                         "share": ""})
    return rows


def prefix(vmetal, model, rounds):
    """Time to first token of a second turn whose first turn is cached, as a share of the cold one."""
    name = pathlib.Path(model).stem
    tokens = next((n for key, n in SECOND_TURN.items() if name.startswith(key)), 8000)
    got = {}
    for r in range(rounds):
        for kind, program in contenders(vmetal):
            s = Server(kind, program, model, slots=1, context=max(8192, tokens + 256))
            try:
                s.complete(prompt_of(1, 8), 4)
                first = prompt_of(77 + r, tokens)
                cold = s.first_token_s(first, 2)
                warm = s.first_token_s(first + prompt_of(1077 + r, 40), 2)
                got.setdefault(kind, []).append(warm / cold)
            finally:
                s.stop()
    share = {kind: statistics.median(values) for kind, values in got.items()}
    return [{"row": f"{name} second turn after {tokens} tokens", "unit": "of the cold first token",
             "vmetal": share["vmetal"], "llama.cpp": share.get("llama.cpp", ""), "ratio": "", "target": 0.05,
             "limit": "", "share": ""}]


def start(vmetal, model, rounds):
    got = {}
    for r in range(rounds + 1):
        for kind, program in contenders(vmetal):
            s = Server(kind, program, model, slots=1)
            try:
                s.complete("Hello", 1)
                first = time.monotonic() - s.began
                rss = s.rss_mb()
            finally:
                s.stop()
            if r > 0:  # the first round warms the page cache
                got.setdefault(kind, []).append((s.ready_s, first, rss.get("RssAnon", 0), rss.get("RssFile", 0)))
    rows = []
    names = (("ready", "s", ""), ("first token", "s", 0.15), ("anonymous memory", "MB", ""), ("mapped files", "MB", ""))
    for i, (what, unit, target) in enumerate(names):
        median = {kind: statistics.median(x[i] for x in results) for kind, results in got.items()}
        other = median.get("llama.cpp", "")
        rows.append({"row": f"{pathlib.Path(model).stem} exec to {what}" if unit == "s" else what, "unit": unit,
                     "vmetal": median["vmetal"], "llama.cpp": other,
                     "ratio": median["vmetal"] / other if other else "", "target": target, "limit": "", "share": ""})
    return rows
