"""Embeddings, scores and rankings over HTTP: a tiny Qwen3 whose tokens are bytes, against transformers' own numbers
(tests/golden/make_pooling.py), with the official clients."""

import base64
import concurrent.futures
import json
import math
import pathlib
import shutil
import struct

import ollama
import openai
import pytest

from conftest import Server
from test_docker_model_runner import byte_letters

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/qwen3"
WANT = json.loads((GOLDEN / "pooling.json").read_text())
TEXTS = [t["text"] for t in WANT["texts"]]
EOS, CONTEXT, WIDTH = WANT["eos"], WANT["context"], 64
SMALL = ["--kv-cache-memory-bytes", "200000000", "--kv-cache-dtype", "float32", "--served-model-name", "tiny"]
RERANKER = ["--hf-overrides", json.dumps({"architectures": ["Qwen3ForSequenceClassification"],
                                          "classifier_from_token": ["n", "y"], "is_original_qwen3_reranker": True})]
SENTENCE = "sentence_transformers.models."


def tokenizer(appends_eos):
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(255)} | {"<|endoftext|>": EOS}
    template = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
                                                         {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}],
                "pair": [], "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [EOS],
                                                                 "tokens": ["<|endoftext|>"]}}}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"version": "1.0", "normalizer": None, "pre_tokenizer": level, "decoder": level,
            "added_tokens": [{"id": EOS, "content": "<|endoftext|>", "special": True, "single_word": False,
                              "lstrip": False, "rstrip": False, "normalized": False}],
            "post_processor": template if appends_eos else None,
            "model": {"type": "BPE", "vocab": vocab, "merges": []}}


def backbone(source, target):
    """The checkpoint as Sentence-Transformers saves it: no "model." before its names."""
    data = source.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = {k.removeprefix("model."): v for k, v in json.loads(data[8:8 + size]).items()}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])


def with_score(source, target, rows=1):
    """The checkpoint as a sequence classifier: "score.weight", whose first row tells "y" from "n"."""
    data = source.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    begin = 8 + size + header["model.embed_tokens.weight"]["data_offsets"][0]

    def row(token):  # bfloat16
        halves = struct.unpack(f"<{WIDTH}H", data[begin + 2 * WIDTH * token:begin + 2 * WIDTH * (token + 1)])
        return [struct.unpack("<f", struct.pack("<I", h << 16))[0] for h in halves]

    weight = struct.pack(f"<{WIDTH}f", *(y - n for y, n in zip(row(ord("y")), row(ord("n"))))) * rows
    end = len(data) - 8 - size
    header["score.weight"] = {"dtype": "F32", "shape": [rows, WIDTH], "data_offsets": [end, end + len(weight)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:] + weight)


def make_model(folder, mode=None, normalizes=True, appends_eos=True, bare=False, **config):
    folder.mkdir(parents=True)
    if bare:
        backbone(GOLDEN / "model.safetensors", folder / "model.safetensors")
    else:
        shutil.copy(GOLDEN / "model.safetensors", folder)
    own = json.loads((GOLDEN / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**own, "max_position_embeddings": CONTEXT, **config}))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(appends_eos)))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "pad_token": "<|endoftext|>", "chat_template": "{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}"
                                                       "{% if add_generation_prompt %}!{% endif %}"}))
    if mode:
        modules = ["Transformer", "Pooling"] + ["Normalize"] * normalizes
        (folder / "modules.json").write_text(json.dumps(
            [{"idx": i, "name": str(i), "path": f"{i}_{m}" if i else "", "type": SENTENCE + m}
             for i, m in enumerate(modules)]))
        (folder / "1_Pooling").mkdir()
        flags = ["cls_token", "mean_tokens", "max_tokens", "lasttoken"]
        (folder / "1_Pooling/config.json").write_text(json.dumps(
            {"word_embedding_dimension": WIDTH, **{f"pooling_mode_{f}": f == mode for f in flags}}))
    return folder


