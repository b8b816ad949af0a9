"""Anthropic Messages, OpenAI Responses and the Ollama API, through their official clients."""

import json

import anthropic
import ollama
import openai
import pytest
import requests

from conftest import MODEL, Server
from test_tools import HERMES, TEMPLATE, start

QUESTION = "What is the capital of France? Answer in one sentence."


@pytest.fixture(scope="module")
def claude(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def llama(server):
    return ollama.Client(host=server.url)


@pytest.fixture(scope="module")
def scripted(tmp_path_factory, model_file):
    """A model that says what it is told, with tool calls and reasoning."""
    s = start(tmp_path_factory.mktemp("dialects"), HERMES,
              template="{# #}{% if false %}<tool_call> </think>{% endif %}" + TEMPLATE)
    yield s
    assert s.stop() == 0, s.log


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
WEATHER = {"city": "Paris", "days": 3}


# ---- Anthropic Messages


def test_message(claude):
    m = claude.messages.create(model=MODEL, max_tokens=40, temperature=0, system="You are terse.",
                               messages=[{"role": "user", "content": QUESTION}])
    assert m.type == "message" and m.role == "assistant" and m.model == MODEL
    assert "Paris" in m.content[0].text
    assert m.stop_reason in ("end_turn", "max_tokens")
    assert m.usage.output_tokens > 0 and m.usage.input_tokens + m.usage.cache_read_input_tokens > 10


def test_message_stream_equals_whole(claude):
    args = dict(model=MODEL, max_tokens=24, temperature=0, messages=[{"role": "user", "content": QUESTION}])
    whole = claude.messages.create(**args)
    kinds = []
    with claude.messages.stream(**args) as stream:
        for event in stream:
            kinds.append(event.type)
        final = stream.get_final_message()
    assert final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert "content_block_start" in kinds and "content_block_stop" in kinds and "message_delta" in kinds


def test_message_stop_sequence(claude):
    m = claude.messages.create(model=MODEL, max_tokens=40, temperature=0, stop_sequences=["Paris"],
                               messages=[{"role": "user", "content": QUESTION}])
    assert m.stop_reason == "stop_sequence" and m.stop_sequence == "Paris"
    assert "Paris" not in m.content[0].text


def test_message_history_is_cached(claude):
    """An agent's next turn finds the former one, although the client's billing header differs."""
    def system(tag):
        return [{"type": "text", "text": f"x-anthropic-billing-header: cch={tag}"},
                {"type": "text", "text": "You are a helpful assistant. " * 20, "cache_control": {"type": "ephemeral"}}]

    messages = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    claude.messages.create(model=MODEL, max_tokens=8, system=system("1"), messages=messages)
    again = claude.messages.create(model=MODEL, max_tokens=8, system=system("2"), messages=messages)
    assert again.usage.cache_read_input_tokens >= 96


CLAUDE_TOOLS = [{"name": "get_weather", "description": "Weather", "input_schema": SCHEMA},
                {"name": "get_time", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "name": "web_search"}]


def tell_claude(scripted, what, **kw):
    client = anthropic.Anthropic(base_url=scripted.url, api_key="none", max_retries=0, timeout=60)
    args = dict(model=MODEL, max_tokens=900, tools=CLAUDE_TOOLS,
                messages=[{"role": "user", "content": f"say {what} now"}], **kw)
    whole = client.messages.create(**args)
    with client.messages.stream(**args) as stream:
        streamed = stream.get_final_message()
    def plain(m):
        return [b.model_dump(include={"type", "text", "thinking", "name", "input"}) for b in m.content]

    assert plain(streamed) == plain(whole)
    assert streamed.stop_reason == whole.stop_reason and streamed.usage.output_tokens == whole.usage.output_tokens
    return whole


def test_message_tool_use(scripted):
    m = tell_claude(scripted, "one")
    assert [b.type for b in m.content] == ["text", "tool_use"] and m.stop_reason == "tool_use"
    assert m.content[0].text.strip() == "Let me look." and m.content[1].name == "get_weather" and m.content[1].input == WEATHER
    m = tell_claude(scripted, "two")
    assert [(b.name, b.input) for b in m.content] == [("get_weather", WEATHER), ("get_time", {})]
    assert m.content[0].id != m.content[1].id
    single = tell_claude(scripted, "two", tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [b.name for b in single.content] == ["get_weather"]


def test_message_thinking(scripted):
    m = tell_claude(scripted, "plans")
    assert [b.type for b in m.content] == ["thinking", "tool_use"]
    assert m.content[0].thinking.strip() == "hm" and m.content[0].signature
    assert [b.type for b in tell_claude(scripted, "thinks").content] == ["thinking", "text"]


def test_message_broken_call_is_text(scripted):
    m = tell_claude(scripted, "broken")
    assert m.stop_reason == "end_turn" and m.content[0].text.strip() == HERMES["broken"]


def test_torn_call_leaves_a_whole_stream(scripted):
    """A call that breaks after it was announced: its block ends, and the model's own text follows."""
    client = anthropic.Anthropic(base_url=scripted.url, api_key="none", max_retries=0, timeout=60)
    ask = [{"role": "user", "content": "say torn now"}]
    with client.messages.stream(model=MODEL, max_tokens=900, tools=CLAUDE_TOOLS, messages=ask) as stream:
        m = stream.get_final_message()
    assert m.stop_reason == "end_turn" and m.content[-1].type == "text" and "Paris" in m.content[-1].text
    whole = client.messages.create(model=MODEL, max_tokens=900, tools=CLAUDE_TOOLS, messages=ask)
    assert [b.type for b in whole.content] == ["text"] and whole.content[0].text.strip() == HERMES["torn"]
    events = list(scripted.client().responses.create(model=MODEL, tools=FUNCTIONS, input="say torn now", stream=True))
    statuses = [(i.type, i.status) for i in events[-1].response.output]
    assert statuses[-1] == ("message", "completed") and ("function_call", "completed") not in statuses
    again = scripted.client().responses.create(model=MODEL, input="say plain now", tools=FUNCTIONS,
                                               previous_response_id=events[-1].response.id)
    assert again.status == "completed"


def test_message_history_of_tools_is_taken(scripted):
    client = anthropic.Anthropic(base_url=scripted.url, api_key="none", max_retries=0, timeout=60)
    messages = [{"role": "user", "content": "say one now"}]
    m = client.messages.create(model=MODEL, max_tokens=900, tools=CLAUDE_TOOLS, messages=messages)
    messages += [{"role": "assistant", "content": m.content},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": m.content[1].id,
                                               "content": [{"type": "text", "text": "say plain now"}]}]}]
    assert client.messages.create(model=MODEL, max_tokens=900, tools=CLAUDE_TOOLS, messages=messages).usage


