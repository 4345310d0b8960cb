"""What the doctor says: one sentence for each thing that was looked at, and how to mend what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from storage.model import Json


class Level(StrEnum):
    """How it stands with what was looked at."""

    OK = "ok"
    WARN = "warn"  # it works, and somebody should have a look
    FAIL = "fail"  # something does not work, or work would be lost

    @property
    def rank(self) -> int:
        return list(Level).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`about` is what was looked at; `code` that of a cause (docs/stuck.md), where it is one."""

    about: str
    level: Level
    sentence: str
    mend: str | None = None
    code: str | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)


def ok(about: str, sentence: str, **facts: Json) -> Finding:
    """It is as it should be."""
    return Finding(about=about, level=Level.OK, sentence=sentence, facts=facts)


def warn(about: str, sentence: str, mend: str, **facts: Json) -> Finding:
    """It works, but."""
    return Finding(about=about, level=Level.WARN, sentence=sentence, mend=mend, facts=facts)


def fail(about: str, sentence: str, mend: str, **facts: Json) -> Finding:
    """It does not work."""
    return Finding(about=about, level=Level.FAIL, sentence=sentence, mend=mend, facts=facts)


def worst(findings: Sequence[Finding]) -> Level:
    """The worst level that there is; its rank is the exit status."""
    return max((finding.level for finding in findings), key=lambda level: level.rank, default=Level.OK)


def one_line(exc: BaseException) -> str:
    """The first line of what went wrong."""
    lines = str(exc).strip().splitlines()
    return lines[0].strip()[:300] if lines else type(exc).__name__
