"""What http.call sends: JSON, a form, bytes, or an output of an earlier step."""

import json
import secrets as dice
from base64 import b64decode
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from storage.model import Json, Used
from tasks.call_params import CallFile, HttpCall, in_ascii
from tasks.errors import StepFailed
from tasks.outbound import FileBody
from tasks.work import Source, Work

WITH_DEFAULT = frozenset({"POST", "PUT", "PATCH"})


@dataclass(kw_only=True, slots=True)
class Filled:
    """The parameters of a call with their expressions filled in; headers and URL are completed on the way."""

    url: str
    headers: dict[str, str]
    query: dict[str, Json]
    body: Json
    form: dict[str, Json] | None

    def __post_init__(self) -> None:
        self.headers = {name: _plain(value) for name, value in self.headers.items()}
        if self.query:
            address, hash_, fragment = self.url.partition("#")
            self.url = f"{address}{'&' if '?' in address else '?'}{urlencode(_pairs(self.query))}{hash_}{fragment}"
        self.url = in_ascii(self.url)


def body_of(work: Work, params: HttpCall, filled: Filled) -> bytes | FileBody | None:
    """The body, if any; says in the headers what it is, unless they do. Raises StepFailed and what fetching raises."""
    if params.file is not None:
        return _file(work, params.file, filled)
    if params.data is not None:
        _typed(filled, "application/octet-stream")
        return b64decode(params.data)
    if filled.form is not None:
        _typed(filled, "application/x-www-form-urlencoded")
        return urlencode(_pairs(filled.form)).encode()
    if filled.body is None and params.method not in WITH_DEFAULT:
        return None
    _typed(filled, "application/json")
    return json.dumps(_results(work) if filled.body is None else filled.body).encode()


def _file(work: Work, wanted: CallFile, filled: Filled) -> FileBody:
    source = work.fetch_output(wanted.step, wanted.output)
    if wanted.send_as == "raw":
        _typed(filled, source.content_type)
        return FileBody(before=b"", path=source.path, after=b"")
    if "content-type" in {name.lower() for name in filled.headers}:
        raise StepFailed("header_forbidden", "a file that is sent as multipart has a Content-Type of its own")
    boundary = f"millrace-{dice.token_hex(16)}"
    filled.headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    return FileBody(
        before=_opening(boundary, wanted, source), path=source.path, after=f"\r\n--{boundary}--\r\n".encode()
    )


def _opening(boundary: str, wanted: CallFile, source: Source) -> bytes:
    """The head of the only part (RFC 7578)."""
    filename = wanted.filename or source.filename
    lines = [
        f"--{boundary}",
        f'Content-Disposition: form-data; name="{wanted.field}"; filename="{filename}"',
        f"Content-Type: {source.content_type}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def _results(work: Work) -> Json:
    results = {used.name: _linked(work, used) for used in work.used}
    return {"job": work.claim.job_id, "step": work.claim.step_id, "results": results}


def _linked(work: Work, used: Used) -> Json:
    """The step's result, with the address of each output, as the job's document has it."""
    if not isinstance(used.result, dict) or not isinstance(used.result.get("outputs"), list):
        return used.result
    at = f"{work.process.settings.public_url}/v1/jobs/{work.claim.job_id}/outputs/{quote(used.name)}"
    return {**used.result, "outputs": [{**made, "href": f"{at}/{made['name']}"} for made in used.result["outputs"]]}


def _typed(filled: Filled, content_type: str) -> None:
    if "content-type" not in {name.lower() for name in filled.headers}:
        filled.headers["Content-Type"] = content_type


def _pairs(fields: dict[str, Json]) -> list[tuple[str, str]]:
    """Each value under its name, those of a list one after another."""
    listed = ((name, value if isinstance(value, list) else [value]) for name, value in fields.items())
    return [(name, _plain(value)) for name, values in listed for value in values]


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
