"""A consumer that is killed when the server has handed messages out and none has been read: `dying URL QUEUE`."""

import os
import signal
import sys
from typing import Any

import redis
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub

from tasks.transport import schemes
from tests.waiting import until

if __name__ == "__main__":
    url, queue = sys.argv[1:]
    schemes.register()
    connection: Any = Connection(url)  # its stated type lacks what is Redis' own
    connection.connect()
    connection.register_with_event_loop(Hub())
    channel = connection.channel()
    channel.basic_qos(0, 8, False)
    Consumer(channel, [Queue(queue)], on_message=print).consume()
    with redis.Redis.from_url(url.replace("redisbatch", "redis")) as server:
        waiting = server.llen(queue)
        connection.transport.cycle.on_poll_start()  # asks
        until(lambda: server.llen(queue) < waiting)
    os.kill(os.getpid(), signal.SIGKILL)
