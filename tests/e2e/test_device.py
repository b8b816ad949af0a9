"""A model served on a GPU: its kernels, run by the host driver, behind the whole server; the CPU's answers beside it.

The model is a random checkpoint of tests/golden with a tokenizer of single bytes, computed in float32 on both."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import Server, VMETAL, sse

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
FLOAT = ("--dtype", "float32", "--kv-cache-dtype", "float32")
SMALL = ("--max-model-len", 128, "--max-num-seqs", 8, "--max-num-batched-tokens", 64, "--kv-cache-memory-bytes", 2 << 20)


def byte_alphabet():
    """What byte-level tokenizers write for each byte: printable ones as they are, the others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) if b in plain else chr(256 + others.index(b)) for b in range(256)}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(GOLDEN / "qwen3" / name, path / name)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    tokenizer = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": level,
                 "post_processor": None, "decoder": level,
                 "model": {"type": "BPE", "vocab": {c: b for b, c in byte_alphabet().items()}, "merges": []}}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return path


def serve(folder, device, *more):
    return Server("--device", device, "--served-model-name", "golden", *FLOAT, *SMALL, *more, model=str(folder))


@pytest.fixture(scope="session")
def cpu(folder):
    server = serve(folder, "cpu")
    yield server
    assert server.stop() == 0, server.log


@pytest.fixture(scope="session")
def gpu(folder):
    have = subprocess.run([VMETAL, "doctor"], capture_output=True, text=True, timeout=60).stdout
    if "host            no:" in have:
        pytest.skip("this build has no kernels for the host driver")
    server = serve(folder, "host")
    yield server
    assert server.idle()
    assert server.stop() == 0, server.log


def complete(server, **body):
    body = {"model": "golden", "prompt": "rivers", "max_tokens": 24, "ignore_eos": True, **body}
    got = server.post("/v1/completions", body)
    assert got.status_code == 200, got.text
    return got.json()["choices"]


def texts(choices):
    return [c["text"] for c in choices]


def test_golden_tokens(gpu):
    """The tokens that transformers gives."""
    expected = json.loads((GOLDEN / "qwen3" / "expected.json").read_text())
    choice = complete(gpu, prompt=expected["prompt"], temperature=0, max_tokens=len(expected["greedy"]),
                      return_token_ids=True)[0]
    assert choice["token_ids"] == expected["greedy"]


@pytest.mark.parametrize("sampling", [
    {"temperature": 0},
    {"temperature": 1.0, "seed": 5},
    {"temperature": 0.8, "seed": 6, "n": 2, "top_k": 20},
    {"temperature": 1.2, "seed": 7, "top_p": 0.7},
    {"temperature": 1.2, "seed": 8, "min_p": 0.2},
    {"temperature": 0, "repetition_penalty": 1.5},
    {"temperature": 0, "presence_penalty": 1.5, "frequency_penalty": 0.7},
    {"temperature": 1, "seed": 9, "logit_bias": {"65": 3, "66": 3, "67": -100}},
    {"temperature": 0, "allowed_token_ids": [65, 66, 67, 68]},
    {"temperature": 0, "bad_words": ["A", "BC"], "logit_bias": {"65": 50, "66": 50, "67": 50}},
    {"temperature": 0, "stop_token_ids": [65], "min_tokens": 6, "logit_bias": {"65": 50}},
], ids=str)
def test_sampling_is_the_cpus(cpu, gpu, sampling):
    assert texts(complete(gpu, **sampling)) == texts(complete(cpu, **sampling))


def test_logprobs_are_the_cpus(cpu, gpu):
    asked = {"temperature": 1, "seed": 3, "logprobs": 5, "prompt_logprobs": 2, "max_tokens": 6,
             "presence_penalty": 1}
    a, b = complete(cpu, **asked)[0], complete(gpu, **asked)[0]
    assert a["text"] == b["text"] and a["logprobs"]["tokens"] == b["logprobs"]["tokens"]
    assert b["logprobs"]["token_logprobs"] == pytest.approx(a["logprobs"]["token_logprobs"], abs=1e-4)
    for x, y in zip(a["logprobs"]["top_logprobs"], b["logprobs"]["top_logprobs"]):
        assert list(x) == list(y) and list(y.values()) == pytest.approx(list(x.values()), abs=1e-4)
    for x, y in zip(a["prompt_logprobs"], b["prompt_logprobs"]):
        assert (x is None) == (y is None)
        if x is not None:
            assert [(k, v["rank"]) for k, v in x.items()] == [(k, v["rank"]) for k, v in y.items()]


