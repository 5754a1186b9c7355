"""How a step of the machine is lived: awaited beside the servers, judged, and every promise asked about afterwards."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.faults.agents import Agent, Reply
from tests.faults.ledger import Sent
from tests.faults.world import World
from tests.flows.life.look import look, look_into
from tests.flows.life.model import Life
from tests.support.engine import containers_of

SETTLED_WITHIN_S = 30.0
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a machine works on."""

    world: World
    agent: Agent
    stranger: Agent
    loop: asyncio.AbstractEventLoop
    """The machine itself lives in a thread beside it."""
    happened: Counter[str] = field(default_factory=Counter[str])


Act = Callable[..., Coroutine[Any, Any, None]]


def step(**drawn: st.SearchStrategy[Any]) -> Callable[[Act], Any]:
    """A rule whose body is awaited; afterwards every promise is asked about."""

    def made(act: Act) -> Any:
        @functools.wraps(act)
        def acted(self: Lived, **chosen: Any) -> None:
            told = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
            self.live(f"{act.__name__}({told})", act(self, **chosen))

        a_rule: Any = rule
        return a_rule(**drawn)(acted)

    return made


class Lived(RuleBasedStateMachine):
    """Some runs of one agent; after every step the promises about them are asked."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.world, self.agent = bench, bench.world, bench.agent
        self.agent.mind.seed(f"life {next(_NUMBERS)}")
        self.lives: list[Life] = []
        self.flying: list[asyncio.Task[None]] = []
        self.touched: list[Life] = []
        self.story: list[str] = []
        self.broken = False

    # ---- how a step is lived

    def live(self, name: str, act: Coroutine[Any, Any, None]) -> None:
        self.story.append(name)
        try:
            asyncio.run_coroutine_threadsafe(self._lived(act), self.bench.loop).result()
        except BaseException as error:
            self.broken = True
            error.add_note("The steps so far:\n  " + "\n  ".join(self.story))
            raise
        self.bench.happened[name.partition("(")[0]] += 1

    async def _lived(self, act: Awaitable[None]) -> None:
        await act
        await self._landed(wait=False)
        await self._promises_hold()

    async def _landed(self, *, wait: bool) -> None:
        """Hear what the calls under way came to; one that failed its judge fails the step."""
        done = [each for each in self.flying if wait or each.done()]
        self.flying = [each for each in self.flying if each not in done]
        await asyncio.gather(*done)

    async def _promises_hold(self) -> None:
        for life in self.lives:
            await look(self.world, life)
        for life in self.touched:
            await look_into(self.world, life)
        self.touched.clear()
        assert self.agent.ledger.violations == []

    async def _expire(self, lives: list[Life]) -> None:
        await self.world.pool.execute(
            "update clawbench.runs set deadline = clock_timestamp() where id = any($1) and finished_at is null",
            [UUID(life.run_id) for life in lives],
        )

    async def _cleared(self) -> None:
        """After a step that failed: nothing of it may be in the next machine's way."""
        for seat in self.world.seats:
            seat.disarm()
        for each in self.flying:
            each.cancel()
        await asyncio.gather(*self.flying, return_exceptions=True)
        self.agent.ledger.violations.clear()
        await self._expire(self.lives)
        await self._settled()

    async def _settled(self) -> list[str]:
        """Wait for it; what is left when it does not come."""
        clock = asyncio.get_running_loop().time
        until = clock() + SETTLED_WITHIN_S
        while True:
            left = await self._left()
            if not left or clock() > until:
                return left
            await asyncio.sleep(0.05)

    async def _left(self) -> list[str]:
        mine = [UUID(life.run_id) for life in self.lives]
        rows = await self.world.pool.fetch(
            """
            select 'run ' || id || ' is ' || status from clawbench.runs where id = any($1) and finished_at is null
            union all
            select tool || ' ' || client_call_id || ' has no answer'
            from clawbench.calls where run_id = any($1) and answered_at is null
            """,
            mine,
        )
        sandboxes = await containers_of(self.world.instance)
        return [row["?column?"] for row in rows] + [
            f"sandbox {name} is there" for name in sandboxes if any(life.run_id in name for life in self.lives)
        ]

    # ---- who is meant

    def _life(self, which: int) -> Life:
        """Most often a run that nothing has ended yet."""
        alive = [life for life in self.lives if life.is_open]
        meant = alive if alive and which % 5 else self.lives
        life = meant[which % len(meant)]
        self.touched.append(life)
        return life

    def _call(self, which: int) -> tuple[Life, Sent]:
        """Any call of such a run; the latest are asked for as often as all others."""
        life = self._life(which)
        calls = life.calls[-3:] if which % 2 else life.calls
        return life, calls[which // 2 % len(calls)]

    def _new(self, life: Life, sent: Sent) -> Sent:
        life.calls.append(sent)
        return sent

    def _command(self, life: Life, rest: str = "", *, tool: str = "run_command") -> Sent:
        return self._new(life, self.agent.command(life.run_id, rest, tool=tool))

    async def _deliver(self, life: Life, sent: Sent, deliveries: int = 1) -> Reply:
        """Deliver it until it is answered, as often at once as asked, and judge every answer."""
        fresh, was_open, was_over = not (sent.told or sent.deliveries), life.is_open, life.is_over
        replies = await self.agent.storm(sent, deliveries)
        for reply in replies:
            life.heard(sent, reply, fresh=fresh, was_open=was_open, was_over=was_over)
        return replies[0]

    async def _heard(self, life: Life, sent: Sent) -> None:
        await self._deliver(life, sent)

    async def _ask(self, agent: Agent, tool: str, **arguments: Any) -> Reply:
        """A delivery that is no call of the model's, made again while there is no word."""
        return await agent.until_answered(
            Sent(run_id=None, call_id="", tool=tool, arguments=arguments, token=agent.token)
        )
