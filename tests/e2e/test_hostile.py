"""Requests that mean harm, or are nonsense: each is refused in its API's own words, names the field, and keeps the event
loop from nobody else for longer than 5 ms of its own time."""

import json

import pytest
import requests

from conftest import MODEL, Server
from test_tools import TEMPLATE

TURN_MAX_S = 0.005
ATTEMPTS = 3  # a stall comes back each time, the machine's noise does not
USER = [{"role": "user", "content": "hi"}]
IMAGE = "A" * 20_000_000
WORDS = "x " * 30_000_000  # 60 MB
DEEP = {"type": "object"}
for _ in range(110):
    DEEP = {"type": "object", "properties": {"a": DEEP}, "required": ["a"]}
NESTED = "[" * 200_000 + "]" * 200_000


@pytest.fixture(scope="module")
def target(tmp_path_factory, model_file):
    """With a template that knows tools and reasoning, so that requests get as far as they can."""
    page = tmp_path_factory.mktemp("hostile") / "template.jinja"
    page.write_text("{% if tools %}<tool_call>{{ tools | tojson }}{% endif %}{# </think> #}" + TEMPLATE)
    s = Server("--chat-template", page, "--max-model-len", 2048, "--num-gpu-blocks-override", 400)
    yield s
    assert s.stop() == 0, s.log


def long_turns(server):
    """Turns of the loop above the bound, and the longest of all."""
    page = server.metrics()

    def sample(name, label=""):
        return next(v for k, v in page.items() if k.split("{")[0] == name and label in k)

    within = sample("vmetal:loop_turn_seconds_bucket", f'le="{TURN_MAX_S}"')
    return sample("vmetal:loop_turn_seconds_count") - within, sample("vmetal:loop_turn_max_seconds")


def send(server, path, body):
    """The answer, from an attempt in which no turn of the loop was too long."""
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    for _ in range(ATTEMPTS):
        before, _ = long_turns(server)
        answer = requests.post(server.url + path, data=data, timeout=120, headers={"Content-Type": "application/json"})
        after, longest = long_turns(server)
        if after == before:
            return answer
    raise AssertionError(f"a turn of the event loop took up to {longest * 1e3:.1f} ms of processor time")


def tools(count):
    return [{"type": "function", "function": {"name": f"tool_{i}", "parameters": {"type": "object"}}} for i in range(count)]


# Path, how errors look, how a plain request is made, and what each API calls the field at fault.
def openai_error(answer):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == answer.status_code
    return f"{error['param']} {error['message']}"


def anthropic_error(answer):
    body = answer.json()
    assert body["type"] == "error" and set(body["error"]) == {"type", "message"}
    assert body["error"]["type"] == {400: "invalid_request_error", 413: "request_too_large", 529: "overloaded_error"}[
        answer.status_code]
    return body["error"]["message"]


def ollama_error(answer):
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


CHAT = ("/v1/chat/completions", openai_error, {"max_tokens": 4, "messages": USER})
COMPLETIONS = ("/v1/completions", openai_error, {"max_tokens": 4, "prompt": "hi"})
MESSAGES = ("/v1/messages", anthropic_error, {"model": MODEL, "max_tokens": 4, "messages": USER})
RESPONSES = ("/v1/responses", openai_error, {"max_output_tokens": 4, "input": "hi"})
OLLAMA = ("/api/chat", ollama_error, {"model": MODEL, "messages": USER, "stream": False})


def user(content):
    return [{"role": "user", "content": content}]


