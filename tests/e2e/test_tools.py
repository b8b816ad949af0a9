"""Tool calls and reasoning through the official client, over a model that says what it is told."""

import json
import re

import pytest
import requests

from conftest import Server, sse

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
]
PARIS = '{"city": "Paris", "days": 3}'
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}<|im_start|>assistant\n"

HERMES = {
    "plain": "Hello there",
    "one": 'Let me look.\n<tool_call>\n{"name": "get_weather", "arguments": ' + PARIS + "}\n</tool_call>",
    "two": '<tool_call>\n{"name": "get_weather", "arguments": ' + PARIS + "}\n</tool_call>\n"
           '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
    "long": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "' + "Paris, and " * 300 + '"}}\n</tool_call>',
    "broken": '<tool_call>\n{"name": get_weather}\n</tool_call>',
    "torn": '<tool_call>\n{"name": "get_weather", "arguments": {"city": Paris}}\n</tool_call>',
    "thinks": "<think>\nhm\n</think>\n\nHi",
    "plans": '<think>\nhm\n</think>\n\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
}

# Template that shows the dialect, what the model says, the calls, content, pattern of ids.
DIALECTS = {
    "qwen3_coder": ("<tool_call> <function=", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n"
                    "</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>", None, None),
    "glm45": ("<tool_call> <arg_key>", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
              "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", None, None),
    "mistral": ("[TOOL_CALLS]", '[TOOL_CALLS]get_weather' + PARIS, None, r"[0-9A-Za-z]{9}$"),
    "llama3_json": ("<|python_tag|>", '{"name": "get_weather", "parameters": ' + PARIS + "}", None, None),
    "llama4_pythonic": ("<|python_start|>", "[get_weather(city='Paris', days=3)]", None, None),
    "openai": ("<|channel|>analysis commentary",
               "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
               "<|constrain|>json<|message|>" + PARIS + "<|call|>", "hm", None),
    "gemma4": ("<|tool_call> <|channel>", '<|channel>thought\nhm<channel|><|tool_call>call:get_weather{city:<|"|>Paris<|"|>,'
               "days:3}<tool_call|>", "hm", None),
    "kimi_k2": ("<|tool_call_argument_begin|>",
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" + PARIS +
                "<|tool_call_end|><|tool_calls_section_end|>", None, r"functions\.get_weather:0$"),
    "deepseek_v31": ("<｜tool▁sep｜>", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>" + PARIS +
                     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", None, None),
}


def start(folder, scripts, *args, template=TEMPLATE):
    script = folder / "scripts.jsonl"
    script.write_text("".join(json.dumps({"match": f"say {k} now", "text": v}) + "\n" for k, v in scripts.items()))
    page = folder / "template.jinja"
    page.write_text(template)
    return Server("--fake-model", script, "--chat-template", page, "--num-gpu-blocks-override", 256, *args)


@pytest.fixture(scope="module")
def hermes(tmp_path_factory, model_file):
    s = start(tmp_path_factory.mktemp("hermes"), HERMES, template="{# #}{% if false %}<tool_call> </think>{% endif %}" + TEMPLATE)
    yield s
    assert s.stop() == 0, s.log


def ask(server, what, **kw):
    return server.client().chat.completions.create(
        model="", messages=[{"role": "user", "content": f"say {what} now"}], **{"tools": TOOLS, **kw})


def gather(stream):
    """What a client puts together from a stream."""
    got = {"content": "", "reasoning": "", "calls": {}, "finish": None, "deltas": 0}
    for chunk in stream:
        for choice in chunk.choices:
            delta = choice.delta
            got["content"] += delta.content or ""
            got["reasoning"] += getattr(delta, "reasoning", None) or ""
            for call in delta.tool_calls or []:
                have = got["calls"].setdefault(call.index, {"id": None, "name": "", "arguments": ""})
                have["id"] = call.id or have["id"]
                have["name"] += call.function.name or ""
                have["arguments"] += call.function.arguments or ""
                got["deltas"] += 1
            got["finish"] = choice.finish_reason or got["finish"]
    return got


@pytest.mark.parametrize("what,content,reasoning,calls", [
    ("plain", "Hello there", None, []),
    ("one", "Let me look.\n", None, [("get_weather", PARIS)]),
    ("two", None, None, [("get_weather", PARIS), ("get_time", "{}")]),
    ("broken", HERMES["broken"], None, []),
    ("thinks", "\n\nHi", "\nhm\n", []),
    ("plans", None, "\nhm\n", [("get_time", "{}")]),
])
def test_whole_and_streamed_agree(hermes, what, content, reasoning, calls):
    choice = ask(hermes, what).choices[0]
    assert choice.message.content == content
    assert choice.message.reasoning == reasoning
    assert [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or []] == calls
    assert choice.finish_reason == ("tool_calls" if calls else "stop")
    got = gather(ask(hermes, what, stream=True))
    assert (got["content"] or None, got["reasoning"] or None) == (content, reasoning)
    assert [(c["name"], c["arguments"]) for c in got["calls"].values()] == calls
    assert got["finish"] == choice.finish_reason
    for call in [*(c.id for c in choice.message.tool_calls or []), *(c["id"] for c in got["calls"].values())]:
        assert re.fullmatch(r"chatcmpl-tool-[0-9a-f]{32}", call)


def test_arguments_stream_while_they_are_generated(hermes):
    got = gather(ask(hermes, "long", stream=True))
    assert got["deltas"] > 5 and json.loads(got["calls"][0]["arguments"]) == {"city": "Paris, and " * 300}


def test_a_call_that_breaks_is_text(hermes):
    choice = ask(hermes, "torn").choices[0]
    assert choice.message.content == HERMES["torn"] and choice.message.tool_calls is None
    assert choice.finish_reason == "stop"
    for interval in (1, 2, 4, 12, 64):  # the break comes in a later chunk than the call, or in the same
        got = gather(ask(hermes, "torn", stream=True, extra_body={"stream_interval": interval}))
        assert got["content"] == HERMES["torn"] and got["finish"] == "stop"


def test_a_call_cut_by_the_limit_is_text(hermes):
    choice = ask(hermes, "one", max_completion_tokens=30).choices[0]
    assert choice.message.tool_calls is None and choice.finish_reason == "length"
    assert HERMES["one"].startswith(choice.message.content)


def test_tool_choice_none_and_no_tools_leave_text_alone(hermes):
    for kw in ({"tool_choice": "none"}, {"tools": None}):
        body = {"messages": [{"role": "user", "content": "say one now"}], "tools": TOOLS, **kw}
        message = hermes.post("/v1/chat/completions", {k: v for k, v in body.items() if v}).json()["choices"][0]["message"]
        assert message["content"] == HERMES["one"] and "tool_calls" not in message


def test_one_call_at_a_time(hermes):
    choice = ask(hermes, "two", parallel_tool_calls=False).choices[0]
    assert [c.function.name for c in choice.message.tool_calls] == ["get_weather"]
    got = gather(ask(hermes, "two", parallel_tool_calls=False, stream=True))
    assert list(got["calls"]) == [0] and got["finish"] == "tool_calls"


def test_reasoning_can_be_left_out_and_is_counted(hermes):
    answer = ask(hermes, "thinks", extra_body={"include_reasoning": False})
    assert answer.choices[0].message.reasoning is None and answer.choices[0].message.content == "\n\nHi"
    assert ask(hermes, "thinks").usage.completion_tokens_details.reasoning_tokens > 1
    events = [e for e in sse(hermes.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "say thinks now"}], "stream": True}, stream=True))]
    fields = [list(e["choices"][0]["delta"]) for e in events]
    assert fields[0] == ["role", "content"] and ["reasoning"] in fields and ["content"] in fields


