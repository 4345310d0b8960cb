"""A real Prometheus reads the running platform, and answers what dashboards and alerts ask."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import yaml
from click.testing import CliRunner

from deploy.grafana.catalog import ALL
from deploy.grafana.document import document
from deploy.grafana.model import POSTGRES, PROMETHEUS
from deploy.local.processes import workers_folder
from deploy.local.stack import Running
from deploy.prometheus.__main__ import prometheus as command_line
from deploy.prometheus.configuration import RULES, for_platform
from scheduler import notes
from tests.e2e.test_platform import ECHO, ended, submit
from tests.prometheus import Prometheus, prometheus
from tests.sink import Answer, Sink
from tests.waiting import until

SECONDS = 60  # what is shown of the past
RATE = "30s"
ASKED = re.compile(r"\b(?:millrace|celery)(?:_|:)[\w:]+")
NONE = " or label_replace(0 * absent("  # what a panel shows while nothing was counted: here it was, but for
NOT_COUNTED = {"millrace_breaker_changes_total", "millrace_calls_held_total"}
TOLD = 'sum(millrace_webhook_attempts_total{outcome="delivered"})'


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A query of a panel, with everything that Grafana would have put into it."""

    panel: str
    text: str
    is_now: bool


def queries(source: str) -> list[Asked]:
    """All that the dashboards ask of this kind of source, as their JSON has it."""
    return [
        Asked(panel=f"{made['uid']}: {panel['title']}", text=text_of(target), is_now=panel["type"] != "timeseries")
        for made in (document(dashboard) for dashboard in ALL if dashboard.source == source)
        for panel in made["panels"]
        for target in panel.get("targets", ())
    ]


def text_of(target: dict[str, Any]) -> str:
    if "expr" in target:
        text = re.sub(r"\$(queue|kind|worker)", ".*", target["expr"].replace("$__rate_interval", RATE))
        return text if NOT_COUNTED.intersection(ASKED.findall(text)) else text.partition(NONE)[0]
    text = target["rawSql"].replace("${tenant:sqlstring}", "(SELECT id FROM tenants WHERE name = 'demo')")
    text = re.sub(
        r"\$__timeGroupAlias\((\w+), \$__interval\)", r'floor(extract(epoch FROM \1) / 60) * 60 AS "time"', text
    )
    return re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 hour' AND now()", text)


@pytest.fixture(scope="module")
def seen(
    platform: Running, third_party: Sink, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus with all that the rules and panels are about in it: done twice, so that counters have grown."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "key").write_text(platform.key)
    headers = {"Authorization": f"Bearer {platform.key}"}
    with (
        prometheus(folder, for_platform(platform.api, folder / "key", seconds=1)) as running,
        httpx2.Client(base_url=platform.api, headers=headers, timeout=70) as http,
    ):
        until(lambda: roles(running) >= {"worker", "scheduler", "scaler"}, seconds=60)
        for times, photo in enumerate(("rocket.jpg", "chelsea.png"), 1):
            work(http, third_party, (photos / photo).read_bytes())
            until(partial(running.now, f"{TOLD} >= {times}"), seconds=60)
        yield running


def roles(running: Prometheus) -> set[str]:
    return {sample["metric"]["role"] for sample in running.now('up{job="millrace"} == 1')}


def work(http: httpx2.Client, third_party: Sink, photo: bytes) -> None:
    """One of each: what succeeds, is tried again, fails, comes by the clock, is told to others."""
    third_party.answers = [Answer(status=503), Answer()]
    call = {"kind": "http.call", "url": third_party.url, "max_attempts": 2}
    ended(http, submit(http, {"steps": {"call": call}}))
    http.post("/v1/schedules", json={"every": 1, "max_runs": 2, "job": ECHO}).raise_for_status()
    jobs = [
        submit(http, {**ECHO, "notify": {"url": third_party.url}}),
        submit(http, {"template": "thumbnails"}, photo),
        submit(http, {"template": "thumbnails"}, photo[:5000]),
    ]
    for job in jobs:
        ended(http, job)
    ended(http, submit(http, {"template": "thumbnails"}, photo))  # is there already


def test_it_finds_every_process_and_reaches_it(seen: Prometheus, home: Path) -> None:
    def are_reached() -> bool:  # a worker that was killed before is still in the list, for some seconds
        targets = seen.targets()
        workers = [target for target in targets if target["labels"].get("role") == "worker"]
        return (
            {target["labels"]["job"] for target in targets} == {"millrace-api", "millrace"}
            and {target["health"] for target in targets} == {"up"}
            and len(workers) == len(notes.read(workers_folder(home)))
        )

    until(are_reached, seconds=60)


def test_it_is_configured_for_the_platform_of_a_home(platform: Running, home: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(command_line, ["configure", "--home", str(home)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"prometheus --config.file={home / 'prometheus.yml'} ")
    assert (home / "prometheus.yml").read_text() == for_platform(platform.api, home / "key")
    nowhere = CliRunner().invoke(command_line, ["configure", "--home", str(tmp_path)])
    assert nowhere.exit_code == 1
    assert "make up" in nowhere.output


def test_every_query_of_every_panel_has_an_answer(seen: Prometheus) -> None:
    def unanswered() -> list[Asked]:
        return [
            asked
            for asked in queries(PROMETHEUS)
            if not (seen.now(asked.text) if asked.is_now else seen.lately(asked.text, seconds=SECONDS))
        ]

    with suppress(AssertionError):
        until(lambda: not unanswered(), seconds=60)
    assert unanswered() == []


def test_every_rule_is_well_and_asks_for_numbers_that_there_are(seen: Prometheus) -> None:
    written = [
        rule
        for file in RULES.glob("*.yml")
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]

    def well() -> list[dict[str, Any]] | None:
        rules = seen.rules()
        return rules if all(rule["health"] == "ok" for rule in rules) else None

    loaded = until(well)
    assert sorted(rule["name"] for rule in loaded) == sorted(rule.get("alert") or rule["record"] for rule in written)
    asked = {name for rule in written for name in ASKED.findall(rule["expr"])}
    assert asked - seen.names() == set()
    for rule in written:
        seen.now(rule["expr"])


def test_the_dashboard_of_tenants_has_its_answers_and_sees_nothing_else(seen: Prometheus, platform: Running) -> None:
    with psycopg.connect(platform.urls["database"]) as connection:
        connection.execute((Path(RULES).parent.parent / "grafana" / "reader.sql").read_bytes())
        connection.execute("SET LOCAL ROLE millrace_grafana")
        empty = [asked.panel for asked in queries(POSTGRES) if not connection.execute(asked.text.encode()).fetchall()]
        assert empty == []
        for hidden in ("params FROM steps", "metadata FROM jobs", "hash FROM api_keys"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT {hidden}")
        connection.rollback()  # the role, too
