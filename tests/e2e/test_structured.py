"""Structured output, forced tool calls and thinking budgets, in every API's spelling."""

import json
import pathlib
import re
import subprocess
import sys
import threading
import time

import anthropic
import jsonschema
import ollama
import pytest
from pydantic import BaseModel, Field

from conftest import MODEL, Server
from test_tools import DIALECTS, PARIS, TEMPLATE, TOOLS, gather, start

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASK = [{"role": "user", "content": "Name a city."}]


class City(BaseModel):
    name: str = Field(max_length=12)
    size: int = Field(ge=0, le=99)


SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                                           "size": {"type": "integer", "minimum": 0, "maximum": 99}},
          "required": ["name", "size"], "additionalProperties": False}
UNIT = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}, "required": ["unit"],
        "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "set_unit", "parameters": UNIT}}
OTHER = {"type": "function", "function": {"name": "no_op"}}
NAMED = {"type": "function", "function": {"name": "set_unit"}}
SHORT = {"max_tokens": 200, "temperature": 0}
BRIEF = {"max_output_tokens": 200, "temperature": 0}
COLD = {"temperature": 0}
FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}


def is_valid(text, schema=SCHEMA):
    jsonschema.validate(json.loads(text), schema)
    return True


@pytest.fixture(scope="module")
def smol(model_file):
    s = Server("--tool-call-parser", "hermes")
    yield s
    assert s.stop() == 0, s.log


@pytest.fixture(scope="module")
def openai_client(smol):
    return smol.client()


def chat(client, **kw):
    return client.chat.completions.create(**{"model": MODEL, "messages": ASK, **SHORT, **kw})


def completion(client, **extra):
    return client.completions.create(model=MODEL, prompt="A city:", **SHORT, extra_body=extra).choices[0]


# ---- each spelling

def test_response_format(openai_client):
    choice = chat(openai_client, response_format=FORMAT).choices[0]
    assert choice.finish_reason == "stop" and is_valid(choice.message.content)
    assert chat(openai_client, response_format={"type": "text"}).choices[0].message.content
    begun = chat(openai_client, response_format={"type": "json_object"}, max_tokens=20).choices[0].message.content
    assert begun.startswith("{")


def test_the_clients_own_parsing(openai_client):
    message = openai_client.chat.completions.parse(model=MODEL, messages=ASK, **SHORT, response_format=City)
    assert isinstance(message.choices[0].message.parsed, City)
    answer = openai_client.responses.parse(model=MODEL, input="Name a city.", **BRIEF, text_format=City)
    assert isinstance(answer.output_parsed, City)


@pytest.mark.parametrize("outputs,pattern", [
    ({"regex": "[a-c]{3}-[0-9]{2}"}, r"[a-c]{3}-[0-9]{2}"),
    ({"choice": ["red", "green", "blue"]}, r"red|green|blue"),
    ({"grammar": 'root ::= "x" [0-9] "y"'}, r"x[0-9]y"),
    ({"grammar": 'start: "x" /[0-9]/ "y"'}, r"x[0-9]y"),
    ({"structural_tag": {"format": {"type": "tag", "begin": "<a>", "end": "</a>",
                                    "content": {"type": "regex", "pattern": "[0-9]+"}}}}, r"<a>[0-9]+</a>"),
    ({"json": {"enum": [1, "x"]}}, r'1|"x"'),
    ({"json": json.dumps(SCHEMA), "disable_any_whitespace": True}, r'\{"name": ?".*", ?"size": ?\d+\}'),
    ({"json": SCHEMA, "whitespace_pattern": "[ ]?"}, r'\{ ?"name" ?: ?".*" ?, ?"size" ?: ?\d+ ?\}'),
    ({"json_object": True, "disable_any_whitespace": True}, r"\{.*"),
])
def test_structured_outputs(openai_client, outputs, pattern):
    chosen = chat(openai_client, extra_body={"structured_outputs": outputs}, max_tokens=120).choices[0]
    assert re.fullmatch(pattern, chosen.message.content, re.S), chosen.message.content
    text = completion(openai_client, structured_outputs=outputs).text
    assert re.fullmatch(pattern, text, re.S), text


