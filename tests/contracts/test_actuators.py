"""What everything does that puts a number of replicas into effect."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from scheduler import notes, pools
from scheduler.actuator import Actuator
from scheduler.errors import ActuatorFailed
from scheduler.kubernetes import Kubernetes
from scheduler.pools import Pool
from scheduler.processes import Processes
from tests.scheduler.kubernetes.cluster import Cluster
from tests.waiting import until

Living = Mapping[str, object]


class World(Protocol):
    """Where replicas run, with an actuator at it and two pools that have none yet."""

    @property
    def actuator(self) -> Actuator: ...

    @property
    def pools(self) -> tuple[Pool, Pool]: ...

    def living(self, pool: Pool) -> Living:
        """The replicas that live and were not told to end, by name, with what tells each from a later one of its name:
        a pod's uid, a process's number."""

    def broken(self) -> AbstractContextManager[None]:
        """While it is open nothing can be counted, started or stopped."""


@dataclass(frozen=True, slots=True)
class Pods:
    cluster: Cluster
    actuator: Actuator
    pools: tuple[Pool, Pool]

    def living(self, pool: Pool) -> Living:
        return self.cluster.running(pool.name)

    def broken(self) -> AbstractContextManager[None]:
        return self.cluster.upset("overloaded")


@contextmanager
def kubernetes(folder: Path) -> Iterator[World]:
    first = pools.load()["images"]
    second = replace(first, name="ai")
    with Cluster({("default", "images"): 0, ("default", "ai"): 0}) as cluster:
        actuator = Kubernetes(cluster.configuration())
        yield Pods(cluster, actuator, (first, second))
        actuator.close()


@dataclass(frozen=True, slots=True)
class Children:
    folder: Path
    actuator: Actuator
    pools: tuple[Pool, Pool]

    def living(self, pool: Pool) -> Living:
        return {n.replica: n.pid for n in notes.read(self.folder) if n.pool == pool.name and n.leave_by is None}

    @contextmanager
    def broken(self) -> Iterator[None]:
        away = self.folder.rename(self.folder.with_name("away"))
        yield
        away.rename(self.folder)


@contextmanager
def processes(folder: Path) -> Iterator[World]:
    sleeper = replace(pools.load()["images"], command=("sleep", "600"))
    at = folder / "workers"
    actuator = Processes(at, folder / "log", os.environ)
    actuator.begin()
    yield Children(at, actuator, (sleeper, replace(sleeper, name="ai")))
    actuator.stop_all(warm_seconds=1, grace_seconds=0)


WORLDS: Mapping[str, Callable[[Path], AbstractContextManager[World]]] = {
    "kubernetes": kubernetes,
    "processes": processes,
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with WORLDS[request.param](tmp_path) as made:
        yield made


def in_the_end(world: World, pool: Pool, replicas: int) -> Living:
    """Wait until exactly so many live, and return them."""
    return until(lambda: (len(found := world.living(pool)) == replicas and (found,)) or None)[0]


def begun(world: World, replicas: int) -> Living:
    """Have so many of the first pool, and return them once they live."""
    world.actuator.scale(world.pools[0], replicas, {})
    return in_the_end(world, world.pools[0], replicas)


def test_the_number_that_was_asked_for_stands_at_once(world: World) -> None:
    pool = world.pools[0]
    assert world.actuator.replicas(pool) == 0
    for replicas in (2, 3, 1, 0, 1):
        world.actuator.scale(pool, replicas, {})
        assert world.actuator.replicas(pool) == replicas


def test_so_many_live_in_the_end(world: World) -> None:
    for replicas in (1, 3, 2, 0, 1):
        begun(world, replicas)


def test_replicas_that_are_asked_for_before_others_have_started_come_too(world: World) -> None:
    for replicas in (1, 3, 0, 2):
        world.actuator.scale(world.pools[0], replicas, {})
    in_the_end(world, world.pools[0], 2)


def test_more_replicas_leave_those_alone_that_live(world: World) -> None:
    before = begun(world, 1)
    assert begun(world, 3).items() >= before.items()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_idle_go_and_the_busy_stays_whichever_it_is(world: World, place: int) -> None:
    pool, before = world.pools[0], begun(world, 3)
    busy = sorted(before)[place]
    world.actuator.scale(pool, 1, {busy: 1})
    assert in_the_end(world, pool, 1) == {busy: before[busy]}


def test_the_least_busy_go_first(world: World) -> None:
    pool, before = world.pools[0], begun(world, 3)
    most, least, middle = sorted(before)
    busy = {most: 5, least: 1, middle: 3}
    world.actuator.scale(pool, 2, busy)
    assert in_the_end(world, pool, 2) == {name: before[name] for name in (most, middle)}
    world.actuator.scale(pool, 1, busy)
    assert in_the_end(world, pool, 1) == {most: before[most]}


def test_one_that_was_busy_and_is_idle_goes_before_one_that_is_busy_now(world: World) -> None:
    pool, before = world.pools[0], begun(world, 3)
    once, now, _ = sorted(before)
    world.actuator.scale(pool, 2, {once: 2, now: 1})
    assert in_the_end(world, pool, 2).keys() == {once, now}
    world.actuator.scale(pool, 1, {now: 1})
    assert in_the_end(world, pool, 1) == {now: before[now]}


def test_busy_replicas_that_nobody_knows_count_for_nothing(world: World) -> None:
    pool, before = world.pools[0], begun(world, 2)
    busy = min(before)
    world.actuator.scale(pool, 1, {"long-gone": 9, busy: 1})
    assert in_the_end(world, pool, 1) == {busy: before[busy]}


def test_all_may_go_though_they_are_busy(world: World) -> None:
    before = begun(world, 2)
    world.actuator.scale(world.pools[0], 0, dict.fromkeys(before, 1))
    in_the_end(world, world.pools[0], 0)


def test_the_same_number_again_changes_nothing(world: World) -> None:
    pool, before = world.pools[0], begun(world, 2)
    world.actuator.scale(pool, 2, {min(before): 1})
    world.actuator.scale(world.pools[1], 1, {})
    in_the_end(world, world.pools[1], 1)  # whatever the first would have set off has been seen by then
    assert (world.actuator.replicas(pool), world.living(pool)) == (2, before)


def test_pools_are_apart(world: World) -> None:
    one, other = world.pools
    before = begun(world, 2)
    world.actuator.scale(other, 1, {})
    its = in_the_end(world, other, 1)
    assert (world.actuator.replicas(one), world.living(one)) == (2, before)
    world.actuator.scale(one, 0, {})
    in_the_end(world, one, 0)
    assert (world.actuator.replicas(other), world.living(other)) == (1, its)


@pytest.mark.parametrize("wanted", [0, 3])
def test_a_failure_is_said_and_changes_nothing(world: World, wanted: int) -> None:
    pool, before = world.pools[0], begun(world, 1)
    with world.broken():
        with pytest.raises(ActuatorFailed):
            world.actuator.replicas(pool)
        with pytest.raises(ActuatorFailed):
            world.actuator.scale(pool, wanted, {})
    assert (world.actuator.replicas(pool), world.living(pool)) == (1, before)
    begun(world, wanted)


def test_closing_leaves_the_replicas(world: World) -> None:
    before = begun(world, 2)
    world.actuator.close()
    assert world.living(world.pools[0]) == before
