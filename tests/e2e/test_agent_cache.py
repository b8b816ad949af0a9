"""The promise to agents: from the second turn on, what was sent or generated before is found in the cache."""

import json
import pathlib

import pytest

import transcripts as t
from conftest import Server
from transcripts import ClaudeCode, Codex, OpenCode

TEMPLATES = pathlib.Path(__file__).resolve().parents[1] / "golden/templates"
THINK = "<think>\n{text}\n</think>\n\n"

ANALYSIS = "<|channel|>analysis<|message|>{text}<|end|><|start|>assistant"


class Model:
    """A template, how its models call and think, and what ends their turns: the one end token that this tokenizer has
    stands for it."""

    def __init__(self, template, write_call, reasoning=None, ends=None, prelude=True, plain_turns=(), **settings):
        text = (TEMPLATES / f"{template}.jinja").read_text()
        self.template = text.replace(ends, "<|im_end|>") if ends else text
        self.scripts = t.scripts(write_call, reasoning, plain_turns, prelude=prelude)
        self.more = {"settings": settings, "plain_turns": plain_turns}


MODELS = {
    "hermes": Model("qwen2.5", t.hermes),
    "hermes_talks": Model("qwen2.5", t.hermes, plain_turns=(4, 5, 11, 17)),
    "qwen3": Model("qwen3", t.hermes, THINK),
    "qwen3_silent": Model("qwen3", t.hermes, chat_template_kwargs={"enable_thinking": False}),
    "qwen3.5": Model("qwen3.5", t.coder, "{text}\n</think>\n\n"),
    "qwen3_coder": Model("qwen3_coder", t.coder),
    "glm4.7": Model("glm4.7", t.glm, "{text}</think>", ends="<|observation|>"),
    "gpt_oss": Model("gpt_oss", t.harmony, ANALYSIS, ends="<|call|>", prelude=False),
    "deepseek_v3.1": Model("deepseek_v3.1", t.deepseek, ends="<｜end▁of▁sentence｜>"),
    "mistral": Model("mistral_small_3.2", t.mistral, ends="{{ eos_token }}"),
}
AGENTS = {"claude": ClaudeCode, "codex": Codex, "opencode": OpenCode}


def play(agent, turns=t.TURNS):
    """The share of what was known before that each turn from the second on found in the cache; the last prompt's tokens."""
    shares, known = [], 0
    for turn in range(turns):
        prompt, cached, said = agent.step()
        if turn:
            shares.append(cached / min(known, prompt))
        known = prompt + said
    return shares, prompt


@pytest.fixture(scope="module")
def serve(tmp_path_factory, model_file):
    """One server at a time: a model that says a transcript's part."""
    running = {}

    def start(template, scripts):
        key = json.dumps([template, scripts])
        if key not in running:
            for s in running.values():
                assert s.stop() == 0, s.log
            running.clear()
            folder = tmp_path_factory.mktemp("agent")
            (folder / "scripts.jsonl").write_text("".join(json.dumps(s) + "\n" for s in scripts))
            (folder / "template.jinja").write_text(template)
            running[key] = Server("--fake-model", folder / "scripts.jsonl", "--chat-template", folder / "template.jinja",
                                  "--num-gpu-blocks-override", 8192, "--max-model-len", 65536, "--max-num-batched-tokens", 2048,
                                  "--served-model-name", "agent", env={"VMETAL_LOG": "warn"})
        return running[key]

    yield start
    for s in running.values():
        assert s.stop() == 0, s.log


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("agent", AGENTS)
def test_twenty_turns_are_cached(serve, model, agent):
    played = MODELS[model]
    client = AGENTS[agent](serve(played.template, played.scripts), "agent", **played.more)
    shares, prompt = play(client)
    print(f"{model} {agent} least={min(shares):.4f} mean={sum(shares) / len(shares):.4f} prompt={prompt}")
    assert prompt > 30000
    assert min(shares) >= 0.95, [f"{s:.3f}" for s in shares]


