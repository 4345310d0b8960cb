"""Work that comes back by the clock, on the whole platform."""

import httpx2
import psycopg

from deploy.local.stack import Running
from tests.sink import Sink
from tests.waiting import until


def test_a_schedule_calls_a_third_party_at_each_of_its_times(http: httpx2.Client, hook: Sink) -> None:
    call = {"kind": "http.call", "url": hook.url, "body": {"at": "{{schedule.fire_time}}"}}
    made = http.post(
        "/v1/schedules", json={"every": 1, "max_runs": 3, "overlap": "allow", "job": {"steps": {"c": call}}}
    )
    assert made.status_code == 201, made.text
    runs_at = made.json()["links"]["runs"]
    runs = until(lambda: len(found := http.get(runs_at).json()["data"]) == 3 and found, seconds=20)
    assert {run["outcome"] for run in runs} == {"started"}
    for run in runs:
        job = http.get(f"/v1/jobs/{run['job']['id']}", params={"wait": 30}).json()
        assert job["state"] == "succeeded", job
        assert job["schedule"] == {"id": made.json()["id"], "fire_time": run["nominal_at"]}
    told = sorted(body["at"] for _, _, body in hook.got)
    assert told == sorted(run["nominal_at"] for run in runs)
    assert http.get(f"/v1/schedules/{made.json()['id']}").json()["state"] == "ended"


def test_the_platform_keeps_its_own_house_by_a_schedule(platform: Running) -> None:
    with psycopg.connect(platform.env["DATABASE_URL"], autocommit=True) as connection:
        asked = (
            "SELECT s.id FROM schedules s JOIN tenants t ON t.id = s.tenant_id"
            " WHERE t.name = 'platform' AND s.name = 'retention' AND s.source = 'platform'"
        )
        row = until(lambda: connection.execute(asked).fetchone())
        connection.execute("UPDATE schedules SET next_at = now(), due_at = now() WHERE id = %s", row)
        connection.execute("NOTIFY millrace_schedules")
        asked = "SELECT state FROM jobs WHERE schedule_id = %s AND finished_at IS NOT NULL"
        assert until(lambda: connection.execute(asked, row).fetchone(), seconds=30) == ("succeeded",)
