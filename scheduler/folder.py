"""The pools of a folder, read again when a file changes."""

import logging
from collections.abc import Mapping
from pathlib import Path

from scheduler.errors import InvalidPool
from scheduler.pools import Pool, load

log = logging.getLogger(__name__)


class Folder:
    """Holds the pools as they were when all files were last right. One thread reloads, any number may read.

    `refusal` says what is wrong with the files as they stand now, None if nothing is.
    """

    def __init__(self, path: Path) -> None:
        """Raises InvalidPool."""
        self._path = path
        self._stamp = self._now()
        self._pools: Mapping[str, Pool] = load(path)
        self.refusal: str | None = None

    @property
    def pools(self) -> Mapping[str, Pool]:
        return self._pools

    def reload(self) -> bool:
        """Read the files if one has changed; returns whether they were taken. Those that are wrong change nothing."""
        stamp = self._now()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            found = load(self._path)
        except (InvalidPool, OSError, ValueError) as exc:
            log.error("pools.refused reason=%s", exc)
            self.refusal = f"the pools' files as they stand are not obeyed: {exc}"
            return False
        self.refusal = None
        if gone := self._pools.keys() - found.keys():
            log.warning("pools.gone pools=%s", ",".join(sorted(gone)))
        self._pools = found
        log.info("pools.read pools=%s", ",".join(found))
        return True

    def _now(self) -> tuple[tuple[str, int, int], ...]:
        """Changes with the files; empty while Kubernetes exchanges them under our hands."""
        try:
            found = [(file.name, file.stat()) for file in self._path.glob("*.yaml")]
            return tuple(sorted((name, stat.st_mtime_ns, stat.st_ino) for name, stat in found))
        except OSError:
            return ()