def test_it_is_the_ids_that_do_it(serve):
    """The same session with ids that nobody knows: the template writes the calls anew, and their tokens are lost."""
    played = MODELS["hermes"]
    server = serve(played.template, played.scripts)
    least = [min(play(OpenCode(server, "agent", forgets=forgets, words=40, result_words=60))[0]) for forgets in (False, True)]
    assert least[0] >= 0.95 > 0.9 > least[1], least


def test_a_changed_call_is_the_clients(serve):
    """What the client changed is what the model reads."""
    played = MODELS["hermes"]
    client = OpenCode(serve(played.template, played.scripts), "agent", words=40, result_words=60)
    client.step()
    client.messages[-1]["tool_calls"][0]["function"]["arguments"] = '{"command":"rm -rf nothing"}'
    prompt, cached, _ = client.step()
    assert cached < prompt - 60


def test_real_turns_are_cached(server):
    """SmolLM2 itself: what it sampled is what is cached, however odd its tokens are."""
    client, known, shares = server.client(), 0, []
    messages = [{"role": "system", "content": "You are a helpful assistant. " + t.prose("real", 60)}]
    for turn in range(8):
        messages.append({"role": "user", "content": f"Tell me about the number {turn} in one sentence. " + t.prose(turn, 40)})
        answer = client.chat.completions.create(model="", messages=messages, max_tokens=60, temperature=1.5, top_p=0.98, seed=turn)
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        usage = answer.usage
        if turn:
            shares.append(usage.prompt_tokens_details.cached_tokens / known)
        known = usage.prompt_tokens + usage.completion_tokens
    # Whole blocks of 16 tokens, and the last token sampled was never fed to the model.
    assert min(shares[3:]) >= 0.95, shares
    assert min(shares) >= 0.90, shares


@pytest.mark.parametrize("model", MODELS)
def test_the_next_prompt_begins_with_what_was_sampled(serve, model):
    """Token for token, although each script's tokens are not those that a tokenizer gives its text."""
    played = MODELS[model]
    server = serve(played.template, played.scripts)
    tools = [{"type": "function", "function": {"name": n, "description": n, "parameters": t.schema(n)}} for n in t.TOOLS]
    messages = [{"role": "user", "content": f"{t.mark(1)} begin"}]
    for turn in range(1, 7):
        body = {"messages": messages, "tools": tools, "max_tokens": 2000, "return_token_ids": True, **played.more["settings"]}
        answer = server.post("/v1/chat/completions", body).json()
        choice = answer["choices"][0]
        if turn > 1:
            assert answer["prompt_token_ids"][:len(known)] == known
        known = answer["prompt_token_ids"] + choice["token_ids"][:-1]
        message = choice["message"]
        messages.append({k: message[k] for k in ("role", "content", "tool_calls") if message.get(k)})
        calls = message.get("tool_calls", [])
        assert len(calls) == (0 if turn in played.more["plain_turns"] else 1)
        result = f"{t.mark(turn + 1)} fine"
        messages += [{"role": "tool", "tool_call_id": c["id"], "content": result} for c in calls] or [
            {"role": "user", "content": result}]


def test_messages_made_up_to_be_looked_for_cost_little(serve):
    """Thousands of messages that each might be any of eight former turns, behind text that would be hashed for each."""
    played = MODELS["hermes"]
    server = serve(played.template, [{"text": "OK"}])
    for i in range(8):
        ask = {"messages": [{"role": "user", "content": "x " * (20000 + 1500 * i)}], "max_tokens": 5}
        assert server.post("/v1/chat/completions", ask).json()["choices"][0]["message"]["content"] == "OK"

    def seconds(said):
        pair = [{"role": "user", "content": "y " * 600}, {"role": "assistant", "content": said}]
        answer = server.post("/v1/chat/completions", {"messages": pair * 8000, "max_tokens": 5})
        assert answer.status_code == 400 and "maximum context length" in answer.text
        return answer.elapsed.total_seconds()

    # About 1.6 times here; without a bound 15 times.
    assert min(seconds("OK") / seconds("nothing") for _ in range(3)) < 5
