"""Deliverers that are killed at any moment: every message arrives, and always with the id and the bytes it had."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from storage.database import Database
from storage.model import TenantId
from tests.documents import put_in
from tests.scheduler.receiver import Receiver, Reply, receiving
from tests.storage.telling import ended, endpoint_in
from tests.waiting import until

MESSAGES = 200
KILLS = 3
SECRET_KEY = "a key of thirty-two characters..."


def start(env: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-m", "scheduler", "deliver"], env=env, stdout=file, stderr=file)


def has_come(receiver: Receiver, wanted: int) -> bool:
    return len(receiver.got) >= wanted


def let_leases_end(database: Database) -> None:
    """What the killed one had under way is due now: nobody waits a minute here."""
    with database.platform() as tx:
        tx.sql("UPDATE deliveries SET next_at = clock_timestamp() WHERE state = 'pending'")


def test_every_message_arrives_with_one_id(
    database: Database, database_url: str, tenant: TenantId, s3_env: Mapping[str, str], tmp_path: Path
) -> None:
    env = os.environ | {
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": SECRET_KEY,
        "OUTBOUND_ALLOW": "127.0.0.0/8",
        **s3_env,
    }
    chance = random.Random(7)
    with receiving() as receiver:
        lanes = [f"/{number}" for number in range(4)]
        for lane in lanes:
            endpoint_in(database, tenant, url=receiver.url + lane)
        receiver.replies["/3"] = [Reply(status=500) if number % 3 else Reply() for number in range(12)] + [Reply()]
        for _ in range(MESSAGES // len(lanes)):
            ended(database, tenant, put_in(database, tenant))
        for _ in range(KILLS):
            process = start(env, tmp_path / "deliver.log")
            wanted = len(receiver.got) + chance.randint(1, MESSAGES // (KILLS + 1))
            until(partial(has_come, receiver, wanted))
            process.kill()
            process.wait()
            let_leases_end(database)
        process = start(env, tmp_path / "deliver.log")
        until(lambda: is_over(database), seconds=30)
        process.terminate()
        assert process.wait(60) == 0
    assert accounted(database, receiver) == []


def is_over(database: Database) -> bool:
    """Whether nothing waits any more; what has failed is tried at once, and what is leased stays so."""
    with database.platform() as tx:
        hurried = tx.sql(
            "UPDATE deliveries SET next_at = clock_timestamp() WHERE state = 'pending' AND tries > 0"
            " AND next_at > clock_timestamp() AND extract(epoch FROM next_at - clock_timestamp()) NOT BETWEEN 10 AND 60"
        )
        if hurried.rowcount:
            tx.sql("SELECT pg_notify('millrace_webhooks', '')")
        return not tx.sql("SELECT count(*) FROM deliveries WHERE state = 'pending'").scalar_one()


def accounted(database: Database, receiver: Receiver) -> list[str]:
    """The messages that are not where they should be, or not what they were."""
    came: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for got in receiver.got:
        came[got.path, got.id].add(got.body)
    with database.platform_read() as tx:
        rows = tx.sql(
            "SELECT e.url, d.message_id, d.body, d.state FROM deliveries d"
            " JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id"
        ).all()
    wanted = {(row.url.removeprefix(receiver.url), row.message_id): row for row in rows}
    assert len(wanted) == MESSAGES
    strange = [f"{key} is nobody's" for key in came if key not in wanted]
    wrong = [
        f"{key}: {row.state}, came as {len(came.get(key, ()))} bodies"
        for key, row in wanted.items()
        if row.state != "delivered" or came.get(key) != {row.body.encode()}
    ]
    return strange + wrong