def test_guided_fields(openai_client):
    assert is_valid(completion(openai_client, guided_json=SCHEMA).text)
    assert is_valid(completion(openai_client, guided_json=json.dumps(SCHEMA)).text)
    assert re.fullmatch("[ab]{4}", completion(openai_client, guided_regex="[ab]{4}").text)
    assert completion(openai_client, guided_choice=["yes", "no"]).text in ("yes", "no")
    assert completion(openai_client, guided_grammar='root ::= "1" | "2"').text in ("1", "2")
    assert completion(openai_client, guided_choice=["yes"], guided_decoding_backend="outlines").text == "yes"


def test_responses(openai_client):
    answer = openai_client.responses.create(model=MODEL, input="Name a city.", **BRIEF, text={
        "format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}})
    assert answer.status == "completed" and is_valid(answer.output_text)
    assert answer.text.format.type == "json_schema"


def test_messages(smol):
    client = anthropic.Anthropic(base_url=smol.url, api_key="x", max_retries=0)
    asked = {"type": "json_schema", "schema": SCHEMA}
    for extra in ({"output_config": {"format": asked}}, {"output_format": asked}):
        answer = client.messages.create(model=MODEL, messages=ASK, **SHORT, extra_body=extra)
        assert answer.stop_reason == "end_turn" and is_valid(answer.content[0].text)


def test_ollama(smol):
    client = ollama.Client(host=smol.url)
    assert is_valid(client.chat(model=MODEL, messages=ASK, format=SCHEMA, options=COLD).message.content)
    assert is_valid(client.generate(model=MODEL, prompt="Name a city.", format=SCHEMA, options=COLD).response)
    begun = client.chat(model=MODEL, messages=ASK, format="json", options={"num_predict": 10}).message.content
    assert begun.startswith("{")
    answer = smol.post("/api/chat", {"model": MODEL, "messages": ASK, "format": "xml"})
    assert answer.status_code == 400 and "invalid format" in answer.json()["error"]


# ---- with the rest of sampling

def test_several_choices_and_prompts(openai_client):
    answer = chat(openai_client, response_format=FORMAT, n=4, seed=5, temperature=1)
    assert all(choice.finish_reason == "length" or is_valid(choice.message.content) for choice in answer.choices)
    assert len({choice.message.content for choice in answer.choices}) > 1
    many = openai_client.completions.create(model=MODEL, prompt=["A", "B", "C"], n=2, max_tokens=20, seed=5,
                                            extra_body={"guided_choice": ["left", "right"]})
    assert len(many.choices) == 6 and all(choice.text in ("left", "right") for choice in many.choices)


def test_a_stream_says_the_same(openai_client):
    kw = {"response_format": FORMAT}
    whole = chat(openai_client, **kw).choices[0]
    assert gather(chat(openai_client, stream=True, **kw))["content"] == whole.message.content


def test_limits_and_stop_strings_cut(openai_client):
    short = chat(openai_client, response_format=FORMAT, max_tokens=3).choices[0]
    assert short.finish_reason == "length" and short.message.content.startswith("{")
    stopped = chat(openai_client, extra_body={"guided_regex": "a+b"}, stop=["b"], logit_bias={}).choices[0]
    assert stopped.finish_reason in ("stop", "length") and set(stopped.message.content) <= {"a"}
    least = chat(openai_client, extra_body={"guided_choice": ["yes"], "min_tokens": 20, "ignore_eos": True}).choices[0]
    assert (least.message.content, least.finish_reason) == ("yes", "stop")


def test_logprobs_of_constrained_tokens(openai_client):
    choice = chat(openai_client, extra_body={"guided_choice": ["yes"]}, logprobs=True, top_logprobs=2).choices[0]
    assert "".join(entry.token for entry in choice.logprobs.content).startswith("yes")


# ---- forced calls

def calls_of(choice):
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]


def test_required_and_named(openai_client):
    kw = {"tools": [OTHER, TOOL], "temperature": 0}
    choice = chat(openai_client, tool_choice="required", parallel_tool_calls=False, **kw).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None and len(calls_of(choice)) == 1
    choice = chat(openai_client, tool_choice=NAMED, **kw).choices[0]
    assert choice.finish_reason == "stop"  # as vLLM has it
    assert calls_of(choice) in ([("set_unit", {"unit": "C"})], [("set_unit", {"unit": "F"})])
    got = gather(chat(openai_client, tool_choice=NAMED, stream=True, **kw))
    assert (got["finish"], got["content"]) == ("stop", "")
    assert [(c["name"], json.loads(c["arguments"])) for c in got["calls"].values()] == calls_of(choice)


def test_forced_calls_of_responses(openai_client):
    tools = [{"type": "function", "strict": True, **TOOL["function"]}]
    for tool_choice in ("required", {"type": "function", "name": "set_unit"}):
        answer = openai_client.responses.create(model=MODEL, input="Unit?", tools=tools, tool_choice=tool_choice,
                                                parallel_tool_calls=False, **BRIEF)
        assert [item.type for item in answer.output] == ["function_call"] and is_valid(answer.output[0].arguments, UNIT)


def test_forced_calls_of_messages(smol):
    client = anthropic.Anthropic(base_url=smol.url, api_key="x", max_retries=0)
    tools = [{"name": "set_unit", "input_schema": UNIT}]
    for tool_choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "set_unit"}):
        answer = client.messages.create(model=MODEL, messages=ASK, tools=tools, tool_choice=tool_choice, **SHORT)
        assert [block.type for block in answer.content] == ["tool_use"] and answer.stop_reason == "tool_use"
        assert answer.content[0].input["unit"] in ("C", "F")


