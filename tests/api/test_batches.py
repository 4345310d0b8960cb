"""`/v1/batches`: many jobs in one request, what became of each line, how far they are, and their end."""

import threading
from typing import Any

import pytest

from api import batch_intake
from api.batch_spool import ROOM_BYTES
from scheduler.batches import cancel_jobs, finish_all
from storage.model import TERMINAL_JOB_STATES, JobState, PublicError
from tasks import batch_document
from tests.api.batching import LINES, counted, end, jobs_of, made, send, shown
from tests.api.conftest import Api
from tests.api.hooked import listed
from tests.api.hooked import made as hook
from tests.api.refusing import assert_problem, eventually, leaving_nothing
from tests.documents import ECHO

BROKEN = PublicError(code="broken", message="it broke")
FILE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 320}]}}}


def test_every_line_becomes_a_job_that_names_its_batch_and_line(api: Api) -> None:
    lines = [ECHO | {"metadata": {"sku": number}} for number in range(3)]
    batch = made(api.acme, *lines[:2], b"", lines[2], query="?name=spring")
    assert (batch["state"], batch["name"], batch["progress"], batch["errors"]) == ("running", "spring", 0.0, [])
    assert counted(batch) == {"accepted": 3, "queued": 3}
    jobs = jobs_of(api.acme, batch)
    assert [(job["batch"]["line"], job["metadata"]["sku"]) for job in jobs] == [(1, 0), (2, 1), (4, 2)]
    assert {job["batch"]["id"] for job in jobs} == {batch["id"]}
    whole = api.acme.get(f"/v1/jobs/{jobs[0]['id']}").json()
    assert (whole["batch"], list(whole["steps"])) == (jobs[0]["batch"], list(ECHO["steps"]))
    assert shown(api.acme, batch) == batch


def test_as_one_document_it_is_the_same(api: Api) -> None:
    document = {
        "name": "spring",
        "metadata": {"by": "shop"},
        "defaults": {"priority": "high"},
        "jobs": [ECHO, {}, ECHO],
    }
    answer = api.acme.ask("POST", "/v1/batches", json=document)
    assert answer.status_code == 202
    batch = answer.json()
    assert (batch["name"], batch["metadata"]) == ("spring", {"by": "shop"})
    assert counted(batch) == {"accepted": 2, "queued": 2, "refused": 1}
    assert [error["line"] for error in batch["errors"]] == [2]
    assert [(job["batch"]["line"], job["priority"]) for job in jobs_of(api.acme, batch)] == [(1, "high"), (3, "high")]


def test_lines_with_flaws_are_named_and_the_others_accepted(api: Api) -> None:
    long = b'"' + b"x" * 1024**2 + b'"'
    misspelt: dict[str, object] = {"stps": {}}
    batch = made(api.acme, ECHO, b"{", misspelt, long, FILE, ECHO, [1])
    assert counted(batch) == {"accepted": 2, "queued": 2, "refused": 5}
    told = [(one["line"], one["code"], [flaw["pointer"] for flaw in one["errors"]]) for one in batch["errors"]]
    assert told == [
        (2, "invalid_job", [""]),
        (3, "invalid_job", ["/stps", ""]),
        (4, "too_large", []),
        (5, "invalid_job", ["/steps/thumbs"]),
        (7, "invalid_job", [""]),
    ]
    assert "steps" in batch["errors"][1]["errors"][0]["detail"]
    first = api.acme.get(f"/v1/batches/{batch['id']}/errors?limit=3").json()
    rest = api.acme.get(f"/v1/batches/{batch['id']}/errors?cursor={first['next_cursor']}").json()
    assert (first["data"] + rest["data"], rest["next_cursor"]) == (batch["errors"], None)


@pytest.mark.parametrize("asked", ["query", "line", "document"])
def test_an_atomic_batch_with_a_flaw_leaves_nothing(api: Api, asked: str) -> None:
    with leaving_nothing(api):
        if asked == "document":
            answer = api.acme.ask("POST", "/v1/batches", json={"atomic": True, "jobs": [ECHO, {}]})
        elif asked == "line":
            answer = send(api.acme, {"batch": {"atomic": True}}, ECHO, {})
        else:
            answer = send(api.acme, ECHO, {}, query="?atomic=true")
        problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "batch_refused"), [""])
    assert [flaw.line for flaw in problem.errors] == [3 if asked == "line" else 2]
    assert api.acme.get("/v1/batches").json() == {"data": [], "next_cursor": None}


