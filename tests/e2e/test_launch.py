"""`vmetal launch` against a real server, with scripts in the tools' places."""

import json
import os
import subprocess

import pytest

from conftest import VMETAL

SHOW = '#!/bin/sh\nfor word in "$@"; do echo "arg=$word"; done\nenv\n'


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("claude", "codex", "opencode", "zed", "cn"):
        (folder / name).write_text(SHOW)
        (folder / name).chmod(0o755)
    return tmp_path


def launch(home, *args, path=None, **env):
    base = {k: v for k, v in os.environ.items() if k not in ("XDG_CONFIG_HOME", "VLLM_API_KEY")}
    base |= {"HOME": str(home), "PATH": path or f"{home}/bin:/usr/bin:/bin", **env}
    return subprocess.run([VMETAL, "launch", *map(str, args)], env=base, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)


def shown(done):
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [x[4:] for x in lines if x.startswith("arg=")], dict(x.split("=", 1) for x in lines if "=" in x)


@pytest.fixture(scope="module")
def card(server):
    return server.get("/v1/models").json()["data"][0]


def test_claude(server, card, home):
    args, env = shown(launch(home, "claude", "--url", server.url, "--", "-p", "it's", ANTHROPIC_API_KEY="secret"))
    assert args == ["-p", "it's"]
    assert env["ANTHROPIC_BASE_URL"] == server.url and env["ANTHROPIC_AUTH_TOKEN"] == "vmetal"
    assert env["ANTHROPIC_DEFAULT_SONNET_MODEL"] == env["ANTHROPIC_SMALL_FAST_MODEL"] == card["id"]
    assert env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == str(card["max_model_len"] // 4)
    assert "ANTHROPIC_API_KEY" not in env


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_codex(server, card, home, ending):
    args, env = shown(launch(home, "codex", "--url", server.url + ending, "--api-key", "k", "--", "exec", "hi"))
    assert args[-2:] == ["exec", "hi"] and args[0::2][:4] == ["-c"] * 4
    assert f'base_url="{server.url}/v1"' in args[1] and 'wire_api="responses"' in args[1]
    assert f'model="{card["id"]}"' in args and f'model_context_window={card["max_model_len"]}' in args
    assert env["VMETAL_API_KEY"] == "k"


def test_opencode(server, card, home):
    _, env = shown(launch(home, "opencode", "--url", server.url))
    config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["vmetal"]["options"]["baseURL"] == server.url + "/v1"
    assert config["provider"]["vmetal"]["models"][card["id"]]["limit"]["context"] == card["max_model_len"]


def test_zed_and_back(server, home):
    settings = home / ".config/zed/settings.json"
    settings.parent.mkdir(parents=True)
    before = '{\n  // mine\n  "vim_mode": true,\n}\n'
    settings.write_text(before)
    _, env = shown(launch(home, "zed", "--url", server.url, "--", "."))
    assert env["VMETAL_API_KEY"] == "vmetal"
    assert f'"api_url":"{server.url}/v1"' in settings.read_text() and "// mine" in settings.read_text()
    assert (settings.parent / "settings.json.vmetal-backup").read_text() == before
    assert launch(home, "zed", "--restore").returncode == 0
    assert settings.read_text() == before
    assert [p.name for p in settings.parent.iterdir()] == ["settings.json"]


def test_continue_and_back(server, card, home):
    config = home / ".continue/config.yaml"
    config.parent.mkdir()
    before = "name: Mine\nversion: 0.0.1\nschema: v1\nmodels:\n  - name: a # first\n    provider: ollama\n    model: b\nrules: []"
    config.write_text(before)
    shown(launch(home, "continue", "--url", server.url))
    lines = config.read_text().splitlines()
    at = lines.index("models:")
    assert lines[at + 1:at + 4] == ["  # >>> vmetal", "  - name: vmetal", "    provider: openai"]
    assert f'    model: "{card["id"]}"' in lines and f'      contextLength: {card["max_model_len"]}' in lines
    assert lines[lines.index("  # <<< vmetal") + 1] == "  - name: a # first"
    assert launch(home, "continue", "--restore").returncode == 0
    assert config.read_text() == before


def test_print_is_for_a_shell_and_does_nothing(server, home):
    for tool in ("claude", "codex", "opencode", "zed", "continue"):
        done = launch(home, tool, "--url", server.url, "--print", "--", "it's", "$HOME", path="/nowhere")
        assert done.returncode == 0, done.stderr
        script = "\n".join(x for x in done.stdout.splitlines() if x.startswith(("export ", "unset ")))
        command = done.stdout.splitlines()[-1]
        run = subprocess.run(["sh", "-ec", script + "\n" + command], env={"PATH": f"{home}/bin:/usr/bin:/bin"},
                             capture_output=True, text=True, timeout=30)
        assert shown(run)[0][-2:] == ["it's", "$HOME"]
    assert sorted(p.name for p in home.iterdir()) == ["bin"]


def test_refusals_say_what_to_do(server, home):
    def last(done):
        assert done.returncode != 0
        return done.stderr.rstrip("\n").split("\n")[-1]

    assert "there are claude codex opencode zed continue" in last(launch(home, "emacs"))
    assert "npm install -g @openai/codex" in last(launch(home, "codex", path="/nowhere"))
    assert 'no model "other"' in last(launch(home, "claude", "--url", server.url, "--model", "other"))
    assert "start it with: vmetal serve" in last(launch(home, "claude", "--url", "http://127.0.0.1:9"))
    settings = home / ".config/zed/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text("{ vim_mode: yes }")
    assert "is left as it was" in last(launch(home, "zed", "--url", server.url))
    assert settings.read_text() == "{ vim_mode: yes }"
