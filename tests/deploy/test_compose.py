"""deploy/compose.yaml against what it runs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: Mapping[str, Any] = yaml.safe_load(TEXT)
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"] == "millrace:local"}
SERVERS = {name: one for name, one in COMPOSE["services"].items() if name not in OURS}


def test_it_runs_every_process_there_is() -> None:
    commands = {name: " ".join(one["command"]) for name, one in OURS.items()}
    assert "storage migrate" in commands["prepare"]
    assert "storage bucket" in commands["prepare"]
    found = {name: command for name, command in commands.items() if name != "prepare"}
    assert found == {
        "api": "python -m api",
        "scheduler": "python -m scheduler run",
        "workers": "python -m scheduler scale --stop-workers --folder /tmp/workers --logs /tmp/log",
        "flower": "python -m deploy.flower",
    }


def test_every_variable_is_a_setting_that_is_documented() -> None:
    pages = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("settings.md", "flower.md")]
    known = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", "".join(pages)))
    assert {name for one in OURS.values() for name in one["environment"]} <= known


def test_no_password_has_a_default() -> None:
    asked = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|AUTH)\w*)([^}]*)\}", TEXT)
    assert {name for name, _ in asked} == {
        "POSTGRES_PASSWORD",
        "BROKER_PASSWORD",
        "S3_SECRET",
        "SECRET_KEY",
        "FLOWER_BASIC_AUTH",
    }
    assert all(rest.startswith(":?") for _, rest in asked)


def test_only_the_api_and_flower_are_reached_from_outside_and_from_this_machine() -> None:
    published = {name: one["ports"] for name, one in COMPOSE["services"].items() if "ports" in one}
    assert published == {"api": ["127.0.0.1:8000:8000"], "flower": ["127.0.0.1:5555:5555"]}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing_else(name: str) -> None:
    one = OURS[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert any(folder.startswith("/tmp") for folder in one["tmpfs"])


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_pinned_keep_their_data_and_say_when_they_are_ready(name: str) -> None:
    one = SERVERS[name]
    assert ":" in one["image"]
    assert one["volumes"][0].partition(":")[0] in COMPOSE["volumes"]
    assert one["healthcheck"]["test"]
    assert OURS["prepare"]["depends_on"][name] == {"condition": "service_healthy"}
