"""One platform per broker for all fault tests, healed and found well before each of them."""

from collections.abc import Iterator

import pytest

from tests.faults import stack as stacks
from tests.faults.load import PICTURE, Load, accept, all_ended, chain, photo
from tests.faults.mishaps import WORKERS
from tests.faults.stack import BROKERS, Stack


@pytest.fixture(scope="package", params=BROKERS)
def running_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The platform on one broker; pytest orders the tests so that each is started once."""
    with stacks.stack(tmp_path_factory.mktemp(request.param), request.param) as started:
        yield started


@pytest.fixture
def stack(running_stack: Stack) -> Iterator[Stack]:
    """The same, after a job of every sort has gone through it; if they do not, the test before has left it so."""
    if not is_well(running_stack):
        for part in ("api", "scheduler", *WORKERS):
            running_stack.kill(part)  # so that no more than one test suffers from it
        pytest.fail("the platform had not recovered from the test before; its processes are started again")
    yield running_stack
    running_stack.heal()


def is_well(platform: Stack) -> bool:
    jobs = [accept(platform.http, chain(platform, 0), Load()), accept(platform.http, PICTURE, Load(), photo())]
    return all_ended(platform, jobs, within=30).succeeded == len(jobs)
