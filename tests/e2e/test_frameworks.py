"""LangChain and LiteLLM, as their documentation sets them up, against SmolLM2 and against a model that says what it is
told."""

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it asks the network
os.environ["LANGSMITH_TRACING"] = "false"

import litellm  # noqa: E402
import pytest  # noqa: E402
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAI  # noqa: E402

from conftest import MODEL  # noqa: E402
from test_dialects import scripted  # noqa: E402, F401  (a fixture)

QUESTION = "What is the capital of France? Answer in one sentence."
litellm.telemetry = False


@tool
def get_weather(city: str, days: int) -> str:
    """Weather of a city."""
    return f"{days} days of sun in {city}"


@tool
def get_time() -> str:
    """The time."""
    return "noon"


def chat(server, **kw):
    return ChatOpenAI(base_url=server.url + "/v1", api_key="none", model=MODEL, max_retries=0, timeout=120,
                      **{"max_tokens": 40, "temperature": 0, **kw})


# ---- LangChain


def test_langchain_chat(server):
    answer = chat(server).invoke([("system", "You are terse."), ("human", QUESTION)])
    assert "Paris" in answer.content
    assert answer.response_metadata["finish_reason"] in ("stop", "length")
    assert answer.response_metadata["model_name"] == MODEL
    usage = answer.usage_metadata
    assert usage["input_tokens"] > 10 and usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    again = chat(server).invoke([("system", "You are terse."), ("human", QUESTION)])
    assert again.content == answer.content and again.usage_metadata["input_token_details"]["cache_read"] >= 16


def test_langchain_stream_equals_whole(server):
    model = chat(server, stream_usage=True)
    whole = model.invoke(QUESTION)
    pieces = list(model.stream(QUESTION))
    joined = pieces[0]
    for piece in pieces[1:]:
        joined += piece
    assert len(pieces) > 3 and joined.content == whole.content
    assert joined.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


def test_langchain_async_and_batch(server):
    model = chat(server, max_tokens=8)

    async def gather():
        return await asyncio.gather(*(model.ainvoke(f"Say {i}.") for i in range(4)))

    answers = asyncio.run(gather())
    assert [a.content for a in model.batch([f"Say {i}." for i in range(4)])] == [a.content for a in answers]


def test_langchain_logprobs_and_stop(server):
    answer = chat(server, max_tokens=8, logprobs=True, top_logprobs=2, stop=["Paris"]).invoke(QUESTION)
    content = answer.response_metadata["logprobs"]["content"]
    assert len(content) == answer.usage_metadata["output_tokens"] and len(content[0]["top_logprobs"]) == 2
    assert "Paris" not in answer.content


def test_langchain_completions(server):
    model = OpenAI(base_url=server.url + "/v1", api_key="none", model=MODEL, max_tokens=12, temperature=0, max_retries=0)
    whole = model.invoke("The capital of France is")
    assert "Paris" in whole
    assert "".join(model.stream("The capital of France is")) == whole


def test_langchain_tools(scripted):  # noqa: F811
    model = chat(scripted, max_tokens=900).bind_tools([get_weather, get_time])
    answer = model.invoke("say two now")
    assert [(c["name"], c["args"]) for c in answer.tool_calls] == [("get_weather", {"city": "Paris", "days": 3}), ("get_time", {})]
    streamed = None
    for piece in model.stream("say two now"):
        streamed = piece if streamed is None else streamed + piece
    assert [(c["name"], c["args"]) for c in streamed.tool_calls] == [(c["name"], c["args"]) for c in answer.tool_calls]
    # The tools run, and their results go back with the calls.
    tools = {t.name: t for t in (get_weather, get_time)}
    results = [ToolMessage(tools[c["name"]].invoke(c["args"]), tool_call_id=c["id"]) for c in answer.tool_calls]
    final = model.invoke([HumanMessage("earlier"), answer, *results, HumanMessage("say plain now")])
    assert final.content == "Hello there" and not final.tool_calls


def test_langchain_responses(server, scripted):  # noqa: F811
    model = chat(server, use_responses_api=True)
    assert "Paris" in model.invoke(QUESTION).text
    joined = None
    for piece in model.stream(QUESTION):
        joined = piece if joined is None else joined + piece
    assert "Paris" in joined.text and joined.usage_metadata["output_tokens"] > 0
    calling = chat(scripted, max_tokens=900, use_responses_api=True).bind_tools([get_weather])
    answer = calling.invoke("say one now")
    assert isinstance(answer, AIMessage) and answer.tool_calls[0]["args"] == {"city": "Paris", "days": 3}


# ---- LiteLLM

PROVIDERS = {"openai": "/v1", "hosted_vllm": "/v1", "anthropic": ""}


def complete(server, provider, content=QUESTION, **kw):
    return litellm.completion(model=f"{provider}/{MODEL}", api_base=server.url + PROVIDERS[provider], api_key="none",
                              messages=[{"role": "user", "content": content}], num_retries=0, timeout=120,
                              **{"max_tokens": 40, "temperature": 0, **kw})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_litellm_chat(server, provider):
    whole = complete(server, provider)
    assert "Paris" in whole.choices[0].message.content
    assert whole.usage.prompt_tokens > 10 and whole.usage.completion_tokens > 0
    text = "".join(c.choices[0].delta.content or "" for c in complete(server, provider, stream=True))
    assert text == whole.choices[0].message.content


@pytest.mark.parametrize("provider", PROVIDERS)
def test_litellm_tools(scripted, provider):  # noqa: F811
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}]
    calls = complete(scripted, provider, "say one now", tools=tools, max_tokens=900).choices[0].message.tool_calls
    assert [(c.function.name, c.function.arguments.replace(" ", "")) for c in calls] == [
        ("get_weather", '{"city":"Paris","days":3}')]
    chunks = list(complete(scripted, provider, "say one now", tools=tools, max_tokens=900, stream=True))
    built = litellm.stream_chunk_builder(chunks)
    assert built.choices[0].message.tool_calls[0].function.arguments.replace(" ", "") == '{"city":"Paris","days":3}'
    assert built.choices[0].finish_reason == "tool_calls"


def test_litellm_reasoning(scripted):  # noqa: F811
    answer = complete(scripted, "hosted_vllm", "say thinks now", max_tokens=900)
    assert answer.choices[0].message.content.strip() == "Hi"
    assert answer.choices[0].message.reasoning_content.strip() == "hm"


def test_litellm_completions_and_errors(server):
    answer = litellm.text_completion(model=f"text-completion-openai/{MODEL}", api_base=server.url + "/v1", api_key="none",
                                     prompt="The capital of France is", max_tokens=8, temperature=0)
    assert "Paris" in answer.choices[0].text
    with pytest.raises(litellm.BadRequestError):
        complete(server, "openai", temperature=9)
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/nobody", api_base=server.url + "/v1", api_key="none", num_retries=0,
                           messages=[{"role": "user", "content": "x"}])
