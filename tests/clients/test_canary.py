"""Real clients, headless and offline: each signs in in every way it knows, and takes a run to its score.

``scripts/canary`` runs these; they need npm, and the network once to fetch the clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.browser import AGENT, decide
from tests.clients.conftest import SOLUTION, TASK, World
from tests.clients.npm import version
from tests.clients.programs import CLIENTS, Client, Place, add
from tests.clients.scripted_model import DONE, Ask, scripted_model

pytestmark = pytest.mark.clients

LOGIN_WITHIN_S = 60.0


def told(client: Client) -> str:
    """What a test is about, as pytest shows it."""
    return f"{client.name}-{version(client.package)}"


each_client = pytest.mark.parametrize("client", CLIENTS, ids=told)
those_with_a_helper = pytest.mark.parametrize("client", [one for one in CLIENTS if one.asks_a_helper], ids=told)


def a_whole_run(calls: str, *, in_between: Callable[[], Awaitable[None]] | None = None) -> Sequence[Ask]:
    """Start, look, solve, finalize; something can happen between looking and solving."""
    start = {"benchmark": "terminal-bench", "task_id": TASK, "client_call_id": f"{calls}-start"}
    return (
        Ask(tool="start_run", arguments=start, in_run=False),
        Ask(tool="run_command", arguments={"command": "ls -la /app", "client_call_id": f"{calls}-look"}),
        Ask(
            tool="run_command",
            arguments={"command": SOLUTION.read_text(), "client_call_id": f"{calls}-solve"},
            first=in_between,
        ),
        Ask(tool="finalize_run", arguments={"client_call_id": f"{calls}-finalize"}),
    )


@contextlib.asynccontextmanager
async def conversation(
    client: Client, place: Place, *, in_between: Callable[[], Awaitable[None]] | None = None
) -> AsyncGenerator[tuple[Place, str]]:
    """A home that knows a model with one run as its script, and how the calls of the run are called."""
    calls = uuid4().hex[:12]
    async with scripted_model(a_whole_run(calls, in_between=in_between)) as model:
        home = replace(place, model=model.url)
        client.prepare(home)
        yield home, calls


async def finishes_a_run(world: World, client: Client, place: Place, calls: str) -> None:
    """The client says what the model said at the end, and the server's database has a run of score 1."""
    ended = await place.ended(*client.conversation(place), more=client.environment(place))
    assert (ended.code, ended.out.strip().splitlines()[-1:]) == (0, [DONE]), ended
    run = await world.pool.fetchrow(
        "select runs.id, status, agents.name as agent, scores.value as score from clawbench.runs"
        " join clawbench.agents on agents.id = agent_id left join clawbench.scores on run_id = runs.id"
        " where start_call_id = $1",
        f"{calls}-start",
    )
    assert run is not None
    assert (run["status"], run["agent"], run["score"]) == ("done", AGENT, 1)
    answered: Sequence[Any] = await world.pool.fetch(
        "select split_part(client_call_id, '-', 2) as call, tool, outcome, is_error, deliveries from clawbench.calls"
        " where run_id = $1 order by seq",
        run["id"],
    )
    assert [tuple(call) for call in answered] == [
        ("start", "start_run", "answered", False, 1),
        ("look", "run_command", "answered", False, 1),
        ("solve", "run_command", "answered", False, 1),
        ("finalize", "finalize_run", "answered", False, 1),
    ]


def hour_passes(world: World, place: Place) -> Callable[[], Awaitable[None]]:
    """Every access token of a client is over, and those who keep one know it, as if its hour had gone by."""

    async def pass_it() -> None:
        aged = await world.pool.execute(
            "update clawbench.access_tokens set created_at = created_at - interval '2 hours',"
            " expires_at = clock_timestamp() where client_id is not null and expires_at > clock_timestamp()"
        )
        assert aged != "UPDATE 0"
        kept = place.home / ".config" / "clawbench" / "credentials.json"
        if kept.is_file():
            file = json.loads(kept.read_text())
            for profile in file["servers"].values():
                profile["expires_at"] = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
            kept.write_text(json.dumps(file))

    return pass_it


async def tokens_of_last_sign_in(world: World) -> tuple[str, int]:
    """What the client of the newest grant calls itself, and how many access tokens the grant has had."""
    found = await world.pool.fetchrow(
        "select grants.client_id, count(*) as tokens from clawbench.grants join clawbench.access_tokens"
        " on grant_id = grants.id group by grants.id order by grants.created_at desc limit 1"
    )
    assert found is not None
    name = await world.pool.fetchval("select name from clawbench.clients where id = $1", found["client_id"])
    return name or found["client_id"], found["tokens"]


async def logged_in(world: World, place: Place) -> None:
    """``clawbench login``, approved by the person."""
    login = ("clawbench", "login", "--server", place.server, "--agent", AGENT)
    async with place.spawn(*login) as program, asyncio.timeout(LOGIN_WITHIN_S):
        assert program.stdout is not None
        address = (await program.stdout.readline()).split()[1].decode()
        await decide(world.browser, address)
        _, err = await program.communicate()
    assert program.returncode == 0, err


async def login_ended(world: World, client: Client, place: Place, decision: str) -> tuple[int, str]:
    """The client's own login: what it opens in a browser, the person decides; its exit code, and what it said."""
    to_sign_in = client.login(place)
    async with (
        place.at_terminal(*to_sign_in, more=client.environment(place)) as (program, shown),
        asyncio.timeout(LOGIN_WITHIN_S),
    ):
        decided = 0
        while program.returncode is None:
            for address in place.opened_addresses()[decided:]:
                await decide(world.browser, address, decision)
                decided += 1
            await asyncio.sleep(0.05)
        return program.returncode, shown.decode()


@each_client
async def test_a_client_with_a_bearer_token_takes_a_run_to_its_score(
    client: Client, world: World, place: Place
) -> None:
    token = (await world.installation.ok("admin", "token", "--agent", AGENT)).strip()
    async with conversation(client, place) as (home, calls):
        await client.add_with_token(home, token)
        await finishes_a_run(world, client, home, calls)


@those_with_a_helper
async def test_the_header_helper_carries_a_client_across_the_end_of_its_token(
    client: Client, world: World, place: Place
) -> None:
    await logged_in(world, place)
    async with conversation(client, place, in_between=hour_passes(world, place)) as (home, calls):
        await add(client, home, "headers")
        await finishes_a_run(world, client, home, calls)
    assert await tokens_of_last_sign_in(world) == ("clawbench-cli", 2)


@each_client
@pytest.mark.promise("real-clients")
async def test_a_client_signs_in_with_a_browser_and_goes_on_when_its_token_ends(
    client: Client, world: World, place: Place
) -> None:
    async with conversation(client, place, in_between=hour_passes(world, place)) as (home, calls):
        await add(client, home, "oauth")
        code, said = await login_ended(world, client, home, "approve")
        assert code == 0, said
        await finishes_a_run(world, client, home, calls)
    assert await tokens_of_last_sign_in(world) == (client.calls_itself, 2)
    assert len(place.opened_addresses()) == 1, "the person was asked once"


@each_client
async def test_a_client_hears_that_the_person_said_no(client: Client, world: World, place: Place) -> None:
    async with conversation(client, place) as (home, _):
        await add(client, home, "oauth")
        code, said = await login_ended(world, client, home, "deny")
    # Codex takes it for a complaint about the scopes, asks once more without naming any, and then says so.
    assert len(place.opened_addresses()) == (2 if client.name == "codex" else 1)
    assert "said no" in said.replace("+", " "), (code, said)
