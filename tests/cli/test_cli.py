"""The command line: JSON where it reads, one line and a hint where it cannot, and a doctor that knows the fix."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest
from pytest_asyncio import fixture as async_fixture

from clawbench.cli import main
from clawbench.flows.evidence import bundle
from tests.conftest import Databases
from tests.support.process import SETUP_LINE, Ended, Installation
from tests.support.stack import Stack

NOBODY = str(uuid4())


@pytest.fixture
def here(stack: Stack, tmp_path: Path) -> Installation:
    """The command line beside the session's installation."""
    settings = stack.deps.settings
    assert settings.database_url is not None
    port = urlsplit(stack.url).port
    assert port is not None
    return Installation(
        directory=settings.data_dir, port=port, more={"DATABASE_URL": settings.database_url.get_secret_value()}
    )


@async_fixture
async def empty(databases: Databases, template: str, tmp_path: Path) -> AsyncGenerator[Installation]:
    """An installation with nothing in it."""
    url = await databases.create(template=template)
    yield Installation(directory=tmp_path / "data", more={"DATABASE_URL": url})
    await databases.drop(url)


@async_fixture(scope="module")
async def run_id(stack: Stack) -> str:
    return await stack.scored_run(await stack.member())


def is_one_line_and_a_hint(ended: Ended) -> bool:
    lines = ended.err.splitlines()
    return (
        ended.code == 1
        and ended.out == ""
        and len(lines) == 2
        and lines[0].startswith("clawbench: ")
        and lines[1].startswith("  ")
        and bool(lines[1].strip())
    )


Run = Callable[..., Ended]


@pytest.fixture
def ran(here: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The console script's function in this process: a start of Python costs more than most commands."""
    for name, value in here.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **environment: str) -> Ended:
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["clawbench", *arguments])
            code: object = 0
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        assert isinstance(code, int)
        out, err = capsys.readouterr()
        return Ended(code=code, out=out, err=err)

    return run


READS = {
    "bench list": ["bench", "list"],
    "bench show": ["bench", "show", "answer"],
    "runs list": ["runs", "list"],
    "runs show": ["runs", "show", "RUN"],
    "gate list": ["admin", "gate", "list"],
    "gate show": ["admin", "gate", "show", "RUN"],
    "people list": ["admin", "people", "list"],
    "db status": ["db", "status"],
    "doctor": ["doctor"],
}


@pytest.mark.parametrize("name", READS)
def test_every_command_that_reads_speaks_json_and_prose(ran: Run, run_id: str, name: str) -> None:
    arguments = [run_id if word == "RUN" else word for word in READS[name]]
    as_json, as_text = ran(*arguments, "--json"), ran(*arguments)
    assert (as_json.code, as_text.code) == (0, 0), (as_json, as_text)
    assert isinstance(json.loads(as_json.out), list | dict)
    assert as_text.out.strip()
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        json.loads(as_text.out)


def test_what_is_shown_of_a_run_is_what_happened(ran: Run, run_id: str) -> None:
    shown = json.loads(ran("runs", "show", run_id, "--json").out)
    assert (shown["run_id"], shown["status"], shown["score"]) == (run_id, "done", 1.0)
    assert [call["tool"] for call in shown["calls"]] == ["start_run", "run_command", "finalize_run"]
    task = json.loads(ran("bench", "show", "answer", "--json").out)
    assert (task["task_id"], task["state"], task["nothing"], task["reference"]) == ("answer", "ready", 0, 1)
    assert "tests" not in task
    assert "solution" not in task


