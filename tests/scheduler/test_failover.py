"""A broker that fails over to its replica: the relay follows, and sends again what the replica may lack."""

from pathlib import Path

import pytest
import redis

from scheduler import epoch
from scheduler import relay as relaying
from scheduler.errors import BrokerUnavailable
from scheduler.hints import Hints
from storage.database import Database
from storage.model import TenantId
from tests.documents import put_in
from tests.scheduler.sentinel import watched
from tests.waiting import until


def test_after_a_failover_everything_that_waits_is_sent_to_the_new_master(
    database: Database, tenant: TenantId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [put_in(database, tenant) for _ in range(3)]
    with watched(tmp_path) as brokers:
        monkeypatch.setenv("CELERY_BROKER_URL", brokers.url)
        hints = Hints()
        hints.begin_epoch()
        assert relaying.publish(database, hints).sent == 3
        brokers.first.kill()
        until(lambda: brokers.master() == brokers.ports["second"], seconds=30)

        def found() -> int:
            try:
                return relaying.find_lost(database, hints)
            except BrokerUnavailable:  # the connection to the old master; the next one leads to the new
                return 0

        assert until(found) == 3
        assert relaying.publish(database, hints).sent == 3
        with redis.Redis(port=brokers.ports["second"]) as master:
            assert master.exists(epoch.NAME)
            assert int(master.llen("default\x06\x163")) >= len(jobs)
        hints.close()