def test_count_tokens_agrees_with_usage(claude):
    args = dict(model=MODEL, system="Be kind.", messages=[{"role": "user", "content": QUESTION}])
    counted = claude.messages.count_tokens(**args).input_tokens
    usage = claude.messages.create(max_tokens=1, **args).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


def test_message_errors(claude, server):
    with pytest.raises(anthropic.NotFoundError) as e:
        claude.messages.create(model="claude", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert e.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as e:
        claude.messages.create(model=MODEL, max_tokens=1, messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]}])
    assert "messages.0.content" in str(e.value)
    r = requests.post(server.url + "/v1/messages?beta=true", data="{", headers={"Content-Type": "application/json"})
    assert r.status_code == 400 and r.json()["error"]["type"] == "invalid_request_error"


def test_message_auth():
    s = Server("--api-key", "secret")
    try:
        with pytest.raises(anthropic.AuthenticationError) as e:
            anthropic.Anthropic(base_url=s.url, api_key="wrong", max_retries=0).messages.count_tokens(
                model=MODEL, messages=[{"role": "user", "content": "x"}])
        assert e.value.body["error"]["type"] == "authentication_error"
        for key in ({"api_key": "secret"}, {"auth_token": "secret"}):
            c = anthropic.Anthropic(base_url=s.url + "/anthropic", max_retries=0, **key)
            assert c.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "x"}]).input_tokens > 0
    finally:
        s.stop()


# ---- OpenAI Responses


def test_response(client):
    r = client.responses.create(model=MODEL, input=QUESTION, instructions="You are terse.", temperature=0,
                                max_output_tokens=40)
    assert "Paris" in r.output_text
    assert r.status in ("completed", "incomplete") and r.error is None
    assert r.usage.total_tokens == r.usage.input_tokens + r.usage.output_tokens


def test_response_stream_equals_whole(client):
    args = dict(model=MODEL, input=[{"role": "developer", "content": "Be terse."}, {"role": "user", "content": QUESTION}],
                temperature=0, max_output_tokens=24)
    whole = client.responses.create(**args)
    events = list(client.responses.create(stream=True, **args))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    kinds = [e.type for e in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added",
                         "response.content_part.added"]
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert kinds[-1] == "response." + whole.status
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    with client.responses.stream(**args) as stream:
        for _ in stream:
            pass


def test_response_goes_on_from_a_former_one(client):
    first = client.responses.create(model=MODEL, input="My name is Ada.", max_output_tokens=16)
    assert client.responses.retrieve(first.id).output_text == first.output_text
    second = client.responses.create(model=MODEL, input="What is my name?", previous_response_id=first.id,
                                     max_output_tokens=16, temperature=0)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.total_tokens
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    unkept = client.responses.create(model=MODEL, input="x", store=False, max_output_tokens=1)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=MODEL, input="x", previous_response_id=unkept.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(second.id)


