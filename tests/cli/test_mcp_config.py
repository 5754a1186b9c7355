"""What clients need in their configuration: printed, or put beside what is there without harming it."""

from __future__ import annotations

import json
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawbench.cli import main
from tests.support.process import CLAWBENCH, Ended

SERVER = "https://clawbench.test"
URL = f"{SERVER}/mcp"
HELPER = f"auth headers --server {SERVER}"
FILES = {
    "claude": ".claude.json",
    "codex": ".codex/config.toml",
    "opencode": ".config/opencode/opencode.json",
    "cursor": ".cursor/mcp.json",
}
Config = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory that nothing in the environment leads away from."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def config(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Config:
    """``clawbench mcp config``, in this process."""

    def run(*arguments: str) -> Ended:
        code: object = 0
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["clawbench", "mcp", "config", *arguments, "--server", SERVER])
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        assert isinstance(code, int)
        out, err = capsys.readouterr()
        return Ended(code=code, out=out, err=err)

    return run


def parsed(client: str, text: str) -> dict[str, Any]:
    return tomllib.loads(text) if client == "codex" else json.loads(text)


OAUTH: dict[str, dict[str, Any]] = {
    "claude": {"mcpServers": {"clawbench": {"type": "http", "url": URL}}},
    "codex": {"mcp_servers": {"clawbench": {"url": URL}}},
    "opencode": {"mcp": {"clawbench": {"type": "remote", "url": URL}}},
    "cursor": {"mcpServers": {"clawbench": {"url": URL}}},
}


@pytest.mark.parametrize("client", OAUTH)
@pytest.mark.promise("mcp-config")
def test_what_is_printed_can_be_put_into_the_file_as_it_is(config: Config, home: Path, client: str) -> None:
    printed = config(client)
    assert printed.code == 0
    assert parsed(client, printed.out) == OAUTH[client]
    assert str(home / FILES[client]) in printed.err
    assert "# then: " in printed.err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("client", OAUTH)
@pytest.mark.promise("mcp-config")
def test_an_installed_entry_is_what_is_printed_and_a_second_time_changes_nothing(
    config: Config, home: Path, client: str
) -> None:
    file = home / FILES[client]
    assert config(client, "--install").out == f"wrote {file}\n"
    assert file.read_text() == config(client).out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert config(client, "--install").out == f"{file} has it already\n"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(("client", "key"), [("claude", "headersHelper"), ("codex", "http_headers_helper")])
