"""Celery's settings, loaded by string. The broker's address is CELERY_BROKER_URL, which Celery reads by itself.

A message is only a hint that a step may run (PostgreSQL is the truth), so whatever costs speed to make messages safe is
off, and whatever makes a dead connection visible is on.
"""

import os

from kombu import Exchange
from kombu import Queue as KombuQueue

from tasks.names import Priority, Queue
from tasks.transport.schemes import choose as _choose

# Read here and not in a settings.from_env: Celery loads this file by its name, before anything of ours runs.
_choose(os.environ.get("BROKER_TRANSPORT") or "batching")  # for redis://, rediss:// and sentinel://
_rabbit = os.environ.get("CELERY_BROKER_URL", "").startswith(("amqp", "pyamqp"))

broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # for ever: a broker may be away for an hour
broker_heartbeat = 6  # RabbitMQ only: a half-open connection is noticed within 15 s (Celery's default: 240 s)
broker_transport_options = (
    {
        # No "confirm_publish": the relay asks for it, see scheduler.hints. A worker sends nothing but events, some from
        # threads of its pool: these would wait for an answer on a connection that its event loop reads as well.
        "read_timeout": 5,  # an answer that does not come on a half-open connection is not waited for for ever
        "write_timeout": 5,
    }
    if _rabbit
    else {
        "ack_emulation": False,  # no second list of unacknowledged messages: lost hints are sent again
        "priority_steps": sorted(priority.rank for priority in Priority),
        "queue_order_strategy": "priority",
        "socket_timeout": 5,  # a half-open connection is noticed, not waited on for ever
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 4,
        "master_name": os.environ.get("BROKER_SENTINEL_MASTER", "mymaster"),  # for sentinel:// only
        "sentinel_kwargs": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
)

task_default_queue = Queue.DEFAULT.value
task_create_missing_queues = False
task_queues = [
    KombuQueue(
        queue.value,
        Exchange(queue.value, type="direct"),
        routing_key=queue.value,
        queue_arguments={"x-queue-type": "quorum"} if _rabbit else None,
    )
    for queue in Queue
]

accept_content = ["json"]
task_ignore_result = True  # results are rows
task_acks_late = False  # Celery's default, stated on purpose: the claim in the database is the acknowledgement

worker_send_task_events = True  # Flower's food
worker_redirect_stdouts = False
timezone = "UTC"
