"""Where KEDA does the scaling: pods' deletion costs are right while a pool is about to lose some."""

import pytest

from scheduler import costs
from scheduler.kubernetes import DELETION_COST, Kubernetes
from scheduler.pools import Pool
from storage import workers
from storage.database import Database
from storage.model import TenantId
from tests.documents import put_in, taken
from tests.scheduler.kubernetes.cluster import Cluster
from tests.scheduler.kubernetes.test_kubernetes import three


@pytest.fixture
def busy(database: Database, tenant: TenantId, cluster: Cluster) -> str:
    """The pod whose worker works on one step; the others' are idle."""
    names = three(cluster)
    with database.platform() as tx:
        for name in names:
            workers.seen(tx, f"images@{name}/{name}/1/x", queues=["images"], slots=2, for_seconds=60)
    taken(database, tenant, put_in(database, tenant), "say", worker=f"images@{names[1]}/{names[1]}/1/x")
    return names[1]


def cost(cluster: Cluster, name: str) -> str | None:
    return cluster.pod(name).annotations.get(DELETION_COST)


def test_a_pool_that_is_about_to_shrink_says_who_is_busy(
    database: Database, cluster: Cluster, actuator: Kubernetes, images: Pool, ai: Pool, busy: str
) -> None:
    costs.note_once(database, actuator, [images, ai])
    assert cost(cluster, busy) == "1"
    assert {cost(cluster, name) for name in cluster.running("images") if name != busy} <= {None, "0"}


def test_a_pool_that_needs_all_its_pods_is_left_alone(
    database: Database, cluster: Cluster, actuator: Kubernetes, images: Pool, tenant: TenantId, busy: str
) -> None:
    for _ in range(300):
        put_in(database, tenant)
    with database.platform() as tx:
        tx.sql("UPDATE steps SET queue = 'images' WHERE state = 'queued'")
        tx.sql("UPDATE step_changes SET queue = 'images' WHERE became = 'queued' AND was IS NULL")
    costs.note_once(database, actuator, [images])
    assert not cluster.writes()
