"""Celery's settings: spelt right, for the queues there are, and free of everything that messages must not carry."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from celery.app.defaults import NAMESPACES, flatten

import celeryconfig
from scheduler.pools import load
from tasks.names import KINDS, Queue

SETTINGS = {name for name in vars(celeryconfig) if name.islower() and not name.startswith("_") and name != "os"}


def test_every_setting_is_one_that_celery_knows() -> None:
    assert SETTINGS
    assert not SETTINGS - {setting[0] for setting in flatten(NAMESPACES)}


def test_the_queues_are_those_of_the_vocabulary() -> None:
    assert [queue.name for queue in celeryconfig.task_queues] == [queue.value for queue in Queue]


def test_every_queue_has_a_pool_and_every_kind_a_queue() -> None:
    served = [queue for pool in load().values() for queue in pool.queues]
    assert sorted(served) == sorted(Queue)
    assert {kind.queue for kind in KINDS.values()} <= set(Queue)


def test_it_knows_only_the_vocabulary() -> None:
    tree = ast.parse(Path(celeryconfig.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"kombu", "tasks.names", "tasks.transport.schemes"}


@pytest.mark.parametrize("module", ["celeryconfig", "tasks.app"])
def test_it_can_be_imported_without_an_environment(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], env={"PATH": ""}, check=True)


@pytest.mark.parametrize(
    ("imports", "confirms"),
    [("tasks.app import app", False), ("scheduler.hints import Hints; app = Hints()._app", True)],
)
def test_rabbitmq_confirms_hints_and_not_what_threads_of_a_worker_send(imports: str, confirms: bool) -> None:
    """Events go over a connection that the event loop reads, too: who waits for an answer there may miss it."""
    asked = f"from {imports}; print(bool(app.connection().transport_options.get('confirm_publish')))"
    env = {"PATH": "", "CELERY_BROKER_URL": "amqp://127.0.0.1"}
    said = subprocess.run([sys.executable, "-c", asked], env=env, check=True, capture_output=True, text=True)
    assert said.stdout == f"{confirms}\n"


def test_no_message_is_ever_sent_with_a_delay() -> None:
    """Delays live in run_at: nothing of ours may use Celery's countdown or eta."""
    root = Path(celeryconfig.__file__).parent
    sources = [path for room in ("api", "tasks", "scheduler", "storage") for path in (root / room).rglob("*.py")]
    found = [
        f"{path.name}:{node.value.lineno}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg in {"countdown", "eta"}
    ]
    assert found == []
