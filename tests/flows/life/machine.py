"""The machine: what agents do and what breaks, one step after the other, with calls under way in between."""

from __future__ import annotations

import asyncio
import functools
import itertools
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.faults import sandboxes
from tests.faults.agents import Agent, Reply
from tests.faults.ledger import Sent
from tests.faults.points import POINTS
from tests.faults.world import TASK, World
from tests.flows.life.look import look, look_into
from tests.flows.life.model import MARKS, REWARD, Life
from tests.support.engine import containers_of

ALIVE, IN_ALL = 3, 8
"""The most runs of one machine."""
SETTLED_WITHIN_S = 30.0
ACCEPTED_WITHIN_S = 30.0
_NUMBERS = itertools.count(1)

pick = st.integers(0, 59)
"""Which of those there are: taken modulo, so that what is drawn never hangs on what the servers did."""
times = st.sampled_from((1, 1, 4))


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
        def acted(self: LifeOfRuns, **chosen: Any) -> None:
            told = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
            self.live(f"{act.__name__}({told})", act(self, **chosen))

        a_rule: Any = rule
        return a_rule(**drawn)(acted)

    return made


class LifeOfRuns(RuleBasedStateMachine):
    """Some runs of one agent, two servers that die, and somebody else."""

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

    async def _ask(self, agent: Agent, tool: str, **arguments: Any) -> Reply:
        """A delivery that is no call of the model's, made again while there is no word."""
        return await agent.until_answered(
            Sent(run_id=None, call_id="", tool=tool, arguments=arguments, token=agent.token)
        )

    # ---- what agents do

    async def _start(self, deliveries: int) -> None:
        call_id = self.agent.fresh()
        arguments = {"benchmark": "terminal-bench", "task_id": TASK, "client_call_id": call_id}
        sent = self.agent.ledger.new(self.agent.token, "start_run", None, call_id, arguments)
        reply = (await self.agent.storm(sent, deliveries))[0]
        assert reply.is_recorded and not reply.is_error, reply.text
        assert len(sent.told) == 1, f"one start made two answers: {list(sent.told)}"
        sent.run_id = reply.body["run_id"]
        assert sent.run_id not in [life.run_id for life in self.lives]
        self.lives.append(Life(run_id=str(sent.run_id), calls=[sent]))

    @initialize()
    def begin(self) -> None:
        self.live("begin()", self._start(1))

    def _has_room(self) -> bool:
        return sum(life.is_open for life in self.lives) < ALIVE and len(self.lives) < IN_ALL

    @precondition(_has_room)
    @step(deliveries=times)
    async def start(self, deliveries: int) -> None:
        await self._start(deliveries)

    @step(which=pick, rest=st.sampled_from(("", "sleep 0.3", "head -c 40000 /dev/zero | tr '\\0' x")), deliveries=times)
    async def command(self, which: int, rest: str, deliveries: int) -> None:
        life = self._life(which)
        await self._deliver(life, self._command(life, rest), deliveries)

    @step(which=pick)
    async def leave_under_way(self, which: int) -> None:
        """A command that the following steps find running."""
        life = self._life(which)
        sent = self._command(life, "sleep 1")

        async def heard() -> None:
            await self._deliver(life, sent)

        under_way = asyncio.create_task(heard())
        self.flying.append(under_way)
        known = "select 1 from clawbench.calls where run_id = $1 and client_call_id = $2"
        async with asyncio.timeout(ACCEPTED_WITHIN_S):
            while not await self.world.pool.fetchval(known, UUID(life.run_id), sent.call_id):
                if await asyncio.wait({under_way}, timeout=0.01) != (set(), {under_way}):
                    return

    @step(which=pick)
    async def start_command(self, which: int) -> None:
        life = self._life(which)
        sent = self._command(life, "echo begun; sleep 20", tool="start_command")
        await self._deliver(life, sent)

    @step(which=pick, wait_s=st.sampled_from((0, 0.3)))
    async def poll(self, which: int, wait_s: float) -> None:
        life, sent = self._call(which)
        was_open, was_over = life.is_open, life.is_over
        reply = await self._ask(
            self.agent, "poll_command", run_id=life.run_id, command_id=sent.call_id, stream="stdout", wait_s=wait_s
        )
        assert not was_over or reply.code == "run_not_active", reply.text
        if not was_open or sent.tool != "start_command":
            return
        assert not reply.is_error, reply.text
        assert "begun\n".startswith(reply.body["content"]), reply.text
        if reply.body["content"]:
            life.ran.add(sent.call_id)
        if sent.call_id in life.stopped:
            assert (reply.body["status"], reply.body["outcome"]) == ("finished", "cancelled"), reply.text

    @step(which=pick)
    async def cancel_call(self, which: int) -> None:
        life, sent = self._call(which)
        cancel = self._new(life, self.agent.call(life.run_id, "cancel_call", call_id=sent.call_id))
        await self._deliver(life, cancel)

    @step(which=pick, content=st.sampled_from(("0", "0.25", "1")))
    async def hand_out_reward(self, which: int, content: str) -> None:
        await self._write(self._life(which), "write_file", path=REWARD, content=content)

    @step(which=pick)
    async def edit(self, which: int) -> None:
        """An edit that leaves its id in the file: made twice, it would be there twice."""
        life = self._life(which)
        if MARKS not in life.files:
            await self._write(life, "write_file", path=MARKS, content="#\n")
        await self._write(life, "edit_file", path=MARKS, old="#", new=f"#\n{self.agent.fresh()}")

    async def _write(self, life: Life, tool: str, **arguments: str) -> None:
        sent = self._new(life, self.agent.call(life.run_id, tool, **arguments))
        life.wrote(sent, await self._deliver(life, sent))

    @step(which=pick, deliveries=times)
    async def again(self, which: int, deliveries: int) -> None:
        """An earlier call once more: answered, under way, or long after the end."""
        life, sent = self._call(which)
        await self._deliver(life, sent, deliveries)

    @step(which=pick, how=st.sampled_from(("arguments", "tool", "end")))
    async def conflict(self, which: int, how: str) -> None:
        """Another call under an id that was used: nothing of it happens."""
        await self._conflict(*self._call(which), how)

    async def _conflict(self, life: Life, sent: Sent, how: str) -> None:
        if sent.refused or (life.is_over and not (sent.told and sent.call_id in life.recorded)):
            return
        sent.deliveries += 1
        other = {"run_id": life.run_id, "client_call_id": sent.call_id}
        if sent.tool == "start_run":
            reply = await self._ask(self.agent, "start_run", **sent.arguments, metadata={"other": 1})
        elif how == "end" and sent.tool != "cancel_run":
            reply = await self._ask(self.agent, "cancel_run", **other)
        elif how == "tool" and sent.tool != "write_file":
            reply = await self._ask(self.agent, "write_file", **other, path=REWARD, content="0.5")
        else:
            reply = await self._ask(self.agent, "run_command", **other, command="echo conflict >>/app/effects")
        assert reply.code == "call_id_conflict", f"{sent.tool} {sent.call_id}: other arguments got {reply.text}"

    @step(which=pick, tool=st.sampled_from(("same", "get_run", "resume_run", "finalize_run", "cancel_run")))
    async def stranger(self, which: int, tool: str) -> None:
        """Somebody else's run looks like one that does not exist, and is not touched."""
        await self._stranger(*self._call(which), tool)

    async def _stranger(self, life: Life, sent: Sent, tool: str) -> None:
        arguments: dict[str, Any]
        if tool == "same" and sent.tool != "start_run":
            tool, arguments = sent.tool, sent.arguments
        elif tool in ("finalize_run", "cancel_run"):
            arguments = {"run_id": life.run_id, "client_call_id": sent.call_id}
        else:
            tool, arguments = "get_run", {"run_id": life.run_id}
        theirs = await self._ask(self.bench.stranger, tool, **arguments)
        nobodys = await self._ask(self.bench.stranger, tool, **{**arguments, "run_id": str(uuid4())})
        assert theirs.code == "not_found" and theirs.text == nobodys.text, (theirs.text, nobodys.text)

    @step(which=pick, tool=st.sampled_from(("finalize_run", "finalize_run", "submit", "cancel_run")), deliveries=times)
    async def end(self, which: int, tool: str, deliveries: int) -> None:
        life = self._life(which)
        await look_into(self.world, life)
        await self._end(life, tool, deliveries)

    async def _end(self, life: Life, tool: str, deliveries: int = 1) -> None:
        sent = self._new(life, self.agent.call(life.run_id, tool))
        life.ended_by.add(tool)
        await self._deliver(life, sent, deliveries)

    @step(which=pick)
    async def race_the_end(self, which: int) -> None:
        """Finalize while calls still come in: each is before the cut or after it."""
        life = self._life(which)
        late = [self._command(life, rest) for rest in ("", "sleep 0.2", "")]
        life.ended_by.add("finalize_run")
        await asyncio.gather(
            self._deliver(life, late[0]),
            self._end(life, "finalize_run", 2),
            *(self._deliver(life, sent) for sent in late[1:]),
            self._end(life, "finalize_run"),
        )

    # ---- what breaks

    @step(server=st.integers(0, 1), point=st.sampled_from(POINTS))
    async def die_at(self, server: int, point: str) -> None:
        """The server kills itself with SIGKILL when one of the following steps comes by there."""
        self.world.seats[server].arm(point, signal.SIGKILL)

    @step(server=st.integers(0, 1))
    async def die(self, server: int) -> None:
        self.world.seats[server].signal(signal.SIGKILL)

    @step(which=pick)
    async def leases_pass(self, which: int) -> None:
        """As if whoever works on the run had been silent for so long; it works on all the same."""
        run_id = UUID(self._life(which).run_id)
        await self.world.pool.execute(
            "update clawbench.calls set lease_until = clock_timestamp() where run_id = $1 and answered_at is null",
            run_id,
        )
        await self.world.pool.execute(
            "update clawbench.runs set lease_until = clock_timestamp() where id = $1 and status = 'finalizing'", run_id
        )

    @step(which=pick, chance=st.integers(0, 3))
    async def lose_the_sandbox(self, which: int, chance: int) -> None:
        life = self._life(which)
        if chance or not life.is_open:
            return
        await look_into(self.world, life)
        life.ended_by.add("killed")
        assert await sandboxes.kill(f"clawbench-cb-{life.run_id}")

    @step(which=pick, chance=st.integers(0, 3))
    async def let_time_pass(self, which: int, chance: int) -> None:
        """The run's deadline is now."""
        life = self._life(which)
        if chance:
            return
        await look_into(self.world, life)
        life.ended_by.add("time")
        await self._expire([life])

    async def _expire(self, lives: list[Life]) -> None:
        await self.world.pool.execute(
            "update clawbench.runs set deadline = clock_timestamp() where id = any($1) and finished_at is null",
            [UUID(life.run_id) for life in lives],
        )

    # ---- the end of it all

    def teardown(self) -> None:
        if self.broken:
            asyncio.run_coroutine_threadsafe(self._cleared(), self.bench.loop).result()
        else:
            self.live("teardown()", self._all_over())

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

    async def _all_over(self) -> None:
        """Everything comes to its end, nothing is left, and old answers are all that is still given."""
        for seat in self.world.seats:
            seat.disarm()
        await self._landed(wait=True)
        await asyncio.gather(*(self._end(life, "finalize_run") for life in self.lives if life.ended_by <= {"killed"}))
        assert (left := await self._settled()) == [], left
        for life in self.lives:
            await look(self.world, life)
            await look_into(self.world, life)
            for sent in life.calls:
                await self._deliver(life, sent)
                await self._conflict(life, sent, "tool")
                await self._stranger(life, sent, "same")
            await self._deliver(life, self._command(life))

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
        return [row["?column?"] for row in rows] or await containers_of(self.world.instance)
