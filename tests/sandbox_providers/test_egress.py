"""The way out: an allow-list and a proxy outside, reached from a sandbox that has no network."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pytest_asyncio import fixture as async_fixture

from sandbox_providers.conformance import Subject
from sandbox_providers.contract import Provider, Sandbox
from sandbox_providers.docker.provider import DockerProvider
from sandbox_providers.egress import Allowed, NotAnEntry, Outside, is_public, resolve
from sandbox_providers.errors import SpecRefused

PUBLIC = "93.184.215.14"
NAMES = {"allowed.test": [PUBLIC], "inside.test": ["10.0.0.7"], "both.test": [PUBLIC, "127.0.0.1"], "void.test": []}
EGRESS = ("allowed.test", "allowed.test:9000", "inside.test", "both.test", "void.test", "localhost", "169.254.169.254")
NOT_PUBLIC = """
127.0.0.1 10.1.2.3 172.17.0.1 192.168.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 192.0.2.1
::1 :: fe80::1 fd00::1 ff02::1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::a00:1 2002:a00:1:: fd00:ec2::254
100.100.100.200 nonsense
"""
BIG = bytes(range(256)) * 16384


@dataclass(slots=True)
class World:
    """The Internet, as far as these tests need one: a server of our own stands behind every public address."""

    port: int = 0
    resolved: list[str] = field(default_factory=list[str])
    dialled: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    heads: list[bytes] = field(default_factory=list[bytes])

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append(host)
        return NAMES[host] if host in NAMES else await resolve(host, port)

    async def dial(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.dialled.append((address, port))
        if port == 9000:
            raise ConnectionRefusedError("nobody listens")
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """``/big`` gives much; a ``PUT`` is answered with the hash of what came until its end; else: good day."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if head.startswith(b"PUT"):
                body = hashlib.sha256(await reader.read(-1)).hexdigest().encode()
            else:
                body = BIG if b" /big " in head else b"good day"
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@async_fixture
async def world() -> AsyncGenerator[World]:
    world = World()
    server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    yield world
    server.close()
    await server.wait_closed()


@async_fixture
async def open_one(
    open_docker: Callable[[], Provider], world: World, cache_dir: Path
) -> AsyncGenerator[Callable[[], DockerProvider]]:
    made = list[DockerProvider]()

    def open_one() -> DockerProvider:
        outside = Outside(resolve=world.resolve, dial=world.dial)
        made.append(DockerProvider(cache_dir=cache_dir, docker_host=None, outside=outside))
        return made[-1]

    yield open_one
    for provider in made:
        await provider.close()


@async_fixture
async def sandbox(subject: Subject, open_one: Callable[[], DockerProvider]) -> AsyncGenerator[Sandbox]:
    provider = open_one()
    sandbox = await provider.create(replace(subject.spec(), egress=EGRESS))
    yield sandbox
    await provider.destroy(sandbox)


async def said(subject: Subject, provider: Provider, sandbox: Sandbox, script: str) -> str:
    spec = subject.python(script, timeout_s=60)
    await provider.start(sandbox, spec)
    await provider.wait(sandbox, spec.op_id, timeout_s=60)
    out = await provider.output(sandbox, spec.op_id, "stdout", offset=0, limit=99999)
    return (out + await provider.output(sandbox, spec.op_id, "stderr", offset=0, limit=99999)).decode()


CONNECT = """
import socket
def through(target, send=b"GET / HTTP/1.0\\r\\n\\r\\n"):
    s = socket.create_connection(("127.0.0.1", 3128))
    s.sendall(b"CONNECT " + target.encode() + b" HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    got = b""
    while b"\\r\\n\\r\\n" not in got:
        got += s.recv(1) or exit("cut")
    if b" 200 " in got:
        s.sendall(send)
        s.shutdown(socket.SHUT_WR)
    while more := s.recv(65536):
        got += more
    return got
"""


async def test_an_allowed_host_is_reached_by_ordinary_clients_through_the_proxy(
    subject: Subject, open_one: Callable[[], DockerProvider], sandbox: Sandbox, world: World
) -> None:
    provider = open_one()
    script = "import urllib.request as u; print(u.urlopen('http://allowed.test/a?b=c').read().decode())"
    assert await said(subject, provider, sandbox, script) == "good day\n"
    assert world.dialled == [(PUBLIC, 80)] and world.resolved == ["allowed.test"]
    assert world.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n") and b"Connection: close" in world.heads[0]
    script = CONNECT + "print(through('allowed.test:443').decode())"
    assert (await said(subject, provider, sandbox, script)).endswith("good day\n")
    log = await open_one().network_log(sandbox)
    assert [(c.host, c.port, c.allowed, c.address, c.why) for c in log.connections] == [
        ("allowed.test", 80, True, PUBLIC, ""),
        ("allowed.test", 443, True, PUBLIC, ""),
    ]


async def test_what_is_not_allowed_is_refused_and_noted_and_nothing_is_dialled(
    subject: Subject, open_one: Callable[[], DockerProvider], sandbox: Sandbox, world: World
) -> None:
    targets = (
        "other.test:443 allowed.test:22 inside.test:443 both.test:443 void.test:443 localhost:80"
        " 169.254.169.254:80 [::1]:80"
    )
    script = f"{CONNECT}\nfor t in {targets.split()}: print(through(t).split()[1].decode(), t)"
    told = await said(subject, open_one(), sandbox, script)
    assert told.splitlines() == [f"403 {target}" for target in targets.split()]
    assert world.dialled == [] and "other.test" not in world.resolved
    log = await open_one().network_log(sandbox)
    assert [c.host for c in log.connections if not c.allowed] == [
        target.rpartition(":")[0].strip("[]") for target in targets.split()
    ]
    whys = {c.host: c.why for c in log.connections}
    assert "10.0.0.7" in whys["inside.test"] and "127.0.0.1" in whys["both.test"]
    assert whys["other.test"] == "not on the allow-list" and "169.254" in whys["169.254.169.254"]


