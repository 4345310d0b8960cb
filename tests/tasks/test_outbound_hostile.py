"""Addresses that lead to where nobody may call: in every spelling, by name, and by being sent there."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address

import pytest

from tasks.addresses import Rules, check_url
from tasks.errors import OutboundRefused
from tasks.outbound import Asked, Outbound, Resolver, Timeouts, resolver_for
from tasks.outbound_names import SystemResolver
from tests.tasks.outbound_servers import Raw, plain, raw, redirect
from tests.tasks.outbound_zone import names
from tests.waiting import until

NOBODY = Rules()

# {p} is the port of listeners on 127.0.0.1 and [::1].
HOSTILE = {
    # loopback, plainly
    "loopback": "http://127.0.0.1:{p}/",
    "loopback https": "https://127.0.0.1:{p}/",
    "loopback's network": "http://127.8.9.10:{p}/",
    "final dot": "http://127.0.0.1.:{p}/",
    "upper-case scheme": "HTTP://127.0.0.1:{p}/",
    "no path": "http://127.0.0.1:{p}",
    "query at once": "http://127.0.0.1:{p}?x",
    "fragment at once": "http://127.0.0.1:{p}#x",
    "zeros before the port": "http://127.0.0.1:0{p}/",
    "unspecified": "http://0.0.0.0:{p}/",
    "this network": "http://0.1.2.3:{p}/",
    # IPv4 in other clothes
    "two parts": "http://127.1:{p}/",
    "three parts": "http://127.0.1:{p}/",
    "one zero": "http://0:{p}/",
    "decimal": "http://2130706433:{p}/",
    "hex": "http://0x7f000001:{p}/",
    "upper-case hex": "http://0X7F000001:{p}/",
    "hex parts": "http://0x7f.0x0.0x0.0x1:{p}/",
    "hex and short": "http://0x7f.1:{p}/",
    "octal": "http://017700000001:{p}/",
    "octal parts": "http://0177.0.0.01:{p}/",
    "octal and short": "http://0177.1:{p}/",
    "mixed bases": "http://0177.0x0.0.1:{p}/",
    "zeros in front": "http://127.000.000.001:{p}/",
    "bare 0x": "http://127.0.0.0x:{p}/",
    "overflow": "http://256.256.256.256:{p}/",
    "overflow of 32 bits": "http://6425673729:{p}/",
    "overflow of a part": "http://127.0.0.257:{p}/",
    "five parts": "http://127.0.0.0.1:{p}/",
    "decimal with final dot": "http://2130706433.:{p}/",
    "two final dots": "http://127.0.0.1..:{p}/",
    "dot in front": "http://.127.0.0.1:{p}/",
    # other encodings
    "full-width digits": "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11:{p}/",
    "circled digits": "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460:{p}/",
    "ideographic dots": "http://127\u30020\u30020\u30021:{p}/",
    "half-width dots": "http://127\uff610\uff610\uff611:{p}/",
    "mathematical letters": "http://\U0001d4f5\U0001d4f8\U0001d4ec\U0001d4ea\U0001d4f5\U0001d4f1\U0001d4f8\U0001d4fc\U0001d4fd:{p}/",
    "percent-encoded host": "http://%31%32%37%2e0%2e0%2e1:{p}/",
    "percent-encoded name": "http://%6c%6f%63alhost:{p}/",
    "percent-encoded dot": "http://127%2e0.0.1:{p}/",
    "soft hyphen": "http://local\u00adhost:{p}/",
    "zero-width space": "http://127.0.0.1\u200b:{p}/",
    "right-to-left mark": "http://\u200f127.0.0.1:{p}/",
    # IPv6
    "six loopback": "http://[::1]:{p}/",
    "six loopback at length": "http://[0:0:0:0:0:0:0:1]:{p}/",
    "six loopback with zeros": "http://[0000:0000:0000:0000:0000:0000:0000:0001]:{p}/",
    "six unspecified": "http://[::]:{p}/",
    "mapped": "http://[::ffff:127.0.0.1]:{p}/",
    "mapped in hex": "http://[::ffff:7f00:1]:{p}/",
    "mapped in upper case": "http://[::FFFF:7F00:1]:{p}/",
    "mapped public": "http://[::ffff:8.8.8.8]:{p}/",
    "compatible": "http://[::127.0.0.1]:{p}/",
    "translated": "http://[::ffff:0:127.0.0.1]:{p}/",
    "NAT64": "http://[64:ff9b::127.0.0.1]:{p}/",
    "NAT64 metadata": "http://[64:ff9b::a9fe:a9fe]/",
    "local NAT64": "http://[64:ff9b:1::127.0.0.1]:{p}/",
    "6to4": "http://[2002:7f00:1::]:{p}/",
    "Teredo": "http://[2001::80ff:fffe]:{p}/",
    "ISATAP": "http://[2606:4700::5efe:127.0.0.1]:{p}/",
    "unique local": "http://[fc00::1]:{p}/",
    "six metadata": "http://[fd00:ec2::254]/",
    "six link-local": "http://[fe80::1]:{p}/",
    "zone": "http://[fe80::1%lo]:{p}/",
    "encoded zone": "http://[fe80::1%25lo]:{p}/",
    "zone of loopback": "http://[::1%25lo]:{p}/",
    "site-local": "http://[fec0::1]:{p}/",
    "six multicast": "http://[ff02::1]:{p}/",
    "six documentation": "http://[2001:db8::1]:{p}/",
    "four in brackets": "http://[127.0.0.1]:{p}/",
    "name in brackets": "http://[localhost]:{p}/",
    "future address": "http://[v1.::1]:{p}/",
    "six without brackets": "http://::1:{p}/",
    "half a bracket": "http://[::1:{p}/",
    "text after brackets": "http://[::1].example.com:{p}/",
    # private and special networks
    "ten": "http://10.0.0.1:{p}/",
    "one seven two": "http://172.16.0.1:{p}/",
    "one nine two": "http://192.168.0.1:{p}/",
    "carrier": "http://100.64.0.1:{p}/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata in decimal": "http://2852039166/latest/meta-data/",
    "metadata in hex": "http://0xa9fea9fe/",
    "mapped metadata": "http://[::ffff:169.254.169.254]/",
    "cloud's services": "http://168.63.129.16/",
    "multicast": "http://224.0.0.1:{p}/",
    "broadcast": "http://255.255.255.255:{p}/",
    "reserved": "http://240.0.0.1:{p}/",
    "benchmarks": "http://198.18.0.1:{p}/",
    "documentation": "http://192.0.2.1:{p}/",
    # names that are known
    "localhost": "http://localhost:{p}/",
    "upper-case localhost": "http://LOCALHOST:{p}/",
    "localhost with dot": "http://localhost.:{p}/",
    "below localhost": "http://app.localhost:{p}/",
    "far below localhost": "http://a.b.c.localhost.:{p}/",
    "localhost.localdomain": "http://localhost.localdomain:{p}/",
    "ip6-localhost": "http://ip6-localhost:{p}/",
    "google's metadata": "http://metadata.google.internal/computeMetadata/v1/",
    "google's metadata with dot": "http://Metadata.Google.Internal./",
    "short metadata": "http://metadata/",
    # who is the host?
    "user": "http://example.com@127.0.0.1:{p}/",
    "user and password": "http://user:hunter2@127.0.0.1:{p}/",
    "password of numbers": "http://example.com:80@127.0.0.1:{p}/",
    "two users": "http://a@b@127.0.0.1:{p}/",
    "empty user": "http://@127.0.0.1:{p}/",
    "loopback as user": "http://127.0.0.1:{p}@example.com/",
    "encoded user": "http://example.com%40127.0.0.1:{p}/",
    "backslash": "http://127.0.0.1:{p}\\@example.com/",
    "backslash for slash": "http:\\\\127.0.0.1:{p}\\",
    "backslash in the path": "http://example.com\\@127.0.0.1:{p}/",
    "fragment and user": "http://127.0.0.1:{p}\\#@example.com/",
    "tab": "http://127.0.\t0.1:{p}/",
    "line feed": "http://127.0.0.1\n:{p}/",
    "carriage return": "http://127.0.0.1\r\n:{p}/",
    "line feed in the path": "http://example.com/\r\nHost: 127.0.0.1",
    "NUL": "http://127.0.0.1\x00.example.com:{p}/",
    "space": "http://127.0.0.1 :{p}/",
    "space in front": " http://127.0.0.1:{p}/",
    "control in front": "\x01http://127.0.0.1:{p}/",
    "two ports": "http://127.0.0.1:{p}:80/",
    "port zero": "http://example.com:0/",
    "port too great": "http://example.com:65536/",
    "port with sign": "http://example.com:+80/",
    "port without number": "http://example.com:/",
    "port of full-width digits": "http://example.com:\uff18\uff10/",
    "no host": "http:///127.0.0.1:{p}/",
    "no host but a port": "http://:{p}/",
    "one slash": "http:/127.0.0.1:{p}/",
    "no slash": "http:127.0.0.1:{p}",
    "three slashes": "http:///127.0.0.1:{p}",
    "no scheme": "//127.0.0.1:{p}/",
    "hyphen in front": "http://-127.0.0.1:{p}/",
    # schemes
    "file": "file:///etc/passwd",
    "ftp": "ftp://127.0.0.1:{p}/",
    "gopher": "gopher://127.0.0.1:{p}/_x",
    "unix": "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "data": "data:text/plain,x",
    "javascript": "javascript:alert(1)",
    "websocket": "ws://127.0.0.1:{p}/",
    "empty": "",
    "too long": "http://example.com/" + "a" * 8_000,
}

# What a name server may say of a name that looks harmless: so many answers are as bad as one.
HOSTILE_NAMES = {
    "loopback.test": ["127.0.0.1"],
    "six.test": ["::1"],
    "private.test": ["10.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:7f00:1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "unspecified.test": ["0.0.0.0"],
    "ula.test": ["fd00::1"],
    "alias.test": ["=loopback.test"],
    "alias-of-alias.test": ["=alias.test"],
    "alias-with-address.test": ["=elsewhere.test", "127.0.0.1"],
    "good-then-bad.test": ["93.184.216.34", "127.0.0.1"],
    "bad-then-good.test": ["127.0.0.1", "93.184.216.34"],
    "good-four-bad-six.test": ["93.184.216.34", "::1"],
    "good-six-bad-four.test": ["2606:4700::1", "192.168.0.1"],
    "many.test": [*(f"93.184.216.{number}" for number in range(1, 30)), "127.0.0.1"],
    "xn--127-ia.test": ["127.0.0.1"],
}


@pytest.fixture(scope="module")
def listeners() -> Iterator[tuple[Raw, Raw]]:
    """Two who must never hear of anybody, on the same port of 127.0.0.1 and of [::1]."""
    with raw(plain(b"inside")) as four, raw(plain(b"inside"), host="::1", port=four.port) as six:
        yield four, six
        for listener in (four, six):  # they did listen: who connects now is the first
            with socket.create_connection((listener.host, listener.port)):
                until(partial(_accepted, listener))
            assert listener.accepted == 1


def _accepted(listener: Raw) -> int:
    return listener.accepted


@pytest.fixture(autouse=True)
def nobody_connects(listeners: tuple[Raw, Raw]) -> Iterator[None]:
    yield
    assert [listener.accepted for listener in listeners] == [0, 0]


def _refused(url: str, *, resolver: Resolver | None = None, rules: Rules = NOBODY, redirects: int = 0) -> str:
    """The code with which the guard refuses to call this URL; fails if it does not, or if anything is answered."""

    async def call() -> str:
        outbound = Outbound(rules, resolver=resolver or resolver_for(()))
        asked = Asked(
            method="GET", url=url, headers={}, body=None, timeouts=Timeouts(connect=5, total=10), redirects=redirects
        )
        try:
            with pytest.raises(OutboundRefused) as caught:
                await outbound.exchange(asked, lambda head: pytest.fail(f"answered {head.status}"), most_bytes=1000)
        finally:
            await outbound.close()
        assert "hunter2" not in caught.value.message
        return caught.value.code

    return asyncio.run(call())


@pytest.mark.parametrize("url", HOSTILE.values(), ids=[name.replace("'", "") for name in HOSTILE])
def test_a_hostile_spelling_is_refused_and_connects_to_nobody(listeners: tuple[Raw, Raw], url: str) -> None:
    url = url.replace("{p}", str(listeners[0].port))
    assert check_url(url, NOBODY)
    assert _refused(url) in ("url_invalid", "address_forbidden")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_with_any_forbidden_address_connects_to_nobody(listeners: tuple[Raw, Raw], name: str) -> None:
    url = f"http://{name}:{listeners[0].port}/"
    assert check_url(url, NOBODY) is None
    with names({known: [answer] for known, answer in HOSTILE_NAMES.items()}) as server:
        assert _refused(url, resolver=resolver_for([server.server])) == "address_forbidden"


@pytest.mark.parametrize("name", [name for name, found in HOSTILE_NAMES.items() if not found[0].startswith("=")])
def test_so_it_is_with_the_systems_resolver(listeners: tuple[Raw, Raw], name: str) -> None:
    resolver = SystemResolver(lambda host: [ip_address(found) for found in HOSTILE_NAMES[host.decode()]])
    assert _refused(f"http://{name}:{listeners[0].port}/", resolver=resolver) == "address_forbidden"


def test_addresses_that_are_not_open_stay_forbidden_beside_those_that_are(listeners: tuple[Raw, Raw]) -> None:
    with names({"both.test": [["127.0.0.1", "::1"]]}) as server:
        url = f"http://both.test:{listeners[0].port}/"
        rules = Rules.parse("127.0.0.0/8")
        assert _refused(url, resolver=resolver_for([server.server]), rules=rules) == "address_forbidden"


@pytest.mark.allow_hosts(["0.0.0.0"])
def test_who_is_at_the_other_end_is_checked_besides(listeners: tuple[Raw, Raw]) -> None:
    """The kernel takes 0.0.0.0 for this machine. What it accepts is closed before a byte is sent."""
    with raw(plain()) as server:
        assert _refused(f"http://0.0.0.0:{server.port}/", rules=Rules.parse("0.0.0.0")) == "address_forbidden"
        server.await_end()
        assert (server.accepted, server.got) == (1, [])


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://127.0.0.1:{p}/", "address_forbidden"),
        ("//127.0.0.1:{p}/", "address_forbidden"),
        ("http://[::1]:{p}/", "address_forbidden"),
        ("http://localhost:{p}/", "address_forbidden"),
        ("http://169.254.169.254/latest/", "address_forbidden"),
        ("http://inside.test:{p}/", "address_forbidden"),
        ("http://2130706433:{p}/", "redirect_forbidden"),
        ("http://user@127.0.0.1:{p}/", "redirect_forbidden"),
        ("http://127.0.0.1:{p}\\@example.com/", "redirect_forbidden"),
        ("http://127.0.0.1\t:{p}/", "redirect_forbidden"),
        ("http://\uff11\uff12\uff17.0.0.1:{p}/".encode().decode("latin-1"), "redirect_forbidden"),
        ("file:///etc/passwd", "redirect_forbidden"),
        ("gopher://127.0.0.1:{p}/", "redirect_forbidden"),
    ],
    ids=lambda value: value.encode("ascii", "replace").decode(),
)
@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "::1"])
def test_a_redirect_to_a_forbidden_place_is_not_followed(listeners: tuple[Raw, Raw], location: str, code: str) -> None:
    moved = redirect(location.replace("{p}", str(listeners[0].port)))
    with raw(moved, host="127.0.0.2") as good, names({"inside.test": [["127.0.0.1"]]}) as server:
        resolver = resolver_for([server.server])
        assert _refused(good.url, resolver=resolver, rules=Rules.parse("127.0.0.2"), redirects=3) == code
        assert good.accepted == 1


def test_there_are_enough_spellings() -> None:
    assert len(HOSTILE) >= 80