def test_chat_streams(cpu, gpu):
    """The official client, streaming."""
    asked = {"model": "golden", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16,
             "temperature": 0, "extra_body": {"ignore_eos": True}}
    answers = []
    for server in (cpu, gpu):
        parts = server.client().chat.completions.create(stream=True, **asked)
        answers.append("".join(p.choices[0].delta.content or "" for p in parts if p.choices))
    assert answers[0] == answers[1] and len(answers[1]) > 0


@pytest.mark.parametrize("form", [{"regex": "(ab|cd){3}x[0-9]{4}"}, {"choice": ["river", "rain"]},
                                  {"json": {"type": "object", "properties": {"a": {"enum": [1, 22, 333]}},
                                            "required": ["a"], "additionalProperties": False}}], ids=str)
def test_a_grammar_holds(cpu, gpu, form):
    """Masks on the device, and text that a grammar forces, beside a stream without a grammar."""
    def ask(server):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            free = pool.submit(complete, server, temperature=0, max_tokens=60)
            asked = {"temperature": 1, "seed": 4, "max_tokens": 60, "ignore_eos": False, "structured_outputs": form}
            return texts(complete(server, **asked)) + texts(free.result())

    held = ask(gpu)
    assert held == ask(cpu)
    if "regex" in form:
        assert re.fullmatch(form["regex"], held[0])
    elif "choice" in form:
        assert held[0] in form["choice"]
    else:
        assert json.loads(held[0])["a"] in (1, 22, 333)


def test_eight_at_once(cpu, gpu):
    """Each stream's text is what it gives alone, on the CPU."""
    def ask(server, i):
        body = {"model": "golden", "prompt": f"stream {i} " * (1 + i % 4), "max_tokens": 10 + 3 * i,
                "temperature": 0.9 if i % 2 else 0, "seed": i, "ignore_eos": True, "stream": True}
        got = server.post("/v1/completions", body, stream=True)
        assert got.status_code == 200
        return "".join(e["choices"][0]["text"] for e in sse(got) if e["choices"])

    alone = [ask(cpu, i) for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: ask(gpu, i), range(8)))
    assert together == alone


def test_pooled_prompts(folder, gpu):
    """Vectors, of the last row and of all rows."""
    for kind in ("LAST", "MEAN"):
        vectors = []
        for device in ("cpu", "host"):
            server = serve(folder, device, "--runner", "pooling", "--pooler-config", json.dumps({"pooling_type": kind}))
            got = server.post("/v1/embeddings", {"model": "golden", "input": ["a river " * 12, "x"]})
            assert got.status_code == 200, got.text
            vectors.append([x for d in got.json()["data"] for x in d["embedding"]])
            assert server.stop() == 0, server.log
        assert vectors[1] == pytest.approx(vectors[0], abs=1e-4)


def test_a_gpu_that_hangs_is_given_up(folder, gpu):
    """Requests end with a 500 that says why, and the server with an exit code for its supervisor."""
    server = serve(folder, "host", "--step-timeout-ms", 1)
    body = {"model": "golden", "prompt": "a river " * 12, "max_tokens": 4}
    got = server.post("/v1/completions", body)
    assert got.status_code == 500 and "did not finish a step within" in got.json()["error"]["message"]
    for _ in range(2):
        try:
            assert server.post("/v1/completions", body).status_code in (500, 503)
        except OSError:
            break  # it has ended
    assert server.process.wait(20) == 1
    assert "event=device_lost" in server.log


def test_a_missing_gpu_is_one_sentence(folder):
    for device in ("metal", "cuda"):
        if device == "metal" and os.uname().sysname == "Darwin":
            continue
        done = subprocess.run([VMETAL, "serve", str(folder), "--port", "0", "--device", device], capture_output=True,
                              text=True, timeout=60)
        if done.returncode == 0 or "--device cpu" not in done.stderr:
            pytest.skip(f"this machine has {device}")
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].endswith("--device cpu runs without a GPU")
