"""Kind `echo`: returns its own parameters."""

import time

from storage.model import Json
from tasks.params import Echo
from tasks.work import Work


def run(work: Work, params: Echo) -> Json:
    """Return the parameters as they were given, after `sleep_seconds`; looks once a second whether that is wanted."""
    end = time.monotonic() + (params.sleep_seconds or 0)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        if left > 1:
            work.checkpoint()
    return params.model_dump(mode="json", exclude_unset=True)
