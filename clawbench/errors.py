"""The one error tree. Doors translate it; nobody else catches broadly.

``ClawBenchError``
├── ``NotFound``         404 not_found          missing, or somebody else's: the two look the same
├── ``InvalidArguments`` 400 invalid_arguments  malformed, too large, out of range
├── ``NotAuthenticated`` 401 not_authenticated  no valid bearer token or session
├── ``NotPermitted``     403 not_permitted      known caller, missing scope or role
├── ``CallIdConflict``   409 call_id_conflict   the id was used with other arguments
├── ``CallInProgress``   409 in_progress        the first delivery still runs
├── ``RunNotActive``     409 run_not_active     the run takes no more calls
├── ``Refused``          409 refused            a rule of the product said no (a gate, a task that is not ready)
├── ``OverCap``          429 over_cap           a budget or cap is used up
├── ``OutcomeUnknown``   500 outcome_unknown    the call may or may not have run; it is never run again
└── ``Unavailable``      503 unavailable        Postgres or the sandbox engine did not answer; nothing is lost
"""

from __future__ import annotations

from math import ceil
from typing import ClassVar


class ClawBenchError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    hint: ClassVar[str] = "Try again; if it stays, tell the operator."
    again_after_s: ClassVar[float | None] = None
    """When to try again, where the one who raises it says nothing else."""

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.what_next = hint or self.hint
        self.retry_after_s = self.again_after_s if retry_after_s is None else retry_after_s
        super().__init__(self.message)

    def as_dict(self) -> dict[str, object]:
        """The shape every door shows: ``{code, message, hint, retry_after_ms?}``."""
        told: dict[str, object] = {"code": self.code, "message": self.message, "hint": self.what_next}
        if self.retry_after_s is not None:
            told["retry_after_ms"] = int(self.retry_after_s * 1000)
        return told

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP says besides the body: ``Retry-After`` in whole seconds, where time helps (RFC 9110 §10.2.3)."""
        return {} if self.retry_after_s is None else {"Retry-After": str(max(1, ceil(self.retry_after_s)))}


class NotFound(ClawBenchError):
    """There is no such thing, or it is not yours."""

    code = "not_found"
    status = 404
    hint = "Check the id; list_runs and list_tasks show what you can use."


class InvalidArguments(ClawBenchError):
    """The arguments are not of the shape this needs."""

    code = "invalid_arguments"
    status = 400
    hint = "Correct the arguments and call again; nothing was run."


class NotAuthenticated(ClawBenchError):
    """Sign in first."""

    code = "not_authenticated"
    status = 401
    hint = "Sign in again and send the new bearer token."


class NotPermitted(ClawBenchError):
    """You may not do this."""

    code = "not_permitted"
    status = 403
    hint = "Sign in with the scope or role this needs."


class CallIdConflict(ClawBenchError):
    """This client_call_id was already used in this run with other arguments."""

    code = "call_id_conflict"
    status = 409
    hint = "Nothing ran. A new call needs a new client_call_id; the same arguments again get the first answer."


class CallInProgress(ClawBenchError):
    """The first delivery of this call is still running."""

    code = "in_progress"
    status = 409
    hint = "Send the same call again with the same client_call_id to get its answer."


class RunNotActive(ClawBenchError):
    """The run takes no more calls."""

    code = "run_not_active"
    status = 409
    hint = "get_run tells the run's status; start_run begins another."


class Refused(ClawBenchError):
    """A rule of ClawBench refused this."""

    code = "refused"
    status = 409
    hint = "Read the message: it names the rule."


class OverCap(ClawBenchError):
    """A budget or cap is used up."""

    code = "over_cap"
    status = 429
    hint = "Finalize what you have, or wait as told."


class OutcomeUnknown(ClawBenchError):
    """The sandbox was lost while this call ran: it may or may not have had its effect, and it is never run again."""

    code = "outcome_unknown"
    status = 500
    hint = "Start a new run; a run with an unknown outcome cannot be published."


class Unavailable(ClawBenchError):
    """A part of the platform did not answer; nothing is lost."""

    code = "unavailable"
    status = 503
    hint = "Send the same call again with the same client_call_id in a moment."
    again_after_s = 1
