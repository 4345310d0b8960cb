"""How much of it is measured."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """`jobs` to drain; `requests` of a closed loop; `pairs` one after the other, idle; `seconds` of a steady load.

    Without `rivals` Millrace is measured alone. `rate` is what a steady load is a share of: None, a drain of this run.
    """

    jobs: int = 20_000
    requests: int = 3000
    idle: int = 200
    seconds: float = 20
    rounds: int = 3
    warm: int = 200
    rivals: Collection[str] | None = None
    rate: float | None = None

    def wants(self, rival: str) -> bool:
        return self.rivals is None or rival in self.rivals
