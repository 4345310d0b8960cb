"""Third parties and the whole platform: files from them, calls to them with secrets, webhooks to the app."""

import json
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from standardwebhooks import Webhook

from deploy.local.stack import Running
from tests.e2e.test_platform import ended, submit
from tests.sink import Answer, Received, Sink
from tests.waiting import until

SECRET = "tok-81c5e0b7d94f2a63"


def verified(got: Received, secret: str) -> dict[str, Any]:
    """What a delivery says, to whoever has the secret."""
    message: dict[str, Any] = Webhook(secret).verify(got.body, dict(got.headers.items()))
    return message


def test_a_photograph_is_fetched_and_the_app_hears_of_its_end(http: httpx2.Client, hook: Sink, photos: Path) -> None:
    photo = Answer(body=(photos / "rocket.jpg").read_bytes(), headers={"Content-Type": "image/jpeg"})
    hook.answers = [photo, Answer()]
    document = {"template": "thumbnails", "input": {"url": hook.url}, "notify": {"url": hook.url + "/done"}}
    job = ended(http, submit(http, document))
    assert job["state"] == "succeeded", job["error"]
    [fetched, told] = until(lambda: hook.received if len(hook.received) == 2 else None)
    assert (fetched.method, fetched.path, told.path) == ("GET", "/hook", "/hook/done")
    [secret] = http.get("/v1/webhooks/signing-secret").json()["secrets"]
    message = verified(told, secret)
    assert (message["type"], message["data"]["id"], message["data"]["state"]) == (
        "job.succeeded",
        job["id"],
        "succeeded",
    )
    assert message["data"]["steps"].keys() == {"input", "thumbs"}


def test_an_endpoint_hears_of_every_end_and_a_failure_is_tried_again(http: httpx2.Client, hook: Sink) -> None:
    hook.answers = [Answer(status=500), Answer(status=204, body=b"")]
    made = http.post("/v1/webhooks", json={"url": hook.url, "events": ["job.succeeded"]})
    assert made.status_code == 201, made.text
    endpoint = made.json()
    job_id = submit(http, {"steps": {"say": {"kind": "echo"}}})
    first, second = until(lambda: hook.received if len(hook.received) == 2 else None)
    assert verified(first, endpoint["secret"])["data"]["id"] == job_id
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]

    def delivered() -> Any:
        [delivery] = http.get(f"/v1/webhooks/{endpoint['id']}/deliveries").json()["data"]
        return delivery if delivery["state"] == "delivered" else None

    assert [tried["status"] for tried in until(delivered)["log"]] == [500, 204]
    assert http.delete(f"/v1/webhooks/{endpoint['id']}").status_code == 204


def test_the_value_of_a_secret_is_nowhere_but_where_it_was_sent(
    http: httpx2.Client, hook: Sink, platform: Running, home: Path
) -> None:
    assert http.put("/v1/secrets/crm", json={"value": SECRET}).status_code == 201
    echo = json.dumps({"you sent": SECRET}).encode()
    hook.answers = [Answer(body=echo), Answer(status=403, body=echo), Answer(status=500, body=echo)]
    sent = {"headers": {"Authorization": "Bearer {{secrets.crm}}"}, "query": {"key": "{{secrets.crm}}"}}
    call = {"kind": "http.call", "url": hook.url, "max_attempts": 1, **sent}
    jobs = [ended(http, submit(http, {"steps": {"call": call}})) for _ in range(3)]
    assert [job["state"] for job in jobs] == ["succeeded", "failed", "failed"]
    assert hook.got[-1][1]["Authorization"] == f"Bearer {SECRET}"
    tasks = [f"/task/{job['steps']['call']['id']}" for job in jobs]
    pages = [httpx2.get(f"{platform.flower}{path}").text for path in ("/tasks", "/api/tasks", "/api/workers", *tasks)]
    seen = {
        "documents": json.dumps(jobs) + http.get("/v1/secrets").text,
        "events": "".join(http.get(f"/v1/jobs/{job['id']}/events").text for job in jobs),
        "Flower": "".join(pages),
        "logs": "".join(file.read_text(errors="replace") for file in (home / "log").glob("*.log")),
        "rows": _rows(platform),
    }
    assert {place: SECRET in text for place, text in seen.items()} == dict.fromkeys(seen, False)
    assert all(job["steps"]["call"]["id"] in seen[place] for job in jobs for place in ("rows", "Flower"))


def _rows(platform: Running) -> str:
    """Every row of every table, as text."""
    with psycopg.connect(platform.urls["database"]) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = [connection.execute(f'SELECT t::text FROM "{name}" AS t').fetchall() for (name,) in tables]  # type: ignore[arg-type,unused-ignore]
    return "\n".join(row[0] for rows in found for row in rows)
