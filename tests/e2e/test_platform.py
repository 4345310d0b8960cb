"""What a person gets from the whole platform, over HTTP."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
from PIL import Image

from deploy.local.processes import workers_folder
from deploy.local.stack import Running
from scheduler import notes
from tests.sink import Answer, Sink
from tests.waiting import until

ECHO = {"steps": {"say": {"kind": "echo", "message": "hello"}}}


def submit(http: httpx2.Client, document: dict[str, Any], file: bytes | None = None) -> str:
    if file is None:
        answer = http.post("/v1/jobs", json=document)
    else:
        files = {"file": ("it.jpg", file, "image/jpeg")}
        answer = http.post("/v1/jobs", data={"job": json.dumps(document)}, files=files)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(http: httpx2.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}", params={"wait": 60}).json()
    assert job["finished_at"], job
    return job


def test_a_photograph_comes_back_as_its_variants(http: httpx2.Client, photos: Path) -> None:
    answer = http.post(
        "/v1/jobs?template=thumbnails",
        content=(photos / "astronaut.png").read_bytes(),
        headers={"Content-Type": "image/png"},
    )
    job = ended(http, answer.json()["id"])
    assert job["state"] == "succeeded"
    outputs = job["steps"]["thumbs"]["result"]["outputs"]
    assert [(output["name"], output["width"]) for output in outputs] == [
        ("small", 320),
        ("medium", 512),
        ("large", 512),
    ]
    for output in outputs:
        fetched = http.get(output["href"])
        assert fetched.headers["content-type"] == output["content_type"]
        with Image.open(BytesIO(fetched.content)) as image:
            assert image.size == (output["width"], output["height"])
        signed = http.get(output["href"], params={"redirect": True}).headers["location"]
        assert httpx2.get(signed).content == fetched.content


def test_a_step_waits_for_another_and_a_third_party_hears_of_it_once(
    http: httpx2.Client, hook: Sink, photos: Path
) -> None:
    hook.answers = [Answer(status=503), Answer()]
    document = {
        "steps": {
            "thumbs": {"kind": "image.resize", "variants": [{"name": "s", "width": 64}]},
            "tell": {"kind": "http.call", "use": ["thumbs"], "url": hook.url},
        }
    }
    job = ended(http, submit(http, document, (photos / "rocket.jpg").read_bytes()))
    assert job["state"] == "succeeded"
    assert [attempt["outcome"] for attempt in job["steps"]["tell"]["attempts"]] == ["retried", "succeeded"]
    assert {headers["Idempotency-Key"] for _, headers, _ in hook.got} == {job["steps"]["tell"]["id"]}
    [output] = hook.got[-1][2]["results"]["thumbs"]["outputs"]
    assert output["width"] == 64
    assert http.get(output["href"]).headers["content-type"] == output["content_type"]


def test_a_corrupt_file_fails_with_a_public_reason_and_the_workers_live_on(
    http: httpx2.Client, platform: Running, photos: Path
) -> None:
    before = dict(platform.processes)
    whole = (photos / "rocket.jpg").read_bytes()
    hostile = [b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, whole[:5000], b"GIF89a\xff\xff\xff\xff\x00\x00\x00", b"x"]
    jobs = [ended(http, submit(http, {"template": "thumbnails"}, file)) for file in hostile]
    assert {job["state"] for job in jobs} == {"failed"}
    assert all(job["error"]["code"] == "step_failed" and job["error"]["message"] for job in jobs)
    assert ended(http, submit(http, {"template": "thumbnails"}, whole))["state"] == "succeeded"
    assert all(psutil.pid_exists(pid) for pid in before.values())


def test_many_jobs_from_many_clients_are_each_done_exactly_once(http: httpx2.Client, platform: Running) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: submit(http, ECHO), range(200)))
        states = Counter(job["state"] for job in pool.map(lambda job_id: ended(http, job_id), ids))
    assert states == {"succeeded": 200}
    with psycopg.connect(platform.urls["database"]) as connection:
        attempts = connection.execute(
            "SELECT count(*), count(DISTINCT step_id) FROM attempts JOIN steps s ON s.id = step_id"
            " WHERE job_id = ANY(%s)",
            [ids],
        ).fetchone()
    assert attempts == (200, 200)


def test_what_a_killed_worker_held_is_done_by_another(http: httpx2.Client, home: Path) -> None:
    job_id = submit(http, {"steps": {"say": {"kind": "echo", "sleep_seconds": 2}}})
    until(lambda: http.get(f"/v1/jobs/{job_id}").json()["state"] == "running")
    living = notes.read(workers_folder(home))
    for victim in [psutil.Process(note.pid) for note in living if note.pool == "default"]:
        for process in (victim, *victim.children(recursive=True)):
            process.kill()
    job = ended(http, job_id)
    assert job["state"] == "succeeded"
    assert [attempt["outcome"] for attempt in job["steps"]["say"]["attempts"]] == ["lost", "succeeded"]


def test_jobs_accepted_while_the_broker_is_down_are_done_when_it_is_back(
    http: httpx2.Client, platform: Running
) -> None:
    psutil.Process(platform.processes["valkey"]).kill()
    ids = [submit(http, ECHO) for _ in range(5)]
    assert {ended(http, job_id)["state"] for job_id in ids} == {"succeeded"}


def test_flower_shows_kinds_and_job_ids_and_no_payload(http: httpx2.Client, platform: Running) -> None:
    job_id = submit(http, {"steps": {"say": {"kind": "echo", "message": "a secret"}}})
    step_id = ended(http, job_id)["steps"]["say"]["id"]

    def shown() -> Any:
        task = httpx2.get(f"{platform.flower}/api/task/info/{step_id}")
        return task.json() if task.status_code == 200 and task.json()["state"] == "SUCCESS" else None

    task = until(shown)
    assert task["name"] == "echo"
    assert re.fullmatch(rf"{{'job': '{job_id}', 'tenant': 'ten_\w+'}}", task["kwargs"])
    assert "a secret" not in httpx2.get(f"{platform.flower}/api/tasks").text


def test_events_arrive_while_the_job_runs(http: httpx2.Client) -> None:
    job_id = submit(http, {"steps": {"say": {"kind": "echo", "sleep_seconds": 0.3}}})
    seen = []
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
    assert seen == ["job.queued", "job.running", "step.running", "step.succeeded", "job.succeeded"]
