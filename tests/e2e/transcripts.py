"""Sessions of coding agents, played against a server: what each client sends turn by turn, and how it sends back what it
was told.  The models' words are scripts for --fake-model, written as models write: odd white space, keys in another
order, escapes that a JSON library would not choose, tokens that are not those of the text."""

import hashlib
import json
import random

import requests

TURNS = 20
WORDS = ("the server reads a block of tokens and returns its hash when nothing else holds it while a later request may "
         "still share the prefix that was computed before so the pool keeps content until reuse").split()
TOOLS = {
    "Read": {"file_path": {"type": "string", "description": "Absolute path"}, "limit": {"type": "integer"}},
    "Bash": {"command": {"type": "string"}, "timeout": {"type": "number"}},
    "Edit": {"file_path": {"type": "string"}, "old_string": {"type": "string"}, "new_string": {"type": "string"},
             "replace_all": {"type": "boolean"}},
}


def prose(seed, num_words):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(num_words))


def schema(name):
    return {"type": "object", "properties": TOOLS[name], "required": list(TOOLS[name])[:1]}


def arguments(turn):
    """What the model wants in a turn: the tool's name and its arguments."""
    if turn % 3 == 0:
        return "Read", {"file_path": f"/src/naïve/turn_{turn}.c", "limit": 40 + turn}
    if turn % 3 == 1:
        return "Bash", {"command": f"grep -n 'turn {turn}' *.c | sed \"s/<a>/\\t/\"", "timeout": 2.5}
    return "Edit", {"file_path": f"/src/turn_{turn}.c", "old_string": "int x;\n\tint y;\n", "new_string": prose(turn, 60),
                    "replace_all": False}


def mark(turn):
    return f"[mark {turn:02d}]"


# How models of a family write a call, with the liberties they take.

def odd_json(value, turn):
    """JSON as no library writes it."""
    style = turn % 4
    if style == 0:
        return json.dumps(value, ensure_ascii=True)
    if style == 1:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if style == 2:
        return json.dumps(value, ensure_ascii=False, indent=1)
    return json.dumps(value, ensure_ascii=False).replace("/", "\\/")


def hermes(turn, name, args):
    if turn % 2:
        return '<tool_call>\n{"arguments": ' + odd_json(args, turn) + f', "name": "{name}"}}\n</tool_call>'
    return f'<tool_call>{{"name":"{name}", "arguments": ' + odd_json(args, turn) + "}</tool_call>"


def coder(turn, name, args):
    def value(v):
        return v if isinstance(v, str) else json.dumps(v)
    gap = "\n" if turn % 2 else "\n\n"
    return (f"<tool_call>\n<function={name}>" + "".join(f"\n<parameter={k}>\n{value(v)}\n</parameter>" for k, v in args.items())
            + f"{gap}</function>\n</tool_call>")


def glm(turn, name, args):
    def value(v):
        return v if isinstance(v, str) else json.dumps(v)
    nl = "\n" if turn % 2 else ""
    return f"<tool_call>{name}{nl}" + "".join(
        f"<arg_key>{k}</arg_key>{nl}<arg_value>{value(v)}</arg_value>{nl}" for k, v in args.items()) + "</tool_call>"


def mistral(turn, name, args):
    return f"[TOOL_CALLS]{name}[ARGS]{odd_json(args, turn)}"


def harmony(turn, name, args):
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{odd_json(args, turn)}"


def deepseek(turn, name, args):
    return (f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{odd_json(args, turn)}"
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>")


def pieces(text, turn):
    """Cut where no tokenizer would: the tokens of the pieces are not those of the text."""
    rng = random.Random(turn)
    at = sorted(rng.sample(range(1, len(text)), min(6, len(text) - 1)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)])]


