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

from tests.clients.browser import AGENT, approve
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
        "select split_part(client_call_id, '-', 2) as call, tool, outcome, is_error from clawbench.calls"
        " where run_id = $1 order by seq",
        run["id"],
    )
    assert [tuple(call) for call in answered] == [
        ("start", "start_run", "answered", False),
        ("look", "run_command", "answered", False),
        ("solve", "run_command", "answered", False),
        ("finalize", "finalize_run", "answered", False),
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


async def logged_in(world: World, place: Place) -> None:
    """``clawbench login``, approved by the person."""
    login = ("clawbench", "login", "--server", place.server, "--agent", AGENT)
    async with place.spawn(*login) as program, asyncio.timeout(LOGIN_WITHIN_S):
        assert program.stdout is not None
        address = (await program.stdout.readline()).split()[1].decode()
        await approve(world.browser, address)
        _, err = await program.communicate()
    assert program.returncode == 0, err


async def signed_in_with_browser(world: World, client: Client, place: Place) -> None:
    """The client's own login: what it opens in a browser, the person approves."""
    to_sign_in = client.login(place)
    async with (
        place.at_terminal(*to_sign_in, more=client.environment(place)) as (program, shown),
        asyncio.timeout(LOGIN_WITHIN_S),
    ):
        while not place.opened.is_file():
            assert program.returncode is None, shown.decode()
            await asyncio.sleep(0.05)
        (address,) = place.opened.read_text().split()
        await approve(world.browser, address)
        assert await program.wait() == 0, shown.decode()


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


@each_client
async def test_a_client_signs_in_with_a_browser_and_goes_on_when_its_token_ends(
    client: Client, world: World, place: Place
) -> None:
    async with conversation(client, place, in_between=hour_passes(world, place)) as (home, calls):
        await add(client, home, "oauth")
        await signed_in_with_browser(world, client, home)
        await finishes_a_run(world, client, home, calls)
