"""Private loopback ports: remembered per home, never shared with another launcher."""

import contextlib
import json
import random
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.local import private
from deploy.local.errors import CannotPrepare

LOWEST, LIMIT = 10240, 22768
"""Below 22768 a port and its gRPC twin (see GRPC_OFFSET) both stay under the ephemeral ports, which begin at 32768:
above that, the TIME_WAIT of a client's socket can hold one."""

GRPC_OFFSET = 10000
"""SeaweedFS listens for gRPC at each of its ports plus this."""


@contextlib.contextmanager
def claimed(memory: Path, names: Iterable[str], twins: Iterable[str] = ()) -> Iterator[dict[str, int]]:
    """Choose a free port per name and keep every other launcher on this machine away from it while the body runs.

    `memory` is the JSON file that remembers them: a port is used again when it is still free. Names in `twins` have
    port + GRPC_OFFSET free as well. Raises CannotPrepare when no port is left.
    """
    remembered = recall(memory)
    twins = frozenset(twins)
    with contextlib.ExitStack() as tokens:
        chosen: dict[str, int] = {}
        for name in names:
            chosen[name] = _claim(tokens, remembered.get(name), twin=name in twins)
        if chosen.items() - remembered.items():
            private.write(memory, json.dumps(remembered | chosen, indent=2) + "\n")
        yield chosen


def recall(memory: Path) -> dict[str, int]:
    """Return the ports of the last run by name; none when nothing readable was kept."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: port for name, port in content.items() if isinstance(port, int) and LOWEST <= port < LIMIT}


def _claim(tokens: contextlib.ExitStack, wished: int | None, *, twin: bool) -> int:
    candidates = random.Random()  # noqa: S311 - spreads ports, hides nothing
    ports = [wished] if wished is not None else []
    ports += candidates.sample(range(LOWEST, LIMIT), 500)
    for port in ports:
        held = _hold(port, port + GRPC_OFFSET) if twin else _hold(port)
        if held is not None:
            tokens.enter_context(held)
            return port
    raise CannotPrepare(f"no free port was found on 127.0.0.1 between {LOWEST} and {LIMIT}")


def _hold(*ports: int) -> contextlib.ExitStack | None:
    """Take the tokens of these ports, or None when one is taken or listened on.

    The token is a bound UDP socket of the same number: our servers speak TCP only, so it is in nobody's way, two
    launchers cannot both have it, and the kernel frees it however the launcher dies.
    """
    with contextlib.ExitStack() as stack:
        for port in ports:
            token = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                token.bind(("127.0.0.1", port))
            except OSError:
                return None
            if not _nobody_listens(port):
                return None
        return stack.pop_all()


def _nobody_listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of an earlier run in TIME_WAIT is no obstacle, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True
