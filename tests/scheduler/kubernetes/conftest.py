from collections.abc import Iterator

import pytest

from scheduler import pools
from scheduler.kubernetes import Kubernetes
from scheduler.pools import Pool
from tests.scheduler.kubernetes.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """With the Deployments `images`, of three pods, and `ai`, of none."""
    with Cluster({("default", "images"): 3, ("default", "ai"): 0, ("elsewhere", "images"): 1}) as cluster:
        cluster.touch()
        yield cluster


@pytest.fixture
def actuator(cluster: Cluster) -> Iterator[Kubernetes]:
    made = Kubernetes(cluster.configuration(), timeout=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def images() -> Pool:
    return pools.load()["images"]


@pytest.fixture(scope="session")
def ai() -> Pool:
    return pools.load()["ai"]
