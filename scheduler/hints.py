"""The broker as the relay sees it: sends the hint that a step may run, and tells how many hints a queue holds."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import OperationalError

from scheduler import epoch
from scheduler.errors import BrokerUnavailable
from storage.publishing import Runnable
from tasks.names import KINDS, Kind
from tasks.transport.publishing import pipelined

SHARES = 4  # hints over which what waits is spread while nobody is known to serve its queue
ANSWER_SECONDS = 3  # a broker that says nothing for this long is away


class Hints:
    """One connection to the broker, made at the first use and again after an error. Not for use by several threads."""

    def __init__(self, *, kinds: Mapping[str, Kind] = KINDS) -> None:
        self._app = Celery("millrace-relay", set_as_current=False)
        self._app.config_from_object("celeryconfig")
        if self._is_amqp():
            # Without it RabbitMQ may drop a message, and nobody hears of it.
            told = {**self._app.conf.broker_transport_options, "confirm_publish": True}
            self._app.conf.broker_transport_options = told
        self.queues = sorted(self._app.amqp.queues)
        self._kinds = kinds
        self.grouping = {kind.queue.value for kind in kinds.values() if kind.group > 1}  # queues with small steps
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def group(self, steps: Sequence[Runnable], slots: int) -> list[list[Runnable]]:
        """The steps of a queue by the hints in which they are to be sent, see `hint_groups`."""
        return hint_groups(steps, {name: kind.group for name, kind in self._kinds.items()}, slots)

    def send_all(self, groups: Sequence[Sequence[Runnable]]) -> None:
        """Send a hint for each group, see `send`, in as few round trips as can be. Raises BrokerUnavailable."""
        with self._as_ours() as connection, pipelined(self._made_producer(connection)):
            for group in groups:
                self.send(group)

    def send(self, steps: Sequence[Runnable]) -> None:
        """Tell the workers of a queue, one of `queues`, that these of its steps may run, all of one kind and priority.

        Raises BrokerUnavailable.
        """
        step = steps[0]
        kind = self._kinds.get(step.kind)
        with self._as_ours() as connection:
            self._app.send_task(
                step.kind,
                kwargs=_told(steps),
                task_id=step.step_id,
                queue=step.queue,
                # As Redis counts (quorum queues have none). What lost its worker need not wait a second time.
                priority=0 if step.losses else step.priority,
                time_limit=kind.time_limit if kind else None,
                soft_time_limit=kind.soft_time_limit if kind else None,
                argsrepr="()",
                # What Flower shows: no payloads, no secrets.
                kwargsrepr=_shown(steps),
                ignore_result=True,
                retry=False,
                confirm_timeout=ANSWER_SECONDS,
                producer=self._made_producer(connection),
            )

    def connect(self) -> None:
        """Return when the broker has been reached. Raises BrokerUnavailable."""
        with self._as_ours():
            return

    def waiting(self, queue: str) -> int:
        """How many hints wait in the queue, beside those that workers hold. Raises BrokerUnavailable."""
        with self._as_ours() as connection, connection.channel() as opened:
            channel: Any = opened  # every transport's channel has queue_declare, the stated type has not
            try:
                return int(channel.queue_declare(queue=queue, passive=True).message_count)
            except connection.channel_errors:
                return 0  # a queue that is empty is none, to Redis

    def is_remembered(self) -> bool:
        """Whether the broker still has all that it was sent since `begin_epoch`. Raises BrokerUnavailable."""
        with self._as_ours() as connection:
            return epoch.is_remembered(connection)

    def begin_epoch(self) -> None:
        """Call it when all that a forgetful broker lacks is about to be sent again. Raises BrokerUnavailable."""
        with self._as_ours() as connection:
            epoch.begin(connection)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is None:
            return
        if self._is_amqp() and connection.connected:
            connection.connection.transport.close()  # without a farewell, for which a stuck broker may let us wait
        connection.release()

    @contextmanager
    def _as_ours(self) -> Iterator[Connection]:
        try:
            if self._connection is None:
                names = ("read_timeout", "write_timeout") if self._is_amqp() else ("socket_timeout",)
                options = dict.fromkeys(names, ANSWER_SECONDS)
                self._connection = self._app.connection_for_write(
                    connect_timeout=ANSWER_SECONDS, transport_options=options
                )
                self._connection.ensure_connection(max_retries=1, interval_start=0)
            yield self._connection
        except Exception as exc:
            if not isinstance(exc, self._errors()):
                raise
            self.close()
            raise BrokerUnavailable(f"{type(exc).__name__}: {exc}") from exc

    def _made_producer(self, connection: Connection) -> Producer:
        if self._producer is None:
            self._producer = self._app.amqp.Producer(connection)
        return self._producer

    def _is_amqp(self) -> bool:
        return str(self._app.conf.broker_url).startswith(("amqp", "pyamqp"))

    def _errors(self) -> tuple[type[BaseException], ...]:
        transport = () if self._connection is None else self._connection.connection_errors
        return (OperationalError, OSError, *transport)


def hint_groups(steps: Sequence[Runnable], most: Mapping[str, int], slots: int) -> list[list[Runnable]]:
    """The steps in their order, but those of one kind and priority together: at most `most` of the kind in one hint.

    They are spread evenly over as many hints as the queue's workers have `slots`, or more if there are too many for
    that. What has lost its worker before, and could take others with it, has a hint of its own.
    """
    alike: dict[tuple[str, int], list[Runnable]] = defaultdict(list)
    alone: list[list[Runnable]] = []
    for step in steps:
        if step.losses or most.get(step.kind, 1) == 1:
            alone.append([step])
        else:
            alike[step.kind, step.priority].append(step)
    groups = list(alone)
    for (kind, _), those in alike.items():
        number = max(math.ceil(len(those) / most[kind]), min(len(those), slots or SHARES))
        groups += [those[len(those) * n // number : len(those) * (n + 1) // number] for n in range(number)]
    place = {step.step_id: number for number, step in enumerate(steps)}
    return sorted(groups, key=lambda group: place[group[0].step_id])


def _told(steps: Sequence[Runnable]) -> dict[str, Any]:
    """As tasks.hinted reads it."""
    if len(steps) == 1:
        return {"tenant": steps[0].tenant_id, "job": steps[0].job_id, "step": steps[0].step_id}
    return {"group": [(step.tenant_id, step.job_id, step.step_id) for step in steps]}


def _shown(steps: Sequence[Runnable]) -> str:
    more = f", 'steps': '{len(steps)}'" if len(steps) > 1 else ""
    return f"{{'job': '{steps[0].job_id}', 'tenant': '{steps[0].tenant_id}'{more}}}"
