"""What an address leads to, and what the operator opens."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.addresses import Rules, check_url, forbidden, parse_url, refusal

NOBODY = Rules()

FORBIDDEN = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "of this network only",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "shared (carrier-grade NAT)",
    "100.100.100.200": "shared (carrier-grade NAT)",
    "100.127.255.255": "shared (carrier-grade NAT)",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "of a cloud's own services",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "reserved",
    "192.0.2.1": "for documentation",
    "192.88.99.1": "of 6to4 relays",
    "192.168.1.1": "private",
    "198.18.0.1": "for benchmarks",
    "198.19.255.255": "for benchmarks",
    "198.51.100.7": "for documentation",
    "203.0.113.7": "for documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::7f00:1": "IPv4 inside IPv6",
    "::ffff:127.0.0.1": "IPv4 mapped into IPv6",
    "::ffff:8.8.8.8": "IPv4 mapped into IPv6",
    "::ffff:0:127.0.0.1": "IPv4 translated into IPv6",
    "64:ff9b::7f00:1": "IPv4 behind NAT64",
    "64:ff9b:1::1": "IPv4 behind NAT64",
    "100::1": "discarded",
    "2001::1": "a Teredo tunnel's",
    "2001:10::1": "reserved",
    "2001:db8::1": "for documentation",
    "2002:7f00:1::": "a 6to4 tunnel's",
    "2606:4700::5efe:7f00:1": "an ISATAP tunnel's",
    "3fff::1": "for documentation",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "of one link only",
    "2606:4700::1%eth0": "of one link only",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "223.255.255.255"),
    *("2001:200::1", "2606:4700:4700::1111", "2a00:1450:4001::1"),
]


@pytest.mark.parametrize(("address", "why"), FORBIDDEN.items(), ids=FORBIDDEN)
def test_addresses_that_are_not_public_are_forbidden_with_a_reason(address: str, why: str) -> None:
    assert forbidden(ip_address(address)) == why


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert forbidden(ip_address(address)) is None


@given(st.ip_addresses())
def test_what_is_not_global_by_the_standard_library_is_forbidden(address: IPv4Address | IPv6Address) -> None:
    assert address.is_global or forbidden(address) is not None


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_is_forbidden_whatever_it_is(four: IPv4Address) -> None:
    number = int(four)
    inside = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80]
    assert all(forbidden(IPv6Address(each)) for each in inside)


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("10.0.0.0/8", "a.example", 80, "10.9.8.7"),
        ("10.0.0.5", "a.example", 80, "10.0.0.5"),
        ("10.0.0.5:8080", "a.example", 8080, "10.0.0.5"),
        ("crm.internal", "crm.internal", 1234, "10.0.0.5"),
        ("CRM.internal.", "crm.internal", 1234, "10.0.0.5"),
        ("crm.internal:8443", "crm.internal", 8443, "fd00::1"),
        ("fd00::/8", "a.example", 80, "fd00::1"),
        ("fd00::1", "a.example", 80, "fd00::1"),
        ("[fd00::1]:8080", "a.example", 8080, "fd00::1"),
        ("x.example, 10.0.0.0/8 ,", "a.example", 80, "10.0.0.1"),
    ],
)
def test_the_operator_opens_hosts_addresses_and_networks(entry: str, host: str, port: int, address: str) -> None:
    assert refusal(NOBODY, host, port, ip_address(address))
    assert refusal(Rules.parse(entry), host, port, ip_address(address)) is None


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("10.0.0.0/8", "a.example", 80, "172.16.0.1"),
        ("10.0.0.5:8080", "a.example", 80, "10.0.0.5"),
        ("10.0.0.5", "a.example", 80, "10.0.0.6"),
        ("crm.internal", "x.crm.internal", 80, "10.0.0.5"),
        ("crm.internal:8443", "crm.internal", 80, "10.0.0.5"),
        ("127.0.0.0/8", "a.example", 80, "::ffff:127.0.0.1"),
        ("64:ff9b::/96", "a.example", 80, "64:ff9b::7f00:1"),
        ("64:ff9b:1::/48", "a.example", 80, "64:ff9b:1:7f00:0:100::"),
        ("64:ff9b:1::/48", "a.example", 80, "64:ff9b:1::a9fe:a9fe"),
        ("2002::/16", "a.example", 80, "2002:a00:1::"),
        ("2001::/32", "a.example", 80, "2001::80ff:fffe"),
    ],
)
def test_nothing_is_open_besides(entry: str, host: str, port: int, address: str) -> None:
    assert refusal(Rules.parse(entry), host, port, ip_address(address))


@pytest.mark.parametrize("address", ["64:ff9b::808:808", "64:ff9b:1:808:8:800::", "64:ff9b:1::808:808"])
def test_where_nat64_is_open_public_addresses_behind_it_may_be_called(address: str) -> None:
    assert refusal(Rules.parse("64:ff9b::/96,64:ff9b:1::/48"), "a.example", 80, ip_address(address)) is None


@pytest.mark.parametrize(
    "entry",
    [
        "http://a.example",
        "a.example/",
        "10.0.0.1/8",
        "127.1",
        "a b",
        "*.a.example",
        "a:0",
        "a:99999",
        "[::1",
        "a@b",
        "ä",
    ],
)
def test_an_odd_entry_is_refused_by_its_name(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host") as caught:
        Rules.parse(f"fine.example,{entry}")
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com/",
        "HTTPS://EXAMPLE.com:8443/Path?q=1&r[]=2#part",
        "https://example.com./",
        "https://my_service.example/",
        "https://xn--bcher-kva.example/stra%C3%9Fe",
        "https://1password.com/",
        "https://127.0.0.1.example.com/",
        "https://0x7f.example/",
        "https://localhost.example/",
        "https://8.8.8.8:53/",
        "https://[2606:4700:4700::1111]/",
        "https://[2606:4700:4700::1111]:8443/x",
        "https://example.com?x=http://127.0.0.1/",
        "https://example.com/@127.0.0.1/",
        "https://example.com/a:b@c",
        "https://example.com/#@127.0.0.1/",
        "https://a-b.c-d.example/{x}|^",
        "https://example.com/%5c%0d%0a",
        "http://example.com:65535/",
        "http://redis/",
    ],
)
def test_harmless_urls_pass(url: str) -> None:
    assert check_url(url, NOBODY) is None


def test_a_url_is_taken_apart_once_and_for_all() -> None:
    target = parse_url("HTTPS://EXAMPLE.com.:0443?q=1#x")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "example.com", 443, "/?q=1")
    assert (target.place, target.url) == ("example.com", "https://example.com/?q=1")
    six = parse_url("http://[2606:4700:0::1111]:81/a")
    assert (six.host, six.place, six.url) == (
        "2606:4700::1111",
        "[2606:4700::1111]:81",
        "http://[2606:4700::1111]:81/a",
    )


@pytest.mark.parametrize(
    ("rules", "url"),
    [
        ("127.0.0.0/8", "http://127.0.0.1:8000/"),
        ("127.0.0.0/8", "http://localhost:8000/"),
        ("localhost", "http://localhost:8000/"),
        ("::1", "http://app.localhost/"),
        ("metadata.google.internal", "http://metadata.google.internal/"),
        ("[::1]:80", "http://[::1]/"),
    ],
)
def test_what_is_opened_passes_at_the_door(rules: str, url: str) -> None:
    assert check_url(url, NOBODY) is not None
    assert check_url(url, Rules.parse(rules)) is None


@given(st.text())
def test_any_text_is_a_url_or_is_refused_in_words(text: str) -> None:
    assert check_url(text, NOBODY) != ""
