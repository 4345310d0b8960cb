"""The thread that looks after groups."""

import os
import threading
import time

import pytest

from tasks import group_watch
from tasks.group_watch import LOOK_SECONDS, watched
from tests.waiting import until


def threads() -> int:
    return sum(thread.name == "group-watch" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher of the test's own."""
    monkeypatch.setattr(group_watch, "_here", [group_watch._Watcher()])


def test_each_group_is_looked_at_again_and_again_until_it_is_over() -> None:
    looks = {"one": 0, "other": 0}

    def look(name: str) -> None:
        looks[name] += 1

    before = threads()
    with watched(lambda: look("one")):
        with watched(lambda: look("other")):
            until(lambda: min(looks.values()) >= 2)
        after = looks["other"]
        seen = looks["one"]
        until(lambda: looks["one"] >= seen + 3)
    assert looks["other"] == after
    assert threads() == before + 1


def test_the_end_waits_for_a_look_that_is_under_way() -> None:
    begun, ended = threading.Event(), threading.Event()

    def look() -> None:
        begun.set()
        time.sleep(3 * LOOK_SECONDS)
        ended.set()

    with watched(look):
        assert begun.wait(60)
    assert ended.is_set()


def test_a_group_that_comes_when_the_thread_has_gone_to_sleep_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_watch, "LINGER_SECONDS", 0.0)
    with watched(lambda: None):
        pass
    watcher = group_watch._here[0]
    until(lambda: not watcher.come.is_set())
    seen = threading.Event()
    with watched(seen.set):
        assert seen.wait(60)


def test_a_child_has_a_thread_of_its_own() -> None:
    with watched(lambda: None):
        child = os.fork()
        if child == 0:
            seen = threading.Event()
            with watched(seen.set):
                os._exit(0 if seen.wait(60) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
