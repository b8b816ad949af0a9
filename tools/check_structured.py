#!/usr/bin/env python3
"""Random answers of a server under many schemas, each held against the jsonschema package.

  check_structured.py URL [-n TOTAL] [-j AT_ONCE] [--max-tokens N] [--schemas FILE ...] [--tools] [-v]

Asks at temperature 1, in every spelling that the APIs have for a schema, in turn: chat's response_format,
structured_outputs in both white spaces, guided_json on completions, Responses, Messages, Ollama.  --tools: forced tool
calls too, for a server that was started with a tool-call parser.  An answer that max_tokens cut short is counted apart;
every other one must be JSON that validates.  Exits 1 if one was not.  Needs the packages jsonschema and requests.
"""

import argparse
import collections
import concurrent.futures
import decimal
import itertools
import json
import pathlib
import sys
import threading

import jsonschema
import requests

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "tests/golden"
SCHEMAS = [GOLDEN / "grammar_schemas.json", GOLDEN / "structured_schemas.json"]
PROMPTS = ["Describe something from your kitchen.", "Tell me about Paris.", "Make up an example.", "Say it in JSON."]


def chat_body(prompt, max_tokens, **kw):
    return {"messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 1, **kw}


def from_chat(answer):
    choice = answer["choices"][0]
    return choice["message"]["content"], choice["finish_reason"] == "length"


def from_call(answer):
    choice = answer["choices"][0]
    if choice["finish_reason"] == "length":
        return None, True
    calls = choice["message"].get("tool_calls") or []
    if len(calls) != 1 or calls[0]["function"]["name"] != "answer" or choice["message"]["content"]:
        raise ValueError(f"not one call: {json.dumps(choice)[:300]}")
    return json.loads(calls[0]["function"]["arguments"], parse_float=decimal.Decimal)["value"], False


def response_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def tool(schema):
    """A function with the schema as its one parameter; what the schema defines stays at the root."""
    inner = {k: v for k, v in schema.items() if k not in ("$defs", "definitions", "$schema")}
    outer = {k: schema[k] for k in ("$defs", "definitions", "$schema") if k in schema}
    parameters = {"type": "object", "properties": {"value": inner}, "required": ["value"],
                  "additionalProperties": False}
    return [{"type": "function", "function": {"name": "answer", "parameters": {**parameters, **outer}}}]


def from_messages(answer):
    return answer["content"][0]["text"], answer["stop_reason"] == "max_tokens"


def from_responses(answer):
    texts = [part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(texts), answer["status"] == "incomplete"


# Name, path, request from (prompt, schema, max_tokens), text and whether it was cut from the answer.
SPELLINGS = [
    ("response_format", "/v1/chat/completions",
     lambda p, s, n: chat_body(p, n, response_format=response_format(s)), from_chat),
    ("structured_outputs, compact", "/v1/chat/completions",
     lambda p, s, n: chat_body(p, n, structured_outputs={"json": s, "disable_any_whitespace": True}), from_chat),
    ("guided_json", "/v1/completions",
     lambda p, s, n: {"prompt": p, "max_tokens": n, "temperature": 1, "guided_json": json.dumps(s)},
     lambda a: (a["choices"][0]["text"], a["choices"][0]["finish_reason"] == "length")),
    ("text.format", "/v1/responses",
     lambda p, s, n: {"input": p, "max_output_tokens": n, "temperature": 1, "store": False,
                      "text": {"format": {"type": "json_schema", "name": "answer", "schema": s}}}, from_responses),
    ("output_config.format", "/v1/messages",
     lambda p, s, n: {"model": MODEL, "messages": [{"role": "user", "content": p}], "max_tokens": n, "temperature": 1,
                      "output_config": {"format": {"type": "json_schema", "schema": s}}}, from_messages),
    ("format", "/api/chat",
     lambda p, s, n: {"model": MODEL, "messages": [{"role": "user", "content": p}], "stream": False, "format": s,
                      "options": {"num_predict": n, "temperature": 1, "top_k": 0, "top_p": 1}},
     lambda a: (a["message"]["content"], a["done_reason"] == "length")),
]
CALLS = [
    ("named tool", "/v1/chat/completions",
     lambda p, s, n: chat_body(p, n, tools=tool(s), tool_choice={"type": "function", "function": {"name": "answer"}}),
     from_call),
    ("required, one at a time", "/v1/chat/completions",
     lambda p, s, n: chat_body(p, n, tools=tool(s), tool_choice="required", parallel_tool_calls=False), from_call),
]
MODEL = ""


def validator_of(schema):
    draft = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    return draft(json.loads(json.dumps(schema), parse_float=decimal.Decimal), format_checker=draft.FORMAT_CHECKER)


class Run:
    def __init__(self, options):
        self.options = options
        self.counts = collections.Counter()
        self.by_spelling = collections.defaultdict(collections.Counter)
        self.lock = threading.Lock()
        self.local = threading.local()

    def session(self):
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
        return self.local.session

    def ask(self, number, entry, spelling):
        """What became of one answer, and why."""
        name, path, make, read = spelling
        if name == "format" and not isinstance(entry["schema"], dict):
            return "skipped", None
        body = make(PROMPTS[number % len(PROMPTS)], entry["schema"], self.options.max_tokens)
        answer = self.session().post(self.options.url + path, json=body, timeout=600)
        if answer.status_code != 200:
            return "refused", answer.text[:300]
        text, is_cut = read(answer.json())
        if is_cut:
            return "cut", None
        is_text = isinstance(text, str) and read is not from_call
        value = json.loads(text, parse_float=decimal.Decimal) if is_text else text
        why = next((error.message for error in entry["validator"].iter_errors(value)), None)
        return ("valid", None) if why is None else ("wrong", f"{why[:200]}: {text!r}"[:600])

    def one(self, number, entry, spelling):
        try:
            what, why = self.ask(number, entry, spelling)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            what, why = "wrong", repr(error)[:600]
        with self.lock:
            self.counts[what] += 1
            self.by_spelling[spelling[0]][what] += 1
            if why:
                print(f"{what}: {entry['name']}: {spelling[0]}: {why}", flush=True)


def main():
    global MODEL
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("-j", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=300)
    parser.add_argument("--schemas", nargs="*", default=SCHEMAS)
    parser.add_argument("--tools", action="store_true")
    options = parser.parse_args()
    entries = []
    for path in options.schemas:
        entries += json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    for entry in entries:
        entry["validator"] = validator_of(entry["schema"])
    MODEL = requests.get(options.url + "/v1/models", timeout=60).json()["data"][0]["id"]
    spellings = SPELLINGS + (CALLS if options.tools else [])
    run = Run(options)
    # Two counts without a common factor pair every schema with every spelling before a pair comes again.
    pairs = itertools.islice(((k, entries[k % len(entries)], spellings[(k + k // len(entries)) % len(spellings)])
                              for k in itertools.count()), options.n)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for done in [pool.submit(run.one, *pair) for pair in pairs]:
            done.result()
    for name, counts in run.by_spelling.items():
        print(f"{name}: {dict(counts)}")
    print(f"{len(entries)} schemas, {sum(run.counts.values())} answers: {dict(run.counts)}")
    return 1 if run.counts["wrong"] or run.counts["refused"] or not run.counts["valid"] else 0


if __name__ == "__main__":
    sys.exit(main())