def test_the_header_helper_is_named_so_that_the_client_finds_it(
    config: Config, client: str, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def helper() -> str:
        (servers,) = parsed(client, config(client, "--auth", "headers").out).values()
        assert servers["clawbench"]["url"] == URL
        return servers["clawbench"][key]

    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert helper() == f"{CLAWBENCH} {HELPER}"
    directory = tmp_path / "on the way"
    directory.mkdir()
    (directory / "clawbench").symlink_to(CLAWBENCH)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    assert helper() == f"clawbench {HELPER}"


@pytest.mark.parametrize("client", ["opencode", "cursor"])
def test_a_client_that_asks_no_program_is_told_to_sign_in_itself(config: Config, home: Path, client: str) -> None:
    told = config(client, "--auth", "headers", "--install")
    assert (told.code, told.out, "--auth oauth" in told.err) == (1, "", True)
    assert list(home.iterdir()) == []


JSON = """{
    "numStartups": 7,
    "é": "ü \\ud83d",
    "big": 12345678901234567890,
    "part": 0.1,
    "%s": {
        "other": {"url": "https://other.test"}
    },
    "projects": {"/x": {"mcpServers": {"clawbench": {"url": "kept"}}}}
}
"""

TOML = """# mine
model = "a"  # for now
notify = ["a", "b"]

[mcp_servers.other]
url = "https://other.test"  # theirs

[profiles.x]
text = '''
[not.a.table]
'''"""


@pytest.mark.parametrize("client", OAUTH)
def test_what_was_there_stays_and_is_also_kept_beside(config: Config, home: Path, client: str) -> None:
    file = home / FILES[client]
    (table,) = OAUTH[client]
    before = TOML if client == "codex" else JSON % table
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(before)
    file.chmod(0o640)
    changed = config(client, "--install")
    backup = file.with_name(f"{file.name}.before-clawbench")
    assert changed.out == f"changed {file}; as it was: {backup}\n"
    after = parsed(client, file.read_text())
    assert after[table].pop("clawbench") == OAUTH[client][table]["clawbench"]
    assert after == parsed(client, before)
    assert backup.read_text() == before
    assert {stat.S_IMODE(each.stat().st_mode) for each in (file, backup)} == {0o640}
    assert {each.name for each in file.parent.iterdir() if each.is_file()} == {file.name, backup.name}
    if client == "codex":
        assert file.read_text().startswith(before), "comments and layout are the person's"
    else:
        assert list(after) == list(parsed(client, before))
        assert '    "numStartups": 7,\n    "é": "ü \\ud83d",\n' in file.read_text()


@pytest.mark.parametrize("client", ["claude", "codex"])
def test_another_entry_of_the_name_is_replaced_only_by_force(config: Config, home: Path, client: str) -> None:
    file = home / FILES[client]
    config(client, "--install")
    if client == "codex":
        below = '[mcp_servers.clawbench.tools.x]\nenabled = true\n\n# two\n[mcp_servers."clawbench-2"]\nurl = "b"\n'
        file.write_text(f"{file.read_text()}\n{below}")
    before = file.read_text()
    refused = config(client, "--auth", "headers", "--install")
    assert (refused.code, refused.out, "--force" in refused.err) == (1, "", True)
    assert file.read_text() == before
    assert config(client, "--auth", "headers", "--install", "--force").code == 0
    assert config(client, "--auth", "headers", "--install").out == f"{file} has it already\n"
    if client == "codex":
        held = tomllib.loads(file.read_text())["mcp_servers"]
        assert (set(held), held["clawbench-2"]) == ({"clawbench", "clawbench-2"}, {"url": "b"})
        assert '# two\n[mcp_servers."clawbench-2"]\n' in file.read_text()


def test_a_second_server_goes_under_a_name_of_its_own(config: Config, home: Path) -> None:
    config("codex", "--install")
    assert config("codex", "--install", "--name", "clawbench-lab").code == 0
    assert set(tomllib.loads((home / FILES["codex"]).read_text())["mcp_servers"]) == {"clawbench", "clawbench-lab"}
    assert config("codex", "--name", "a.b").code == 1


@pytest.mark.parametrize(
    ("client", "content", "why"),
    [
        ("opencode", '{"mcp": {}, // mine\n}', "is not plain JSON"),
        ("claude", "[]", "is not plain JSON"),
        ("claude", '{"mcpServers": 7}', "has something else at mcpServers"),
        ("cursor", '{"mcpServers": {}', "is not plain JSON"),
        ("codex", "model = ", "is not plain TOML"),
        ("codex", 'mcp_servers = {other = {url = "a"}}\n', "laid out in a way"),
        ("codex", "mcp_servers = 7\n", "has something else at mcp_servers"),
        (
            "codex",
            "x = '''\n[mcp_servers.clawbench]\n'''\n[mcp_servers]\nclawbench = {url = 'b'}\n",
            "laid out in a way",
        ),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(
    config: Config, home: Path, client: str, content: str, why: str
) -> None:
    file = home / FILES[client]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    refused = config(client, "--install", "--force")
    assert (refused.code, refused.out, why in refused.err) == (1, "", True), refused
    assert "by hand" in refused.err
    assert file.read_text() == content
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("content", ["not text: \xff".encode("latin-1"), b"\xef\xbb\xbf{}"])
def test_bytes_that_are_no_json_are_left_alone(config: Config, home: Path, content: bytes) -> None:
    file = home / ".claude.json"
    file.write_bytes(content)
    assert config("claude", "--install").code == 1
    assert file.read_bytes() == content


def test_a_file_that_is_a_link_stays_one(config: Config, home: Path) -> None:
    kept = home / "dotfiles" / "claude.json"
    kept.parent.mkdir()
    kept.write_text('{"a":1}')
    (home / ".claude.json").symlink_to(kept)
    assert config("claude", "--install").code == 0
    assert (home / ".claude.json").is_symlink()
    assert kept.read_text() == '{"a": 1, "mcpServers": {"clawbench": {"type": "http", "url": "%s"}}}' % URL  # noqa: UP031


@pytest.mark.parametrize(
    ("client", "variable", "file"),
    [
        ("claude", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex", "CODEX_HOME", "config.toml"),
        ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
    ],
)
def test_the_client_is_followed_to_where_it_keeps_its_configuration(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, variable: str, file: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    config(client, "--install")
    assert (tmp_path / "elsewhere" / file).exists()


def test_opencodes_file_for_comments_is_used_where_it_is(config: Config, home: Path) -> None:
    file = home / ".config" / "opencode" / "opencode.jsonc"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    config("opencode", "--install")
    assert json.loads(file.read_text()) == OAUTH["opencode"]


def test_a_file_that_cannot_be_written_is_told(config: Config, home: Path) -> None:
    (home / ".codex").write_text("a file where the directory should be")
    told = config("codex", "--install")
    assert (told.code, "cannot be written" in told.err) == (1, True)
