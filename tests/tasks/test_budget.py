"""The budget as workers use it: by many threads of several processes, and while the broker is away."""

import logging
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from deploy.local import valkey
from tasks import budget as budgets
from tasks.budget import Breaker, Budget, Held, Limits, Permit, Went
from tests.faults.proxy import Proxy, proxied
from tests.tasks.budgets import ACME, HOST, OTHER, Maker, in_memory, maker
from tests.waiting import until

__all__ = ["maker"]  # a fixture

spawned = multiprocessing.get_context("spawn")


def enter(budget: Budget, *, hold: float = 60.0) -> Permit:
    """The permit; it must be free."""
    answer = budget.enter(ACME, HOST, hold_seconds=hold)
    assert isinstance(answer, Permit), answer
    return answer


def taken(budget: Budget) -> int:
    """Take all that there is."""
    number = 0
    while isinstance(budget.enter(ACME, HOST, hold_seconds=60), Permit):
        number += 1
    return number


@pytest.fixture
def proxy(broker_url: str) -> Iterator[Proxy]:
    """A way to the broker that can be cut."""
    port = urlsplit(broker_url).port
    assert port is not None
    with proxied(port) as made:
        yield made


def through(proxy: Proxy, url: str) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")


def hammer(url: str, rounds: int, told: Connection) -> None:
    """In a process of its own: 8 threads that enter, count those inside, and leave; tells the most that were inside."""
    budget, counter = Budget(url, Limits(per_host=5, per_tenant=9, all_to_host=7)), redis.Redis.from_url(url)
    most: dict[str, int] = {}
    went = [0]

    def work(number: int) -> None:
        tenant, host = (ACME, OTHER)[number % 2], (HOST, "mail.example:443")[number // 2 % 2]
        inside = (f"count:{tenant}:{host}", f"count:{tenant}", f"count:{host}")
        for _ in range(rounds):
            answer = budget.enter(tenant, host, hold_seconds=60)
            if isinstance(answer, Held):
                continue
            went[0] += 1
            for name in inside:
                most[name] = max(most.get(name, 0), int(counter.incr(name)))
            for name in inside:
                counter.decr(name)
            budget.leave(answer, Went.WELL, seconds=0.001)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    budget.close()
    counter.close()
    told.send((most, went[0]))


def hold(url: str, told: Connection) -> None:
    """In a process of its own: take three permits, say so, and never leave."""
    budget = Budget(url, Limits(per_host=3))
    told.send([enter(budget, hold=3).token for _ in range(3)])
    signal.pause()


def test_no_limit_is_ever_exceeded_by_many_threads_of_several_processes(maker: Maker, broker_url: str) -> None:
    ends = [spawned.Pipe(duplex=False) for _ in range(3)]
    processes = [spawned.Process(target=hammer, args=(broker_url, 150, end)) for _, end in ends]
    for process in processes:
        process.start()
    answers = [near.recv() for near, _ in ends]
    for process in processes:
        process.join()
    most: dict[str, int] = {}
    for counts, went in answers:
        assert went > 0
        for name, number in counts.items():
            most[name] = max(most.get(name, 0), number)
    for name, number in most.items():
        is_pair, is_tenant = name.count(":") == 3, name.count(":") == 1
        assert number <= (5 if is_pair else 9 if is_tenant else 7), name
    assert max(most.values()) >= 5, "it was never full"
    assert all(not stand.under_way for stand in maker.budget(broker_url, Limits()).standing())


def test_the_permits_of_a_killed_process_come_back(maker: Maker, broker_url: str) -> None:
    near, far = spawned.Pipe(duplex=False)
    process = spawned.Process(target=hold, args=(broker_url, far))
    process.start()
    assert len(near.recv()) == 3
    budget = maker.budget(broker_url, Limits(per_host=3))
    assert isinstance(budget.enter(ACME, HOST, hold_seconds=60), Held)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    back = 0

    def are_all_back() -> bool:  # one by one: each counts from when it was taken
        nonlocal back
        back += taken(budget)
        return back >= 3

    until(are_all_back)
    assert back == 3


@pytest.mark.parametrize("where", ["memory", "broker"])
def test_of_many_threads_one_probes(maker: Maker, where: str, request: pytest.FixtureRequest) -> None:
    limits = Limits(per_host=50)
    calls = in_memory(limits) if where == "memory" else maker.broker(request.getfixturevalue("broker_url"), limits)
    for _ in range(5):
        calls.call(Went.BADLY)
    calls.clock.now += 5
    start = threading.Barrier(16)

    def ask(_number: int) -> Permit | Held:
        start.wait()
        return calls.ask()

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(16)))
    probes = [answer for answer in answers if isinstance(answer, Permit)]
    assert [probe.is_probe for probe in probes] == [True]
    calls.store.leave(probes[0], Went.WELL, seconds=0.01)
    assert calls.store.standing(1)[0].breaker is Breaker.CLOSED
    assert calls.free() == 50