def test_streams_of_the_other_apis(smol, openai_client):
    client = anthropic.Anthropic(base_url=smol.url, api_key="x", max_retries=0)
    tools = [{"name": "set_unit", "input_schema": UNIT}]
    with client.messages.stream(model=MODEL, messages=ASK, tools=tools, **SHORT,
                                tool_choice={"type": "tool", "name": "set_unit"}) as stream:
        answer = stream.get_final_message()
    assert [block.type for block in answer.content] == ["tool_use"] and answer.content[0].input["unit"] in ("C", "F")
    with openai_client.responses.stream(model=MODEL, input="Name a city.", **BRIEF, text_format=City) as stream:
        assert isinstance(stream.get_final_response().output_parsed, City)
    parts = ollama.Client(host=smol.url).chat(model=MODEL, messages=ASK, format=SCHEMA, options=COLD, stream=True)
    assert is_valid("".join(part.message.content for part in parts))


def test_a_form_and_a_named_tool_exclude_each_other(smol):
    answer = smol.post("/v1/chat/completions",
                       {"messages": ASK, "tools": [TOOL], "tool_choice": NAMED, "guided_regex": "a"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "guided_regex"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_forced_in_every_dialect(tmp_path, model_file, dialect):
    """A model that says a right call may; one that would say something else must call all the same."""
    mark, text, reasoning, _ = DIALECTS[dialect]
    server = start(tmp_path, {"it": text, "nonsense": "Hello there, how are you?"}, "--tool-call-parser", "hermes",
                   template="{% if false %}" + mark + "{% endif %}" + TEMPLATE)
    try:
        choice = say(server, "it", tools=TOOLS, tool_choice="required", max_tokens=300)
        assert calls_of(choice) == [("get_weather", json.loads(PARIS))], choice
        assert choice.finish_reason == "tool_calls" and choice.message.reasoning == reasoning
        choice = say(server, "nonsense", tools=[OTHER, TOOL], tool_choice=NAMED, max_tokens=2000, seed=1)
        if choice.finish_reason != "length":  # between the brackets this model says anything
            assert calls_of(choice) in ([("set_unit", {"unit": "C"})], [("set_unit", {"unit": "F"})]), choice
            assert choice.message.content is None
    finally:
        assert server.stop() == 0, server.log


# ---- strict tools, reasoning, budgets: a model that says what it is told

SCRIPTS = {
    "plain": "Hello there",
    "right": 'Sure.\n<tool_call>\n{"name": "set_unit", "arguments": {"unit": "F"}}\n</tool_call>',
    "wrong": '<tool_call>\n{"name": "set_unit", "arguments": {"unit": "K"}}\n</tool_call>',
    "seven": "7",
    "thinks": "<think>\nhm\n</think>yes",
    "broods": "<think>\n" + "well well " * 200 + "</think>yes",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory, model_file):
    s = start(tmp_path_factory.mktemp("told"), SCRIPTS,
              template="{# #}{% if false %}<tool_call> </think>{% endif %}" + TEMPLATE)
    yield s
    assert s.stop() == 0, s.log


def say(server, what, **kw):
    return server.client().chat.completions.create(
        model="", messages=[{"role": "user", "content": f"say {what} now"}], **{"max_tokens": 600, **kw}).choices[0]


def test_strict_tools_leave_text_free_and_hold_calls(told):
    strict = [{"type": "function", "function": {**TOOL["function"], "strict": True}}]
    assert say(told, "plain", tools=strict).message.content == "Hello there"
    assert calls_of(say(told, "right", tools=strict)) == [("set_unit", {"unit": "F"})]
    assert say(told, "right", tools=strict).message.content == "Sure.\n"
    assert calls_of(say(told, "wrong", tools=[TOOL])) == [("set_unit", {"unit": "K"})]
    choice = say(told, "wrong", tools=strict, seed=3)
    assert all(arguments["unit"] in ("C", "F") for _, arguments in calls_of(choice))


def test_a_form_allows_calls_beside_it(told):
    kw = {"tools": [TOOL], "response_format": {
        "type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": [7]}}}}
    assert calls_of(say(told, "wrong", **kw)) == [("set_unit", {"unit": "K"})]
    assert say(told, "seven", **kw).message.content == "7"


