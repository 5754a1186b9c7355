"""What a worker has: a provider and a blob store to act with, and a desk that hands out work. No database."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from clawbench.errors import InvalidArguments, NotFound, OutcomeUnknown, Refused, Unavailable
from clawbench.model.call import Answer
from clawbench.model.work import Beat, Fault, Job, Kept, Lease, Places, Verified, Worked, Workspace
from sandbox_providers.contract import Provider
from sandbox_providers.errors import (
    FileRefused,
    ImageBuildFailed,
    SandboxFrozen,
    SandboxGone,
    SandboxUnavailable,
    SpecRefused,
)


class BlobStore(Protocol):
    """Bytes by SHA-256: the artifact store itself, or the server's door to it."""

    async def put(self, content: bytes) -> str: ...
    async def get(self, digest: str) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """One provider at one site."""

    provider: Provider
    blobs: BlobStore

    async def keep(self, name: str, content: bytes, media_type: str) -> Kept:
        """Store bytes that are to become an artifact of the run."""
        return Kept(name=name, media_type=media_type, size=len(content), sha256=await self.blobs.put(content))


class Desk(Protocol):
    """What a worker asks of the control plane: in this process over Postgres, elsewhere over HTTPS."""

    @property
    def blobs(self) -> BlobStore: ...
    async def take(self, places: Places, *, limit: int) -> list[Job]:
        """Jobs that can be done at these places, leased to the taker; fewer than ``limit`` when there are no more."""
        ...

    async def beat(self, lease: Lease) -> Beat: ...
    async def give_back(self, lease: Lease) -> None:
        """Somebody else may have it at once."""
        ...

    async def worked(self, lease: Lease, result: Worked) -> Answer | None:
        """Record a call's result; the answer as the agent gets it, None when the lease was lost."""
        ...

    async def failed(self, lease: Lease, fault: Fault) -> Answer | None: ...
    async def taken_out(self, lease: Lease, workspace: Workspace) -> None: ...
    async def scored(self, lease: Lease, verified: Verified) -> None: ...
    async def alive(self, run_ids: Collection[UUID]) -> frozenset[UUID]:
        """Which of these runs may still have a sandbox."""
        ...


@contextmanager
def in_our_words() -> Generator[None]:
    """Turn what a provider raises into the error that agents and operators see."""
    try:
        yield
    except FileRefused as error:
        raise _file_refused(error) from error
    except SandboxFrozen as error:
        # We freeze only what has no call under way: this met the cut, and who asks again is told of it.
        raise Unavailable(f"the run is being finalized: {error}", retry_after_s=2) from error
    except SandboxGone as error:
        raise OutcomeUnknown(f"the sandbox is gone: {error}") from error
    except SandboxUnavailable as error:
        raise Unavailable(f"the sandbox engine did not answer: {error}", retry_after_s=2) from error
    except (SpecRefused, ImageBuildFailed) as error:
        raise Refused(str(error)) from error


def _file_refused(error: FileRefused) -> NotFound | InvalidArguments:
    if error.reason == "not_found":
        return NotFound(f"{error.path}: there is no such file", hint="list_files shows what is there.")
    return InvalidArguments(f"{error.path}: {error.reason.replace('_', ' ')}", hint="Nothing was changed.")
