"""Prometheus and Grafana beside the platform of deploy/compose.yaml. There is no Docker here: nothing has run this."""

import re
from typing import Any

import pytest
import yaml

from deploy.grafana.catalog import FOLDER as DASHBOARDS
from deploy.prometheus.configuration import FOLDER

DEPLOY = FOLDER.parent


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return found


PLATFORM, BESIDE = read("compose.yaml"), read("compose.monitoring.yaml")


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_what_is_mounted_is_there(service: str) -> None:
    for mount in BESIDE["services"][service]["volumes"]:
        source = mount.partition(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in BESIDE["volumes"]


def test_it_changes_services_that_there_are() -> None:
    assert BESIDE["services"].keys() - PLATFORM["services"].keys() == {"prometheus", "grafana"}


def test_prometheus_finds_the_api_and_its_key_where_its_configuration_says() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    [target] = jobs[0]["static_configs"][0]["targets"]
    api = PLATFORM["services"]["api"]
    host = {"aliases": [target.partition(":")[0]]}
    assert BESIDE["services"]["api"]["networks"] == {"default": host}
    assert target.endswith(f":{api['environment']['PORT']}")
    [key] = BESIDE["services"]["prometheus"]["configs"]
    assert key["target"] == f"/etc/prometheus/{jobs[0]['authorization']['credentials_file']}"
    assert key["source"] in BESIDE["configs"]


def test_grafana_has_every_variable_and_folder_of_its_provisioning() -> None:
    grafana = BESIDE["services"]["grafana"]
    provisioning = DASHBOARDS.parent / "provisioning"
    text = (provisioning / "datasources" / "millrace.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) == {name for name in grafana["environment"] if name.startswith("MILL")}
    [provider] = yaml.safe_load((provisioning / "dashboards" / "millrace.yaml").read_text(encoding="utf-8"))[
        "providers"
    ]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
