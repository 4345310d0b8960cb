"""The same queue as a textbook simulates it, in plain Python: a list of events, a queue, a list of free slots."""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

COME, END, READY, CHANGE = 0, 1, 2, 3


@dataclass
class Replica:
    asked: float
    ready: float
    ended: float | None = None
    leaving: bool = False
    busy: set[int] = field(default_factory=set)


def simulate(
    arrivals: Sequence[float],
    services: Sequence[float],
    changes: Sequence[tuple[float, int]],
    slots: int,
    startup: float,
    until: float,
) -> tuple[list[float], float]:
    """When each job starts (those that do by `until`), and replica-seconds up to then."""
    events = [(at, COME, job) for job, at in enumerate(arrivals)] + [(at, CHANGE, more) for at, more in changes]
    heapq.heapify(events)
    waiting: deque[int] = deque()
    free: deque[tuple[int, int]] = deque()
    standing: dict[int, Replica] = {}
    ended: list[Replica] = []
    running: dict[int, tuple[Replica, int, int]] = {}
    starts: list[float] = []
    while events and events[0][0] <= until:
        now, what, which = heapq.heappop(events)
        if what == COME:
            waiting.append(which)
        elif what == END:
            replica, number, slot = running.pop(which)
            if _stays(replica, slot, now):
                free.append((number, slot))
        elif what == READY:
            ready = which in standing and standing[which].ready == now
            free.extend((which, slot) for slot in range(slots if ready else 0))
        elif which > 0:
            for number in _grown(standing, which, now, startup):
                heapq.heappush(events, (now + startup, READY, number))
        else:
            gone = _shrunk(standing, -which, now)
            ended.extend(gone.values())
            free = deque(pair for pair in free if pair[0] not in gone)
        while waiting and free:
            job, (number, slot) = waiting.popleft(), free.popleft()
            standing[number].busy.add(slot)
            running[job] = (standing[number], number, slot)
            starts.append(now)
            heapq.heappush(events, (now + services[job], END, job))
    return starts, sum((r.ended or until) - r.asked for r in (*ended, *standing.values()))


def _stays(replica: Replica, slot: int, now: float) -> bool:
    replica.busy.discard(slot)
    if replica.leaving and not replica.busy:
        replica.ended = now
    return not replica.leaving


def _grown(standing: dict[int, Replica], more: int, now: float, startup: float) -> list[int]:
    added = [number for number in range(len(standing) + more) if number not in standing][:more]
    standing.update((number, Replica(now, now + startup)) for number in added)
    return added


def _shrunk(standing: dict[int, Replica], less: int, now: float) -> dict[int, Replica]:
    gone = sorted(standing, key=lambda number: _order(standing[number], number, now))[:less]
    for number in gone:
        standing[number].leaving = True
        standing[number].ended = None if standing[number].busy else now
    return {number: standing.pop(number) for number in gone}


def _order(replica: Replica, number: int, now: float) -> tuple[int, float, int]:
    if replica.ready > now:
        return -1, -replica.ready, -number
    return len(replica.busy), -replica.asked, -number