def gguf_string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def make_gguf(path, **more):
    """The golden GGUF with a tokenizer of bytes that ends texts, and whatever else is given as numbers."""
    letters = byte_letters()
    tokens = [letters[b] for b in range(255)] + ["<|endoftext|>"]
    u32, boolean, text, array = 4, 7, 8, 9
    pairs = [("tokenizer.ggml.model", text, gguf_string("gpt2")), ("tokenizer.ggml.pre", text, gguf_string("gpt-2")),
             ("tokenizer.ggml.tokens", array, struct.pack("<IQ", text, 256) + b"".join(map(gguf_string, tokens))),
             ("tokenizer.ggml.token_type", array, struct.pack("<IQ", u32, 256) + struct.pack("<256I", *[1] * 255, 3)),
             ("tokenizer.ggml.add_eos_token", boolean, b"\1")]
    pairs += [(k.replace("__", "."), u32, struct.pack("<I", v)) for k, v in more.items()]
    block = b"".join(gguf_string(k) + struct.pack("<I", kind) + value for k, kind, value in pairs)
    pad = gguf_string("pad") + struct.pack("<I", text) + struct.pack("<Q", 0)
    block += pad[:-8] + gguf_string("-" * (-(len(block) + len(pad)) % 32))  # tensors stay where they are aligned
    data = (GOLDEN / "model.gguf").read_bytes()
    magic, version, num_tensors, num_pairs = struct.unpack("<4sIQQ", data[:24])
    path.write_bytes(struct.pack("<4sIQQ", magic, version, num_tensors, num_pairs + len(pairs) + 1) + block + data[24:])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pooling")


@pytest.fixture(scope="module")
def embedder(folder):
    """As Qwen3-Embedding comes: last token, normalised, a bare decoder; and as a Matryoshka model says of itself."""
    path = make_model(folder / "embedder", "lasttoken", bare=True, is_matryoshka=True)
    s = Server(*SMALL, model=path)
    yield s
    assert s.stop() == 0, s.log


@pytest.fixture(scope="module")
def reranker(folder):
    s = Server(*SMALL, *RERANKER, model=make_model(folder / "reranker", appends_eos=False))
    yield s
    assert s.stop() == 0, s.log


def unit(v):
    norm = math.sqrt(sum(x * x for x in v))
    return [x / norm for x in v]


def cosine(a, b):
    return sum(x * y for x, y in zip(unit(a), unit(b)))


def assert_same_direction(got, want):
    assert len(got) == len(want)
    assert 1 - cosine(got, want) <= 1e-6
    assert max(abs(x - y) for x, y in zip(unit(got), unit(want))) <= 1e-4


def embed(server, input, **more):
    answer = server.post("/v1/embeddings", {"model": "tiny", "input": input, **more})
    assert answer.status_code == 200, answer.text
    return [d["embedding"] for d in answer.json()["data"]]


