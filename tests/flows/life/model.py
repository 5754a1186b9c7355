"""What must be true of a run, in plain Python: what was asked of it, what was answered, what its sandbox must hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.agents import Reply
from tests.faults.ledger import Sent

REWARD, MARKS = "/app/reward", "/app/marks"
OVER = frozenset({"done", "cancelled", "expired", "voided"})
MOVES: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"queued", "running", "finalizing"}) | OVER,
    "running": frozenset({"running", "finalizing"}) | OVER,
    "finalizing": frozenset({"finalizing"}) | OVER,
    **{over: frozenset({over}) for over in OVER},
}
"""Where a run may stand at the next look."""


@dataclass(slots=True, kw_only=True)
class Life:
    """One run, as its agent and the one who breaks things know it."""

    run_id: str
    calls: list[Sent]
    """Everything ever sent under an id, the starting call first."""
    ended_by: set[str] = field(default_factory=set[str])
    """What may have ended it: tools, ``time`` and ``killed``."""
    is_over: bool = False
    """Its agent was told so, or it was seen to be: from here on nothing new is accepted."""
    status: str = "queued"
    head: str = ""
    """The last event's hash when it was seen to be over."""
    recorded: dict[str, str] = field(default_factory=dict[str, str])
    """The first answer seen in the ledger, by call."""
    ran: set[str] = field(default_factory=set[str])
    """Calls whose answers say that they had their effect."""
    stopped: set[str] = field(default_factory=set[str])
    """Background commands that an answer says were cancelled."""
    files: dict[str, str] = field(default_factory=dict[str, str])
    """What the file calls must have left, by path."""

    @property
    def is_open(self) -> bool:
        """Whether nothing was done to it that could end it."""
        return not self.ended_by

    def heard(self, sent: Sent, reply: Reply, *, fresh: bool, was_open: bool, was_over: bool) -> None:
        """Judge one answer, and take in what it says."""
        name = f"{sent.tool} {sent.call_id}: {reply.text}"
        assert len(sent.told) <= 1, f"different answers for one id: {list(sent.told)}"
        assert not (sent.told and sent.refused), f"answered and refused: {name}"
        finalized = sent.tool == "finalize_run" and self.status == "done"
        if was_over and fresh and not finalized:
            assert reply.code == "run_not_active" and not reply.is_recorded, f"a run that is over took {name}"
        if was_open and self.is_open:
            assert reply.is_recorded, f"an open run refused {name}"
        if reply.is_recorded:
            self._answered(sent, reply, name)
        else:
            assert reply.code == "run_not_active", name

    def _answered(self, sent: Sent, reply: Reply, name: str) -> None:
        if reply.code == "outcome_unknown":
            assert not self.is_open, name
            return
        match sent.tool:
            case "run_command":
                assert not reply.is_error, name
                if reply.body["outcome"] == "exited":
                    assert reply.body["exit_code"] == 0, name
                    self.ran.add(sent.call_id)
                else:
                    assert not self.is_open, name
            case "start_run" | "start_command" | "submit" | "cancel_run":
                assert not reply.is_error, name
            case "cancel_call":
                assert not reply.is_error, name
                if reply.body["cancelled"]:
                    self.stopped.add(str(sent.arguments["call_id"]))
            case "finalize_run":
                self._finalized(reply, name)
            case _:
                pass  # a file call, which ``wrote`` judges
        if sent.tool in ("finalize_run", "cancel_run"):
            self.is_over = True

    def _finalized(self, reply: Reply, name: str) -> None:
        if reply.is_error:
            assert reply.code == "run_not_active" and self.ended_by - {"finalize_run", "submit"}, name
        else:
            assert reply.body["score"] == self.reward, f"not what the files are worth, {self.reward}: {name}"

    @property
    def reward(self) -> float:
        """What the tests must find."""
        return float(self.files.get(REWARD, "0"))

    def wrote(self, sent: Sent, reply: Reply) -> None:
        """Take in a first answer of a file call: these come one after the other, so it is known what they meet."""
        if not reply.is_recorded or reply.code == "outcome_unknown":
            return
        path, arguments = str(sent.arguments["path"]), sent.arguments
        if sent.tool == "write_file":
            assert not reply.is_error, reply.text
            self.files[path] = arguments["content"]
        elif self.files.get(path, "").count(arguments["old"]) == 1:
            assert not reply.is_error, reply.text
            self.files[path] = self.files[path].replace(arguments["old"], arguments["new"])
        else:
            assert reply.is_error, reply.text

    def holds(self, tree: Mapping[str, str], ran: frozenset[str]) -> None:
        """What the sandbox holds is what these answers say: nothing twice, nothing lost, nothing unasked."""
        effects = Counter(tree.get("effects", "").split())
        known = {sent.call_id for sent in self.calls if not sent.refused}
        for line, times in effects.items():
            assert times == 1, f"{line} had its effect {times} times"
            assert line in known, f"{line} had an effect, and was never accepted"
        assert not (lost := ran - set(effects)), f"answered well, without their effects: {lost}"
        if "killed" not in self.ended_by:
            left = {path: tree.get(path.removeprefix("/app/")) for path in self.files}
            assert left == self.files, f"files are {left}, and must be {self.files}"