REFUSED = {
    "chat nested": (CHAT, '{"messages": ' + NESTED + "}", "nested"),
    "messages nested": (MESSAGES, '{"messages": ' + NESTED + "}", "nested"),
    "responses nested": (RESPONSES, '{"input": ' + NESTED + "}", "nested"),
    "ollama nested": (OLLAMA, '{"messages": ' + NESTED + "}", "nested"),
    "chat tools": (CHAT, {"tools": tools(10_000)}, "tools"),
    "messages tools": (MESSAGES, {"tools": [{"name": f"t{i}", "input_schema": {"type": "object"}} for i in range(10_000)]}, "tools"),
    "responses tools": (RESPONSES, {"tools": [{"type": "function", "name": f"t{i}", "parameters": {}} for i in range(10_000)]}, "tools"),
    "ollama tools": (OLLAMA, {"tools": tools(10_000)}, "tools"),
    "chat tools of 50 MB": (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "description": WORDS[:50_000_000]}}]}, ""),
    "chat stops": (CHAT, {"stop": [f"s{i}" for i in range(10_000)]}, "stop"),
    "chat long stop": (CHAT, {"stop": "s" * 5_000_000}, "stop"),
    "completions stops": (COMPLETIONS, {"stop": [f"s{i}" for i in range(10_000)]}, "stop"),
    "messages stops": (MESSAGES, {"stop_sequences": [f"s{i}" for i in range(10_000)]}, "stop"),
    "responses stops": (RESPONSES, {"stop": [f"s{i}" for i in range(10_000)]}, "stop"),
    "ollama stops": (OLLAMA, {"options": {"stop": [f"s{i}" for i in range(10_000)]}}, "stop"),
    "chat image": (CHAT, {"messages": user([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + IMAGE}}])}, "messages"),
    "messages image": (MESSAGES, {"messages": user([{"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                                              "data": IMAGE}}])}, "messages.0.content"),
    "messages image in a result": (MESSAGES, {"messages": user([{"type": "tool_result", "tool_use_id": "x", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}]}])}, "messages.0.content"),
    "responses image": (RESPONSES, {"input": user([{"type": "input_image", "image_url": "data:image/png;base64," + IMAGE}])}, "input.0.content"),
    "ollama image": (OLLAMA, {"messages": [{"role": "user", "content": "x", "images": [IMAGE]}]}, "images"),
    "chat 60 MB": (CHAT, {"messages": user(WORDS)}, "messages"),
    "completions 60 MB": (COMPLETIONS, {"prompt": WORDS}, "input_tokens"),
    "messages 60 MB": (MESSAGES, {"messages": user(WORDS)}, "messages"),
    "responses 60 MB": (RESPONSES, {"input": WORDS}, "messages"),
    "ollama 60 MB": (OLLAMA, {"messages": user(WORDS)}, "messages"),
    "completions 20 million ids": (COMPLETIONS, {"prompt": [1] * 20_000_000}, "prompt"),
    "completions 2000 prompts": (COMPLETIONS, {"prompt": ["x"] * 2000}, "prompt"),
    "chat 20000 messages": (CHAT, {"messages": USER * 20_000}, "messages"),
    "chat wrong role": (CHAT, {"messages": [{"role": 5, "content": "x"}]}, "role"),
    "messages wrong role": (MESSAGES, {"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    "responses wrong role": (RESPONSES, {"input": [{"role": "robot", "content": "x"}]}, "input.0.role"),
    "chat unknown part": (CHAT, {"messages": user([{"type": "hologram", "hologram": {}}])}, "messages"),
    "chat part without a type": (CHAT, {"messages": user([{}])}, "messages"),
    "messages block that is none": (MESSAGES, {"messages": user([5])}, "messages.0.content"),
    "messages result of nothing": (MESSAGES, {"messages": user([{"type": "tool_result"}])}, "tool_use_id"),
    "responses item that is none": (RESPONSES, {"input": [5]}, "input.0"),
    "chat schema of a tool": (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "parameters": "no"}}]}, "parameters"),
    "chat arguments": (CHAT, {"messages": [*USER, {"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]}, "tool_calls"),
    "chat schema": (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "colour"}}}},
                    "response_format"),
    "messages schema": (MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": {"type": "colour"}}}},
                        "output_config"),
    "responses schema": (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "colour"}}}}, "text"),
    "ollama schema": (OLLAMA, {"format": {"type": "colour"}}, "format"),
    "chat regex that explodes": (CHAT, {"structured_outputs": {"regex": "(a|b)*a(a|b){20}"}}, "structured_outputs"),
    "chat regex of repeats": (CHAT, {"structured_outputs": {"regex": "((a{1,99}){1,99}){1,99}"}}, "structured_outputs"),
    "chat choices": (CHAT, {"structured_outputs": {"choice": [f"choice number {i}" for i in range(200_000)]}}, "structured_outputs"),
    "chat grammar": (CHAT, {"structured_outputs": {"grammar": "root ::= " + "(" * 100_000}}, "structured_outputs"),
    "chat logit bias": (CHAT, {"logit_bias": {str(i): 1 for i in range(100_000)}}, "logit_bias"),
    "chat bad words": (CHAT, {"bad_words": [f"w{i}" for i in range(20_000)]}, "bad_words"),
    "chat n": (CHAT, {"n": 16384}, "n"),
    "chat kwargs": (CHAT, {"chat_template_kwargs": {f"k{i}": 1 for i in range(1000)}}, "chat_template_kwargs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(target, case):
    (path, shape, plain), change, field = REFUSED[case]
    answer = send(target, path, change if isinstance(change, str) else {**plain, **change})
    assert answer.status_code == 400, answer.text[:300]
    assert field in shape(answer), answer.text[:300]


@pytest.mark.parametrize("api", [CHAT, COMPLETIONS, MESSAGES, RESPONSES, OLLAMA], ids=lambda api: api[0])
def test_body_beyond_the_limit(target, api):
    path, shape, _ = api
    answer = send(target, path, b'{"a": "' + b"x" * 70_000_000 + b'"}')
    assert answer.status_code == 413
    assert "67108864" in shape(answer)


def test_chunked_body_beyond_the_limit(target):
    """Its length is not known before it is too long."""
    def pieces():
        for _ in range(70):
            yield b"x" * 1_000_000

    before, _ = long_turns(target)
    try:
        answer = requests.post(target.url + "/v1/messages", data=pieces(), timeout=60, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and anthropic_error(answer)
    except requests.ConnectionError:
        pass  # refused while it was still being sent
    after, longest = long_turns(target)
    assert after == before, longest


def test_large_requests_that_are_answered(target):
    """Not refused, since agents send more than a model can use: but nobody waits for them."""
    body = {**RESPONSES[2], "stream": True, "metadata": {"a": WORDS[:20_000_000]}, "user": "u"}
    assert send(target, "/v1/responses", body).status_code == 200
    assert send(target, "/v1/responses", {**body, "stream": False, "store": False}).status_code == 200
    deep = {"type": "json_schema", "json_schema": {"name": "x", "schema": DEEP}}
    assert send(target, "/v1/chat/completions", {**CHAT[2], "response_format": deep}).status_code == 200
    assert send(target, "/v1/completions", {"prompt": ["hi"] * 64, "n": 4, "max_tokens": 2}).status_code == 200
    assert send(target, "/v1/chat/completions", {**CHAT[2], "n": 64, "logprobs": True, "top_logprobs": 20}).status_code == 200


def test_it_still_works(target):
    """After all that."""
    assert target.client().chat.completions.create(model="", messages=USER, max_tokens=4).usage.completion_tokens > 0
    assert target.idle()


def test_overloaded_in_each_apis_words(model_file):
    """A server that is full: 503, Anthropic's own 529, and each says when to come back."""
    s = Server("--max-requests", 1)
    with requests.post(s.url + "/v1/completions", stream=True, timeout=60,
                       json={"prompt": "Once", "max_tokens": 4000, "ignore_eos": True, "stream": True}) as first:
        lines = first.iter_lines()  # held: a stream that nobody reads any more is closed
        assert next(lines)
        for path, shape, plain in (CHAT, COMPLETIONS, MESSAGES, RESPONSES, OLLAMA):
            answer = s.post(path, plain)
            assert answer.status_code == (529 if path == "/v1/messages" else 503)
            assert "too many requests" in shape(answer) and answer.headers["Retry-After"] == "1"
        del lines
    assert s.stop() == 0, s.log