def test_the_form_begins_after_reasoning(told):
    kw = {"extra_body": {"structured_outputs": {"choice": ["yes", "no"]}}}
    choice = say(told, "thinks", **kw)
    assert (choice.message.reasoning, choice.message.content) == ("\nhm\n", "yes")
    assert say(told, "plain", **kw).message.content in ("yes", "no")


def test_a_thinking_budget_ends_reasoning(told):
    def tokens(budget):
        answer = told.client().chat.completions.create(
            model="", messages=[{"role": "user", "content": "say broods now"}], max_tokens=900,
            extra_body={"thinking_token_budget": budget})
        return answer.usage.completion_tokens_details.reasoning_tokens, answer.choices[0].message
    unbounded, message = tokens(-1)
    assert unbounded > 390 and message.content == "yes"
    used, message = tokens(20)
    assert 20 <= used < 40 and "well" in message.reasoning and message.content
    used, message = tokens(0)
    assert used < 20 and not (message.reasoning or "").strip("\n")
    client = anthropic.Anthropic(base_url=told.url, api_key="x", max_retries=0)
    name = told.get("/v1/models").json()["data"][0]["id"]
    asked = [{"role": "user", "content": "say broods now"}]
    answer = client.messages.create(model=name, messages=asked, max_tokens=900,
                                    thinking={"type": "enabled", "budget_tokens": 20})
    assert answer.content[0].type == "thinking" and len(answer.content[0].thinking) < 300


# ---- bad input