def refused(server, path, body, status=400):
    answer = server.post(path, body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert isinstance(error, str) or error["code"] == status
    return error


# ---- numbers


@pytest.mark.parametrize("mode, key", [("lasttoken", "last"), ("mean_tokens", "mean"), ("cls_token", "cls")])
def test_vectors_are_those_of_transformers(folder, mode, key):
    path = make_model(folder / f"as-{key}", mode)
    s = Server(*SMALL, "--no-enable-prefix-caching", model=path)
    alone = [embed(s, t)[0] for t in TEXTS]
    together = embed(s, TEXTS)
    s.stop()
    # In steps of 5 tokens, and with the blocks of earlier prompts to find.
    cut = Server(*SMALL, "--max-num-batched-tokens", "5", "--max-num-seqs", "4", model=path)
    pieces = [embed(cut, TEXTS), embed(cut, TEXTS)]
    cut.stop()
    assert together == alone
    assert pieces == [alone, alone]
    for got, want in zip(alone, WANT["texts"]):
        assert_same_direction(got, want[key])
        assert abs(sum(x * x for x in got) - 1) <= 1e-6


def test_flags_decide_where_files_say_nothing(folder):
    path = make_model(folder / "plain")
    s = Server(*SMALL, "--runner", "pooling", "--override-pooler-config",
               '{"pooling_type": "MEAN", "use_activation": false, "dimensions": 16}', model=path)
    got = embed(s, TEXTS[1])[0]
    s.stop()
    want = WANT["texts"][1]["mean"][:16]
    assert max(abs(x - y) for x, y in zip(got, want)) <= 1e-4
    s = Server(*SMALL, "--runner", "pooling", model=path)  # last token, normalised
    assert_same_direction(embed(s, TEXTS[1])[0], WANT["texts"][1]["last"])
    s.stop()


def test_a_bare_decoder_is_there_to_pool(folder):
    path = make_model(folder / "backbone", bare=True, architectures=["Qwen3Model"])
    s = Server(*SMALL, model=path)
    assert_same_direction(embed(s, TEXTS[2])[0], WANT["texts"][2]["last"])
    s.stop()


@pytest.mark.parametrize("number, key", [(1, "mean"), (2, "cls"), (3, "last")])
def test_a_gguf_says_how_it_is_pooled(folder, number, key):
    s = Server(*SMALL, model=make_gguf(folder / f"{key}.gguf", qwen3__pooling_type=number))
    got = embed(s, TEXTS[1])[0]
    s.stop()
    assert_same_direction(got, WANT["texts"][1][key])


def test_a_gguf_that_ranks(folder):
    """Written as llama.cpp's converter writes Qwen3-Reranker; llama-server gives the same scores of it."""
    s = Server(*SMALL, model=GOLDEN / "rank.gguf")
    pairs = WANT["pairs"]
    body = {"query": pairs[0]["query"], "documents": [p["document"] for p in pairs]}
    answer = s.post("/rerank", body).json()
    s.stop()
    assert answer["usage"]["prompt_tokens"] == sum(p["num_tokens"] for p in pairs)
    for r in answer["results"]:
        pair = pairs[r["index"]]
        assert abs(r["relevance_score"] - 1 / (1 + math.exp(pair["no"] - pair["yes"]))) <= 1e-4
    s = Server(*SMALL, "--runner", "generate", model=GOLDEN / "rank.gguf")
    assert s.post("/v1/completions", {"prompt": "a", "max_tokens": 2}).status_code == 200
    s.stop()


@pytest.mark.parametrize("number, words", [(4, "no tensor 'cls.output.weight'"), (5, "qwen3.pooling_type is 5")])
def test_a_gguf_that_can_not_be_pooled_is_refused(folder, number, words):
    s = Server(*SMALL, model=make_gguf(folder / "other.gguf", qwen3__pooling_type=number), wait=False)
    assert s.process.wait(60) == 1
    s.thread.join(5)
    assert words in s.lines[-1], s.log


def test_without_normalize_the_vector_is_the_state(folder):
    s = Server(*SMALL, model=make_model(folder / "raw", "lasttoken", normalizes=False))
    got, want = embed(s, TEXTS[1])[0], WANT["texts"][1]["last"]
    forced = embed(s, TEXTS[1], use_activation=True)[0]
    s.stop()
    assert max(abs(x - y) for x, y in zip(got, want)) <= 1e-4
    assert abs(sum(x * x for x in forced) - 1) <= 1e-6


def test_rankings_are_those_of_transformers(reranker):
    pairs = WANT["pairs"]
    want = [1 / (1 + math.exp(p["no"] - p["yes"])) for p in pairs]
    query, documents = pairs[0]["query"], [p["document"] for p in pairs]
    answer = reranker.post("/v1/score", {"model": "tiny", "text_1": query, "text_2": documents}).json()
    scores = [d["score"] for d in answer["data"]]
    assert max(abs(a - b) for a, b in zip(scores, want)) <= 1e-4
    assert answer["object"] == "list" and answer["id"].startswith("score-") and answer["model"] == "tiny"
    assert [(d["index"], d["object"]) for d in answer["data"]] == [(i, "score") for i in range(3)]
    num_tokens = sum(p["num_tokens"] for p in pairs)
    assert answer["usage"] == {"prompt_tokens": num_tokens, "total_tokens": num_tokens, "completion_tokens": 0,
                               "prompt_tokens_details": None}
    ranking = reranker.post("/v2/rerank", {"query": query, "documents": documents}).json()
    order = sorted(range(3), key=lambda i: -want[i])
    assert [r["index"] for r in ranking["results"]] == order
    assert [r["relevance_score"] for r in ranking["results"]] == [scores[i] for i in order]
    assert ranking["results"][0]["document"] == {"text": documents[order[0]], "multi_modal": None}
    assert ranking["usage"] == {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    assert set(ranking) == {"id", "model", "usage", "results"}
    raw = reranker.post("/score", {"queries": [query] * 3, "documents": documents, "use_activation": False}).json()
    assert max(abs(d["score"] - (p["yes"] - p["no"])) for d, p in zip(raw["data"], pairs)) <= 1e-4


def test_a_sequence_classifier_has_its_weight(folder):
    path = make_model(folder / "classifier", appends_eos=False, architectures=["Qwen3ForSequenceClassification"],
                      is_original_qwen3_reranker=True)
    with_score(GOLDEN / "model.safetensors", path / "model.safetensors")
    s = Server(*SMALL, model=path)
    pairs = WANT["pairs"]
    body = {"text_1": pairs[0]["query"], "text_2": [p["document"] for p in pairs]}
    scores = [d["score"] for d in s.post("/score", body).json()["data"]]
    s.stop()
    assert max(abs(x - 1 / (1 + math.exp(p["no"] - p["yes"]))) for x, p in zip(scores, pairs)) <= 1e-4
    with_score(GOLDEN / "model.safetensors", path / "model.safetensors", rows=2)
    s = Server(*SMALL, model=path, wait=False)
    assert s.process.wait(60) == 1
    s.thread.join(5)
    assert "score.weight is [2, 64] F32, expected [1, 64]" in s.lines[-1]


def test_a_template_of_the_server_frames_the_pair(folder):
    template = '{{ instruction | default("rank") }}|{{ messages[0].content }}|{{ messages[1].content }}|{{ tone }}'
    path = make_model(folder / "templated", appends_eos=False)
    s = Server(*SMALL, *RERANKER, "--chat-template", template, model=path)
    body = {"text_1": "q", "text_2": "d", "instruction": "judge", "chat_template_kwargs": {"tone": "dry"}}
    answer = s.post("/score", body).json()
    assert answer["usage"]["prompt_tokens"] == len("judge|q|d|dry")
    s.stop()


def test_texts_are_cut_for_the_judge(reranker):
    whole = WANT["pairs"][0]
    body = {"query": "abcdefgh", "documents": ["0123456789", "012"], "max_tokens_per_query": 3, "max_tokens_per_doc": 4}
    cut = reranker.post("/rerank", body).json()
    plain = reranker.post("/rerank", {"query": "abc", "documents": ["0123", "012"]}).json()
    assert [r["relevance_score"] for r in cut["results"]] == [r["relevance_score"] for r in plain["results"]]
    assert sorted(r["document"]["text"] for r in cut["results"]) == ["012", "0123456789"]
    few = reranker.post("/rerank", {"query": whole["query"], "documents": ["a", "b", "c"], "top_n": 2}).json()
    assert len(few["results"]) == 2


def test_vectors_score_by_their_angle(embedder):
    want = [t["last"] for t in WANT["texts"]]
    body = {"text_1": TEXTS[0], "text_2": TEXTS[1:]}
    scores = [d["score"] for d in embedder.post("/score", body).json()["data"]]
    assert max(abs(s - cosine(want[0], w)) for s, w in zip(scores, want[1:])) <= 1e-4
    same = embedder.post("/v1/rerank", {"query": TEXTS[1], "documents": TEXTS[:2]}).json()
    assert same["results"][0]["index"] == 1 and abs(same["results"][0]["relevance_score"] - 1) <= 1e-6
    # vLLM counts the query with each document, and a padding token between them.
    sizes = [len(t.encode()) + 1 for t in TEXTS]
    assert same["usage"]["prompt_tokens"] == 2 * sizes[1] + sizes[0] + sizes[1] + 2


# ---- clients and shapes


def test_the_openai_client_reads_vectors(embedder):
    client = embedder.client()
    answer = client.embeddings.create(model="tiny", input=TEXTS)  # base64 inside
    plain = client.embeddings.create(model="tiny", input=TEXTS, encoding_format="float")
    for got, other, want in zip(answer.data, plain.data, WANT["texts"]):
        assert_same_direction(got.embedding, want["last"])
        assert max(abs(a - b) for a, b in zip(got.embedding, other.embedding)) <= 1e-7
    num_tokens = sum(len(t.encode()) + 1 for t in TEXTS)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (num_tokens, num_tokens)
    assert answer.model == "tiny" and answer.object == "list" and [d.index for d in answer.data] == [0, 1, 2, 3]
    short = client.embeddings.create(model="tiny", input=TEXTS[1], dimensions=8).data[0].embedding
    assert_same_direction(short, WANT["texts"][1]["last"][:8])
    assert abs(sum(x * x for x in short) - 1) <= 1e-6
    assert [m.id for m in client.models.list().data] == ["tiny"]


def test_the_shape_of_an_answer(embedder):
    answer = embedder.post("/v1/embeddings", {"input": "a", "user": "u", "unknown": 1, "stream": True, "n": 3,
                                              "temperature": "hot", "encoding_format": "base64"},
                           headers={"X-Request-Id": "mine"}).json()
    vector = struct.unpack(f"<{WIDTH}f", base64.b64decode(answer["data"][0].pop("embedding")))
    assert_same_direction(vector, WANT["texts"][0]["last"])
    assert answer.pop("created") > 1.6e9
    assert answer == {"id": "embd-mine", "object": "list", "model": "tiny", "data": [{"index": 0, "object": "embedding"}],
                      "usage": {"prompt_tokens": 2, "total_tokens": 2, "completion_tokens": 0,
                                "prompt_tokens_details": None}}


def test_inputs_of_every_form(embedder):
    text = embed(embedder, "abc")[0]
    ids = [*b"abc", EOS]
    assert embed(embedder, ids) == [text]
    assert embed(embedder, [ids, ids[:1]])[0] == text
    assert embed(embedder, ["abc", "d"])[0] == text
    assert embed(embedder, "abc", add_special_tokens=False) == embed(embedder, ids[:3])
    messages = {"messages": [{"role": "user", "content": "hi"}]}
    chat = embedder.post("/v1/embeddings", messages).json()
    assert chat["data"][0]["embedding"] == embed(embedder, list(b"user:hi"))[0]
    opened = embedder.post("/v1/embeddings", {**messages, "add_generation_prompt": True}).json()
    assert opened["data"][0]["embedding"] == embed(embedder, list(b"user:hi!"))[0]


def test_truncation_keeps_what_the_tokenizer_adds(embedder):
    assert embed(embedder, "abcdef", truncate_prompt_tokens=4) == embed(embedder, "abc")
    assert embed(embedder, "abcdef", truncate_prompt_tokens=4, truncation_side="left") == embed(embedder, "def")
    assert embed(embedder, "abc", truncate_prompt_tokens=4) == embed(embedder, "abc")
    assert embed(embedder, "x" * 3000, truncate_prompt_tokens=-1) == embed(embedder, "x" * (CONTEXT - 1))
    assert embed(embedder, [*b"abcdef"], truncate_prompt_tokens=2) == embed(embedder, [*b"ab"])


def test_the_ollama_client_reads_vectors(embedder):
    client = ollama.Client(host=embedder.url)
    answer = client.embed(model="tiny:latest", input=TEXTS[:2])
    for got, want in zip(answer.embeddings, WANT["texts"]):
        assert_same_direction(list(got), want["last"])
    assert answer.model == "tiny:latest" and answer.prompt_eval_count == sum(len(t.encode()) + 1 for t in TEXTS[:2])
    assert len(client.embed(model="tiny", input="a", dimensions=10).embeddings[0]) == 10
    assert list(client.embed(model="tiny", input="").embeddings) == []
    old = list(client.embeddings(model="tiny", prompt=TEXTS[1]).embedding)
    assert max(abs(x - y) for x, y in zip(old, WANT["texts"][1]["last"])) <= 1e-4  # not normalised
    long = client.embed(model="tiny", input="x" * 3000)
    assert long.prompt_eval_count == CONTEXT
    with pytest.raises(ollama.ResponseError) as refused_:
        client.embed(model="tiny", input="x" * 3000, truncate=False)
    assert refused_.value.status_code == 400 and str(CONTEXT) in refused_.value.error
    with pytest.raises(ollama.ResponseError) as missing:
        client.embed(model="other", input="a")
    assert missing.value.status_code == 404
    assert embedder.post("/api/show", {"model": "tiny"}).json()["capabilities"][0] == "embedding"


# ---- refusals


BAD = [
    ({}, "input", "Field required"),
    ({"input": None}, "input", "Field required"),
    ({"input": []}, "input", "empty"),
    ({"input": 5}, "input", "Input should be"),
    ({"input": ["a", 1]}, "input", "Input should be"),
    ({"input": [1, "a"]}, "input", "Input should be"),
    ({"input": [[1], []]}, "input", "text 1 has no tokens"),
    ({"input": [256]}, "input", "out of vocabulary"),
    ({"input": [-1]}, "input", "out of vocabulary"),
    ({"input": ["a"] * 2049}, "input", "2049 entries, the limit is 2048"),
    ({"input": "x" * 1024}, "input_tokens", "maximum context length is 1024"),
    ({"input": "a", "dimensions": 65}, "dimensions", "1 to 64"),
    ({"input": "a", "dimensions": 0}, "dimensions", "1 to 64"),
    ({"input": "a", "dimensions": "x"}, "dimensions", ""),
    ({"input": "a", "encoding_format": "bytes"}, "encoding_format", "'float' or 'base64'"),
    ({"input": "a", "embed_dtype": "float16"}, "embed_dtype", "float32"),
    ({"input": "a", "endianness": "big"}, "endianness", "little"),
    ({"input": "a", "normalize": True}, "normalize", "use_activation"),
    ({"input": "a", "use_activation": "maybe"}, "use_activation", "boolean"),
    ({"input": "a", "truncate_prompt_tokens": -2}, "truncate_prompt_tokens", "at least -1"),
    ({"input": "a", "truncate_prompt_tokens": 1025}, "truncate_prompt_tokens", "1024"),
    ({"input": "a", "truncate_prompt_tokens": 0}, "input", "no tokens"),
    ({"input": "a", "truncation_side": "up"}, "truncation_side", "left"),
    ({"input": "a", "cache_salt": ""}, "cache_salt", "non-empty"),
    ({"messages": []}, "messages", ""),
]


@pytest.mark.parametrize("body, param, words", BAD, ids=lambda v: str(v)[:40])
def test_bad_embeddings_are_named(embedder, body, param, words):
    error = refused(embedder, "/v1/embeddings", body)
    assert words in error["message"] and (error["param"] == param or param == "messages"), error


BAD_PAIRS = [
    ("/score", {}, "Field required"),
    ("/score", {"text_1": "a"}, "text_2"),
    ("/score", {"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "1:1, 1:N or N:N"),
    ("/score", {"text_1": [], "text_2": ["c"]}, "At least one text element"),
    ("/score", {"text_1": "a", "text_2": []}, "At least one text_pair element"),
    ("/score", {"queries": "a", "items": [1]}, "string"),
    ("/score", {"text_1": "a", "text_2": "b", "max_tokens_per_doc": -1}, "non-negative"),
    ("/score", {"text_1": "a", "text_2": "b", "max_tokens_per_query": 1024}, "less than max_model_len"),
    ("/rerank", {"query": "a"}, "documents"),
    ("/rerank", {"documents": ["a"]}, "query"),
    ("/rerank", {"query": ["a"], "documents": ["a"]}, "query"),
    ("/rerank", {"query": "a", "documents": [{"content": [{"type": "image_url"}]}]}, "text only"),
    ("/rerank", {"query": "a", "documents": ["b"] * 2049}, "the limit is 2048"),
    ("/rerank", {"query": "a", "documents": ["b"], "chat_template_kwargs": 3}, "chat_template_kwargs"),
    ("/rerank", {"query": "a", "documents": ["x" * 1100]}, "maximum context length"),
]


@pytest.mark.parametrize("path, body, words", BAD_PAIRS, ids=lambda v: str(v)[:40])
def test_bad_pairs_are_named(embedder, reranker, path, body, words):
    for server in (embedder, reranker):
        assert words in refused(server, path, body)["message"]


def test_lengths_only_where_the_model_allows(folder):
    path = make_model(folder / "fixed", "lasttoken")
    s = Server(*SMALL, model=path)
    assert "matryoshka" in refused(s, "/v1/embeddings", {"input": "a", "dimensions": 8})["message"]
    s.stop()
    s = Server(*SMALL, "--hf-overrides", '{"matryoshka_dimensions": [8, 32]}', model=path)
    assert len(embed(s, "a", dimensions=32)[0]) == 32
    assert "other lengths" in refused(s, "/v1/embeddings", {"input": "a", "dimensions": 16})["message"]
    s.stop()


def test_a_server_does_one_thing(server, embedder, reranker):
    """vLLM serves no embeddings from a server that generates, and no text from one that pools."""
    chat = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    pooled = {"/v1/embeddings": {"input": "a"}, "/score": {"text_1": "a", "text_2": "b"},
              "/v1/rerank": {"query": "a", "documents": ["b"]}}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(server.post, p, b) for _ in range(8) for p, b in pooled.items()]
        chats = [pool.submit(server.post, "/v1/chat/completions", chat) for _ in range(8)]
    for call in calls:
        answer = call.result()
        assert answer.status_code == 501 and answer.json()["error"]["type"] == "NotImplementedError"
        assert "--runner pooling" in answer.json()["error"]["message"]
    assert all(c.result().status_code == 200 for c in chats)
    assert server.post("/api/embed", {"model": "SmolLM2-135M-Instruct", "input": "a"}).status_code == 501
    for s in (embedder, reranker):
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
            assert refused(s, path, {**chat, "prompt": "a", "input": "a"}, 501)["type"] == "NotImplementedError"
        assert s.post("/v1/messages", {**chat, "model": "tiny"}).status_code == 501
        assert s.post("/api/chat", {**chat, "model": "tiny"}).status_code == 501
        assert s.post("/tokenize", {"prompt": "abc"}).status_code == 200
        assert s.get("/health").status_code == 200
    refused(reranker, "/v1/embeddings", {"input": "a"}, 501)
    with pytest.raises(openai.NotFoundError):
        embedder.client().embeddings.create(model="other", input="a")


STARTS = [
    (["--pooler-config", '{"pooling_type": "STEP"}'], "LAST, MEAN or CLS"),
    (["--pooler-config", '{"step_tag_id": 3}'], "step_tag_id is not supported"),
    (["--pooler-config", '{"dimensions": 65}'], "1 to 64"),
    (["--hf-overrides", '{"rope_theta": 1}'], "rope_theta is not supported"),
    (["--hf-overrides", '{"architectures": ["BertModel"]}'], "BertModel"),
    (["--hf-overrides", '{"classifier_from_token": ["n", "nonesuch"]}'], "classifier_from_token"),
    (["--hf-overrides", '{"classifier_from_token": ["n", "y"]}'], "from_2_way_softmax"),
    (["--hf-overrides", '{"architectures": ["Qwen3ForSequenceClassification"]}'], "no tensor 'score.weight'"),
    (["--runner", "pooling", "--convert", "classify"], "classifier_from_token"),
]


@pytest.mark.parametrize("flags, words", STARTS, ids=lambda v: str(v)[:50])
def test_a_start_that_can_not_be_names_why(folder, flags, words):
    path = folder / "start"
    if not path.exists():
        make_model(path)
    s = Server(*SMALL, *flags, model=path, wait=False)
    assert s.process.wait(60) == 1
    s.thread.join(5)
    assert words in s.lines[-1], s.log


@pytest.mark.parametrize("files, words", [
    ({"config.json": {"architectures": ["BertModel"]}}, "architecture BertModel is not supported"),
    ({"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}, "pooling by max is not supported"),
    ({"1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}}, "2 ways"),
    ({"modules.json": [{"type": SENTENCE + "Dense", "path": "2_Dense"}]}, "module Dense is not supported"),
    ({"modules.json": [{"type": SENTENCE + "Pooling", "path": "../.."}]}, "can't be a module's folder"),
    ({"modules.json": [{"type": SENTENCE + "Pooling", "path": "elsewhere"}]}, "which is not there"),
])
def test_files_that_can_not_be_served_are_named(tmp_path, files, words):
    path = make_model(tmp_path / "m", "lasttoken")
    for name, content in files.items():
        (path / name).write_text(json.dumps(content))
    s = Server(*SMALL, model=path, wait=False)
    assert s.process.wait(60) == 1
    s.thread.join(5)
    assert words in s.lines[-1], s.log


# ---- load


def test_a_hundred_at_once_are_the_same_as_alone(embedder):
    texts = [f"{i} " + "word " * (i % 40) for i in range(100)]
    alone = {t: embed(embedder, t)[0] for t in texts[:5]}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        singles = list(pool.map(lambda t: embed(embedder, t)[0], texts))
    assert singles == embed(embedder, texts)
    assert all(singles[i] == alone[texts[i]] for i in range(5))
    assert embedder.idle()


def test_metrics_count_what_is_pooled(embedder):
    embedder.idle()
    before = embedder.metrics()
    embed(embedder, ["abc", "defgh"])
    after = embedder.metrics()
    grown = {k: after[k] - before.get(k, 0) for k in after}
    assert sum(v for k, v in grown.items() if k.startswith("vllm:prompt_tokens_total")) == 4 + 6
    assert sum(v for k, v in grown.items() if k.startswith("vllm:request_success_total") and '"stop"' in k) == 2
    assert sum(v for k, v in grown.items() if k.startswith("vllm:generation_tokens_total")) == 0


def test_a_full_queue_is_an_answer(folder):
    s = Server(*SMALL, "--max-requests", "2", model=make_model(folder / "queue", "mean_tokens"))
    body = {"input": ["word " * 100] * 200}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: s.post("/v1/embeddings", body), range(12)))
    statuses = {a.status_code for a in answers}
    assert statuses <= {200, 503} and 200 in statuses and 503 in statuses
    assert all(a.headers["Retry-After"] for a in answers if a.status_code == 503)
    assert s.idle() and s.get("/v1/models").status_code == 200
    s.stop()


def test_docker_model_runner_embeds(folder):
    s = Server("--runner", "pooling", "--served-model-name", "sha256:1", "ai/tiny", model=folder / "embedder")
    answer = s.post("/engines/vllm/v1/embeddings", {"model": "ai/tiny", "input": "a"})
    assert answer.status_code == 200 and answer.json()["model"] == "ai/tiny"
    ranking = s.post("/engines/rerank", {"model": "ai/tiny", "query": "a", "documents": ["a"]})
    assert ranking.status_code == 200 and len(ranking.json()["results"]) == 1
    s.stop()