def scripts(write_call, reasoning=None, plain_turns=(), torn=True, prelude=True):
    """One for each turn, known by the mark in what the client sent last; the latest is looked for first."""
    out = []
    for turn in range(TURNS, 0, -1):
        name, args = arguments(turn)
        said = f"Let me look at {name} for step {turn}. \n\n" if turn % 4 and prelude else ""
        said += prose(f"say{turn}", 40) if turn in plain_turns else write_call(turn, name, args)
        if reasoning:
            said = reasoning.format(text=prose(f"think{turn}", 50)) + said
        out.append({"match": mark(turn), "text": pieces(said, turn) if torn else said})
    return out


class Agent:
    """A client's memory of the conversation; step() sends a turn and returns its usage as (prompt, cached, said)."""

    path = ""

    def __init__(self, server, model, words=1500, result_words=1300, plain_turns=(), settings=None, forgets=False):
        self.url, self.model = server.url, model
        self.plain_turns, self.settings, self.forgets = plain_turns, settings or {}, forgets
        self.instructions = "You are a coding agent. " + prose("system", words)
        self.result_words = result_words
        self.turn = 0

    def result(self):
        """Of a tool, as the next turn shows it."""
        return f"{mark(self.turn)} " + prose(f"result{self.turn}", self.result_words)

    def post(self, body):
        response = requests.post(self.url + self.path, json={**body, **self.settings}, timeout=120, stream=True,
                                 headers={"Accept": "text/event-stream"})
        assert response.status_code == 200, response.text
        return [json.loads(line[6:]) for line in response.iter_lines()
                if line.startswith(b"data: ") and line != b"data: [DONE]"]

    def own_id(self, call_id):
        """Forgetful clients give calls other ids: nothing can be known of them."""
        return f"own{self.turn}" if self.forgets else call_id

    def called(self, calls):
        """What came must be what the script says."""
        if self.turn in self.plain_turns:
            assert not calls, calls
        else:
            assert [(n, a) for n, a in calls] == [arguments(self.turn)], calls


