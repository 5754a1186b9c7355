"""The machine: what agents do and what breaks, one step after the other, with calls under way in between."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition

from tests.faults import sandboxes
from tests.faults.ledger import Sent
from tests.faults.points import POINTS
from tests.faults.world import TASK
from tests.flows.life.look import look, look_into
from tests.flows.life.model import MARKS, REWARD, Life
from tests.flows.life.steps import Lived, step

ALIVE, IN_ALL = 3, 8
"""The most runs of one machine."""
ACCEPTED_WITHIN_S = 30.0

pick = st.integers(0, 59)
"""Which of those there are: taken modulo, so that what is drawn never hangs on what the servers did."""
times = st.sampled_from((1, 1, 4))
seldom = st.integers(0, 2).map(lambda drawn: not drawn)


class LifeOfRuns(Lived):
    """What can happen to them: from their agent, from somebody else, and from whatever breaks."""

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

    @step(which=pick, silent=st.booleans())
    async def leave_under_way(self, which: int, silent: bool) -> None:
        """A command that the following steps find running; where its driver falls silent, with two who drive it."""
        life = self._life(which)
        sent = self._command(life, "sleep 1")

        under_way = asyncio.create_task(self._heard(life, sent))
        self.flying.append(under_way)
        driver = "select lease_epoch from clawbench.calls where run_id = $1 and client_call_id = $2"
        wanted = 2 if silent else 1
        async with asyncio.timeout(ACCEPTED_WITHIN_S):
            while (await self.world.pool.fetchval(driver, UUID(life.run_id), sent.call_id) or 0) < wanted:
                if (await asyncio.wait({under_way}, timeout=0.02))[0]:
                    return
                if silent:
                    await self._silence(life)

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
        async with asyncio.TaskGroup() as racing:
            for sent in late[:2]:
                racing.create_task(self._heard(life, sent))
            for deliveries in (2, 1):
                racing.create_task(self._end(life, "finalize_run", deliveries))
            racing.create_task(self._heard(life, late[2]))

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
        await self._silence(self._life(which))

    async def _silence(self, life: Life) -> None:
        run_id = UUID(life.run_id)
        await self.world.pool.execute(
            "update clawbench.calls set lease_until = clock_timestamp() where run_id = $1 and answered_at is null",
            run_id,
        )
        await self.world.pool.execute(
            "update clawbench.runs set lease_until = clock_timestamp() where id = $1 and status = 'finalizing'", run_id
        )

    @step(which=pick, really=seldom)
    async def lose_the_sandbox(self, which: int, really: bool) -> None:
        life = self._life(which)
        if not really or not life.is_open:
            return
        await look_into(self.world, life)
        life.ended_by.add("killed")
        assert await sandboxes.kill(f"clawbench-cb-{life.run_id}")

    @step(which=pick, really=seldom)
    async def let_time_pass(self, which: int, really: bool) -> None:
        """The run's deadline is now."""
        life = self._life(which)
        if not really:
            return
        await look_into(self.world, life)
        life.ended_by.add("time")
        await self._expire([life])

    # ---- the end of it all

    def teardown(self) -> None:
        if self.broken:
            asyncio.run_coroutine_threadsafe(self._cleared(), self.bench.loop).result()
        else:
            self.live("teardown()", self._all_over())

    async def _all_over(self) -> None:
        """Everything comes to its end, nothing is left, and old answers are all that is still given."""
        for seat in self.world.seats:
            seat.disarm()
        await self._landed(wait=True)
        async with asyncio.TaskGroup() as ending:
            for life in self.lives:
                if life.ended_by <= {"killed"}:
                    ending.create_task(self._end(life, "finalize_run"))
        assert (left := await self._settled()) == [], left
        for life in self.lives:
            await look(self.world, life)
            await look_into(self.world, life)
            for sent in life.calls:
                await self._deliver(life, sent)
                await self._conflict(life, sent, "tool")
                await self._stranger(life, sent, "same")
            await self._deliver(life, self._command(life))