FUNCTIONS = [{"type": "function", "name": "get_weather", "description": "Weather", "strict": False, "parameters": SCHEMA},
             {"type": "namespace", "name": "clock", "tools": [{"type": "function", "name": "get_time", "parameters": {}}]},
             {"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]


def tell_codex(scripted, what, **kw):
    """As Codex asks; whole and streamed answers agree."""
    args = dict(model=MODEL, instructions="You are a coding agent.", tools=FUNCTIONS, tool_choice="auto",
                parallel_tool_calls=True, include=["reasoning.encrypted_content"], prompt_cache_key="k",
                input=[{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
                       {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"say {what} now"}]}],
                **kw)
    client = scripted.client()
    whole = client.responses.create(**args)
    events = list(client.responses.create(stream=True, **args))
    last = events[-1]
    assert last.type == "response.completed"
    done = [e.item for e in events if e.type == "response.output_item.done"]
    def plain(items):
        return [i.model_dump(exclude={"id", "call_id"}) for i in items]

    assert plain(done) == plain(last.response.output) == plain(whole.output)
    for i in done:
        if i.type == "function_call":
            deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta" and e.item_id == i.id]
            assert "".join(deltas) == i.arguments
    return whole


def test_response_calls(scripted):
    r = tell_codex(scripted, "one")
    assert [i.type for i in r.output] == ["message", "function_call"]
    assert r.output[1].name == "get_weather" and json.loads(r.output[1].arguments) == WEATHER
    r = tell_codex(scripted, "plans")
    assert [i.type for i in r.output] == ["reasoning", "function_call"]
    assert r.output[0].content[0].text.strip() == "hm" and r.usage.output_tokens_details.reasoning_tokens > 0


def test_response_history_of_calls(scripted):
    """A former response's calls are replayed, and the answer to one goes on from there."""
    client = scripted.client()
    first = client.responses.create(model=MODEL, input="say plans now", tools=FUNCTIONS)
    call = first.output[-1]
    second = client.responses.create(
        model=MODEL, previous_response_id=first.id, tools=FUNCTIONS,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}])
    assert second.usage.input_tokens > first.usage.input_tokens
    third = client.responses.create(model=MODEL, tools=FUNCTIONS, store=False, input=[
        {"role": "user", "content": "say plans now"}, *[i.model_dump() for i in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}])
    assert third.usage.input_tokens == second.usage.input_tokens


def test_response_probe(client):
    assert client.responses.create(model=MODEL, input=[], max_output_tokens=1).status == "incomplete"


# ---- Ollama


def test_ollama_chat(llama):
    args = dict(model=MODEL, messages=[{"role": "user", "content": QUESTION}],
                options={"temperature": 0, "num_predict": 24})
    whole = llama.chat(**args)
    assert "Paris" in whole.message.content and whole.done and whole.done_reason in ("stop", "length")
    assert whole.eval_count > 0 and whole.prompt_eval_count > 0 and whole.total_duration > 0
    parts = list(llama.chat(stream=True, **args))
    assert "".join(p.message.content for p in parts) == whole.message.content
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True]


def test_ollama_generate(llama):
    args = dict(model=MODEL, prompt=QUESTION, options={"temperature": 0, "num_predict": 24})
    whole = llama.generate(**args)
    assert "Paris" in whole.response
    assert "".join(p.response for p in llama.generate(stream=True, **args)) == whole.response
    assert llama.generate(model=MODEL, prompt="1, 2, 3,", raw=True, options={"num_predict": 4}).eval_count == 4
    assert llama.generate(model=MODEL).done_reason == "load"
    with pytest.raises(ollama.ResponseError) as e:
        llama.generate(model=MODEL, prompt="a", suffix="b")
    assert e.value.status_code == 400 and "suffix" in e.value.error


def test_ollama_models(llama, server):
    names = [m.model for m in llama.list().models]
    assert MODEL + ":latest" in names
    assert llama.chat(model=names[0], messages=[{"role": "user", "content": "x"}], options={"num_predict": 1}).done
    assert llama.ps().models[0].model == names[0]
    assert "completion" in llama.show(MODEL).capabilities
    assert llama.pull(MODEL).status == "success"
    assert [p.status for p in llama.pull(MODEL, stream=True)][-1] == "success"
    with pytest.raises(ollama.ResponseError) as e:
        llama.chat(model="nowhere", messages=[{"role": "user", "content": "x"}])
    assert e.value.status_code == 404 and "not found" in e.value.error
    with pytest.raises(ollama.ResponseError) as e:
        llama.embed(model=MODEL, input="x")
    assert e.value.status_code == 501
    assert server.get("/").text == "Ollama is running"
    assert requests.head(server.url + "/").status_code == 200
    assert requests.head(server.url + "/api/version").status_code == 200


