"""Any number of schedulers, killed at any moment, one with a wrong clock: each nominal time has one row and one job."""

import random
from collections.abc import Mapping
from pathlib import Path

from storage.database import Database
from tests.faults.schedulers import race


def test_killed_schedulers_fire_each_time_once(
    database: Database, database_url: str, s3_env: Mapping[str, str], tmp_path: Path
) -> None:
    env = {"DATABASE_URL": database_url, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0", **s3_env}
    found = race(database, env, count=200, seconds=15, chance=random.Random(6), folder=tmp_path)
    assert found.wrong == []
    assert found.kills > 2
    assert found.firings > 100
