"""The files of deploy/prometheus, as Prometheus' own promtool takes them; tests/e2e/test_prometheus.py runs them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus import configuration
from deploy.prometheus.configuration import FOLDER, RULES

ROOT = FOLDER.parent.parent
ALERTS = [
    rule
    for file in sorted(RULES.glob("*.yml"))
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
TESTS = sorted((FOLDER / "tests").glob("*.yml"))

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_configuration_and_the_rules_are_what_prometheus_takes(promtool: str, tmp_path: Path) -> None:
    here = tmp_path / "prometheus"
    shutil.copytree(FOLDER, here)
    (here / "millrace.key").write_text("mk_key")
    said = run(promtool, "check", "config", here / "prometheus.yml")
    assert said.count(" rules found") == len(list(RULES.glob("*.yml")))


def test_the_configuration_of_one_machine_leads_to_its_api(promtool: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("mk_key")
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration.for_platform("http://127.0.0.1:4711", key))
    run(promtool, "check", "config", file)
    assert re.findall(r"\S*millrace-api:\S*", file.read_text()) == []
    assert file.read_text().count("127.0.0.1:4711") == 2


def test_every_alert_fires_when_it_should_and_does_not_when_it_should_not(promtool: str) -> None:
    run(promtool, "test", "rules", *TESTS)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_order_in_which_rules_are_tested_is_fixed(file: Path) -> None:
    order = yaml.safe_load(file.read_text(encoding="utf-8"))["group_eval_order"]
    groups = [group["name"] for rules in RULES.glob("*.yml") for group in yaml.safe_load(rules.read_text())["groups"]]
    assert sorted(order) == sorted(groups)


@pytest.fixture(scope="module")
def cases() -> set[tuple[str, bool]]:
    """Each alert that promtool is asked about, and whether it is to fire."""
    return {
        (case["alertname"], bool(case.get("exp_alerts")))
        for file in TESTS
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
    }


@each_alert
def test_an_alert_is_tested_both_ways(alert: dict[str, Any], cases: set[tuple[str, bool]]) -> None:
    assert {fires for name, fires in cases if name == alert["alert"]} == {True, False}


@each_alert
def test_an_alert_says_how_bad_it_is_what_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    said = alert["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    file, _, anchor = said["runbook_url"].partition("#")
    assert anchor in headings(ROOT / file)


def headings(page: Path) -> set[str]:
    """The anchors of a page, those of its headings as they are told of by whoever shows Markdown."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r'<a (?:id|name)="([^"]+)"', text)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {*named, *(re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles)}


def test_the_rules_of_kubernetes_are_the_same() -> None:
    assert configuration.MANIFEST.read_text(encoding="utf-8") == configuration.manifest(), (
        "write it anew: python -m deploy.prometheus manifest"
    )
    groups = yaml.safe_load(configuration.manifest())["spec"]["groups"]
    assert [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule] == [
        alert["alert"] for alert in ALERTS
    ]
    assert len({group["name"] for group in groups}) == len(groups)
