"""The Python client of Millrace: `from api.client import Millrace`. HTTP only; nothing of the server is imported."""

from api.client.answers import Attempt, Event, Failure, Fired, Input, Job, Output, Step, Timings
from api.client.audit import Action, Audit
from api.client.batches import Batch, Batches, LineError
from api.client.failures import ApiError, ConnectionFailed, MillraceError, TimedOut
from api.client.image_keys import ImageKey, ImageKeys
from api.client.image_urls import image_path
from api.client.job_logs import LogLine
from api.client.millrace import Millrace
from api.client.numbers import Decision, Load, Pool, Rates, ServiceSeconds, Trigger
from api.client.operating import DeadLetters, Queue, Replayed
from api.client.schedules import Backfilled, Preview, Run, Schedule, Schedules
from api.client.secrets import Secret, Secrets
from api.client.similar import Similar
from api.client.standing import Cause, Overview, Running, Worker
from api.client.templates import Override, Template, Templates
from api.client.uploads import Upload, Uploads
from api.client.webhooks import Delivery, Redelivered, Rotated, Webhook, Webhooks
from api.client.webhooks import Try as DeliveryTry

__all__ = [
    "Action",
    "ApiError",
    "Attempt",
    "Audit",
    "Backfilled",
    "Batch",
    "Batches",
    "Cause",
    "ConnectionFailed",
    "DeadLetters",
    "Decision",
    "Delivery",
    "DeliveryTry",
    "Event",
    "Failure",
    "Fired",
    "ImageKey",
    "ImageKeys",
    "Input",
    "Job",
    "LineError",
    "Load",
    "LogLine",
    "Millrace",
    "MillraceError",
    "Output",
    "Override",
    "Overview",
    "Pool",
    "Preview",
    "Queue",
    "Rates",
    "Redelivered",
    "Replayed",
    "Rotated",
    "Run",
    "Running",
    "Schedule",
    "Schedules",
    "Secret",
    "Secrets",
    "ServiceSeconds",
    "Similar",
    "Step",
    "Template",
    "Templates",
    "TimedOut",
    "Timings",
    "Trigger",
    "Upload",
    "Uploads",
    "Webhook",
    "Webhooks",
    "Worker",
    "image_path",
]
