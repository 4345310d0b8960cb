"""The Python client of Millrace: `from api.client import Millrace`. HTTP only; nothing of the server is imported."""

from api.client.answers import Attempt, Event, Failure, Input, Job, Output, Step, Timings
from api.client.failures import ApiError, ConnectionFailed, MillraceError, TimedOut
from api.client.millrace import Millrace
from api.client.numbers import Decision, Load, Pool, Rates, ServiceSeconds, Trigger
from api.client.operating import DeadLetters, Queue, Replayed
from api.client.similar import Similar

__all__ = [
    "ApiError",
    "Attempt",
    "ConnectionFailed",
    "DeadLetters",
    "Decision",
    "Event",
    "Failure",
    "Input",
    "Job",
    "Load",
    "Millrace",
    "MillraceError",
    "Output",
    "Pool",
    "Queue",
    "Rates",
    "Replayed",
    "ServiceSeconds",
    "Similar",
    "Step",
    "TimedOut",
    "Timings",
    "Trigger",
]
