"""Puts damaged pictures through the engines and says what became of them."""

import hashlib
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.images import headers
from tasks.images.model import ImageRejected
from tests.images.child import child
from tests.images.mutations import mutated
from tests.images.trial_limits import LIMITS
from tests.tasks.samples import one_of_each

MAX_BYTES = 100_000  # of a picture that is damaged: large ones take long and are hit where nothing matters
MOST_TOLD = 100  # faults
HEIC = Path(__file__).parents[1] / "tasks" / "images" / "heic"


@dataclass(kw_only=True, slots=True)
class Found:
    """`outcomes`: how often (format, engine, what became of it); `faults`: what should never be, with its number."""

    count: int = 0
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    peak_mib: int = 0
    starts: int = 0

    def report(self) -> str:
        """A table and the faults."""
        lines = [f"{self.count:,} damaged files, {self.starts} processes, at most {self.peak_mib} MiB resident"]
        formats = sorted({format_ for format_, _, _ in self.outcomes})
        whats = sorted({what for _, _, what in self.outcomes})
        for engine in sorted({engine for _, engine, _ in self.outcomes}):
            lines += ["", f"{engine:<8}" + "".join(f"{what.removeprefix('image_'):>20}" for what in whats)]
            for format_ in formats:
                numbers = [self.outcomes[format_, engine, what] for what in whats]
                lines.append(f"{format_:<8}" + "".join(f"{number:>20,}" for number in numbers))
        return "\n".join([*lines, "", f"faults: {len(self.faults)}", *self.faults[:MOST_TOLD]])


def bases(corpus: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Good small pictures to damage, each with its format; every format has about the same share."""
    files = [path.read_bytes() for path in [*corpus, *sorted(HEIC.iterdir())] if path.stat().st_size <= MAX_BYTES]
    by_format: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture"
        for data in [*one_of_each().values(), *files]:
            file.write_bytes(data)
            try:
                by_format.setdefault(headers.read(file, LIMITS).format, []).append(data)
            except ImageRejected:
                continue
    most = max(len(found) for found in by_format.values())
    return [(name, data) for name, found in sorted(by_format.items()) for data in (found * most)[: max(40, most // 3)]]


def fuzzed(
    good: Sequence[tuple[str, bytes]],
    *,
    count: int,
    seed: int,
    first: int = 0,
    keep: Path | None = None,
    tell: Callable[[Found], None] = lambda _found: None,
) -> Found:
    """Damage so many files, each as its number and the seed say, and put them through both engines.

    Files with faults are written to `keep`; `tell` is called with what is known after each.
    """
    found = Found()
    others: dict[str, list[bytes]] = {}
    for format_, data in good:
        others.setdefault(format_, []).append(data)
    with child() as process, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture"
        for number in range(first, first + count):
            dice = random.Random(f"{seed}/{number}")
            format_, data = dice.choice(good)
            damaged = mutated(data, others[format_ if dice.random() < 0.7 else dice.choice(list(others))], dice)
            file.write_bytes(damaged)
            told = process.ask(file, number, strict=True)
            faults = _counted(found, told, format_)
            found.faults += [f"{number} {format_}: {fault}" for fault in faults]
            if faults and keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{number}.{hashlib.sha256(damaged).hexdigest()[:8]}.{format_}").write_bytes(damaged)
            found.starts = process.starts
            tell(found)
    return found


def _counted(found: Found, told: dict[str, Any], format_: str) -> list[str]:
    """Count what became of one file; returns what is wrong with that."""
    found.count += 1
    found.peak_mib = max(found.peak_mib, told.get("peak_mib", 0))
    faults = [told["death"]] if "death" in told else []
    for outcome in told["outcomes"]:
        what = outcome["code"] or ("crash" if outcome["crash"] else "made")
        found.outcomes[format_, outcome["engine"], what] += 1
        if outcome["crash"]:
            faults.append(f"{outcome['engine']} raises {outcome['crash']}")
        if outcome["strict"] == []:
            faults.append(f"{outcome['engine']} makes a picture of what no library reads without an error")
    return faults
