"""Callers that share a batch: real threads, and a real server that writes down what arrives."""

import ssl
import threading
import time

import numpy as np
import pytest

from tasks.vision.grouped import Grouped
from tasks.vision.manifest import Group, Run
from tasks.vision.model import ModelFailed, ModelUnavailable
from tasks.vision.server import ServedModel
from tests.small_network import SIDE, manifest, patient_group, pictures
from tests.tasks.vision.callers import Threads, all_right, is_right, one_after_another, waiting
from tests.tasks.vision.conftest import OpenGroup
from tests.vision_server import ModelServer, Reply
from tests.waiting import until

BAD = -7.0


def test_callers_that_come_together_share_a_batch_that_goes_once_it_is_full(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    given = [[picture] for picture in pictures(4)]
    assert all_right(given, one_after_another(threads, open_group(patient_group(4)), given))
    assert server.sizes == [4]


def test_callers_with_several_pictures_each_get_their_own_in_order(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    made = pictures(8)
    given = [made[:3], made[3:4], made[4:6], made[6:]]
    assert all_right(given, one_after_another(threads, open_group(patient_group(8)), given))
    assert server.sizes == [8]


def test_a_lone_caller_goes_when_its_window_ends(server: ModelServer, open_group: OpenGroup) -> None:
    group = open_group(Group(milliseconds=30, most=8))
    given = pictures(1)
    group.run(given)  # connects
    began = time.monotonic()
    assert is_right(given, group.run(given))
    assert time.monotonic() - began < 0.03 + 2, "the window, a run of a millisecond, and slack for a busy machine"
    assert server.sizes == [1, 1]


def test_whole_batches_go_without_waiting_and_only_the_rest_is_grouped(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(4))
    many, few = pictures(10, seed=1), pictures(2, seed=2)
    first = threads.submit(group.run, many)
    waiting(group, 2)
    assert server.sizes == [4, 4]
    assert all_right([many, few], [first, threads.submit(group.run, few)])
    assert server.sizes == [4, 4, 4]


def test_a_caller_that_does_not_fit_lets_the_batch_go_and_begins_the_next(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(4))
    given = [pictures(3, seed=1), pictures(2, seed=2), pictures(2, seed=3)]
    calls = [threads.submit(group.run, given[0])]
    waiting(group, 3)
    calls.append(threads.submit(group.run, given[1]))
    waiting(group, 2)
    until(lambda: server.sizes == [3])
    calls.append(threads.submit(group.run, given[2]))
    assert all_right(given, calls)
    assert server.sizes == [3, 4]


def test_a_bad_picture_fails_only_its_owner(server: ModelServer, open_group: OpenGroup, threads: Threads) -> None:
    given = [[picture] for picture in pictures(4)]
    for bad in range(4):
        server.sizes.clear()
        good = given[:bad] + given[bad + 1 :]
        spoilt = [np.full((3, SIDE, SIDE), BAD, np.float32)]
        server.poison = BAD
        group = open_group(patient_group(4))
        calls = one_after_another(threads, group, [*given[:bad], spoilt, *given[bad + 1 :]])
        with pytest.raises(ModelFailed, match="a picture of this batch is bad"):
            calls.pop(bad).result(timeout=20)
        assert all_right(good, calls)
        assert sorted(server.sizes) == [1, 1, 1, 1, 4]


def test_a_picture_of_a_wrong_shape_fails_at_once_and_joins_nobody(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(2))
    given = [[picture] for picture in pictures(2)]
    first = threads.submit(group.run, given[0])
    waiting(group, 1)
    with pytest.raises(ModelFailed, match="takes float32"):
        group.run([np.zeros((3, 1, 1), np.float32)])
    assert all_right(given, [first, threads.submit(group.run, given[1])])
    assert server.sizes == [2]


def test_a_server_that_is_away_is_away_for_all_and_is_asked_once(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    server.reply = Reply(status=503, body=b'{"error": "no device is free"}')
    given = [[picture] for picture in pictures(3)]
    for call in one_after_another(threads, open_group(patient_group(3)), given):
        with pytest.raises(ModelUnavailable, match="503: no device is free"):
            call.result(timeout=20)
    assert server.sizes == [3]


def test_the_next_batch_forms_and_goes_while_one_runs(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    server.hold = threading.Event()
    group = open_group(patient_group(2))
    given = [[picture] for picture in pictures(4)]
    calls = one_after_another(threads, group, given[:2])
    until(lambda: server.sizes == [2])
    calls += one_after_another(threads, group, given[2:])
    until(lambda: server.sizes == [2, 2])
    assert not any(call.done() for call in calls)
    server.hold.set()
    assert all_right(given, calls)


def test_a_network_that_takes_one_picture_at_a_time_is_never_waited_with(server: ModelServer) -> None:
    run = Run(on="server", url=server.url, batches=False)
    group = Grouped(ServedModel(manifest(run), ssl.create_default_context()), patient_group(4))
    given = pictures(2)
    assert is_right(given, group.run(given))
    assert server.sizes == [1, 1]
    group.close()


def test_closing_lets_those_go_who_wait_and_those_who_come_later_wait_for_nobody(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(8))
    given = [[picture] for picture in pictures(2)]
    first = threads.submit(group.run, given[0])
    waiting(group, 1)
    group.close()
    assert is_right(given[0], first.result(timeout=20))
    assert is_right(given[1], threads.submit(group.run, given[1]).result(timeout=20))
    assert server.sizes == [1, 1]
    group.close()


def test_a_hundred_threads_get_their_own_answers(server: ModelServer, open_group: OpenGroup, threads: Threads) -> None:
    group = open_group(Group(milliseconds=5, most=8))

    def calling(seed: int) -> bool:
        return all(is_right(given, group.run(given)) for given in ([p] for p in pictures(20, seed=seed)))

    calls = [threads.submit(calling, seed) for seed in range(100)]
    assert all(call.result(timeout=60) for call in calls)
    assert sum(server.sizes) == 2000
    assert max(server.sizes) <= 8
    assert len(server.sizes) < 1000, "they were grouped"