async def test_an_allowed_host_that_does_not_answer_is_told_as_such(
    subject: Subject, open_one: Callable[[], DockerProvider], sandbox: Sandbox
) -> None:
    script = CONNECT + "print(through('allowed.test:9000').split()[1].decode())"
    assert await said(subject, open_one(), sandbox, script) == "502\n"
    log = await open_one().network_log(sandbox)
    assert [(c.allowed, c.why) for c in log.connections] == [(True, "nobody listens")]


async def test_much_goes_both_ways_whole_and_side_by_side(
    subject: Subject, open_one: Callable[[], DockerProvider], sandbox: Sandbox
) -> None:
    script = f"""{CONNECT}
import hashlib, threading
big = bytes(range(256)) * 16384
results = []
def down():
    got = through("allowed.test:443", b"GET /big HTTP/1.0\\r\\n\\r\\n")
    results.append(got.endswith(big))
def up():
    got = through("allowed.test:443", b"PUT / HTTP/1.0\\r\\n\\r\\n" + big)
    results.append(got.endswith(hashlib.sha256(big).hexdigest().encode()))
threads = [threading.Thread(target=f) for f in (down, up) * 6]
for t in threads: t.start()
for t in threads: t.join()
print(results.count(True), len(results))
"""
    assert await said(subject, open_one(), sandbox, script) == "12 12\n"


async def test_nonsense_and_floods_of_connections_leave_the_sandbox_well(
    subject: Subject, open_one: Callable[[], DockerProvider], sandbox: Sandbox
) -> None:
    script = f"""{CONNECT}
s = [socket.create_connection(("127.0.0.1", 3128)) for _ in range(150)]
for one in s[:60]:
    one.sendall(b"nonsense\\r\\n\\r\\n")
    assert b" 400 " in one.recv(999)
for one in s:
    one.close()
print(through("allowed.test:443").endswith(b"good day"))
try:
    socket.create_connection(("{PUBLIC}", 80), timeout=3)
except OSError:
    print("no other way out")
"""
    assert await said(subject, open_one(), sandbox, script) == "True\nno other way out\n"


async def test_connections_outlive_other_processes_and_wait_for_the_next_one(
    subject: Subject, open_one: Callable[[], DockerProvider], sandbox: Sandbox, world: World
) -> None:
    first, second = open_one(), open_one()
    await first.health(sandbox)
    script = f"""{CONNECT}
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"CONNECT allowed.test:443 HTTP/1.1\\r\\n\\r\\n")
print(s.recv(999).split()[1].decode(), flush=True)
while not __import__("os").path.exists("go"):
    __import__("time").sleep(0.02)
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(s.recv(999).endswith(b"good day"), flush=True)
while not __import__("os").path.exists("on"):
    __import__("time").sleep(0.02)
while True:
    try:
        print(through("allowed.test:443").endswith(b"good day"))
        break
    except SystemExit:  # the runner has not heard yet that the process that carried it is gone
        continue
"""
    spec = subject.python(script, timeout_s=60)
    await first.start(sandbox, spec)
    while b"200" not in await first.output(sandbox, spec.op_id, "stdout", offset=0, limit=99):
        await first.wait(sandbox, spec.op_id, timeout_s=0.02)
    await second.health(sandbox)
    await second.write(sandbox, "go", b"", op_id=subject.op_id())
    while b"True" not in await first.output(sandbox, spec.op_id, "stdout", offset=0, limit=99):
        await first.wait(sandbox, spec.op_id, timeout_s=0.02)
    await second.close()
    await first.write(sandbox, "on", b"", op_id=subject.op_id())
    await first.wait(sandbox, spec.op_id, timeout_s=60)
    assert await first.output(sandbox, spec.op_id, "stdout", offset=0, limit=99) == b"200\nTrue\nTrue\n"


async def test_a_sandbox_without_egress_has_no_proxy_and_an_empty_log(subject: Subject) -> None:
    sandbox = await subject.shared()
    assert (await subject.provider.network_log(sandbox)).connections == ()
    ran = await subject.sh(sandbox, "env | grep -ic proxy; cat /proc/net/tcp | grep -c :0C38")
    assert ran.stdout == b"0\n0\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"egress": ("a.test",), "network": True},
        {"egress": ("a b",)},
        {"egress": ("http://a.test",)},
        {"egress": ("a.test:99999",)},
        {"egress": ("a.test",), "env": {"HTTPS_PROXY": "http://elsewhere"}},
    ],
)
def test_egress_that_cannot_be_given_is_refused(subject: Subject, changes: dict[str, object]) -> None:
    with pytest.raises(SpecRefused):
        subject.provider.validate(replace(subject.spec(), **changes))  # pyright: ignore[reportArgumentType]


def test_without_a_port_the_ports_of_the_web_are_meant() -> None:
    allowed = Allowed.of(["PyPI.org", "a.test:8443"])
    assert ("pypi.org", 443) in allowed and ("PYPI.ORG.", 80) in allowed and ("a.test", 8443) in allowed
    assert ("pypi.org", 22) not in allowed and ("a.test", 443) not in allowed
    assert ("x.pypi.org", 443) not in allowed and ("pypi.org.evil.test", 443) not in allowed
    with pytest.raises(NotAnEntry):
        Allowed.of(["*.pypi.org"])


@pytest.mark.parametrize(
    "address",
    NOT_PUBLIC.split(),
)
def test_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_an_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(address)
