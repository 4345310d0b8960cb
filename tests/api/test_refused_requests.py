"""Keys, headers and parameters that are not right: refused before anything is read, and others' jobs do not exist."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
import pytest

from storage import tenants
from storage.model import new_job_id
from tests.api.conftest import Api
from tests.api.refusing import assert_problem, eventually, leaving_nothing
from tests.documents import ECHO, put_in

SECRET = "mk_" + "a" * 43


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request with a key that may do everything, unless `headers` bring another, and how it is refused."""

    line: str
    expected: tuple[int, str]
    pointers: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


def asked(line: str, status: int, code: str, *pointers: str, **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(line=line, expected=(status, code), pointers=list(pointers), headers=named)


# {job} is a job of the caller, {theirs} one of another tenant.
ROUTES = ["POST /v1/jobs", "GET /v1/jobs", "GET /v1/jobs/{job}", "GET /v1/jobs/{job}/events"]
ROUTES += ["GET /v1/jobs/{job}/outputs/say/small"]

REQUESTS: dict[str, Asked] = {
    **{f"no key: {route}": asked(route, 401, "key_missing", Authorization="") for route in ROUTES},
    **{f"wrong key: {route}": asked(route, 401, "key_invalid", Authorization=f"Bearer {SECRET}") for route in ROUTES},
    "key without the word Bearer": asked(ROUTES[1], 401, "key_missing", Authorization=SECRET),
    "key as a password": asked(ROUTES[1], 401, "key_missing", Authorization="Basic bWs6"),
    "key of 100,000 characters": asked(ROUTES[1], 401, "key_invalid", Authorization=f"Bearer mk_{'a' * 100_000}"),
    "key with odd letters": asked(ROUTES[1], 401, "key_invalid", Authorization="Bearer mk_\xe4\xf6"),
    "job of another tenant": asked("GET /v1/jobs/{theirs}", 404, "not_found"),
    "job of another tenant, waiting": asked("GET /v1/jobs/{theirs}?wait=30", 404, "not_found"),
    "events of another tenant": asked("GET /v1/jobs/{theirs}/events", 404, "not_found"),
    "output of another tenant": asked("GET /v1/jobs/{theirs}/outputs/say/small", 404, "not_found"),
    "signed output of another tenant": asked("GET /v1/jobs/{theirs}/outputs/say/small?redirect=true", 404, "not_found"),
    "no such job": asked(f"GET /v1/jobs/{new_job_id()}", 404, "not_found"),
    "no such output": asked("GET /v1/jobs/{job}/outputs/say/small", 404, "not_found"),
    "job's id in capitals": asked("GET /v1/jobs/JOB_01M81XFWCZEVZ8KG5RCF2W0D65", 404, "not_found"),
    "job's id with NUL": asked("GET /v1/jobs/job_%00", 404, "not_found"),
    "job's id that is a step's": asked("GET /v1/jobs/stp_01m81xfwczevz8kg5rcf2w0d65", 404, "not_found"),
    "job's id not UTF-8": asked("GET /v1/jobs/%ff%fe", 404, "not_found"),
    "job's id of 10,000 characters": asked(f"GET /v1/jobs/job_{'0' * 10_000}", 404, "not_found"),
    "output's name upwards": asked("GET /v1/jobs/{job}/outputs/say/..%2f..%2finput", 404, "not_found"),
    "output's name with dots": asked("GET /v1/jobs/{job}/outputs/%2e%2e/%2e%2e", 404, "not_found"),
    "output's name with backslashes": asked("GET /v1/jobs/{job}/outputs/say/..%5c..%5cinput", 404, "not_found"),
    "output's name absolute": asked("GET /v1/jobs/{job}/outputs/say/%2fetc%2fpasswd", 404, "not_found"),
    "output's name with NUL": asked("GET /v1/jobs/{job}/outputs/say/a%00b", 404, "not_found"),
    "redirect that is no boolean": asked(
        "GET /v1/jobs/{job}/outputs/say/x?redirect=perhaps", 422, "invalid_parameter", "/query/redirect"
    ),
    "unknown path": asked("GET /v2/jobs", 404, "not_found"),
    "path with a slash too many": asked("GET /v1/jobs/", 404, "not_found"),
    "method of no use": asked("PUT /v1/jobs/{job}", 405, "method_not_allowed"),
    "method of another protocol": asked("PROPFIND /v1/jobs", 405, "method_not_allowed"),
    "limit 0": asked("GET /v1/jobs?limit=0", 422, "invalid_parameter", "/query/limit"),
    "limit 101": asked("GET /v1/jobs?limit=101", 422, "invalid_parameter", "/query/limit"),
    "limit in words": asked("GET /v1/jobs?limit=ten", 422, "invalid_parameter", "/query/limit"),
    "limit of 5,000 digits": asked(f"GET /v1/jobs?limit={'1' * 5_000}", 422, "invalid_parameter", "/query/limit"),
    "tenant of 201 characters": asked(f"GET /v1/jobs?tenant={'a' * 201}", 422, "invalid_parameter", "/query/tenant"),
    "and no key": asked(f"GET /v1/jobs?tenant={'a' * 201}", 401, "key_missing", Authorization=""),
    "unknown state": asked("GET /v1/jobs?state=done", 422, "invalid_parameter", "/query/state"),
    "cursor that is none": asked("GET /v1/jobs?cursor=abc", 422, "cursor_invalid"),
    "cursor with NUL": asked("GET /v1/jobs?cursor=job_%00", 422, "cursor_invalid"),
    "empty cursor": asked("GET /v1/jobs?cursor=", 422, "cursor_invalid"),
    "two flaws": asked("GET /v1/jobs?limit=x&state=y", 422, "invalid_parameter", "/query/limit", "/query/state"),
    "wait below 0": asked("GET /v1/jobs/{job}?wait=-1", 422, "invalid_parameter", "/query/wait"),
    "wait over a minute": asked("GET /v1/jobs/{job}?wait=61", 422, "invalid_parameter", "/query/wait"),
    "wait for ever": asked("GET /v1/jobs/{job}?wait=inf", 422, "invalid_parameter", "/query/wait"),
    "wait for NaN": asked("GET /v1/jobs/{job}?wait=nan", 422, "invalid_parameter", "/query/wait"),
    "wait for 1e400": asked("GET /v1/jobs/{job}?wait=1e400", 422, "invalid_parameter", "/query/wait"),
    **{
        f"Last-Event-ID {what}": asked("GET /v1/jobs/{job}/events", 400, "last_event_id_invalid", Last_Event_ID=value)
        for what, value in {
            "in words": "last",
            "negative": "-1",
            "with a sign": "+1",
            "broken": "1.5",
            "of 5,000 digits": "9" * 5_000,
            "with odd digits": "\xb2",
        }.items()
    },
    **{
        f"Idempotency-Key {what}": asked("POST /v1/jobs", 400, "idempotency_key_malformed", Idempotency_Key=value)
        for what, value in {
            "empty": "",
            "with a space": "a b",
            "of 256 characters": "k" * 256,
            "not ASCII": "\xe4",
            "with a tab": "a\tb",
        }.items()
    },
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_wrong_request_is_refused(api: Api, what: str) -> None:
    request = REQUESTS[what]
    ids = {"job": put_in(api.database, api.acme.tenant).id, "theirs": put_in(api.database, api.other.tenant).id}
    method, _, path = request.line.partition(" ")
    headers = {"Authorization": f"Bearer {api.acme.key}"} | request.headers
    sent = {
        name.encode(): value.encode("latin-1") for name, value in headers.items() if name != "Authorization" or value
    }
    with leaving_nothing(api):
        answer = api.acme.http.request(
            method, path.format(**ids), headers=sent, json=ECHO if method == "POST" else None
        )
        assert_problem(answer.status_code, answer.headers, answer.json(), request.expected, request.pointers)
        assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


SCOPED: list[tuple[str, str, Callable[[Api, str], httpx2.Response]]] = [
    ("jobs:write", "jobs:read", lambda api, key: api.acme.post(headers={"Authorization": f"Bearer {key}"}, json=ECHO)),
    ("jobs:read", "jobs:write", lambda api, key: api.acme.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})),
    ("jobs:read", "other", lambda api, key: api.acme.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})),
]


@pytest.mark.parametrize(("needed", "had", "ask"), SCOPED)
def test_a_key_without_the_scope_is_refused_and_told_which(
    api: Api, needed: str, had: str, ask: Callable[[Api, str], httpx2.Response]
) -> None:
    with leaving_nothing(api):
        answer = ask(api, api.key(api.acme, had))
        problem = assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
        assert needed in problem.detail


def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    assert api.acme.get("/v1/jobs").status_code == 200
    with api.database.platform() as tx:
        found = tenants.who_has(tx, api.acme.key)
        assert found is not None
        tenants.revoke_key(tx, found.key_id)
    eventually(lambda: api.served.service.keys.find(api.acme.key) is None, "the process has heard of it")
    with leaving_nothing(api):
        answer = api.acme.post(json=ECHO)
        assert_problem(answer.status_code, answer.headers, answer.json(), (401, "key_invalid"))


def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    assert api.acme.http.delete("/v1/jobs").headers["allow"] == "GET, POST"
    assert api.acme.http.put("/livez").headers["allow"] == "GET"
