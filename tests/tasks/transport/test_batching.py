"""What ours does beyond kombu's: nothing is lost between the server and the consumer, and it asks seldom."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import redis
from kombu import Connection, Message, Queue

from tests.tasks.transport.conftest import OURS, Make
from tests.tasks.transport.test_contract import send

BOTH = pytest.mark.parametrize("variant", [OURS, replace(OURS, acks=False)], indirect=True, ids=repr)
ACKS = pytest.mark.parametrize("variant", [OURS], indirect=True, ids=repr)


@pytest.fixture
def calls(server: "redis.Redis") -> "Calls":
    server.config_resetstat()
    return Calls(server)


class Calls:
    """How often the server was asked what."""

    def __init__(self, server: "redis.Redis") -> None:
        self._server = server

    def of(self, command: str) -> int:
        return int(self._server.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


@ACKS
def test_killed_between_the_servers_answer_and_its_reading_it_loses_nothing(
    party: Make, broker_url: str, server: "redis.Redis"
) -> None:
    one = party(visibility_timeout=0)
    send(one.connection, "a", *range(20))
    url = broker_url.replace("redis://", "redisbatch://", 1)
    died = subprocess.run([sys.executable, "-m", "tests.tasks.transport.dying", url, "a"], check=False)
    assert died.returncode == -signal.SIGKILL
    assert 0 < server.hlen("unacked") == server.zcard("unacked_index") == 20 - server.llen("a")
    one.connection.default_channel.qos.restore_visible(interval=1)
    one.consume(Queue("a"), no_ack=True)
    assert sorted(one.until(20)) == list(range(20))


@BOTH
def test_many_messages_take_few_requests(party: Make, calls: Calls) -> None:
    one = party()
    send(one.connection, "a", *range(200))
    one.consume(Queue("a"), prefetch=50)
    for count in range(0, 200, 50):
        one.until(count + 50)
        for message in one.got[count:]:
            message.ack()
    assert calls.of("eval") <= 14


@ACKS
def test_acknowledgements_of_a_turn_go_together(party: Make, calls: Calls, server: "redis.Redis") -> None:
    one = party()
    send(one.connection, "a", *range(50))
    one.consume(Queue("a"), prefetch=50)
    one.until(50)
    for message in one.got:
        message.ack()
    one.settle(1)
    assert server.hlen("unacked") == 0
    assert calls.of("hdel") < 15


@ACKS
def test_messages_of_publishers_that_leave_no_token_are_found(party: Make, broker_url: str) -> None:
    one = party(polling_interval=1)
    one.consume(Queue("a"))
    one.settle(2)
    with Connection(broker_url) as plain:
        plain.transport_cls = "kombu.transport.redis:Transport"
        send(plain, "a", "from afar")
    assert one.until(1) == ["from afar"]


@ACKS
def test_one_token_wakes_the_next_while_there_is_more(party: Make) -> None:
    parties = [party(), party()]
    for one in parties:
        one.consume(Queue("a"), prefetch=4)
        one.settle(2)
    send(party(loop=False).connection, "a", *range(8))
    assert sorted(parties[0].until(4) + parties[1].until(4)) == list(range(8))


@BOTH
def test_what_a_failing_consumer_did_not_look_at_goes_back_to_its_place(party: Make, server: "redis.Redis") -> None:
    one = party()
    send(one.connection, "a", *range(10))
    consumer = one.consume(Queue("a"), prefetch=10)

    def fail(message: Message) -> None:
        one.got.append(message)
        if message.payload == 4:
            raise ZeroDivisionError

    consumer.on_message = fail
    with pytest.raises(ZeroDivisionError):
        one.until(10)
    assert (len(one.got), server.llen("a")) == (5, 5)
    consumer.on_message = one.got.append
    assert one.until(10) == list(range(10))