def test_several_choices_each_have_their_calls(hermes):
    answer = ask(hermes, "two", n=3)
    assert [len(c.message.tool_calls) for c in answer.choices] == [2, 2, 2]
    assert len({c.id for choice in answer.choices for c in choice.message.tool_calls}) == 6


def test_the_conversation_goes_on(hermes):
    call = ask(hermes, "one").choices[0].message
    answer = hermes.client().chat.completions.create(model="", tools=TOOLS, messages=[
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [c.model_dump() for c in call.tool_calls]},
        {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "sunny"},
        {"role": "user", "content": "say plain now"}])
    assert answer.choices[0].message.content == "Hello there" and answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("members,part", [
    ({"tools": []}, "must not be an empty array"),
    ({"tools": TOOLS * 5000}, "the limit is 1024"),
    ({"tool_choice": "auto"}, "`tools` must be set"),
    ({"tools": TOOLS, "tool_choice": "sometimes"}, "Invalid value for `tool_choice`"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nope"}}}, "does not match any"),
])
def test_wrong_requests_are_told_why(hermes, members, part):
    answer = hermes.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], **members})
    assert answer.status_code == 400 and part in answer.json()["error"]["message"]


def test_invocations_are_counted(hermes):
    def count():
        return sum(v for k, v in hermes.metrics().items() if "tool_call_parser" in k and 'mode="streaming"' in k
                   and 'outcome="tool_call"' in k and 'request_type="chat_completions"' in k)
    before = count()
    gather(ask(hermes, "one", stream=True))
    assert count() == before + 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_template_tells_the_dialect(tmp_path, model_file, dialect):
    """Launchers pass hermes for every model; what the template writes decides."""
    mark, text, reasoning, ids = DIALECTS[dialect]
    server = start(tmp_path, {"it": text}, "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
                   template="{% if false %}" + mark + "{% endif %}" + TEMPLATE)
    try:
        message = ask(server, "it").choices[0].message
        assert message.content is None and message.reasoning == reasoning
        (call,) = message.tool_calls
        assert call.function.name == "get_weather" and json.loads(call.function.arguments) == json.loads(PARIS)
        assert re.match(ids or r"chatcmpl-tool-[0-9a-f]{32}$", call.id)
        got = gather(ask(server, "it", stream=True))
        assert [(c["name"], json.loads(c["arguments"])) for c in got["calls"].values()] == [("get_weather", json.loads(PARIS))]
        assert (got["content"], got["reasoning"] or None, got["finish"]) == ("", reasoning, "tool_calls")
    finally:
        assert server.stop() == 0, server.log


def test_names_choose_and_unknown_names_end_the_start(tmp_path, model_file):
    server = start(tmp_path, {"it": "[get_time()]", "r": "hm</think>Hi"}, "--tool-call-parser", "pythonic",
                   "--reasoning-parser", "qwen3")
    try:
        assert ask(server, "r").choices[0].message.reasoning == "hm"
        off = {"chat_template_kwargs": {"enable_thinking": False}}
        assert ask(server, "it", extra_body=off).choices[0].message.tool_calls[0].function.name == "get_time"
    finally:
        assert server.stop() == 0, server.log
    with pytest.raises(RuntimeError, match="tool-call-parser"):
        start(tmp_path, {"it": "x"}, "--tool-call-parser", "klingon")


def test_a_model_without_a_dialect_takes_no_tools(server):
    answer = requests.post(server.url + "/v1/chat/completions", timeout=60, json={
        "messages": [{"role": "user", "content": "x"}], "tools": TOOLS})
    assert answer.status_code == 400 and "--tool-call-parser" in answer.json()["error"]["message"]