def test_ollama_curl_needs_no_content_type(server):
    r = requests.post(server.url + "/api/chat", data='{"model":"%s","messages":[{"role":"user","content":"x"}],'
                      '"options":{"num_predict":2}}' % MODEL, timeout=120)
    assert r.status_code == 200 and r.headers["content-type"] == "application/x-ndjson"
    assert r.text.count("\n") >= 2


def test_ollama_calls_and_thinking(scripted):
    llama = ollama.Client(host=scripted.url)
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    args = dict(model=MODEL, messages=[{"role": "user", "content": "say one now"}], tools=tools)
    whole = llama.chat(**args)
    assert whole.message.content.strip() == "Let me look." and whole.done_reason == "stop"
    assert [(c.function.name, c.function.arguments) for c in whole.message.tool_calls] == [("get_weather", WEATHER)]
    calls = [c for p in llama.chat(stream=True, **args) for c in p.message.tool_calls or []]
    assert [c.function.arguments for c in calls] == [WEATHER]
    again = llama.chat(model=MODEL, tools=tools, messages=[
        {"role": "user", "content": "say one now"}, whole.message,
        {"role": "tool", "tool_name": "get_weather", "content": "say plain now"}])
    assert again.done
    thought = llama.chat(model=MODEL, messages=[{"role": "user", "content": "say thinks now"}], think=True)
    assert thought.message.thinking.strip() == "hm" and thought.message.content.strip() == "Hi"
    streamed = list(llama.generate(model=MODEL, prompt="say thinks now", stream=True))
    assert "".join(p.thinking or "" for p in streamed).strip() == "hm"
    assert "".join(p.response for p in streamed).strip() == "Hi"


# ---- log probabilities in responses


def test_response_logprobs(server):
    """The message's tokens alone, whole and streamed alike, and as chat shows them."""
    client = server.client()
    args = dict(model=MODEL, input=QUESTION, max_output_tokens=12, temperature=0, top_logprobs=3,
                include=["message.output_text.logprobs"])
    whole = client.responses.create(**args)
    part = whole.output[0].content[0]
    assert "".join(e.token for e in part.logprobs) == part.text
    assert len(part.logprobs) == whole.usage.output_tokens - (whole.status == "completed")  # the end says nothing
    assert all(len(e.top_logprobs) == 3 and e.top_logprobs[0].logprob >= e.logprob for e in part.logprobs)
    chat = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}], max_tokens=12,
                                          temperature=0, logprobs=True, top_logprobs=3)
    assert [e.logprob for e in chat.choices[0].logprobs.content][:len(part.logprobs)] == [e.logprob for e in part.logprobs]
    events = list(client.responses.create(**args, stream=True))
    deltas = [e for e in events if e.type == "response.output_text.delta"]
    assert [e.token for d in deltas for e in d.logprobs] == [e.token for e in part.logprobs]
    done = next(e for e in events if e.type == "response.output_text.done")
    assert [e.logprob for e in done.logprobs] == [e.logprob for e in part.logprobs]
    assert events[-1].response.output[0].content[0].logprobs == part.logprobs
    plain = client.responses.create(**{**args, "include": []})
    assert plain.output[0].content[0].logprobs == []


@pytest.mark.parametrize("stream", [False, True])
def test_response_logprobs_are_the_messages(scripted, stream):
    """Not those of reasoning and calls."""
    for what, text in (("thinks", "Hi"), ("one", "Let me look.")):
        got = scripted.client().responses.create(model=MODEL, input=f"say {what} now", tools=FUNCTIONS, stream=stream,
                                                 include=["message.output_text.logprobs"])
        response = list(got)[-1].response if stream else got
        part = next(i for i in response.output if i.type == "message").content[0]
        assert part.text.strip() == text and "".join(e.token for e in part.logprobs).strip() == text
    refused = requests.post(scripted.url + "/v1/responses", json={"input": "x", "top_logprobs": 21})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "top_logprobs"


# ---- what a model is


def test_ollama_knows_the_model(llama):
    shown = llama.show(MODEL)
    assert shown.details.family == "llama" and shown.details.families == ["llama"]
    assert shown.details.parameter_size == "134.52M" and shown.details.quantization_level == "Q4_1"
    assert shown.modelinfo["general.architecture"] == "llama" and shown.modelinfo["general.parameter_count"] == 134515008
    assert shown.modelinfo["llama.context_length"] == 8192 and shown.modelinfo["llama.block_count"] == 30
    assert shown.modelinfo["llama.embedding_length"] == 576 and shown.modelinfo["llama.attention.head_count_kv"] == 3
    listed = llama.list().models[0]
    assert listed.details.parameter_size == "134.52M" and listed.details.quantization_level == "Q4_1"
