"""Agents as they are: they send a call again until it is answered, and lose their connections."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2

from tests.faults.ledger import Ledger, Sent
from tests.faults.relay import Relay, bad_line
from tests.faults.world import Seat

ANSWERED_WITHIN_S = 120.0
"""Whatever breaks meanwhile, with leases of three seconds; longer ones take longer to pass."""
_REQUEST_S = 6.0
_PAUSE_S = 0.1
_HALF_OPEN_AT_ONCE = 4
_AGAIN = frozenset({"in_progress", "unavailable", "over_cap"})
_HEADERS = {"Accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What one delivery brought back."""

    text: str
    body: dict[str, Any]
    is_error: bool

    @property
    def is_recorded(self) -> bool:
        """Whether this is the call's answer; a delivery that was turned away tells no budgets."""
        return "budgets" in self.body

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"]) if "error" in self.body else ""


@dataclass(slots=True, kw_only=True)
class Agent:
    """One agent with a token, and a mind of its own that a seed decides."""

    seats: Sequence[Seat]
    """The servers it sends to."""
    ledger: Ledger
    token: str
    mind: Random
    http: httpx2.AsyncClient
    numbers: int = 0
    patience_s: float = ANSWERED_WITHIN_S
    cuts: float = 0.06
    """How often a delivery's connection is cut, and how often again it goes over a bad line."""
    half_open: deque[Relay] = field(default_factory=deque[Relay])
    """Connections that this agent gave up and whose server was never told."""

    def fresh(self) -> str:
        self.numbers += 1
        return f"{self.mind.getrandbits(64):016x}.{self.numbers}"

    async def post(
        self, seat: Seat, tool: str, arguments: dict[str, Any], *, port: int | None = None, within_s: float = _REQUEST_S
    ) -> Reply | None:
        """One delivery to a server, behind another port if it goes over a relay; None when no answer came."""
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        headers = {**_HEADERS, "Authorization": f"Bearer {self.token}", "Host": f"127.0.0.1:{seat.port}"}
        try:
            async with asyncio.timeout(within_s):
                url = f"http://127.0.0.1:{port or seat.port}/mcp"
                response = await self.http.post(url, json=call, headers=headers)
        except (httpx2.TransportError, TimeoutError):
            return None
        if response.status_code != 200:
            if response.status_code != 503:
                self.ledger.wrong(f"{tool}: status {response.status_code}: {response.text[:200]}")
            elif "retry-after" not in response.headers:
                self.ledger.wrong(f"{tool}: 503 without Retry-After: {response.text[:200]}")
            return None
        _, found, data = response.text.partition("data: ")
        message = data if found else response.text
        if not message.strip():
            return None  # the server died before it said anything
        result = json.loads(message)["result"]
        return Reply(result["content"][0]["text"], result["structuredContent"], result["isError"])

    async def deliver(self, sent: Sent, arguments: dict[str, Any]) -> Reply | None:
        """One delivery to one of the servers, whose connection may break in one way or another."""
        sent.deliveries += 1
        seat, luck = self.mind.choice(self.seats), self.mind.random()
        if luck < self.cuts:
            return await self._cut(seat, sent, arguments)
        if luck < 2 * self.cuts:
            return await self._over_a_bad_line(seat, sent, arguments)
        return await self.post(seat, sent.tool, arguments)

    async def _cut(self, seat: Seat, sent: Sent, arguments: dict[str, Any]) -> Reply | None:
        delivery = asyncio.create_task(self.post(seat, sent.tool, arguments))
        done, _ = await asyncio.wait({delivery}, timeout=self.mind.uniform(0, 0.15))
        if done:
            return delivery.result()
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        self.ledger.faults["client cut"] += 1
        return None

    async def _over_a_bad_line(self, seat: Seat, sent: Sent, arguments: dict[str, Any]) -> Reply | None:
        """A delivery over a connection of its own fate; one that only fell silent stays open after we gave it up."""
        name, fate = bad_line(self.mind)
        relay = Relay.to_port(seat.port, fate)
        await relay.up()
        reply = await self.post(
            seat, sent.tool, arguments, port=relay.port, within_s=self.mind.uniform(0.5, 2.0) + 4 * fate.lag_s
        )
        self.ledger.faults[name] += bool(relay.struck or fate.lag_s)
        self.half_open.append(relay)
        if len(self.half_open) > _HALF_OPEN_AT_ONCE:
            self.half_open.popleft().down()
        return reply

    async def until_answered(self, sent: Sent, arguments: dict[str, Any] | None = None) -> Reply:
        """Send it again and again, as its agent would; the answer, or the refusal that stays."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_s
        last: Reply | None = None
        while loop.time() < until:
            reply = await self.deliver(sent, arguments or sent.arguments)
            last = reply or last
            if reply is not None and reply.is_recorded:
                sent.told[reply.text] = reply.is_error
                return reply
            if reply is not None and reply.code == "internal":
                self.ledger.wrong(f"{sent.tool} {sent.call_id}: untyped error: {reply.text}")
            elif reply is not None and reply.code not in _AGAIN:
                sent.refused.add(reply.code)
                return reply
            await asyncio.sleep(_PAUSE_S)
        self.ledger.wrong(f"{sent.tool} {sent.call_id} of run {sent.run_id}: no answer; the last word was {last}")
        raise TimeoutError(sent.call_id)

    def call(self, run_id: str, tool: str, **arguments: Any) -> Sent:
        """A new call of a run, not sent yet."""
        call_id = self.fresh()
        whole = {"run_id": run_id, "client_call_id": call_id, **arguments}
        return self.ledger.new(self.token, tool, run_id, call_id, whole)

    def command(self, run_id: str, rest: str = "", *, tool: str = "run_command") -> Sent:
        """A command that leaves a line of its own in the sandbox."""
        sent = self.call(run_id, tool)
        sent.arguments["command"] = f"echo {sent.call_id} >>/app/effects; {rest or 'echo ok'}"
        return sent

    async def storm(self, sent: Sent, times: int) -> list[Reply]:
        """The same call from several connections at once."""
        async with asyncio.TaskGroup() as at_once:
            tasks = [at_once.create_task(self.until_answered(sent)) for _ in range(times)]
        return [task.result() for task in tasks]
