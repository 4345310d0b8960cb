"""Kind `echo`: returns its own parameters."""

import time

from storage.model import Json
from tasks.names import Echo
from tasks.work import Work


def run(_work: Work, params: Echo) -> Json:
    """Return the parameters as they were given, after `sleep_seconds`."""
    if params.sleep_seconds:
        time.sleep(params.sleep_seconds)
    return params.model_dump(mode="json", exclude_unset=True)
