"""What every transport for Redis must do, kombu's own among them."""

import socket
from typing import Any

import pytest
import redis
from kombu import Connection, Exchange, Producer, Queue
from kombu.pidbox import Mailbox

from tasks.transport.publishing import pipelined
from tests.tasks.transport.conftest import VARIANTS, Make, Variant
from tests.waiting import until


def send(connection: Connection, queue: str, *payloads: object, priority: int = 0) -> None:
    producer = Producer(connection.default_channel)
    for payload in payloads:
        producer.publish(payload, routing_key=queue, priority=priority, serializer="json")


def test_messages_of_a_queue_come_in_the_order_in_which_they_were_sent(party: Make) -> None:
    one = party()
    send(one.connection, "a", *range(70))
    one.consume(Queue("a"), no_ack=True)
    assert one.until(70) == list(range(70))


def test_what_is_sent_to_one_who_waits_comes(party: Make) -> None:
    one, other = party(), party(loop=False)
    one.consume(Queue("a"))
    one.settle(2)
    send(other.connection, "a", "here")
    assert one.until(1) == ["here"]


def test_a_batch_that_is_sent_comes(party: Make) -> None:
    one, other = party(), party(loop=False)
    one.consume(Queue("a"))
    one.settle(2)
    producer = Producer(other.connection.default_channel)
    with pipelined(producer, most=7):
        for number in range(20):
            producer.publish(number, routing_key="a", serializer="json")
    assert one.until(20) == list(range(20))


def test_a_batch_that_the_server_refuses_is_an_error_that_kombu_knows(party: Make, server: "redis.Redis") -> None:
    one = party(loop=False)
    server.set("a", "not a list")
    producer = Producer(one.connection.default_channel)
    with pytest.raises(one.connection.channel_errors), pipelined(producer):
        producer.publish(1, routing_key="a")


def test_the_more_urgent_come_first(party: Make) -> None:
    one = party(queue_order_strategy="priority")
    for queue in ("b", "a"):
        for rank in (9, 3, 0):
            send(one.connection, queue, [queue, rank], priority=rank)
    one.consume(Queue("a"), Queue("b"), no_ack=True)
    assert one.until(6) == [["a", 0], ["b", 0], ["a", 3], ["b", 3], ["a", 9], ["b", 9]]


def test_in_round_robin_no_queue_waits_for_the_end_of_another(party: Make) -> None:
    one = party(queue_order_strategy="round_robin")
    for queue in ("a", "b", "c"):
        send(one.connection, queue, *(queue * 1 for _ in range(10)))
    one.consume(Queue("a"), Queue("b"), Queue("c"), no_ack=True)
    first = one.until(30)[:12]
    assert all(3 <= first.count(queue) <= 5 for queue in "abc"), first


def test_never_more_are_under_way_than_the_qos_allows(party: Make) -> None:
    one = party()
    send(one.connection, "a", *range(40))
    one.consume(Queue("a"), prefetch=6)
    one.until(6)
    one.settle()
    assert len(one.got) == 6
    for count in range(1, 9):
        one.got[count - 1].ack()
        one.until(6 + count)
        one.settle(1)
        assert len(one.got) == 6 + count


def test_a_bound_that_shrinks_is_kept(party: Make) -> None:
    one = party()
    consumer = one.consume(Queue("a"), prefetch=8)
    one.settle(2)  # the request for eight is under way
    consumer.channel.basic_qos(0, 3, False)
    send(party(loop=False).connection, "a", *range(12))
    one.until(3)
    one.settle()
    assert len(one.got) == 3
    for message in list(one.got):
        message.ack()
    assert sorted(one.until(6)) == list(range(6))


def test_what_is_rejected_comes_again(party: Make) -> None:
    one = party()
    send(one.connection, "a", "this")
    one.consume(Queue("a"))
    one.until(1)
    one.got[0].reject(requeue=True)
    assert one.until(2) == ["this", "this"]


def test_what_was_not_acknowledged_is_there_for_others_when_the_connection_closes(party: Make) -> None:
    one, other = party(), party()
    send(one.connection, "a", *range(10))
    one.consume(Queue("a"), prefetch=8)
    one.until(8)
    one.got[0].ack()
    one.connection.close()
    other.consume(Queue("a"))
    assert sorted(other.until(9)) == list(range(1, 10))


def test_cancelled_consumers_leave_the_rest_to_others(party: Make) -> None:
    one, other = party(), party()
    consumer = one.consume(Queue("a"), prefetch=5)
    one.settle(2)  # it waits already
    consumer.cancel()
    send(one.connection, "a", *range(10))
    one.settle()
    one.connection.close()
    other.consume(Queue("a"), no_ack=True)
    assert sorted(other.until(10)) == list(range(10))


