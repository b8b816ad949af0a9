"""Conversations that chat templates are rendered with: the cases of make_template_vectors.py and compare_jinja.py."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "City, e.g. \"Zürich\""},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": "integer", "minimum": 1, "maximum": 14},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "search_files",
            "description": "Finds files.\nReturns paths & sizes <bytes>.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {
                        "type": "object",
                        "properties": {
                            "terms": {"type": "array", "items": {"type": "string"}},
                            "case": {"type": ["boolean", "null"]},
                            "range": {
                                "type": "object",
                                "properties": {"from": {"type": "number"}, "to": {"type": "number"}},
                                "additionalProperties": False,
                            },
                        },
                        "required": ["terms"],
                    },
                    "limit": {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": "at most"},
                    "ratio": {"type": "number", "default": 0.5},
                },
                "required": ["query", "limit"],
            },
            "return": {"type": "array"},
        },
    },
]

CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 3, "deep": {"a": [1, 2.5, None, True]}}},
}
CALL_2 = {
    "id": "call00002",
    "type": "function",
    "function": {"name": "search_files", "arguments": {"query": {"terms": ["a", "b\"c"]}, "limit": 5}},
}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def tool(text, call_id="call00001", name="get_weather"):
    return {"role": "tool", "content": text, "tool_call_id": call_id, "name": name}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


def base_cases():
    turn = [user("Hello"), assistant("Hi there."), user("And now?")]
    calls = [
        system("Use tools."),
        user("Weather in Zürich?"),
        assistant("", tool_calls=[CALL]),
        tool('{"temp": 21.5}'),
    ]
    thinking = assistant("It is 4.", reasoning_content="2+2\nis 4")
    inline = assistant("<think>\nsome thought\n</think>\n\nAnswer.")
    yield "plain", {"messages": [user("Hello")]}
    yield "plain_generate", {"messages": [user("Hello")], "add_generation_prompt": True}
    yield "system", {"messages": [system("Be brief."), user("Hi")], "add_generation_prompt": True}
    yield "turns", {"messages": turn, "add_generation_prompt": True}
    yield "turns_closed", {"messages": [system("  S \n")] + turn[:2]}
    yield "turns_system", {"messages": [system("You are kind.")] + turn + [assistant("Fine."), user(" ok \n")],
                           "add_generation_prompt": True}
    yield "unicode", {"messages": [system("系统 🙂"), user("Grüße, 世界! \u00a0\u2028 {{ x }} {% if %} 'q' \"d\" \\ \t")],
                      "add_generation_prompt": True}
    yield "empty_content", {"messages": [user(""), assistant(""), user("x")], "add_generation_prompt": True}
    yield "parts", {"messages": [{"role": "user", "content": parts("One.", " Two.")}], "add_generation_prompt": True}
    yield "parts_system", {"messages": [{"role": "system", "content": parts("Sys.")},
                                        {"role": "user", "content": parts("One.", "Two.")},
                                        {"role": "assistant", "content": parts("Three.")},
                                        {"role": "user", "content": parts("Four.")}], "add_generation_prompt": True}
    yield "image", {"messages": [{"role": "user", "content": [{"type": "image"}] + parts("What is this?")}],
                    "add_generation_prompt": True}
    yield "tools", {"messages": [user("Weather?")], "tools": TOOLS, "add_generation_prompt": True}
    yield "tools_system", {"messages": [system("Be brief."), user("Weather?")], "tools": TOOLS,
                           "add_generation_prompt": True}
    yield "tool_result", {"messages": calls, "tools": TOOLS, "add_generation_prompt": True}
    yield "tool_done", {"messages": calls + [assistant("21.5 degrees."), user("Thanks")], "tools": TOOLS,
                        "add_generation_prompt": True}
    yield "tool_calls_two", {
        "messages": [user("Both"), assistant("Let me look.", tool_calls=[CALL, CALL_2]), tool("sunny"),
                     tool("a.txt\nb.txt", "call00002", "search_files")],
        "tools": TOOLS, "add_generation_prompt": True}
    yield "tool_calls_none", {"messages": [user("Both"), assistant(None, tool_calls=[CALL]), tool("sunny")],
                              "add_generation_prompt": True}
    yield "tool_args_text", {
        "messages": [user("x"), assistant("", tool_calls=[{"id": "abcdefghi", "type": "function", "function": {
            "name": "f", "arguments": "{\"a\": 1}"}}]), tool("r", "abcdefghi", "f"), assistant("done")],
        "tools": TOOLS[:1]}
    yield "tool_reasoning", {"messages": [user("q"), assistant("", reasoning_content="need weather", tool_calls=[CALL]),
                                          tool("rain")], "tools": TOOLS, "add_generation_prompt": True}
    yield "reasoning", {"messages": [user("2+2?"), thinking, user("again")], "add_generation_prompt": True}
    yield "reasoning_last", {"messages": [user("2+2?"), thinking]}
    yield "reasoning_inline", {"messages": [user("2+2?"), inline, user("again")], "add_generation_prompt": True}
    yield "reasoning_field", {"messages": [user("a"), assistant("b", thinking="t"), user("c")],
                              "add_generation_prompt": True}
    for flag in (True, False):
        yield f"thinking_{flag}".lower(), {"messages": turn, "enable_thinking": flag, "thinking": flag,
                                           "add_generation_prompt": True}
        yield f"thinking_tools_{flag}".lower(), {"messages": calls, "tools": TOOLS, "enable_thinking": flag,
                                                 "thinking": flag, "add_generation_prompt": True}
    yield "effort", {"messages": turn, "reasoning_effort": "high", "add_generation_prompt": True}
    yield "no_think_command", {"messages": [system("Be brief. /no_think"), user("Hi /think")],
                               "add_generation_prompt": True}
    yield "developer", {"messages": [{"role": "developer", "content": "Dev text."}, user("Hi")],
                        "add_generation_prompt": True}
    yield "system_middle", {"messages": [user("Hi"), system("late"), user("x")], "add_generation_prompt": True}
    yield "two_users", {"messages": [user("Hi"), user("x")], "add_generation_prompt": True}
    yield "starts_assistant", {"messages": [assistant("Hi"), user("x")]}
    yield "unknown_role", {"messages": [{"role": "critic", "content": "No."}], "add_generation_prompt": True}
    yield "no_messages", {"messages": []}
    yield "documents", {"messages": turn, "documents": [{"title": "T", "text": "Body", "doc_id": 1}],
                        "add_generation_prompt": True}


def cases():
    """(name, variables) pairs, with what every rendering gets."""
    for name, variables in base_cases():
        full = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "tools": None,
                "documents": None, "add_generation_prompt": False}
        full.update(variables)
        yield name, full


NOW = 1767225600  # 2026-01-01 00:00:00 UTC