def test_calls_go_on_within_the_limits_of_the_process_while_the_broker_is_away(
    maker: Maker, broker_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tasks.budget")
    monkeypatch.setattr(budgets, "AWAY_SECONDS", 0.3)
    budget = maker.budget(through(proxy, broker_url), Limits(per_host=5))
    before = [enter(budget) for _ in range(2)]
    proxy.cut()
    assert taken(budget) == 3, "what is under way already counts"
    for permit in before:
        budget.leave(permit, Went.WELL, seconds=1)
    assert taken(budget) == 2
    proxy.mend()
    until(lambda: not budget.standing()[0].under_way)
    assert [message.split()[0] for message in caplog.messages] == ["budget.away", "budget.back"]
    assert taken(budget) == 5, "those that left while it was away are told to it"


def test_a_broker_that_says_nothing_costs_a_second_and_that_once(maker: Maker, broker_url: str, proxy: Proxy) -> None:
    budget = maker.budget(through(proxy, broker_url), Limits(per_host=300, per_tenant=300, all_to_host=300))
    budget.leave(enter(budget), Went.WELL, seconds=1)
    proxy.stall()
    began = time.monotonic()
    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(lambda _number: enter(budget), range(200)))
    assert len(answers) == 200
    again = time.monotonic()
    assert again - began < 10, "and not half a second each"
    for permit in answers:
        budget.leave(permit, Went.WELL, seconds=1)
    assert time.monotonic() - again < 10
    proxy.mend()


@pytest.mark.parametrize(
    "url", ["redis://:secret@127.0.0.1:1/0", "rediss://:secret@127.0.0.1:1/0", "unix://:secret@/nowhere/redis.sock"]
)
def test_a_broker_that_was_never_there_is_not_needed(maker: Maker, url: str, caplog: pytest.LogCaptureFixture) -> None:
    budget = maker.budget(url, Limits(per_host=3))
    assert taken(budget) == 3
    assert len(caplog.messages) == 1
    assert "secret" not in caplog.text
    assert [stand.under_way for stand in budget.standing()] == [3]


def test_the_broker_may_listen_on_a_unix_socket(maker: Maker, tmp_path: Path) -> None:
    path = tmp_path / "valkey.sock"
    command = [str(valkey.binary()), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        until(path.exists)
        one, other = (maker.budget(f"unix://{path}", Limits(per_host=3)) for _ in range(2))
        enter(one)
        assert taken(other) == 2
        server.terminate()


def test_a_broker_that_was_wiped_begins_anew(maker: Maker, broker_url: str) -> None:
    budget = maker.budget(broker_url, Limits(per_host=3))
    permit = enter(budget)
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
        client.script_flush()
    budget.leave(permit, Went.WELL, seconds=1)
    assert taken(budget) == 3


def test_nothing_in_the_broker_is_kept_for_ever(maker: Maker, broker_url: str) -> None:
    budget = maker.budget(broker_url, Limits(rate_per_host=10, rate_per_tenant=10))
    budget.leave(enter(budget), Went.THROTTLED, seconds=1, retry_after=1)
    budget.enter(OTHER, HOST, hold_seconds=10_000)
    with redis.Redis.from_url(broker_url, decode_responses=True) as client:
        keys = {str(key): int(client.ttl(key)) for key in client.scan_iter()}
    assert len(keys) >= 8
    assert all(key.startswith("millrace:budget:") and 0 < ttl <= 25_000 for key, ttl in keys.items()), keys


def test_upper_and_lower_case_are_the_same_host(maker: Maker) -> None:
    budget = maker.budget(None, Limits(per_host=1))
    assert isinstance(budget.enter(ACME, "CRM.example:443", hold_seconds=60), Permit)
    assert isinstance(budget.enter(ACME, "crm.example:443", hold_seconds=60), Held)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -5.0])
def test_odd_numbers_from_a_host_hold_nobody(maker: Maker, odd: float) -> None:
    budget = maker.budget(None, Limits(per_host=4))
    budget.leave(enter(budget), Went.THROTTLED, seconds=odd, retry_after=odd)
    assert taken(budget) == 2


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        Budget("amqp://localhost", Limits())
