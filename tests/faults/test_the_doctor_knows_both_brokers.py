"""The doctor asks each broker in its own words, and names one that cannot be reached."""

from deploy.doctor import broker
from deploy.doctor.findings import Finding, Level
from storage.broker_ping import ping
from tests.faults.stack import Stack


def check(stack: Stack) -> list[Finding]:
    return broker.check(stack.started.urls["broker"], "mymaster")


def test_a_broker_that_runs_is_known_and_one_that_is_cut_off_or_silent_is_told_of(stack: Stack) -> None:
    found = check(stack)
    assert not [one.sentence for one in found if one.level is Level.FAIL]
    if stack.broker.name == "rabbitmq":
        assert any("The queue 'images' has 1 consumer and holds 0 messages." in one.sentence for one in found)
    else:
        assert [one.level for one in found] == [Level.OK, Level.OK]
    stack.proxy.cut()
    [failure] = check(stack)
    assert (failure.level, "nothing listens" in failure.sentence) == (Level.FAIL, True)
    stack.proxy.mend()
    assert ping(stack.started.urls["broker"], seconds=2) is None
    stack.proxy.stall()
    assert ping(stack.started.urls["broker"], seconds=0.2) == "it did not answer in time"