DEEP = {"type": "integer"}
for _ in range(300):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize("members,param,part", [
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "colour"}}}},
     "response_format", "names no JSON type"),
    ({"guided_json": {"$dynamicRef": "#x"}}, "guided_json", "$dynamicRef"),
    ({"guided_json": {"type": "string", "format": "colour"}}, "guided_json", "colour"),
    ({"guided_json": {"$ref": "#/nowhere"}}, "guided_json", "nowhere"),
    ({"guided_json": {"$ref": "https://example.com/x.json"}}, "guided_json", "out of the document"),
    ({"guided_regex": "(a|b)*a(a|b){20}"}, "guided_regex", "65536 automaton states"),
    ({"guided_regex": "((a{1000}){1000}){1000}"}, "guided_regex", "524288 states"),
    ({"guided_regex": "(" * 5000 + ")" * 5000}, "guided_regex", "deeper than 256"),
    ({"guided_regex": "(?<=x)a"}, "guided_regex", "look"),
    ({"guided_grammar": "root ::= undefined"}, "guided_grammar", "undefined"),
    ({"guided_json": {"enum": ["x" * 1024] * 1100}}, "guided_json", "1048576"),
    ({"guided_choice": ["x" * 100] * 11000}, "guided_choice", "1048576"),
    ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs", "one kind"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"$dynamicRef": "#"}}}],
      "tool_choice": "required"},
     "tools", "$dynamicRef"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}],
      "tool_choice": "required"},
     "tools", "must be of type object"),
])
def test_what_cannot_be_held_is_refused_by_name(smol, members, param, part):
    answer = smol.post("/v1/chat/completions", {"messages": ASK, **members})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param) and part in error["message"], error


def test_errors_name_the_fields_of_each_api(smol):
    bad = {"type": "json_schema", "name": "x", "schema": {"type": "colour"}}
    answer = smol.post("/v1/responses", {"input": "x", "text": {"format": bad}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "text.format")
    answer = smol.post("/v1/messages",
                       {"model": MODEL, "messages": ASK, "max_tokens": 5, "output_config": {"format": bad}})
    assert answer.status_code == 400 and "output_config.format" in answer.json()["error"]["message"]
    answer = smol.post("/api/chat", {"model": MODEL, "messages": ASK, "format": bad["schema"]})
    assert answer.status_code == 400 and "format" in answer.json()["error"]


def test_large_and_deep_forms_work_or_are_refused(smol):
    words = [f"word {i}" for i in range(10000)]
    answer = smol.post("/v1/completions", {"prompt": "x", "max_tokens": 20, "guided_choice": words})
    assert answer.json()["choices"][0]["text"] in words
    answer = smol.post("/v1/completions", {"prompt": "x", "max_tokens": 5, "guided_json": DEEP})
    assert answer.status_code == 400 and "body" in answer.json()["error"]["message"]


def test_the_loop_answers_while_grammars_are_compiled(smol):
    """Hostile sources keep the text threads busy, not the loop."""
    wide = {"type": "object", "properties": {
        f"p{i}": {"type": "string", "pattern": f"^(a|b){{1,{i % 40 + 1}}}$"} for i in range(900)}}
    sources = [{"guided_regex": "(a|b)*a(a|b){14}"}, {"guided_json": wide}, {"guided_regex": "(x+x+)+y{1,900}z"},
               {"guided_choice": [f"word {i}" for i in range(20000)]}] * 3
    threads = [threading.Thread(target=smol.post, args=("/v1/completions", {"prompt": "x", "max_tokens": 1, **source}))
               for source in sources]
    slowest = []
    smol.get("/health")
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        begin = time.monotonic()
        assert smol.get("/health").status_code == 200
        slowest.append(time.monotonic() - begin)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert sorted(slowest)[len(slowest) // 2] < 0.1 and max(slowest) < 1.5, max(slowest)


# ---- every answer validates

def test_random_answers_validate(smol):
    tool = ROOT / "tools/check_structured.py"
    done = subprocess.run([sys.executable, tool, smol.url, "-n", "40", "--tools", "--max-tokens", "80"],
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