class ClaudeCode(Agent):
    """Messages: blocks, a billing header that changes, cache marks that move, reminders beside results."""

    path = "/v1/messages?beta=true"

    def __init__(self, *args, reminders=True, late_system=True, **kw):
        super().__init__(*args, **kw)
        self.messages, self.reminders, self.late_system = [], reminders, late_system

    def say_user(self, answers):
        content = [{"type": "tool_result", "tool_use_id": b["id"], "content": [{"type": "text", "text": self.result()}]}
                   for b in answers]
        if not answers:
            content = [{"type": "text", "text": "<system-reminder>Today is a day.</system-reminder>"},
                       {"type": "text", "text": self.result()}]
        elif self.reminders and self.turn % 5 == 0:
            content.append({"type": "text", "text": f"<system-reminder>Step {self.turn}.</system-reminder>"})
        for message in self.messages:
            for block in message["content"]:
                block.pop("cache_control", None)
        content[-1]["cache_control"] = {"type": "ephemeral"}
        self.messages.append({"role": "user", "content": content})

    def step(self):
        last = self.messages[-1]["content"] if self.messages else []
        self.turn += 1
        self.say_user([b for b in last if b["type"] == "tool_use"])
        if self.turn == 6 and self.late_system:
            self.messages.append({"role": "system", "content": [{"type": "text", "text": "The user opened a file."}]})
        billing = hashlib.sha256(str(self.turn).encode()).hexdigest()[:5]
        events = self.post({
            "model": self.model, "max_tokens": 3000, "stream": True, "messages": self.messages,
            "system": [{"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.330.{billing}; cch={billing};"},
                       {"type": "text", "text": self.instructions, "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": n, "description": prose(n, 120), "input_schema": schema(n)} for n in TOOLS],
            "metadata": {"user_id": f"user_{billing}"}})
        blocks, usage = [], {}
        for e in events:
            if e["type"] == "message_start":
                usage.update(e["message"]["usage"])
            elif e["type"] == "content_block_start":
                blocks.append({**e["content_block"], "json": ""})
            elif e["type"] == "content_block_delta":
                delta, block = e["delta"], blocks[-1]
                for kind, field in (("text", "text"), ("thinking", "thinking"), ("signature", "signature"), ("partial_json", "json")):
                    if kind in delta:
                        block[field] = block.get(field, "") + delta[kind]
            elif e["type"] == "message_delta":
                usage.update(e["usage"])
        for block in blocks:
            text = block.pop("json")
            if block["type"] == "tool_use":
                block["input"], block["id"] = json.loads(text or "{}"), self.own_id(block["id"])
        self.called([(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"])
        # White space alone is no block that the API takes back.
        self.messages.append({"role": "assistant", "content": [b for b in blocks if b["type"] != "text" or b["text"].strip()]})
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + cached + usage["cache_creation_input_tokens"], cached, usage["output_tokens"]


class Codex(Agent):
    """Responses: items of what was said, without their ids, nothing stored."""

    path = "/v1/responses"

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.items = [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": prose("rules", 300)}]},
                      {"type": "message", "role": "user",
                       "content": [{"type": "input_text", "text": "<environment_context>cwd</environment_context>"}]}]
        self.open_calls = []

    def step(self):
        self.turn += 1
        for call in self.open_calls:
            self.items.append({"type": "function_call_output", "call_id": call["call_id"], "output": self.result()})
        if not self.open_calls:
            self.items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": self.result()}]})
        events = self.post({
            "model": self.model, "instructions": self.instructions, "input": self.items, "stream": True, "store": False,
            "tool_choice": "auto", "parallel_tool_calls": False, "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "0197", "reasoning": {"summary": "auto"},
            "tools": [{"type": "function", "name": n, "description": prose(n, 120), "strict": False, "parameters": schema(n)}
                      for n in TOOLS] + [{"type": "web_search"}]})
        self.open_calls = []
        for e in events:
            if e["type"] == "response.output_item.done":
                item = {k: v for k, v in e["item"].items() if k not in ("id", "status")}
                self.items.append(item)
                if item["type"] == "function_call":
                    item["call_id"] = self.own_id(item["call_id"])
                    self.open_calls.append(item)
        self.called([(c["name"], json.loads(c["arguments"])) for c in self.open_calls])
        usage = events[-1]["response"]["usage"]
        return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]


class OpenCode(Agent):
    """Chat completions; what the model thought is not sent back."""

    path = "/v1/chat/completions"

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.messages = [{"role": "system", "content": self.instructions}]

    def step(self):
        calls = self.messages[-1].get("tool_calls", [])
        self.turn += 1
        for call in calls:
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": self.result()})
        if not calls:
            self.messages.append({"role": "user", "content": [{"type": "text", "text": self.result()}]})
        chunks = self.post({
            "model": self.model, "max_tokens": 3000, "messages": self.messages, "stream": True,
            "stream_options": {"include_usage": True}, "tool_choice": "auto",
            "tools": [{"type": "function", "function": {"name": n, "description": prose(n, 120), "parameters": schema(n)}}
                      for n in TOOLS]})
        text, calls = "", {}
        for chunk in chunks:
            for choice in chunk["choices"]:
                text += choice["delta"].get("content") or ""
                for d in choice["delta"].get("tool_calls", []):
                    call = calls.setdefault(d["index"], {"id": d.get("id"), "type": "function",
                                                         "function": {"name": "", "arguments": ""}})
                    for k in ("name", "arguments"):
                        call["function"][k] += d["function"].get(k) or ""
        self.called([(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls.values()])
        for call in calls.values():
            call["id"] = self.own_id(call["id"])
        for call in calls.values():  # the SDK parses the arguments and writes them again
            call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), separators=(",", ":"),
                                                       ensure_ascii=False)
        said = {"role": "assistant", "content": text}
        if calls:
            said["tool_calls"] = list(calls.values())
        self.messages.append(said)
        usage = chunks[-1]["usage"]
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]
