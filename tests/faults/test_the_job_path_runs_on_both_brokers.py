"""What a person gets from the whole platform, over HTTP: the same tests as on `make up`, on each broker."""

from pathlib import Path

import httpx2
import pytest

from deploy.local.stack import Running, find_running
from tests.e2e.test_platform import (
    test_a_corrupt_file_fails_with_a_public_reason_and_the_workers_live_on,
    test_a_photograph_comes_back_as_its_variants,
    test_a_step_waits_for_another_and_a_third_party_hears_of_it_once,
    test_events_arrive_while_the_job_runs,
    test_many_jobs_from_many_clients_are_each_done_exactly_once,
    test_what_a_killed_worker_held_is_done_by_another,
)
from tests.faults.stack import Stack
from tests.sink import Answer, Sink
from tests.waiting import until

__all__ = [
    "test_a_corrupt_file_fails_with_a_public_reason_and_the_workers_live_on",
    "test_a_photograph_comes_back_as_its_variants",
    "test_a_step_waits_for_another_and_a_third_party_hears_of_it_once",
    "test_events_arrive_while_the_job_runs",
    "test_many_jobs_from_many_clients_are_each_done_exactly_once",
    "test_what_a_killed_worker_held_is_done_by_another",
]

# On Redis tests/e2e runs them.
pytestmark = pytest.mark.parametrize("running_stack", ["rabbitmq"], indirect=True)


@pytest.fixture
def http(stack: Stack) -> httpx2.Client:
    return stack.http


@pytest.fixture
def platform(stack: Stack) -> Running:
    return until(lambda: find_running(stack.home))


@pytest.fixture
def home(stack: Stack) -> Path:
    return stack.home


@pytest.fixture
def hook(stack: Stack) -> Sink:
    stack.sink.got.clear()
    stack.sink.answers = [Answer()]
    return stack.sink
