"""Profiles are for their owner's eyes only, and several programs may change them at once."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from clawbench.credentials import (
    Profile,
    fresh_profile,
    load_profile,
    remove_profile,
    require_private_way,
    save_profile,
    server_url,
    servers,
)
from clawbench.errors import InvalidArguments, NotAuthenticated, Refused

PROFILE = Profile(
    server="https://clawbench.test",
    access_token="cbt_secret",
    expires_at=datetime(2026, 11, 21, 20, tzinfo=UTC),
    refresh_token="cbr_secret",
    agent_name="Tester_agent",
    scopes=("clawbench:read", "clawbench:run"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "clawbench" / "credentials.json"


def save_numbered(path: Path, number: int) -> None:
    save_profile(replace(PROFILE, server=f"https://server-{number}.test"), path=path)


def test_a_profile_comes_back_as_it_was_saved_and_is_gone_when_removed(path: Path) -> None:
    assert load_profile(PROFILE.server, path=path) is None
    save_profile(PROFILE, path=path)
    assert load_profile("https://CLAWBENCH.test/mcp/", path=path) == PROFILE
    assert servers(path=path) == [PROFILE.server]
    assert remove_profile(PROFILE.server, path=path) == PROFILE
    assert not remove_profile(PROFILE.server, path=path)
    assert load_profile(PROFILE.server, path=path) is None


def test_a_new_sign_in_takes_the_place_of_the_old_one_at_its_server_only(path: Path) -> None:
    elsewhere = replace(PROFILE, server="http://127.0.0.1:8100")
    save_profile(elsewhere, path=path)
    save_profile(PROFILE, path=path)
    save_profile(replace(PROFILE, access_token="cbt_newer"), path=path)
    assert load_profile(PROFILE.server, path=path) == replace(PROFILE, access_token="cbt_newer")
    assert load_profile(elsewhere.server, path=path) == elsewhere


def test_only_the_owner_can_read_it(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o755)
    save_profile(PROFILE, path=path)
    save_profile(PROFILE, path=path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert {file.name for file in path.parent.iterdir()} == {"credentials.json", "credentials.lock"}


def test_programs_that_save_at_the_same_time_lose_nothing(path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as programs:
        for done in [programs.submit(save_numbered, path, number) for number in range(20)]:
            done.result()
    assert len(servers(path=path)) == 20


def entry(**other: object) -> str:
    whole: dict[str, object] = {
        "access_token": "cbt_x",
        "expires_at": "2026-11-21T20:00:00Z",
        "agent_name": "a",
        "scopes": [],
    }
    return json.dumps({"servers": {"https://a.test": {**whole, **other}}})


@pytest.mark.parametrize(
    "content",
    [
        *("", "not json", "[]", "{}", '{"servers": []}', '{"servers": {"https://a.test": {"access_token": "x"}}}'),
        *(entry(access_token=7), entry(refresh_token=7), entry(scopes=[7]), entry(scopes=None), entry(agent_name=None)),
        *(entry(expires_at="soon"), entry(expires_at=7), entry(expires_at="2026-11-21T20:00:00")),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_and_not_overwritten(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(Refused, match="cannot be understood"):
        save_profile(PROFILE, path=path)
    assert path.read_text() == content


def test_what_earlier_versions_saved_is_understood(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(entry())
    found = load_profile("https://a.test", path=path)
    assert found is not None
    assert (found.refresh_token, found.expires_at) == (None, PROFILE.expires_at)


def test_a_renewed_profile_is_kept_and_others_stay(path: Path) -> None:
    elsewhere = replace(PROFILE, server="http://127.0.0.1:8100")
    renewed = replace(PROFILE, access_token="cbt_newer", expires_at=datetime.now(UTC) + timedelta(hours=1))
    save_profile(elsewhere, path=path)
    save_profile(replace(PROFILE, expires_at=datetime.now(UTC) - timedelta(hours=1)), path=path)
    assert fresh_profile(PROFILE.server, lambda _: renewed, path=path) == renewed
    assert load_profile(PROFILE.server, path=path) == renewed
    assert load_profile(elsewhere.server, path=path) == elsewhere
    with pytest.raises(NotAuthenticated):
        fresh_profile("https://another.test", lambda _: renewed, path=path)


def test_tokens_are_not_shown_when_a_profile_is_printed() -> None:
    assert "_secret" not in repr(PROFILE)


@pytest.mark.parametrize(
    "text",
    ["", "clawbench.test", "ftp://clawbench.test", "https://", "https://me:pw@host.test", "http://[::1", "http://a:b"],
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(InvalidArguments):
        server_url(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://clawbench.test",
            "http://192.0.2.7:8100/mcp",
            "http://localhost.clawbench.test",
            "http://[2001:db8::1]",
        ),
        *("http://127.0.0.1.clawbench.test", "HTTP://10.0.0.1"),
    ],
)
def test_a_way_that_others_can_listen_on_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="http, so whoever is on the way") as refused:
        require_private_way(text)
    assert "https" in refused.value.what_next


@pytest.mark.parametrize(
    "text",
    [
        "https://clawbench.test",
        "http://127.0.0.1:8100",
        "http://127.0.0.2",
        "http://[::1]:8100/mcp",
        "http://LOCALHOST:1",
    ],
)
def test_https_and_this_machine_are_private_ways(text: str) -> None:
    require_private_way(text)
