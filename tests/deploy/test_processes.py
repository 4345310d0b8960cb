from pathlib import Path

from deploy.local import processes, stack
from deploy.local.processes import environment
from deploy.local.settings import Settings

PORTS = {"api": 12001, "flower": 12002}
EMBEDDED = {
    "DATABASE_URL": "postgresql://ours",
    "CELERY_BROKER_URL": "redis://ours",
    "STORAGE_URL": "s3://millrace",
    "AWS_ENDPOINT_URL_S3": "http://ours",
    "AWS_ACCESS_KEY_ID": "ours",
    "AWS_SECRET_ACCESS_KEY": "ours",
}


def test_embedded_servers_win_over_what_else_the_caller_has_set(home: Path) -> None:
    environ = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "x",
        "DATABASE_REPLICA_URLS": "postgresql://elsewhere",
        "HOME": "/",
    }
    leading = environment(Settings(home=home, environ=environ), EMBEDDED, PORTS)
    assert leading == EMBEDDED | {
        "PUBLIC_URL": "http://127.0.0.1:12001",
        "FLOWER_URL": "http://127.0.0.1:12002",
        "SECRET_KEY": leading["SECRET_KEY"],
    }
    env = processes.parts(Settings(home=home, environ=environ), leading, PORTS, processes.EMBEDDED)[0].env
    assert not env.keys() & {"AWS_PROFILE", "AWS_SESSION_TOKEN", "DATABASE_REPLICA_URLS"}
    assert env["HOME"] == "/"


def test_given_servers_are_led_to_and_not_started(home: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://given", "STORAGE_URL": "s3://given", "AWS_REGION": "eu-west-1"}
    settings = Settings(
        home=home, environ=environ, database_url=environ["DATABASE_URL"], storage_url=environ["STORAGE_URL"]
    )
    assert stack.embedded(settings) == {"valkey"}
    leading = environment(settings, {"CELERY_BROKER_URL": "redis://ours"}, PORTS)
    assert leading.items() >= (environ | {"CELERY_BROKER_URL": "redis://ours"}).items()
    parts = {part.name: part for part in processes.parts(settings, leading, PORTS, {"valkey"})}
    assert parts["migrate"].after == ()
    assert parts["api"].after == ("migrate", "bucket", "valkey")


def test_the_secret_key_stays_the_same_and_can_be_given(home: Path) -> None:
    first = environment(Settings(home=home), EMBEDDED, PORTS)["SECRET_KEY"]
    assert len(first) >= 32
    assert environment(Settings(home=home), EMBEDDED, PORTS)["SECRET_KEY"] == first
    assert environment(Settings(home=home, environ={"SECRET_KEY": "mine"}), EMBEDDED, PORTS)["SECRET_KEY"] == "mine"


def test_every_part_waits_for_parts_that_exist(home: Path) -> None:
    parts = processes.parts(Settings(home=home), EMBEDDED, PORTS, processes.EMBEDDED)
    names = {part.name for part in parts} | processes.EMBEDDED
    assert len(names) == len(parts) + 3
    assert all(names.issuperset(part.after) for part in parts)


def test_a_proxy_does_not_come_between_the_parts(home: Path) -> None:
    settings = Settings(home=home, environ={"HTTP_PROXY": "http://proxy", "NO_PROXY": "example.com"})
    env = processes.parts(settings, EMBEDDED, PORTS, processes.EMBEDDED)[0].env
    assert env["NO_PROXY"] == "example.com,127.0.0.1,localhost"
    assert env["no_proxy"] == "127.0.0.1,localhost"