def test_a_batch_of_which_nothing_can_be_accepted_is_refused(api: Api) -> None:
    for lines, code in (((), "batch_empty"), ((b"", b" "), "batch_empty"), (({},), "batch_refused")):
        answer = send(api.acme, *lines)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    answer = send(api.acme, {"batch": {"nmae": "x"}}, ECHO)
    problem = assert_problem(
        answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), ["/batch/nmae"]
    )
    assert problem.errors[0].line == 1
    for broken in (b'{"batch": {"atomic": true}', b' { "batch" :1}'):  # which may have said that it is atomic
        assert send(api.acme, broken, ECHO).json()["code"] == "invalid_request"
    assert counted(made(api.acme, b'{"steps": "batch"', ECHO)) == {"accepted": 1, "queued": 1, "refused": 1}
    answer = send(api.acme, ECHO, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type_unsupported")


def test_defaults_hold_for_every_job_that_says_nothing_else(api: Api) -> None:
    terms = {"name": "n", "defaults": ECHO | {"priority": "low", "metadata": {"of": "all", "own": 0}}}
    batch = made(api.acme, {"batch": terms}, {}, {"priority": "high", "metadata": {"own": 1}}, {"priority": None})
    jobs = jobs_of(api.acme, batch)
    assert [(job["priority"], job["metadata"]) for job in jobs] == [
        ("low", {"of": "all", "own": 0}),
        ("high", {"of": "all", "own": 1}),
        ("normal", {"of": "all", "own": 0}),
    ]


def test_too_much_is_refused_whole(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_JOBS", "MAX_STEPS"):
        with monkeypatch.context() as patched, leaving_nothing(api):
            patched.setattr(batch_intake, name, 2)
            assert send(api.acme, ECHO, ECHO, ECHO).status_code == 413
    for name in ("MAX_BYTES", "MAX_WRITTEN_BYTES"):
        with monkeypatch.context() as patched, leaving_nothing(api):
            patched.setattr(batch_intake, name, 100)
            assert send(api.acme, ECHO, ECHO, ECHO, ECHO, ECHO).status_code == 413
    assert api.served.service.batch_room._left == ROOM_BYTES


def test_one_unique_key_is_one_job_within_the_batch_and_beyond_it(api: Api) -> None:
    keyed = ECHO | {"unique_key": "a"}
    batch = made(api.acme, keyed, ECHO, keyed)
    first = jobs_of(api.acme, batch)[0]["id"]
    assert counted(batch) == {"accepted": 2, "existing": 1, "queued": 2}
    assert [(one["line"], one["code"], one["job"]) for one in batch["errors"]] == [(3, "unique_key_taken", first)]
    again = made(api.acme, keyed, query="?atomic=true")
    assert (counted(again), again["errors"][0]["job"]) == ({"existing": 1}, first)
    assert finish_all(api.database, "") >= 1
    assert (shown(api.acme, again)["state"], again["progress"]) == ("finished", 1.0)


def test_the_same_request_again_gets_the_same_answer_and_makes_nothing(api: Api) -> None:
    key = {"Idempotency-Key": "mine"}
    first = send(api.acme, ECHO, ECHO, headers=key)
    with leaving_nothing(api):
        again = send(api.acme, ECHO, ECHO, headers=key)
        other = send(api.acme, ECHO, headers=key)
        wished = send(api.acme, ECHO, ECHO, headers=key, query="?atomic=true")
    assert (again.status_code, again.json()) == (202, first.json())
    assert [answer.json()["code"] for answer in (other, wished)] == ["idempotency_mismatch"] * 2
    refused = send(api.acme, {}, headers={"Idempotency-Key": "other"})
    assert refused.status_code == 422
    assert send(api.acme, ECHO, headers={"Idempotency-Key": "other"}).status_code == 202


def test_the_last_end_finishes_it_and_is_told_once(api: Api) -> None:
    webhook = hook(api.acme, events=["batch.finished"])
    terms = {"batch": {"name": "spring", "notify": {"url": "https://shop.example/done"}, "metadata": {"a": 1}}}
    batch = made(api.acme, terms, ECHO, {}, ECHO, ECHO)
    jobs = jobs_of(api.acme, batch)
    end(api, jobs[:1])
    end(api, jobs[1:2], error=BROKEN)
    finish_all(api.database, "")
    going = shown(api.acme, batch)
    assert (going["state"], going["progress"]) == ("running", 0.6667)
    assert counted(going) == {"accepted": 3, "refused": 1, "queued": 1, "succeeded": 1, "failed": 1}
    end(api, jobs[2:])
    at_once = [threading.Thread(target=finish_all, args=(api.database, "https://api.example")) for _ in range(3)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    done = shown(api.acme, batch)
    assert (done["state"], done["progress"]) == ("finished", 1.0)
    assert len(listed(api.acme, webhook)) == 1
    with api.database.read(api.acme.tenant) as tx:
        rows = tx.sql(
            "SELECT url, type, data, message_id FROM deliveries WHERE tenant_id = %(tenant)s ORDER BY url"
        ).all()
    assert [row.url for row in rows] == ["https://shop.example/done", None]
    assert len({row.message_id for row in rows}) == 1
    told = rows[0].data
    assert (told["id"], told["state"], told["name"], told["metadata"]) == (batch["id"], "finished", "spring", {"a": 1})
    assert told["counts"] == done["counts"]
    assert told["links"]["self"] == f"https://api.example/v1/batches/{batch['id']}"


def test_who_waits_is_answered_at_the_end(api: Api) -> None:
    batch = made(api.acme, ECHO)
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(api.acme.get(f"/v1/batches/{batch['id']}?wait=30").json()))
    waiting.start()
    end(api, jobs_of(api.acme, batch))
    finish_all(api.database, "")
    waiting.join(20)
    assert [answer["state"] for answer in answers] == ["finished"]
    preferred = api.acme.get(f"/v1/batches/{batch['id']}", headers={"Prefer": "wait=5"})
    assert preferred.headers["preference-applied"] == "wait=5"


def test_a_canceled_batch_cancels_its_jobs_and_is_finished(api: Api) -> None:
    batch = made(api.acme, *[ECHO] * 60)
    jobs = jobs_of(api.acme, batch)
    end(api, jobs[:1])
    answer = api.acme.ask("POST", f"/v1/batches/{batch['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "canceling")
    assert cancel_jobs(api.database, seconds=60) >= 59  # other tests may have left some
    finish_all(api.database, "")
    done = api.acme.ask("POST", f"/v1/batches/{batch['id']}/cancel")
    assert (done.status_code, done.json()["state"]) == (200, "finished")
    assert counted(done.json()) == {"accepted": 60, "succeeded": 1, "canceled": 59}
    other = made(api.acme, ECHO)
    end(api, jobs_of(api.acme, other))
    finish_all(api.database, "")
    refused = api.acme.ask("POST", f"/v1/batches/{other['id']}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "batch_finished")


def test_jobs_that_were_deleted_are_counted_as_ended(api: Api) -> None:
    batch = made(api.acme, ECHO, ECHO)
    jobs = jobs_of(api.acme, batch)
    end(api, jobs[:1])
    assert api.acme.ask("DELETE", f"/v1/jobs/{jobs[0]['id']}").status_code == 204
    going = shown(api.acme, batch)
    assert (counted(going), going["progress"]) == ({"accepted": 2, "queued": 1, "deleted": 1}, 0.5)


def test_batches_are_listed_newest_first_and_nobody_else_sees_them(api: Api) -> None:
    made_ids = [made(api.acme, ECHO)["id"] for _ in range(3)]
    page = api.acme.get("/v1/batches?limit=2").json()
    rest = api.acme.get(f"/v1/batches?limit=2&cursor={page['next_cursor']}").json()
    assert [one["id"] for one in page["data"] + rest["data"]] == made_ids[::-1]
    assert rest["next_cursor"] is None
    assert api.other.get("/v1/batches").json()["data"] == []
    at = f"/v1/batches/{made_ids[0]}"
    for method, path in (("GET", at), ("GET", f"{at}/errors"), ("POST", f"{at}/cancel"), ("GET", "/v1/batches/x")):
        assert api.other.ask(method, path).status_code == 404
    assert api.other.get(f"/v1/jobs?batch={made_ids[0]}").json()["data"] == []
    assert api.acme.get("/v1/jobs?batch=x").json()["code"] == "batch_invalid"


def test_reading_needs_no_more_than_a_key_that_reads(api: Api) -> None:
    batch = made(api.acme, ECHO)
    reads, writes = (api.key(api.acme, scope) for scope in ("jobs:read", "jobs:write"))
    assert api.acme.ask("GET", f"/v1/batches/{batch['id']}", key=reads).status_code == 200
    assert api.acme.ask("POST", "/v1/batches", key=reads, json={"jobs": [ECHO]}).status_code == 403
    assert api.acme.ask("POST", f"/v1/batches/{batch['id']}/cancel", key=reads).status_code == 403
    assert api.acme.ask("POST", "/v1/batches", key=writes, json={"jobs": [ECHO]}).status_code == 202
    actions = api.acme.get("/v1/audit?action=batch").json()["data"]
    assert [(one["action"], one["detail"]["jobs"]) for one in actions] == [("batch.submit", 1)] * 2


def test_a_request_that_is_cut_off_leaves_nothing(api: Api) -> None:
    def half() -> Any:
        yield b"".join(b'{"template": "x"}\n' for _ in range(300))
        raise RuntimeError("the client dies")

    head = {"Authorization": f"Bearer {api.acme.key}", "Content-Type": LINES, "Idempotency-Key": "k"}
    before = api.left()
    with pytest.raises(RuntimeError):
        api.acme.http.post("/v1/batches", content=half(), headers=head)
    assert api.acme.get("/v1/batches").json()["data"] == []
    eventually(lambda: api.left() == before, "what was begun is undone")


def test_ten_thousand_jobs_are_one_batch(own_api: Api) -> None:
    batch = made(own_api.acme, *[ECHO] * batch_document.MAX_JOBS)
    assert counted(batch) == {"accepted": 10_000, "queued": 10_000}
    assert send(own_api.acme, *[ECHO] * (batch_document.MAX_JOBS + 1)).json()["code"] == "too_many_jobs"


def test_the_states_of_open_jobs_are_one_range_of_the_index() -> None:
    assert {state for state in JobState if "queued" <= state <= "scheduled"} == set(JobState) - TERMINAL_JOB_STATES
