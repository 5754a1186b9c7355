"""The life of a sandbox: made once, frozen for good, gone and told so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace

from sandbox_providers.conformance.files import refused
from sandbox_providers.conformance.subject import Failed, Subject, expect
from sandbox_providers.contract import Lost, Sandbox
from sandbox_providers.errors import SandboxError, SandboxFrozen, SandboxGone, SandboxUnavailable, SpecRefused


async def _raises(doing: Awaitable[object], error_type: type[SandboxError]) -> None:
    try:
        done = await doing
    except error_type:
        return
    raise Failed(f"expected {error_type.__name__}, got {done!r}")


async def creating_twice_gives_the_same_sandbox(s: Subject) -> None:
    spec = s.spec()
    async with s.fresh(spec) as sandbox:
        op = s.script("echo once")
        await s.run(sandbox, op)
        again, other = await asyncio.gather(s.provider.create(spec), s.other.create(spec))
        expect(again == sandbox == other, (sandbox, again, other))
        whole = replace(spec, limits=replace(spec.limits, cpus=int(spec.limits.cpus)))  # equal, and not as JSON
        expect(await s.other.create(whole) == sandbox, whole)
        expect((await s.finish(again, op.op_id)).stdout == b"once\n", again)
        await _raises(s.provider.create(replace(spec, network=True)), SpecRefused)


async def an_image_that_is_not_there_is_refused(s: Subject) -> None:
    spec = replace(s.spec(), image="clawbench/no-such-image:0")
    await _raises(s.provider.create(spec), SpecRefused)
    expect(await s.provider.image_digest(spec.image) is None, spec)


async def what_cannot_be_given_is_refused(s: Subject) -> None:
    for spec in (replace(s.spec(), id="../x"), replace(s.spec(), workdir="app"), replace(s.spec(), env={"A=B": "x"})):
        await _raises(s.provider.create(spec), SpecRefused)


async def what_was_given_is_observed(s: Subject) -> None:
    sandbox = await s.shared()
    expect(sandbox.observed["image_digest"] == await s.provider.image_digest(s.image), sandbox)
    expect(sandbox.observed["network"] == "none" and sandbox.observed["memory_bytes"] == 1 << 30, sandbox)


async def frozen_is_final_and_files_stay_readable(s: Subject) -> None:
    spec = s.spec()
    async with s.fresh(spec) as sandbox:
        await s.provider.write(sandbox, "kept", b"evidence", op_id=s.op_id())
        running = await s.start(sandbox, s.script("while :; do echo x >>grows; done"))
        await s.other.stat(sandbox, "kept")  # so that it, too, is attached
        await asyncio.gather(s.provider.freeze(sandbox), s.other.freeze(sandbox))
        await s.provider.freeze(sandbox)
        expect((await s.provider.health(await s.provider.create(spec))).state == "frozen", sandbox)
        await _raises(s.provider.start(sandbox, s.script("true")), SandboxFrozen)
        await _raises(s.other.start(sandbox, s.script("true")), SandboxFrozen)
        await _raises(s.provider.wait(sandbox, running, timeout_s=0), SandboxFrozen)
        first = b"".join([chunk async for chunk in s.other.download(sandbox, "/app")])
        second = b"".join([chunk async for chunk in s.provider.download(sandbox, "/app")])
        expect(b"evidence" in first and first == second, len(first))


async def a_freeze_meets_those_who_are_just_arriving(s: Subject) -> None:
    arriving = [s.open_provider() for _ in range(4)]
    async with s.fresh() as sandbox:
        asked = [asyncio.create_task(provider.stat(sandbox, "/")) for provider in arriving]
        await s.provider.freeze(sandbox)
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*asked, return_exceptions=True)
        told = [answer for answer in answers if isinstance(answer, BaseException)]
        expect(all(isinstance(error, SandboxGone | SandboxUnavailable) for error in told), told)
        expect((await s.other.health(sandbox)).state == "frozen", sandbox)
    for provider in arriving:
        await provider.close()


async def a_removed_sandbox_is_gone_and_its_commands_lost(s: Subject) -> None:
    async with s.fresh() as sandbox:
        op = await s.start(sandbox, s.script("echo up; sleep 600"))
        waiting = asyncio.create_task(s.provider.wait(sandbox, op, timeout_s=60))
        await s.printed(sandbox, op, b"up\n")
        await s.other.destroy(sandbox)
        expect(isinstance(await waiting, Lost), op)
        expect((await s.provider.health(sandbox)).state == "gone", sandbox)
        await _raises(s.provider.start(sandbox, s.script("true")), SandboxGone)
        await _raises(s.provider.read(sandbox, "x", limit=1), SandboxGone)
        await _raises(s.provider.freeze(sandbox), SandboxGone)
        await _raises(_all(s, sandbox), SandboxGone)


async def _all(s: Subject, sandbox: Sandbox) -> list[bytes]:
    return [chunk async for chunk in s.provider.download(sandbox, "/app")]


async def destroying_twice_is_fine(s: Subject) -> None:
    sandbox = await s.provider.create(s.spec())
    await asyncio.gather(s.provider.destroy(sandbox), s.other.destroy(sandbox))
    await s.provider.destroy(sandbox)
    expect((await s.provider.health(sandbox)).state == "gone", sandbox)
    expect(sandbox.id not in {left.id for left in await s.other.list_owned(s.instance)}, sandbox)


async def only_owned_sandboxes_are_listed(s: Subject) -> None:
    theirs = replace(s.spec(), instance=f"{s.instance}-other")
    async with s.fresh() as ours, s.fresh(theirs) as foreign:
        listed = await s.other.list_owned(s.instance)
        expect(ours.id in {found.id for found in listed}, listed)
        expect(foreign.id not in {found.id for found in listed}, listed)
        found = next(found for found in listed if found.id == ours.id)
        expect((await s.sh(found, "echo usable")).stdout == b"usable\n", found)


async def a_forgotten_sandbox_ends_itself(s: Subject) -> None:
    async with s.fresh(replace(s.spec(), ttl_s=2)) as sandbox:
        op = await s.start(sandbox, s.script("sleep 600"))
        expect(isinstance(await s.provider.wait(sandbox, op, timeout_s=60), Lost), op)
        expect((await s.provider.health(sandbox)).caused_by == "platform", sandbox)
        await _raises(s.provider.start(sandbox, s.script("true")), SandboxGone)


async def an_extended_sandbox_lives_on_and_tells_its_new_deadline(s: Subject) -> None:
    spec = replace(s.spec(), ttl_s=4)
    async with s.fresh(spec) as sandbox:
        deadline = await s.provider.extend(sandbox, 900)
        expect(800 < deadline - time.time() <= 901, deadline)
        for provider in (s.provider, s.other):
            expect((await provider.health(sandbox)).deadline == deadline, deadline)
            listed = await provider.list_owned(s.instance)
            told = [found.observed["deadline"] for found in listed if found.id == spec.id]
            expect(told == [deadline], (told, deadline))
        expect((await s.other.create(spec)).observed["deadline"] == deadline, deadline)
        expect((await s.sh(sandbox, "sleep 5; echo alive")).stdout == b"alive\n", sandbox)


async def a_deadline_can_be_moved_nearer(s: Subject) -> None:
    async with s.fresh() as sandbox:
        op = await s.start(sandbox, s.script("sleep 600"))
        await s.other.extend(sandbox, 1)
        expect(isinstance(await s.provider.wait(sandbox, op, timeout_s=60), Lost), op)
        await _raises(s.provider.extend(sandbox, 900), SandboxGone)


async def a_time_to_live_of_nothing_is_refused(s: Subject) -> None:
    sandbox = await s.shared()
    await _raises(s.provider.extend(sandbox, 0), SpecRefused)
    await _raises(s.provider.extend(sandbox, -1), SpecRefused)


async def a_bad_path_is_refused(s: Subject) -> None:
    await refused(s.provider.read(await s.shared(), "a\0b", limit=1), "not_found")


CHECKS = (
    creating_twice_gives_the_same_sandbox,
    an_image_that_is_not_there_is_refused,
    what_cannot_be_given_is_refused,
    what_was_given_is_observed,
    frozen_is_final_and_files_stay_readable,
    a_freeze_meets_those_who_are_just_arriving,
    a_removed_sandbox_is_gone_and_its_commands_lost,
    destroying_twice_is_fine,
    only_owned_sandboxes_are_listed,
    a_forgotten_sandbox_ends_itself,
    an_extended_sandbox_lives_on_and_tells_its_new_deadline,
    a_deadline_can_be_moved_nearer,
    a_time_to_live_of_nothing_is_refused,
    a_bad_path_is_refused,
)
