"""Anthropic Messages, OpenAI Responses and the Ollama API, through their official clients."""

import anthropic
import ollama
import openai
import pytest
import requests

from conftest import MODEL, Server

QUESTION = "What is the capital of France? Answer in one sentence."


@pytest.fixture(scope="module")
def claude(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def llama(server):
    return ollama.Client(host=server.url)


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


def test_message_tools_and_results_are_taken(claude):
    m = claude.messages.create(
        model=MODEL, max_tokens=8,
        tools=[{"name": "add", "description": "adds", "input_schema": {"type": "object", "properties": {}}},
               {"type": "web_search_20250305", "name": "web_search"}],
        messages=[{"role": "user", "content": "add 1 and 2"},
                  {"role": "assistant", "content": [
                      {"type": "thinking", "thinking": "use the tool", "signature": "abc"},
                      {"type": "text", "text": "Adding."},
                      {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1, "b": 2}}]},
                  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}]}])
    assert m.usage.output_tokens > 0


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


def test_response_as_codex_asks(client):
    r = client.responses.create(
        model=MODEL, instructions="You are a coding agent.", store=False, parallel_tool_calls=False, tool_choice="auto",
        include=["reasoning.encrypted_content"], max_output_tokens=8, prompt_cache_key="k",
        tools=[{"type": "function", "name": "shell", "description": "runs", "strict": False,
                "parameters": {"type": "object", "properties": {}}},
               {"type": "custom", "name": "apply_patch"}, {"type": "web_search"}],
        input=[{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
               {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list files"}]},
               {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
               {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"},
               {"type": "function_call_output", "call_id": "call_1", "output": "a.c"}])
    assert r.usage.output_tokens > 0
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
