"""Users keep their URLs: which transport serves them is the environment's choice."""

import json
import os
import subprocess
import sys

import pytest

LOOK = """
import json, celery
app = celery.Celery(set_as_current=False)
app.config_from_object("celeryconfig")
with app.connection_for_read() as connection:
    cls = connection.get_transport_cls()
    print(json.dumps([cls.__module__, cls.__name__, connection.as_uri(), bool(connection.ssl)]))
"""
OURS, KOMBUS = "tasks.transport.transports", "kombu.transport.redis"


def look(url: str, **env: str) -> "subprocess.CompletedProcess[str]":
    whole = {**os.environ, "CELERY_BROKER_URL": url, **env}
    return subprocess.run([sys.executable, "-c", LOOK], env=whole, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("url", "name", "tls"),
    [
        ("redis://h:1/2", "Transport", False),
        ("rediss://h:1/2", "Transport", True),
        ("sentinel://h:1/2;sentinel://i:1/2", "SentinelTransport", False),
    ],
)
def test_the_usual_urls_lead_to_the_batching_transport_and_back(url: str, name: str, tls: bool) -> None:
    ours, kombus = (json.loads(look(url, BROKER_TRANSPORT=words).stdout) for words in ("", "kombu"))
    assert ours[:2] == [OURS, name]
    assert kombus[:2] == [KOMBUS, name]
    assert ours[2:] == kombus[2:]
    assert ours[3] is tls


def test_an_unknown_transport_stops_the_start_with_the_name_of_the_variable() -> None:
    found = look("redis://h", BROKER_TRANSPORT="fast")
    assert found.returncode != 0
    assert "BROKER_TRANSPORT must be batching or kombu, not 'fast'" in found.stderr


def test_rabbitmq_is_left_alone() -> None:
    assert json.loads(look("amqp://h").stdout)[0] == "kombu.transport.pyamqp"
