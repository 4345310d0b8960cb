"""What an address of the internet leads to, and whether calls may go there: parsing and judging, no look-ups."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 8_000  # characters: what RFC 9110, section 4.1, wants everybody to be able to take
PORTS: Mapping[str, int] = {"http": 80, "https": 443}

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?", re.ASCII)
_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

# IANA's special-purpose registries of IPv4 and IPv6 (RFC 6890 and what has been added since), and what clouds put
# into public space. The first that fits gives the reason.
_FORBIDDEN: Sequence[tuple[Network, str]] = [
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "of this network only"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "of a cloud's own services"),  # Azure's "wire server", in public space
        ("169.254.0.0/16", "link-local"),  # with the metadata services of most clouds
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "of 6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4 mapped into IPv6"),
        ("::ffff:0:0:0/96", "IPv4 translated into IPv6"),
        ("::/96", "IPv4 inside IPv6"),
        ("64:ff9b::/96", "IPv4 behind NAT64"),
        ("64:ff9b:1::/48", "IPv4 behind NAT64"),
        ("100::/64", "discarded"),
        ("2001::/32", "a Teredo tunnel's"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel's"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),  # fd00:ec2::254 is a cloud's metadata service
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
]
_GLOBAL_SIX = IPv6Network("2000::/3")  # all that IANA has given out; whatever lies outside is for something else
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_IN_LAST_QUARTER = [
    _LOCAL_NAT64,
    *(IPv6Network(network) for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")),
]

_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_METADATA = (IPv4Address("169.254.169.254"),)
# Names whose addresses are known without a look-up.
_KNOWN: Mapping[str, Sequence[Address]] = {
    "localhost.localdomain": _LOOPBACK,
    "localhost6": _LOOPBACK,
    "localhost6.localdomain6": _LOOPBACK,
    "ip6-localhost": _LOOPBACK,
    "ip6-loopback": _LOOPBACK,
    "metadata": _METADATA,
    "metadata.google.internal": _METADATA,
    "metadata.goog": _METADATA,
    "instance-data": _METADATA,
    "instance-data.ec2.internal": _METADATA,
    "metadata.tencentyun.com": _METADATA,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A URL, taken apart once: `host` is in lower case, without brackets and final dot; `address` where it is one.

    `path` is what stands in the request's first line: path and query.
    """

    scheme: str
    host: str
    port: int
    address: Address | None
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def place(self) -> str:
        """The host as a URL and the Host header have it; the port only where it is not the scheme's."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.place}{self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the operator opens: hosts by name, whatever they resolve to, and networks; a port of None means all."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: frozenset[tuple[Network, int | None]] = frozenset()

    @classmethod
    def parse(cls, raw: str) -> "Rules":
        """Read hosts, host:port, addresses, address:port and networks, with commas.

        Raises ValueError with one sentence that names the odd entry.
        """
        hosts: set[tuple[str, int | None]] = set()
        networks: set[tuple[Network, int | None]] = set()
        for entry in (part.strip() for part in raw.split(",")):
            if not entry:
                continue
            opened, port = _entry(entry)
            if isinstance(opened, str):
                hosts.add((opened, port))
            else:
                networks.add((opened, port))
        return cls(hosts=frozenset(hosts), networks=frozenset(networks))

    def opens(self, host: str, port: int, address: Address) -> bool:
        """Whether the operator has named the host, or a network that the address lies in, with this port or any."""
        if (host, port) in self.hosts or (host, None) in self.hosts:
            return True
        return any(address in network and open_port in (None, port) for network, open_port in self.networks)


def parse_url(url: str) -> Target:
    """Take a URL apart, strictly: nothing is repaired, so nobody behind can read it in another way.

    Raises ValueError with what is wrong, in words.
    """
    if len(url) > MAX_URL:
        raise ValueError(f"is longer than {MAX_URL} characters")
    if any(not "\x21" <= character <= "\x7e" or character == "\\" for character in url):
        raise ValueError("has spaces, backslashes or characters beyond ASCII: percent-encode them, hosts as xn--…")
    parts = _URL.fullmatch(url)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in PORTS:
        raise ValueError("must begin with http:// or https://")
    if "@" in parts["authority"]:
        raise ValueError("must not have a user name or password in it: send them as a header, from a secret")
    host, port, address = _place(parts["authority"])
    rest = parts["rest"]
    path = rest if rest.startswith("/") else f"/{rest}"
    return Target(scheme=scheme, host=host, port=PORTS[scheme] if port is None else port, address=address, path=path)


def forbidden(address: Address) -> str | None:
    """Why nobody may be reached under this address, unless the operator opens it; None for public addresses."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _FORBIDDEN if address in network), None)
    if address.scope_id is not None:
        return "of one link only"
    why = next((why for network, why in _FORBIDDEN if address in network), None)
    if why is None and address not in _GLOBAL_SIX:
        return "reserved"
    if why is None and _is_isatap(address):
        return "an ISATAP tunnel's"
    return why


