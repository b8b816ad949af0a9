"""What the server promises under load: same answers alone and together, prefix hits, aborts, slow readers, signals."""

import concurrent.futures
import json
import signal
import socket
import time

import pytest

from conftest import MODEL, Server, sse


def prompt_of(i):
    topics = ["rivers", "the moon", "bread", "a lost dog", "steam engines", "chess", "rain", "violins"]
    return f"Write {i + 2} sentences about {topics[i % len(topics)]}. " + "Be vivid and precise. " * (i % 7)


def test_concurrent_equals_alone(server):
    """32 streams of mixed lengths at temperature 0 give what each gives alone, at 3 times one stream's rate."""
    def ask(i, stream):
        body = {"model": MODEL, "prompt": prompt_of(i), "temperature": 0, "max_tokens": 24 + 5 * (i % 9),
                "ignore_eos": True, "stream": stream}
        got = server.post("/v1/completions", body, stream=stream)
        assert got.status_code == 200, got.text
        if not stream:
            return got.json()["choices"][0]["text"]
        return "".join(e["choices"][0]["text"] for e in sse(got) if e["choices"])

    began = time.monotonic()
    alone = [ask(i, False) for i in range(32)]
    sequential = time.monotonic() - began
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda i: ask(i, True), range(32)))
    concurrent_time = time.monotonic() - began
    assert together == alone
    print(f"sequential {sequential:.2f} s, together {concurrent_time:.2f} s")
    # The target of 3 is measured by the benchmark; here only that batching works at all on a busy machine.
    assert sequential / concurrent_time > 1.5
    assert server.idle()


def test_shared_prefix_is_cached(server):
    shared = "In the archive of the old harbour town there is a ledger of ships and cargoes. " * 60

    def ask(tail):
        began = time.monotonic()
        body = {"model": MODEL, "prompt": shared + tail, "max_tokens": 1, "temperature": 0}
        usage = server.post("/v1/completions", body).json()["usage"]
        return time.monotonic() - began, usage

    cold, first = ask("First question?")
    warm, second = ask("Second question, and another one?")
    assert first["prompt_tokens"] > 1000
    assert (first["prompt_tokens_details"] or {}).get("cached_tokens", 0) == 0
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert cached > first["prompt_tokens"] - 64
    assert warm < cold / 5, (warm, cold)
    salted = server.post("/v1/completions", {"model": MODEL, "prompt": shared + "First question?", "max_tokens": 1,
                                             "cache_salt": "other"}).json()["usage"]
    assert salted["prompt_tokens_details"]["cached_tokens"] == 0


def test_disconnect_aborts(server):
    before = server.metric("vllm:request_success_total")
    got = server.post("/v1/completions", {"model": MODEL, "prompt": "Go on:", "max_tokens": 4000, "ignore_eos": True,
                                          "stream": True}, stream=True)
    events = sse(got)  # held: a generator that is dropped closes its connection
    next(events)
    assert server.metric("vllm:num_requests_running") == 1
    got.close()
    assert server.idle(5)
    aborted = {k: v for k, v in server.metrics().items() if "finished_reason=\"abort\"" in k}
    assert sum(aborted.values()) >= 1
    assert server.metric("vllm:request_success_total") == before + 1


def test_slow_reader_stops_only_itself(server):
    host, port = server.url.split("//")[1].split(":")
    slow = socket.create_connection((host, int(port)))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps({"model": MODEL, "prompt": "Tell me everything:", "max_tokens": 6000, "ignore_eos": True,
                       "stream": True, "logprobs": 5}).encode()
    slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                 % len(body) + body)
    slow.recv(100)
    time.sleep(0.5)
    got = server.post("/v1/completions", {"model": MODEL, "prompt": "Hello", "max_tokens": 8, "temperature": 0})
    assert got.status_code == 200
    slow.close()
    assert server.idle(10)


