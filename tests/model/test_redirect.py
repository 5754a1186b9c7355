"""Which redirect URIs a client may have, and which of them are the same."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawbench.model.redirect import answered, may_redirect, redirect_of

LOOPBACK = st.sampled_from(["localhost", "127.0.0.1", "[::1]"])
PORT = st.integers(1, 65535)
PATH = st.text("abz019-._~/%=&?", max_size=30).map(lambda text: f"/{text}")
WEB = st.builds("https://{}.test{}".format, st.text("abz", min_size=1, max_size=9), PATH)
APP = st.builds("{}://app{}".format, st.sampled_from(["cursor", "vscode", "com.example.app"]), PATH)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "/callback",
        "//evil.test/",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "javascript://x/%0aalert(1)",
        "data:text/html,x",
        "data://x/",
        "file:///etc/passwd",
        "blob:https://x.test/1",
        "ms-msdt:/id",
        "search-ms://query",
        "microsoft-edge://https://evil.test/",
        "googlechromes://evil.test/callback",
        "firefox://open-url?url=https://evil.test",
        "x-safari-https://evil.test/",
        "view-source:https://x.test/",
        "mailto:a@b.test",
        "tel:/1",
        "cursor:callback",
        "http://evil.test/",
        "http://localhost.evil.test/",
        "http://127.0.0.1.evil.test/",
        "http://127.0.0.2/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost@evil.test/",
        "http://localhost:80:80/",
        "http://localhost:/",
        "http://localhost:0/",
        "http://localhost:65536/",
        "http://evil.test\\@localhost/",
        "http://localhost\t/",
        "http://localhost/\n",
        "http://localhost/ x",
        "http://localhost/é",
        "https://user:pass@client.test/",
        "https://client.test/#",
        "https://client.test/#x",
        "https://",
        "https:///path",
        "https://client.test;script-src/",
        "https://client.test,evil/",
        "https:client.test",
        "cursor://user@app/",
        "cursor://app/#x",
    ],
)
def test_no_client_may_have_it(uri: str) -> None:
    assert redirect_of(uri) is None


@pytest.mark.parametrize(
    ("uri", "place", "source"),
    [
        ("http://localhost:3118/cb", "localhost:3118", "http://localhost:3118"),
        ("http://127.0.0.1/cb", "127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:5/cb", "[::1]:5", "http:"),
        ("https://client.test:8443?x=1", "client.test:8443", "https://client.test:8443"),
        ("cursor://anysphere.cursor-retrieval/cb", "cursor:", "cursor:"),
        ("com.example.app:/oauth", "com.example.app:", "com.example.app:"),
    ],
)
def test_where_it_leads(uri: str, place: str, source: str) -> None:
    redirect = redirect_of(uri)
    assert redirect is not None
    assert (redirect.place, redirect.csp_source) == (place, source)


@given(LOOPBACK, LOOPBACK, PORT, PORT, PATH, PATH)
def test_a_loopback_redirect_may_have_any_port_and_nothing_else_may_differ(
    host: str, other_host: str, port: int, other_port: int, path: str, other_path: str
) -> None:
    registered = f"http://{host}:{port}{path}"
    for asked in (f"http://{other_host}:{other_port}{other_path}", f"http://{other_host}{other_path}"):
        same = (host, path) == (other_host, other_path)
        assert may_redirect(registered, asked) == same
        assert may_redirect(asked, registered) == same


@given(st.one_of(WEB, APP), st.one_of(WEB, APP))
def test_every_other_redirect_is_exactly_the_registered_one(registered: str, asked: str) -> None:
    assert may_redirect(registered, registered)
    assert may_redirect(registered, asked) == (registered == asked)


@given(WEB, PORT)
def test_the_port_of_a_web_site_counts(registered: str, port: int) -> None:
    assert not may_redirect(registered, registered.replace(".test", f".test:{port}", 1))


@given(st.text(max_size=60), st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_an_answer_reaches_the_same_place_and_says_what_was_said(extra: str, state: str) -> None:
    for uri in ("https://client.test/cb", "https://client.test/cb?tenant=1", "cursor://app/cb", "app.test:/cb"):
        there = answered(uri, issuer="https://clawbench.test", state=state, code=extra or "x")
        assert there.startswith(uri)
        query = parse_qs(urlsplit(there).query)
        assert (query["state"], query["code"], query["iss"]) == ([state], [extra or "x"], ["https://clawbench.test"])


@given(st.text(max_size=40))
def test_whatever_is_taken_has_a_place_that_fits_a_policy(text: str) -> None:
    for uri in (text, f"https://{text}", f"http://{text}", f"https://x{text}/", f"http://localhost{text}"):
        redirect = redirect_of(uri)
        if redirect is not None:
            assert not set(redirect.csp_source) & set(" ;,'\"\n\t")
            assert uri.isascii()
            assert uri.isprintable()
