"""Answers that send us elsewhere."""

from pathlib import Path

import pytest

from tasks.errors import OutboundRefused
from tasks.outbound import FileBody
from tests.tasks.outbound_servers import asked, call, certified, first, plain, raw, redirect

SECRETS = {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "Cookie": "a=hunter2", "Accept": "text/plain"}


def test_a_redirect_is_an_answer_where_none_is_to_be_followed() -> None:
    with raw(redirect("/elsewhere")) as server:
        answer = call(asked(server.url)).answer
    assert (answer.status, answer.headers["location"], len(server.got)) == (302, "/elsewhere", 1)


@pytest.mark.parametrize("location", ["", None])
def test_a_redirect_without_an_address_is_an_answer(location: str | None) -> None:
    headers = {} if location is None else {"Location": location}
    with raw(plain(status="302 Found", headers=headers)) as server:
        assert call(asked(server.url, redirects=3)).answer.status == 302


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/b", "/b"),
        ("b?q=1", "/a/b?q=1"),
        ("../c", "/c"),
        ("?q=2", "/a/x?q=2"),
        ("/b#part", "/b"),
        ("/a b", "/a%20b"),
        ("/ä", "/%C3%A4"),
        ("", "/a/x"),
    ],
)
def test_a_relative_address_is_followed(location: str, path: str) -> None:
    with raw(plain(b"there")) as server:
        going = redirect(location.encode().decode("latin-1") or server.url + "a/x")
        server.say = first(going, plain(b"there"))
        heard = call(asked(f"{server.url}a/x", redirects=1))
    assert (heard.body, heard.answer.url) == (b"there", f"http://{server.place}{path}")
    assert server.got[1].line == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        ("301 Moved", "POST", "GET"),
        ("302 Found", "POST", "GET"),
        ("303 See Other", "POST", "GET"),
        ("303 See Other", "PUT", "GET"),
        ("303 See Other", "HEAD", "HEAD"),
        ("301 Moved", "PUT", "PUT"),
        ("302 Found", "DELETE", "DELETE"),
        ("307 Temporary Redirect", "POST", "POST"),
        ("308 Permanent Redirect", "POST", "POST"),
        ("308 Permanent Redirect", "PATCH", "PATCH"),
    ],
)
def test_method_and_body_follow_the_status(status: str, method: str, then: str, tmp_path: Path) -> None:
    """RFC 9110, section 15.4."""
    path = tmp_path / "body"
    path.write_bytes(b"body")
    body = None if method in ("HEAD", "DELETE") else FileBody(before=b"<", path=path, after=b">")
    with raw(plain()) as server:
        going = redirect("/there", status)
        server.say = first(going, plain(b""))
        call(asked(server.url, method=method, body=body, headers={"Content-Type": "a/b", "X-Key": "k"}, redirects=2))
    before, after = server.got
    assert after.line == f"{then} /there HTTP/1.1"
    assert after.body == (before.body if then == method else b"")
    assert ("content-type" in after.headers) == (then == method)
    assert after.headers["x-key"] == "k"


def test_the_callers_headers_do_not_reach_another_origin() -> None:
    with raw(plain(b"there")) as other, raw(redirect(other.url, "307 Temporary Redirect")) as server:
        call(asked(server.url, method="POST", body=b"x", headers={**SECRETS, "User-Agent": "Mine"}, redirects=1))
    assert server.got[0].headers["authorization"] == "Bearer hunter2"
    assert other.got[0].headers == {
        "host": other.place,
        "content-length": "1",
        "accept": "text/plain",
        "accept-encoding": "gzip",
        "user-agent": "Mine",
    }
    assert other.got[0].body == b"x"


def test_they_do_not_come_back_with_a_second_redirect() -> None:
    with raw(plain(b"home")) as home, raw(redirect(home.url)) as other:
        home.say = first(redirect(other.url), plain())
        call(asked(home.url, headers=SECRETS, redirects=2))
    assert "authorization" in home.got[0].headers
    assert "authorization" not in home.got[1].headers


def test_another_name_of_the_same_server_is_another_origin() -> None:
    with raw(plain()) as server:
        server.say = first(redirect(f"http://localhost:{server.port}/"), plain())
        call(asked(server.url, headers=SECRETS, redirects=1))
    assert "authorization" not in server.got[1].headers


@pytest.mark.parametrize("most", [1, 5])
def test_a_loop_ends(most: int) -> None:
    with raw(redirect("/again")) as server, pytest.raises(OutboundRefused) as caught:
        call(asked(server.url, redirects=most))
    assert (caught.value.code, len(server.got)) == ("too_many_redirects", most + 1)


def test_a_way_back_to_plain_http_is_not_gone(tmp_path: Path) -> None:
    pair = certified(tmp_path, "127.0.0.1")
    with (
        raw(plain()) as other,
        raw(redirect(other.url), tls=pair.server) as server,
        pytest.raises(OutboundRefused) as caught,
    ):
        call(asked(f"https://{server.place}/", redirects=1), tls=pair.client)
    assert (caught.value.code, other.accepted) == ("redirect_forbidden", 0)


def test_a_way_from_plain_http_to_https_is_gone(tmp_path: Path) -> None:
    pair = certified(tmp_path, "127.0.0.1")
    with raw(plain(b"safe"), tls=pair.server) as other, raw(redirect(f"https://{other.place}/")) as server:
        assert call(asked(server.url, redirects=1), tls=pair.client).body == b"safe"


def test_what_a_redirect_says_besides_is_not_read() -> None:
    with raw(plain(b"there")) as other:
        long = plain(b"x" * 2_000_000, status="302 Found", headers={"Location": other.url})
        with raw(long) as server:
            assert call(asked(server.url, redirects=1), most_bytes=100).body == b"there"
            server.await_end()
