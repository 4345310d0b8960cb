"""Where things stand in the API, by ids and names that come from people."""

import re

from api.client.failures import MillraceError

_ID = re.compile(r"[A-Za-z0-9_]{1,100}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_POOL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,252}")


def job_id(text: str) -> str:
    """The text as a job's id. Raises MillraceError."""
    if not _ID.fullmatch(text):
        raise MillraceError(f"{text!r} is not the id of a job; they begin with job_")
    return text


def job(text: str) -> str:
    """The path of the job with this id. Raises MillraceError."""
    return f"/v1/jobs/{job_id(text)}"


def queue(name: str) -> str:
    """The path of a queue. Raises MillraceError."""
    if not _NAME.fullmatch(name):
        raise MillraceError(f"{name!r} is not the name of a queue")
    return f"/v1/queues/{name}"


def pool(name: str) -> str:
    """The path of a pool. Raises MillraceError."""
    if not _POOL.fullmatch(name):
        raise MillraceError(f"{name!r} is not the name of a pool")
    return f"/v1/pools/{name}"
