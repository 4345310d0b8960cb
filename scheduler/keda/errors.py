"""What can go wrong with a question that KEDA asks, a sentence each."""

from scheduler.errors import SchedulerError


class Unknown(SchedulerError):
    """There is no such pool, trigger or metric; the message names the nearest."""