def test_a_message_can_be_got_by_asking(party: Make, server: "redis.Redis", variant: Variant) -> None:
    one = party(loop=False)
    bound: Any = Queue("a")(one.connection.default_channel)
    bound.declare()
    send(one.connection, "a", "this")
    message = bound.get()
    assert message is not None
    assert (message.payload, server.hlen("unacked")) == ("this", int(variant.acks))
    message.ack()
    assert (bound.get(), server.hlen("unacked")) == (None, 0)


def test_queues_can_be_counted_and_emptied(party: Make) -> None:
    one = party(loop=False)
    bound: Any = Queue("a")(one.connection.default_channel)
    bound.declare()
    send(one.connection, "a", 1, 2)
    send(one.connection, "a", 3, priority=9)
    assert bound.queue_declare(passive=True)[1] == 3
    assert bound.purge() == 3


def test_keys_have_the_prefix(party: Make, server: "redis.Redis") -> None:
    one = party(global_keyprefix="ours:")
    queue = Queue("a", Exchange("e"), routing_key="a")
    one.consume(queue, prefetch=4)
    producer = Producer(one.connection.default_channel, exchange=queue.exchange)
    for number in range(9):
        producer.publish(number, routing_key="a", serializer="json")
    one.until(4)
    assert all(key.startswith("ours:") for key in server.scan_iter())
    for message in list(one.got):
        message.ack()
    assert one.until(8) == list(range(8))


def test_a_broadcast_reaches_all(party: Make) -> None:
    parties, exchange = [party(), party()], Exchange("all", type="fanout")
    for number, one in enumerate(parties):
        one.consume(Queue(f"all.{number}", exchange, auto_delete=True), no_ack=True)
        one.settle(2)
    Producer(party(loop=False).connection.default_channel, exchange=exchange).publish("hear", serializer="json")
    assert [one.until(1) for one in parties] == [["hear"], ["hear"]]


def test_remote_control_is_answered(party: Make) -> None:
    one, asking = party(), party(loop=False)
    mailbox = Mailbox("control", type="fanout", accept=["json"])
    node = mailbox.Node("here", handlers={"say": lambda state, word: word}, state={}, channel=one.connection.channel())
    node.listen()
    one.settle(2)
    bound: Any = mailbox(asking.connection)
    channel: Any = asking.connection.channel()
    ticket = "the-ticket"
    bound.get_reply_queue()(channel).declare()
    bound._publish("say", {"word": "yes"}, reply_ticket=ticket, channel=channel)

    def answered() -> list[Any]:
        one.turn()
        return list(bound._collect(ticket, limit=1, timeout=0.05, channel=channel))

    assert until(answered) == [{"here": "yes"}]


@pytest.mark.parametrize("variant", [one for one in VARIANTS if one.acks], indirect=True, ids=repr)
def test_a_message_of_one_who_went_away_is_restored_after_its_time(party: Make, server: "redis.Redis") -> None:
    one, other = party(), party(visibility_timeout=0, unacked_restore_throttle=1)
    send(one.connection, "a", *range(6))
    one.consume(Queue("a"), prefetch=5)
    one.until(5)
    assert server.hlen("unacked") == server.zcard("unacked_index") == 5
    other.connection.default_channel.qos.restore_visible(interval=1)
    assert server.hlen("unacked") == server.zcard("unacked_index") == 0
    other.consume(Queue("a"), no_ack=True)
    assert sorted(other.until(6)) == list(range(6))


def test_acknowledged_messages_are_forgotten_by_the_server(party: Make, server: "redis.Redis") -> None:
    one = party()
    send(one.connection, "a", *range(30))
    one.consume(Queue("a"), prefetch=10)
    for count in range(30):
        one.until(count + 1)
        one.got[count].ack()
    one.settle(2)
    assert (server.hlen("unacked"), server.zcard("unacked_index")) == (0, 0)


def test_a_server_that_forgot_its_scripts_and_messages_serves_on(party: Make, server: "redis.Redis") -> None:
    one = party()
    one.consume(Queue("a"), no_ack=True)
    send(one.connection, "a", 1)
    one.until(1)
    server.script_flush()
    server.flushall()
    send(one.connection, "a", 2)
    assert one.until(2) == [1, 2]


def test_a_connection_that_breaks_is_an_error_that_kombu_knows(party: Make, server: "redis.Redis") -> None:
    one = party()
    one.consume(Queue("a"))
    one.settle(2)
    server.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises((*one.connection.connection_errors, socket.error)):  # noqa: PT012  # it may come in any turn
        for _ in range(50):
            one.turn()
