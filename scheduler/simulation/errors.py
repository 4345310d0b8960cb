"""What can go wrong with a simulation, a sentence each."""

from scheduler.errors import SchedulerError


class InvalidTrace(SchedulerError):
    """A trace cannot be read; the message names the file and the line."""


class InvalidWorld(SchedulerError):
    """The simulation's options do not fit together; the message says which."""


class UnknownPool(SchedulerError):
    """There is no pool of that name; the message names the nearest."""
