"""Everything that can go wrong with what acts by the clock, a sentence each."""

from collections.abc import Sequence

from tasks.errors import Flaw


class SchedulerError(Exception):
    """Base of all errors that this package raises."""


class ConfigurationError(SchedulerError):
    """An environment variable is missing or has a value that cannot be used."""


class BrokerUnavailable(SchedulerError):
    """The broker does not take messages now; the same call may work later."""


class InvalidPool(SchedulerError):
    """A pool's file cannot be used; `flaws` says why, place by place."""

    def __init__(self, flaws: Sequence[Flaw], *, file: str = "") -> None:
        prefix = f"{file}: " if file else ""
        super().__init__(prefix + "; ".join(f"{flaw.pointer or '/'}: {flaw.detail}" for flaw in flaws))
        self.flaws = tuple(flaws)


class ActuatorFailed(SchedulerError):
    """Replicas could not be counted, started or stopped now; the same call may work later."""


class NumbersUnavailable(SchedulerError):
    """A trigger cannot be read now: there is no number, which is not the number zero."""