ERRORS = {
    "an unknown run": ["runs", "show", NOBODY],
    "evidence of an unknown run": ["runs", "export", NOBODY],
    "gates of an unknown run": ["admin", "gate", "show", NOBODY],
    "approving an unknown run": ["admin", "gate", "approve", NOBODY, "--reason", "r"],
    "withdrawing from an unknown run": ["admin", "gate", "withdraw", NOBODY, "--reason", "r"],
    "an unknown task": ["bench", "show", "nope"],
    "a directory without tasks": ["bench", "import", "/proc/self/fdinfo"],
    "a directory that is not there": ["bench", "import", "/nowhere"],
    "an agent's name that cannot be public": ["admin", "token", "--agent", "a b"],
    "a user's name that is none": ["admin", "user", " "],
    "promoting nobody": ["admin", "people", "promote", "nobody-at-all"],
    "demoting nobody": ["admin", "people", "demote", "nobody-at-all"],
    "a link for nobody": ["admin", "people", "link", "nobody-at-all"],
    "headers without signing in": ["auth", "headers", "--server", "http://127.0.0.1:1"],
    "a server that does not answer": ["login", "--server", "http://127.0.0.1:1"],
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_line_with_what_to_do_and_exit_code_1(ran: Run, name: str) -> None:
    ended = ran(*ERRORS[name])
    assert is_one_line_and_a_hint(ended), ended


@pytest.mark.parametrize("command", ["runs list --json", "db status"])
def test_a_database_that_does_not_answer_is_told_like_any_error(ran: Run, command: str) -> None:
    ended = ran(*command.split(), DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")
    assert is_one_line_and_a_hint(ended), ended
    assert "Postgres did not answer" in ended.err


async def test_a_server_without_its_database_does_not_come_up_and_says_why(tmp_path: Path) -> None:
    lost = Installation(directory=tmp_path, more={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"})
    assert is_one_line_and_a_hint(ended := await lost.run("up")), ended


def test_a_name_that_is_taken_is_told(ran: Run) -> None:
    name = f"user-{uuid4().hex[:8]}"
    assert "/setup?token=" in ran("admin", "user", name).out
    assert is_one_line_and_a_hint(ran("admin", "user", name))


@pytest.mark.promise("api-keys")
async def test_an_operators_token_works_at_once_and_admin_is_only_by_asking(here: Installation, stack: Stack) -> None:
    name = f"agent-{uuid4().hex[:8]}"
    token = (await here.ok("admin", "token", "--agent", name)).strip()
    admin = (await here.ok("admin", "token", "--agent", name, "--scope", "clawbench:admin")).strip()
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        for each, status in ((token, 403), (admin, 200), ("cbt_x", 401)):
            answer = await client.get("/api/v1/admin/gate", headers={"Authorization": f"Bearer {each}"})
            assert answer.status_code == status


def test_the_doctor_says_all_is_well_where_runs_can_be_made(ran: Run) -> None:
    assert json.loads(ran("doctor", "--json").out) == []
    assert ran("doctor").out == "All is well: runs can be made.\n"


def test_the_doctor_says_what_is_missing_and_how_to_fix_it(ran: Run, empty: Installation) -> None:
    no_tasks = ran("doctor", "--json", DATABASE_URL=empty.more["DATABASE_URL"])
    assert no_tasks.code == 0
    (note,) = json.loads(no_tasks.out)
    assert (note["code"], note["fatal"]) == ("no_tasks", False)
    assert "clawbench bench import" in note["fix"]


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_without_an_engine_the_doctor_names_the_fix(ran: Run, host: str) -> None:
    found = ran("doctor", "--json", DOCKER_HOST=host)
    assert found.code == 1
    fatal = [problem for problem in json.loads(found.out) if problem["fatal"]]
    assert [problem["code"] for problem in fatal] == ["engine_unreachable"]
    assert "DOCKER_HOST" in fatal[0]["fix"]
    told = ran("doctor", DOCKER_HOST=host)
    assert (told.code, "start Docker" in told.out) == (1, True)


async def test_without_an_engine_the_server_comes_up_and_an_import_is_told(empty: Installation) -> None:
    empty.more["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    try:
        assert await empty.up() == f"ready: {empty.url}\n"
        async with httpx2.AsyncClient(base_url=empty.url) as client:
            assert (await client.get("/health")).status_code == 200
        imported = await empty.run("bench", "import", "--only", "conveyor-shifts")
        assert (imported.code, "Traceback" in imported.err) == (1, False)
        assert "engine" in imported.out + imported.err
    finally:
        rest = await empty.down()
    assert SETUP_LINE.fullmatch(rest)


async def test_a_port_that_is_taken_is_told(here: Installation, empty: Installation) -> None:
    empty.port = here.port
    ended = await empty.run("up")
    assert (ended.code, ended.out) == (1, "")
    assert f"127.0.0.1:{here.port} cannot be listened on" in ended.err


@async_fixture
async def evidence(stack: Stack, run_id: str) -> bytes:
    content, _ = await bundle(stack.deps, UUID(run_id))
    return content


def test_verify_checks_without_server_and_database(
    stack: Stack, run_id: str, evidence: bytes, ran: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles, content = tmp_path, evidence
    whole, cut = bundles / "whole.tar.gz", bundles / "cut.tar.gz"
    whole.write_bytes(content)
    cut.write_bytes(content[: len(content) // 2])
    monkeypatch.chdir(bundles)
    nothing = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "CLAWBENCH_DATA_DIR": str(bundles / "none")}
    good = ran("verify", str(whole), "--key", stack.deps.signer.public_key, "--json", **nothing)
    told = json.loads(good.out)
    assert (good.code, told["ok"], told["run_id"], told["problems"]) == (0, True, run_id, [])
    assert ran("verify", str(whole), **nothing).code == 0
    for arguments in ([str(whole), "--key", "another"], [str(cut)]):
        bad = ran("verify", *arguments, "--json", **nothing)
        assert (bad.code, json.loads(bad.out)["ok"]) == (1, False)
    assert not (bundles / "none").exists(), "nothing was started for it"