def test_bad_requests_do_not_hurt(server):
    for raw in (b"", b"{", b"[]", b'{"messages": 3}', b"\xff\xfe", b'{"a":' * 2000, b"null"):
        got = server.post("/v1/chat/completions", data=raw, headers={"Content-Type": "application/json"})
        assert got.status_code == 400, (raw[:20], got.status_code)
        assert got.json()["error"]["message"]
    assert server.post("/v1/chat/completions", data="x=1", headers={"Content-Type": "text/plain"}).status_code == 400
    assert server.get("/nope").status_code == 404
    assert server.get("/v1/chat/completions").status_code == 405
    assert server.get("/health").status_code == 200


def test_sigterm_drains(model_file):
    s = Server("--shutdown-timeout", 30)
    got = s.post("/v1/completions", {"model": MODEL, "prompt": "Go on:", "max_tokens": 300, "ignore_eos": True,
                                     "stream": True}, stream=True)
    events = sse(got)
    next(events)
    s.process.send_signal(signal.SIGTERM)
    last = list(events)[-1]
    assert last["choices"][0]["finish_reason"] == "length"
    assert s.process.wait(20) == 0


def test_sigint_ends_at_once(model_file):
    s = Server()
    got = s.post("/v1/completions", {"model": MODEL, "prompt": "Go on:", "max_tokens": 8000, "ignore_eos": True,
                                     "stream": True}, stream=True)
    events = sse(got)
    next(events)
    began = time.monotonic()
    s.process.send_signal(signal.SIGINT)
    reasons = [e["choices"][0].get("finish_reason") for e in events if e.get("choices")]
    assert s.process.wait(20) == 0
    assert time.monotonic() - began < 5
    assert reasons[-1:] == ["abort"]


def test_api_key(model_file):
    s = Server("--api-key", "sesame", "other")
    try:
        assert s.get("/health").status_code == 200
        refused = s.get("/v1/models")
        assert refused.status_code == 401 and refused.json() == {"error": "Unauthorized"}
        assert s.get("/v1/models", headers={"Authorization": "bearer other"}).status_code == 200
        assert s.client(api_key="sesame").models.list().data[0].id == MODEL
    finally:
        assert s.stop() == 0


def test_small_context_and_queue(model_file):
    """A KV budget that holds less than the model's context is said, not refused; a full house is a 503."""
    s = Server("--kv-cache-memory-bytes", "12m", "--max-requests", 2)
    try:
        assert "event=context_reduced" in s.log
        limit = s.get("/v1/models").json()["data"][0]["max_model_len"]
        assert 16 <= limit < 8192
        assert s.post("/v1/completions", {"model": MODEL, "prompt": "word " * limit, "max_tokens": 1}).status_code == 400
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            body = {"model": MODEL, "prompt": "Go:", "max_tokens": 200, "ignore_eos": True}
            codes = [r for r in pool.map(lambda _: s.post("/v1/completions", body), range(8))]
        assert {r.status_code for r in codes} == {200, 503}
        assert all(r.headers.get("Retry-After") for r in codes if r.status_code == 503)
    finally:
        assert s.stop() == 0


@pytest.mark.parametrize("model,words", [("/nope/model.gguf", "/nope/model.gguf"), ("no/such-model", "no/such-model")])
def test_missing_model_is_one_sentence(model, words):
    s = Server(model=model, wait=False, env={"HF_HUB_OFFLINE": "1"})
    assert s.process.wait(30) == 1
    s.thread.join(5)
    assert words in s.lines[-1] and s.lines[-1].startswith("vmetal: ")


def test_broken_file(tmp_path, model_file):
    whole = open(model_file, "rb").read(3_000_000)
    for name, data in (("cut.gguf", whole), ("zero.gguf", b""), ("noise.gguf", b"GGUF" + bytes(range(256)) * 50),
                       ("text.gguf", b"hello")):
        path = tmp_path / name
        path.write_bytes(data)
        s = Server(model=str(path), wait=False)
        assert s.process.wait(30) == 1, name
        s.thread.join(5)
        assert s.lines[-1].startswith("vmetal: ") and name in s.lines[-1], s.lines
