"""The official client against the real model."""

import pytest
from openai import BadRequestError, NotFoundError

from conftest import MODEL

CHAT = [{"role": "user", "content": "Name three planets of the solar system."}]


def test_models(client):
    models = client.models.list().data
    assert [m.id for m in models] == [MODEL]
    assert models[0].owned_by == "vllm"
    assert models[0].max_model_len > 0
    assert client.models.retrieve(MODEL).id == MODEL


def test_chat_answers(client):
    got = client.chat.completions.create(model=MODEL, messages=CHAT, temperature=0, max_tokens=40)
    assert "Mars" in got.choices[0].message.content
    assert got.choices[0].finish_reason in ("stop", "length")
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
    assert got.id.startswith("chatcmpl-")


def test_stream_equals_whole(client):
    kw = dict(model=MODEL, messages=CHAT, temperature=0, max_tokens=48)
    whole = client.chat.completions.create(**kw)
    chunks = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **kw))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert finishes == [whole.choices[0].finish_reason]
    assert len({c.id for c in chunks}) == 1


def test_completion_and_echo(client):
    kw = dict(model=MODEL, prompt="The sky is", temperature=0, max_tokens=8)
    plain = client.completions.create(**kw)
    echoed = client.completions.create(echo=True, **kw)
    assert echoed.choices[0].text == "The sky is" + plain.choices[0].text
    streamed = "".join(c.choices[0].text for c in client.completions.create(stream=True, **kw) if c.choices)
    assert streamed == plain.choices[0].text
    nothing = client.completions.create(model=MODEL, prompt="The sky is", echo=True, max_tokens=0)
    assert nothing.choices[0].text == "The sky is"


def test_prompt_forms(client, server):
    ids = server.post("/tokenize", {"prompt": "Once upon a time"}).json()["tokens"]
    kw = dict(model=MODEL, temperature=0, max_tokens=6)
    a = client.completions.create(prompt="Once upon a time", **kw).choices[0].text
    b = client.completions.create(prompt=ids, **kw).choices[0].text
    both = client.completions.create(prompt=["Once upon a time", "The sky is"], **kw).choices
    assert a == b == both[0].text
    assert [c.index for c in both] == [0, 1]


def test_seed_repeats_and_differs(client):
    def ask(seed, n=1):
        got = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Tell a tale."}],
                                             temperature=1.0, seed=seed, max_tokens=24, n=n)
        return [c.message.content for c in got.choices]

    assert ask(7) == ask(7)
    assert ask(7) != ask(8)
    three = ask(7, n=3)
    assert len(set(three)) > 1 and three[0] == ask(7)[0]


def test_stop_string_across_tokens(client):
    kw = dict(model=MODEL, prompt="Count: one two three four five six seven eight nine ten eleven", temperature=0,
              max_tokens=60)
    full = client.completions.create(**kw).choices[0].text
    needle = full[7:12]
    cut = client.completions.create(stop=[needle], **kw).choices[0]
    assert cut.text == full[:full.index(needle)]
    assert cut.finish_reason == "stop"
    kept = client.completions.create(stop=[needle], extra_body={"include_stop_str_in_output": True}, **kw).choices[0]
    assert kept.text == full[:full.index(needle)] + needle
    streamed = list(client.completions.create(stop=[needle], stream=True, **kw))
    assert "".join(c.choices[0].text for c in streamed) == cut.text


def test_logprobs(client):
    got = client.chat.completions.create(model=MODEL, messages=CHAT, temperature=0, max_tokens=5, logprobs=True,
                                         top_logprobs=3)
    content = got.choices[0].logprobs.content
    assert len(content) == 5
    for entry in content:
        assert len(entry.top_logprobs) == 3 and entry.logprob <= 0
        assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob)
    assert b"".join(bytes(e.bytes) for e in content).decode() == got.choices[0].message.content
    old = client.completions.create(model=MODEL, prompt="The sky is", max_tokens=3, temperature=0, logprobs=2, echo=True)
    lp = old.choices[0].logprobs
    assert lp.token_logprobs[0] is None and all(x <= 0 for x in lp.token_logprobs[1:])
    assert "".join(lp.tokens) == old.choices[0].text
    assert len(lp.text_offset) == len(lp.tokens)


def test_penalties_and_bias(client):
    bias = client.chat.completions.create(model=MODEL, messages=CHAT, temperature=0, max_tokens=3,
                                          extra_body={"allowed_token_ids": [100]})
    assert bias.usage.completion_tokens == 3
    a = client.completions.create(model=MODEL, prompt="a a a a a a", temperature=0, max_tokens=20).choices[0].text
    b = client.completions.create(model=MODEL, prompt="a a a a a a", temperature=0, max_tokens=20,
                                  extra_body={"repetition_penalty": 1.8}).choices[0].text
    assert a != b


def test_unknown_model(client):
    with pytest.raises(NotFoundError) as e:
        client.chat.completions.create(model="nope", messages=CHAT)
    assert e.value.body["param"] == "model" and e.value.body["type"] == "NotFoundError"


@pytest.mark.parametrize("field,value", [("temperature", 3), ("top_p", 0), ("top_p", 1.5), ("n", 0), ("max_tokens", 0),
                                         ("presence_penalty", 9), ("top_logprobs", 2), ("stop", [""]),
                                         ("temperature", "hot"), ("messages", "hi"), ("messages", [])])
def test_bad_fields(server, field, value):
    body = {"model": MODEL, "messages": CHAT, field: value}
    got = server.post("/v1/chat/completions", body)
    assert got.status_code == 400, got.text
    error = got.json()["error"]
    assert error["code"] == 400 and error["message"]
    assert field in (error["param"] or "") or field in error["message"]


def test_context_limit(client):
    with pytest.raises(BadRequestError) as e:
        client.completions.create(model=MODEL, prompt="word " * 20000, max_tokens=5)
    assert "maximum context length" in e.value.body["message"]


def test_tokenize_round_trip(server):
    text = "Grüße, 世界! 👋🏽  tabs\tand\nlines"
    got = server.post("/tokenize", {"prompt": text, "return_token_strs": True}).json()
    assert got["count"] == len(got["tokens"]) == len(got["token_strs"])
    assert server.post("/detokenize", {"tokens": got["tokens"]}).json()["prompt"] == text
    chat = server.post("/tokenize", {"messages": CHAT}).json()
    assert chat["count"] > 8
