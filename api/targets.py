"""Where a job would lead: addresses that may never be reached are refused at the door, by their place."""

from collections.abc import Iterator

from api.errors import Refused
from api.settings import ApiSettings
from tasks.addresses import check_url
from tasks.call_params import HttpCall, in_ascii
from tasks.errors import Flaw, InvalidDocument
from tasks.input_document import INPUT
from tasks.spec import JobSpec
from tasks.values import escape


def check_targets(spec: JobSpec, settings: ApiSettings) -> None:
    """Raise InvalidDocument for what leads nowhere that may be reached, Refused (503) if nobody could be notified."""
    if spec.notify is not None and settings.keyring is None:
        detail = "this platform sends no webhooks: its operator has to set SECRET_KEY"
        raise Refused(503, "secret_key_missing", detail)
    flaws = [
        Flaw(pointer=pointer, detail=why)
        for pointer, url in _targets(spec)
        if (why := check_url(url, settings.outbound)) is not None
    ]
    if flaws:
        raise InvalidDocument(flaws)


def _targets(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Pointer and URL of every address that is known by now: one with an expression is not."""
    if spec.notify is not None:
        yield "/notify/url", spec.notify.url
    for step in spec.steps:
        url = step.params.get("url")
        if step.kind.call_seconds and isinstance(url, str) and "{{" not in url:
            is_input = step.name == INPUT and spec.fetches_input
            address = in_ascii(url) if isinstance(step.checked, HttpCall) else url
            at = f"/steps/{escape(step.name)}/url" if spec.template is None else "/template"
            yield "/input/url" if is_input else at, address
