"""The dashboards of deploy/grafana as JSON; tests/e2e/test_prometheus.py asks what they ask."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from deploy.grafana import document
from deploy.grafana.catalog import ALL, FOLDER
from deploy.grafana.model import Dashboard, Look, Panel, Query, Row

OF_GRAFANA = {"__rate_interval", "__interval", "__timeFilter", "__timeGroupAlias", "datasource"}

each_dashboard = pytest.mark.parametrize("dashboard", ALL, ids=lambda dashboard: dashboard.name)


def read(dashboard: Dashboard) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8"))
    return found


@each_dashboard
def test_the_json_is_what_the_code_says(dashboard: Dashboard) -> None:
    assert (FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8") == document.text(dashboard), (
        "write it anew: python -m deploy.grafana"
    )


def test_there_is_no_dashboard_that_nobody_writes() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {dashboard.name for dashboard in ALL}
    assert len({read(dashboard)["uid"] for dashboard in ALL}) == len(ALL)


@each_dashboard
def test_panels_lie_beside_each_other(dashboard: Dashboard) -> None:
    panels = read(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert 0 <= panel["gridPos"]["x"] <= 24 - panel["gridPos"]["w"]
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def test_a_row_that_is_full_goes_on_below() -> None:
    panels = [Panel(title=str(n), about="x", queries=[Query(text="up")], width=12) for n in range(3)]
    small = Panel(title="small", about="x", queries=[Query(text="up")], width=3, look=Look.NUMBER)
    dashboard = Dashboard(name="x", title="x", about="x", rows=[Row(title="r", panels=[small, *panels])])
    made = document.document(dashboard)["panels"]
    assert [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made] == [
        (0, 0),
        (0, 1),
        (3, 1),
        (0, 9),
        (12, 9),
    ]


@each_dashboard
def test_a_panel_says_what_it_shows_and_asks_only_for_what_can_be_chosen(dashboard: Dashboard) -> None:
    made = read(dashboard)
    chosen = {choice["name"] for choice in made["templating"]["list"]}
    for panel in made["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["type"] in {look.value for look in Look}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        asked = set(re.findall(r"\$\{?(\w+)", json.dumps(panel)))
        assert asked <= chosen | OF_GRAFANA
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]}


def test_the_database_is_the_one_that_is_provisioned() -> None:
    folder = FOLDER.parent / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "millrace.yaml").read_text(encoding="utf-8"))["datasources"]
    assert {source["type"]: source["uid"] for source in sources}["postgres"] == document.SOURCES["postgres"]["uid"]
    providers = yaml.safe_load((folder / "dashboards" / "millrace.yaml").read_text(encoding="utf-8"))["providers"]
    assert [provider["type"] for provider in providers] == ["file"]
