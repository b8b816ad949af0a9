"""instructor: answers as typed objects, through tools and through JSON, from SmolLM2 held to the form."""

import asyncio
import typing

import instructor
import openai
import pydantic
import pytest

from conftest import MODEL, Server
from test_tools import TEMPLATE

QUESTION = "Anna is 31 years old and lives in Paris."


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    age: int = pydantic.Field(ge=0, le=150)
    city: typing.Literal["Paris", "Rome"]


@pytest.fixture(scope="module")
def target(tmp_path_factory, model_file):
    page = tmp_path_factory.mktemp("instructor") / "template.jinja"
    page.write_text("{% if tools %}<tool_call>{{ tools | tojson }}{% endif %}" + TEMPLATE)
    s = Server("--chat-template", page)
    yield s
    assert s.stop() == 0, s.log


def extract(target, mode, response_model=Person, **kw):
    client = instructor.from_openai(target.client(), mode=mode)
    return client.chat.completions.create(model=MODEL, response_model=response_model, max_retries=0, max_tokens=300,
                                          temperature=0, messages=[{"role": "user", "content": QUESTION}], **kw)


# Mode.JSON asks for any JSON object and tells the schema in the prompt: it is the model that has to heed it.
MODES = [instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA]


@pytest.mark.parametrize("mode", MODES, ids=lambda m: m.value)
def test_an_object(target, mode):
    person = extract(target, mode)
    assert isinstance(person, Person) and 0 <= person.age <= 150


def test_while_it_is_said(target):
    """Parts of the object while it is streamed; the last is whole."""
    client = instructor.from_openai(target.client(), mode=instructor.Mode.JSON_SCHEMA)
    parts = list(client.chat.completions.create_partial(
        model=MODEL, response_model=Person, max_retries=0, max_tokens=300, temperature=0,
        messages=[{"role": "user", "content": QUESTION}]))
    assert len(parts) > 2 and Person.model_validate(parts[-1].model_dump())


def test_at_once(target):
    client = instructor.from_openai(openai.AsyncOpenAI(base_url=target.url + "/v1", api_key="none", max_retries=0),
                                    mode=instructor.Mode.TOOLS)

    async def gather():
        return await asyncio.gather(*(client.chat.completions.create(
            model=MODEL, response_model=Person, max_retries=0, max_tokens=300, temperature=1, seed=i,
            messages=[{"role": "user", "content": QUESTION}]) for i in range(6)))

    assert all(isinstance(p, Person) for p in asyncio.run(gather()))
