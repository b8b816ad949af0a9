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

STREAMS = (1, 8, 32)
OUT_TOKENS = 128
WORDS = ("the river bread stone winter lamp garden seven letters harbour copper orchard quiet engine window paper "
         "mountain candle wheel silver thread market bridge violin planet").split()


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

    def complete(self, prompt, max_tokens):
        """(time to first token, gaps between tokens, tokens) of one streamed completion."""
        body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True,
                           "stream": True, "model": ""}).encode()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        began = time.monotonic()
        c.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        if r.status != 200:
            raise RuntimeError(f"{self.kind}: {r.status} {r.read(300)}")
        times = []
        for line in r:
            if line.startswith(b"data: {") and b'"text":""' not in line and b'"choices":[]' not in line:
                times.append(time.monotonic())
        c.close()
        gaps = [b - a for a, b in zip(times, times[1:])]
        return times[0] - began, gaps, max_tokens

    def rss_mb(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {k: int(v) / 1000 for k, v in re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", text)}

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def prompt_of(seed, words=200):
    x = seed * 2654435761 + 12345
    out = []
    for _ in range(words):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(WORDS[(x >> 33) % len(WORDS)])
    return " ".join(out)


def load(server, streams, requests, out_tokens, salt):
    """Closed loop: `streams` clients, `requests` in all."""
    todo = list(range(requests))
    lock = threading.Lock()
    ttfts, gaps, errors = [], [], []
    tokens = 0

    def client():
        nonlocal tokens
        while True:
            with lock:
                if not todo:
                    return
                i = todo.pop()
            try:
                first, between, n = server.complete(prompt_of(salt * 100003 + i), out_tokens)
            except Exception as e:  # a failed request is a result too
                with lock:
                    errors.append(str(e))
                return
            with lock:
                ttfts.append(first)
                gaps.extend(between)
                tokens += n

    began = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(streams)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise RuntimeError(errors[0])
    return {"tok_s": tokens / (time.monotonic() - began), "ttft_p50": statistics.median(ttfts),
            "itl_p99": sorted(gaps)[int(len(gaps) * 0.99)]}


def contenders(vmetal):
    out = [("vmetal", vmetal)]
    if os.environ.get("LLAMA_SERVER"):
        out.append(("llama.cpp", os.environ["LLAMA_SERVER"]))
    return out


def run(vmetal, model, rounds):
    rows = []
    for streams in STREAMS:
        got = {}
        for r in range(max(1, rounds // 2)):
            for kind, program in contenders(vmetal):
                s = Server(kind, program, model, slots=streams)
                try:
                    s.complete("warm up", 4)
                    got.setdefault(kind, []).append(load(s, streams, max(2, streams * 2), OUT_TOKENS, r * 1000 + streams))
                finally:
                    s.stop()
        row = {"streams": streams}
        for kind, results in got.items():
            for key in ("tok_s", "ttft_p50", "itl_p99"):
                row[f"{kind} {key}"] = round(statistics.median(x[key] for x in results), 4)
        if "llama.cpp" in got:
            row["ratio tok_s"] = row["vmetal tok_s"] / row["llama.cpp tok_s"]
            row["ratio ttft"] = row["vmetal ttft_p50"] / row["llama.cpp ttft_p50"]
        rows.append(row)
    return rows


def prefix(vmetal, model, rounds):
    """Time to first token of a second turn whose first turn is cached, as a share of the cold one."""
    rows = []
    for words in (850, 6500):
        got = {}
        for r in range(rounds):
            for kind, program in contenders(vmetal):
                s = Server(kind, program, model, slots=1)
                try:
                    s.complete("warm up", 4)
                    text = prompt_of(77 + r, words)
                    cold, _, _ = s.complete(text, 2)
                    warm, _, _ = s.complete(text + " and then what happened?", 2)
                    got.setdefault(kind, []).append((cold, warm))
                finally:
                    s.stop()
        row = {"words": words}
        for kind, pairs in got.items():
            row[f"{kind} cold_s"] = round(statistics.median(p[0] for p in pairs), 4)
            row[f"{kind} warm_s"] = round(statistics.median(p[1] for p in pairs), 4)
            row[f"{kind} warm/cold"] = round(statistics.median(p[1] / p[0] for p in pairs), 4)
        rows.append(row)
    return rows


def start(vmetal, model, rounds):
    rows = []
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
    for kind, results in got.items():
        names = ("ready_s", "first_token_s", "anon_mb", "file_mb")
        rows.append({"server": kind, **{n: round(statistics.median(x[i] for x in results), 3)
                                        for i, n in enumerate(names)}})
    return rows
