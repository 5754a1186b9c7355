"""What agents do in their runs: every tool that acts, once or from many sides, and every way to end a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tests.faults.agents import Agent
from tests.faults.sandboxes import note_effects
from tests.faults.world import TASK

Step = Callable[[Agent, str], Awaitable[bool]]
"""Something done in a run; False when the run takes no more."""
Ending = Callable[[Agent, str], Awaitable[None]]


async def live(agent: Agent, stop: asyncio.Event) -> None:
    """Run after run, until told to stop; the last one is brought to its end."""
    while not stop.is_set():
        try:
            steps = [agent.mind.choice(STEPS) for _ in range(agent.mind.randint(3, 8))]
            await one_run(agent, steps, agent.mind.choice(ENDINGS))
        except* TimeoutError:
            pass  # it is written down; the next run is another story


async def one_run(agent: Agent, steps: Sequence[Step], ending: Ending) -> None:
    """Start, work, hand in or give up."""
    call_id = agent.fresh()
    arguments = {"benchmark": "terminal-bench", "task_id": TASK, "client_call_id": call_id}
    sent = agent.ledger.new(agent.token, "start_run", None, call_id, arguments)
    replies = await agent.storm(sent, agent.mind.choice((1, 1, 3)))
    if replies[0].is_error:
        return
    run_id: str = replies[0].body["run_id"]
    sent.run_id = run_id
    for step in steps:
        if not await step(agent, run_id):
            break
    await ending(agent, run_id)


async def quick(agent: Agent, run_id: str) -> bool:
    return not (await agent.until_answered(agent.command(run_id))).is_error


async def slow(agent: Agent, run_id: str) -> bool:
    sent = agent.command(run_id, "echo half; sleep 0.6; echo rest")
    return not (await agent.until_answered(sent)).is_error


async def loud(agent: Agent, run_id: str) -> bool:
    sent = agent.command(run_id, "head -c 40000 /dev/zero | tr '\\0' x")
    return not (await agent.until_answered(sent)).is_error


def stormy_at(times: int) -> Step:
    """One command, delivered so many times at once."""

    async def step(agent: Agent, run_id: str) -> bool:
        sent = agent.command(run_id, agent.mind.choice(("", "sleep 0.3")))
        replies = await agent.storm(sent, times)
        return not replies[0].is_error

    return step


async def stormy(agent: Agent, run_id: str) -> bool:
    return await stormy_at(agent.mind.choice((4, 8, 32)))(agent, run_id)


async def several(agent: Agent, run_id: str) -> bool:
    many = [agent.command(run_id) for _ in range(4)]
    replies = await asyncio.gather(*(agent.until_answered(sent) for sent in many))
    return not any(reply.is_error for reply in replies)


async def started(agent: Agent, run_id: str) -> bool:
    sent = agent.command(run_id, "sleep 0.2; echo done", tool="start_command")
    return not (await agent.until_answered(sent)).is_error


async def edited(agent: Agent, run_id: str) -> bool:
    """An edit that leaves its id in the file: made twice, it would be there twice."""
    marks = agent.call(run_id, "write_file", path="/app/marks", content="#\n")
    if (await agent.until_answered(marks)).is_error:
        return False
    for _ in range(2):
        sent = agent.call(run_id, "edit_file", path="/app/marks", old="#")
        sent.arguments["new"] = f"#\n{sent.call_id}"
        if (await agent.until_answered(sent)).is_error:
            return False
    moved = agent.call(run_id, "run_command", command="tail -n +2 /app/marks >>/app/effects; rm /app/marks")
    return not (await agent.until_answered(moved)).is_error


async def rewritten(agent: Agent, run_id: str) -> bool:
    """Writes and edits of one file, each sent again after it was answered: a second one would show.

    A file that is written is a new file, with an inode and a time of change of its own; and whatever is written
    again, however late, takes back the edits that came after it, which the end of the run would show.
    """
    name = f"kept-{agent.fresh()}"
    path = f"/app/{name}"
    write = agent.call(run_id, "write_file", path=path, content="0 end\n")
    chain = [write]
    for step in range(agent.mind.randint(1, 3)):
        chain.append(agent.call(run_id, "edit_file", path=path, old=" end", new=f" {step + 1} end"))
    for sent in chain:
        if (await agent.until_answered(sent)).is_error:
            return False
        before = await agent.until_answered(agent.call(run_id, "run_command", command=f"stat -c '%i %z' {path}"))
        await agent.storm(sent, 3)
        await agent.until_answered(write)
        after = await agent.until_answered(agent.call(run_id, "run_command", command=f"stat -c '%i %z' {path}"))
        if before.is_error or after.is_error:
            return False
        if before.body["stdout"] != after.body["stdout"]:
            agent.ledger.wrong(f"{sent.tool} {sent.call_id} of run {run_id} was made again")
    numbers = " ".join(str(number) for number in range(len(chain)))
    agent.ledger.files.setdefault(run_id, {})[name] = f"{numbers} end\n"
    return True


async def conflicting(agent: Agent, run_id: str) -> bool:
    """Other arguments under an id that was used run nothing."""
    sent = agent.command(run_id, "sleep 0.2")
    other = {**sent.arguments, "command": f"echo conflict-{sent.call_id} >>/app/effects"}
    first = await agent.until_answered(sent)
    reply = await agent.until_answered(sent, other)
    if reply.code != "call_id_conflict":
        agent.ledger.wrong(f"{sent.call_id}: other arguments got {reply.text[:200]}")
    sent.refused.discard("call_id_conflict")
    return not first.is_error


async def cancelled(agent: Agent, run_id: str) -> bool:
    sent = agent.command(run_id, "sleep 5")
    cancel = agent.call(run_id, "cancel_call", call_id=sent.call_id)
    running = asyncio.create_task(agent.until_answered(sent))
    await asyncio.wait({running}, timeout=agent.mind.uniform(0.05, 0.4))
    replies = await asyncio.gather(running, agent.until_answered(cancel))
    return not any(reply.is_error for reply in replies)


async def handed_in(agent: Agent, run_id: str) -> None:
    """Leave a reward, then finalize, more than once at a time."""
    reward = agent.mind.choice(("0", "0.25", "1"))
    left = await agent.until_answered(agent.command(run_id, f"echo {reward} >/app/reward"))
    if not left.is_error:
        agent.ledger.rewards[run_id] = float(reward)
    final = agent.call(run_id, "finalize_run")
    await agent.storm(final, agent.mind.choice((1, 1, 3)))


async def raced(agent: Agent, run_id: str) -> None:
    """Finalize while calls still come in: each is before the cut or after it."""
    late = [agent.command(run_id, agent.mind.choice(("", "sleep 0.3"))) for _ in range(12)]
    final = agent.call(run_id, "finalize_run")
    everything = [*late, final]
    agent.mind.shuffle(everything)
    await asyncio.gather(*(agent.until_answered(sent) for sent in everything))


async def submitted(agent: Agent, run_id: str) -> None:
    await agent.until_answered(agent.call(run_id, "submit", answer="done"))


async def given_up(agent: Agent, run_id: str) -> None:
    await note_effects(agent.ledger, run_id)
    late = agent.command(run_id, "sleep 0.3")
    cancel = agent.call(run_id, "cancel_run", reason="enough")
    await asyncio.gather(agent.until_answered(late), agent.until_answered(cancel))


_STEPS = (quick, quick, slow, slow, loud, stormy, several, started, edited, rewritten, conflicting, cancelled)
STEPS: tuple[Step, ...] = _STEPS
ENDINGS: tuple[Ending, ...] = (handed_in, handed_in, handed_in, handed_in, raced, raced, submitted, given_up)