def refusal(rules: Rules, host: str, port: int, address: Address) -> str | None:
    """Why a call to this host may not go to this address; None if it may.

    Of an IPv6 address that stands for an IPv4 one both must be open: to open NAT64 is not to open what lies behind.
    """
    for each in (address, *_embedded(address)):
        why = forbidden(each)
        if why is not None and not rules.opens(host, port, each):
            return why
    return None


def refusal_of(target: Target, rules: Rules) -> str | None:
    """The same for a target, as far as can be said without a look-up: for addresses and for names such as localhost."""
    if target.address is not None:
        return refusal(rules, target.host, target.port, target.address)
    known = _known(target.host)
    why = [refusal(rules, target.host, target.port, address) for address in known]
    return why[0] if known and None not in why else None


def check_url(url: str, rules: Rules) -> str | None:
    """What is wrong with a URL that is to be called, in words; None if nothing is to be seen without a look-up."""
    try:
        target = parse_url(url)
    except ValueError as exc:
        return str(exc)
    why = refusal_of(target, rules)
    return None if why is None else forbidden_words(target.host, why)


def forbidden_words(host: str, why: str) -> str:
    return f"{host} may not be called from here: its address is {why}"


def _place(authority: str) -> tuple[str, int | None, Address | None]:
    """A host, perhaps with a port, taken apart."""
    parts = _PLACE.fullmatch(authority)
    if parts is None:
        raise ValueError("has no usable host: it takes a name, an IPv4 address, or an IPv6 address in brackets")
    port = None if parts["port"] is None else int(parts["port"])
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError("has a port that is not within 1 and 65535")
    if parts["six"] is not None:
        six = _six(parts["six"])
        return str(six), port, six
    host = parts["name"].lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("has a host whose name is no name")
    if not _NUMBER.fullmatch(labels[-1]):
        return host, port, None
    # "127.1", "0x7f.1" and "2130706433" are addresses to some and names to others: only one spelling is taken.
    try:
        four = IPv4Address(host)
    except ValueError as exc:
        raise ValueError("has an IPv4 address in an odd spelling: write four decimal numbers") from exc
    return str(four), port, four


def _six(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError as exc:
        raise ValueError("has something in brackets that is no IPv6 address") from exc


def _entry(entry: str) -> tuple[str | Network, int | None]:
    """One entry of OUTBOUND_ALLOW: a host or a network, and a port."""
    try:
        if "/" in entry or (entry.count(":") > 1 and not entry.startswith("[")):
            return ip_network(entry), None
        host, port, address = _place(entry)
    except ValueError as exc:
        raise ValueError(f"{entry!r} is no host, host:port, address or network such as 10.0.0.0/8") from exc
    return (host if address is None else ip_network(address)), port


def _known(host: str) -> Sequence[Address]:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return _LOOPBACK
    return _KNOWN.get(host, ())


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 address that an IPv6 address stands for, if it does (RFC 3056, 4291, 4380, 5214, 6052, 8215)."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    last = number & 0xFFFFFFFF
    if address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFFFFFF)
    elif address in _TEREDO:
        yield IPv4Address(last ^ 0xFFFFFFFF)
    elif address in _LOCAL_NAT64 and not number & 0xFF_FFFFFFFF:
        # RFC 6052, section 2.2: after a prefix of 48 bits 16 bits, 8 that are zero, and 16.
        yield IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
    elif _is_isatap(address) or (number > 1 and any(address in network for network in _IN_LAST_QUARTER)):
        yield IPv4Address(last)


def _is_isatap(address: IPv6Address) -> bool:
    return int(address) >> 32 & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE)
