"""Callers that come together share one run of a network: worth it where a batch costs little more than one picture.

Who comes first leads: it waits for others until the window ends or the batch is full, runs the batch in its own
thread and hands out the answers; there is no thread besides the callers'. Batches run side by side: a server that is
slow or silent for one must not hold up the next, nobody waits longer than the window, and what may run at once is
bounded by the number of callers.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate, pairwise
from queue import Empty, SimpleQueue

import numpy as np

from tasks.vision.manifest import Group, Manifest
from tasks.vision.model import Model, ModelFailed, ModelUnavailable, Tensor

Answers = list[Mapping[str, Tensor]]


class _News(Enum):
    GO = "the batch is closed: run it"
    LEAD = "who led the batch has left: you lead"
    ALONE = "the batch came to nothing: run yours alone"


@dataclass(eq=False, slots=True)
class _Member:
    """A caller in a batch. A SimpleQueue's put cannot be cut in two by an exception that is raised into a thread."""

    pictures: Sequence[Tensor]
    inbox: "SimpleQueue[_News | Answers | ModelUnavailable]" = field(default_factory=SimpleQueue)
    batch: "_Batch | None" = None


@dataclass(eq=False, slots=True)
class _Batch:
    """`closed`: nobody joins any more; `settled`: each member has been told."""

    leader: _Member
    until: float
    members: list[_Member] = field(default_factory=list)
    closed: bool = False
    settled: bool = False

    def size(self) -> int:
        return sum(len(member.pictures) for member in self.members)


class Grouped:
    """A network whose callers share batches of at most `group.most` pictures; itself such a network."""

    def __init__(self, inner: Model, group: Group) -> None:
        self._inner = inner
        self._group = group
        given = inner.manifest.input
        self._shape = (3, given.height, given.width) if given.layout == "nchw" else (given.height, given.width, 3)
        self._lock = threading.Lock()
        self._forming: _Batch | None = None
        self._ended = False

    @property
    def manifest(self) -> Manifest:
        return self._inner.manifest

    def run(self, pictures: Sequence[Tensor]) -> Answers:
        """As a network alone would answer. What is more than whole batches waits for others, and is never divided."""
        if not self._inner.manifest.run.batches or not all(self._is_common(picture) for picture in pictures):
            return self._inner.run(pictures)
        whole = len(pictures) - len(pictures) % self._group.most
        answers: Answers = []
        for start in range(0, whole, self._group.most):
            answers += self._inner.run(pictures[start : start + self._group.most])
        return answers + (self._together(pictures[whole:]) if whole < len(pictures) else [])

    def close(self) -> None:
        """Let those go who wait for others, and close the network; who comes later waits for nobody."""
        with self._lock:
            self._ended = True
            self._dismiss()
        self._inner.close()

    def _is_common(self, picture: Tensor) -> bool:
        """Whether the picture can be in a batch with others; one that cannot fails alone."""
        return picture.shape == self._shape and picture.dtype == np.float32

    def _together(self, pictures: Sequence[Tensor]) -> Answers:
        member = _Member(pictures)
        try:  # a plain one, around all: whatever is raised into this thread, the others of the batch go on
            batch = self._join(member)
            if batch.leader is member:
                return self._lead(member, batch)
            match member.inbox.get():
                case _News.ALONE:
                    return self._inner.run(pictures)
                case _News():
                    return self._lead(member, batch)
                case ModelUnavailable() as error:
                    raise error
                case answers:
                    return answers
        finally:
            self._leave(member)

    def _join(self, member: _Member) -> _Batch:
        with self._lock:
            batch = self._forming
            if batch is None or batch.closed or batch.size() + len(member.pictures) > self._group.most:
                self._dismiss()
                batch = _Batch(leader=member, until=time.monotonic() + self._group.milliseconds / 1000)
            member.batch = batch
            batch.members.append(member)
            self._forming = batch
            if self._ended or batch.size() >= self._group.most:
                self._dismiss()
            return batch

    def _dismiss(self) -> None:
        """Let the batch that forms go at once, under the lock."""
        if self._forming is not None:
            self._forming.closed = True
            self._forming.leader.inbox.put(_News.GO)
            self._forming = None

    def _lead(self, member: _Member, batch: _Batch) -> Answers:
        while not batch.closed and (left := batch.until - time.monotonic()) > 0:
            try:
                member.inbox.get(timeout=left)
            except Empty:
                break
        others = self._closed(member, batch)
        try:
            answers = self._inner.run([picture for each in (member, *others) for picture in each.pictures])
        except ModelUnavailable as exc:
            _settle(batch, {other: copy(exc) for other in others})
            raise
        except ModelFailed:
            if not others:
                raise
            _settle(batch, dict.fromkeys(others, _News.ALONE))
            return self._inner.run(member.pictures)
        ends = list(accumulate(len(each.pictures) for each in (member, *others)))
        _settle(batch, {other: answers[a:b] for other, (a, b) in zip(others, pairwise(ends), strict=True)})
        return answers[: ends[0]]

    def _closed(self, leader: _Member, batch: _Batch) -> list[_Member]:
        """Let nobody join any more, and return those who came to the leader."""
        with self._lock:
            batch.closed = True
            if self._forming is batch:
                self._forming = None
            return [other for other in batch.members if other is not leader]

    def _leave(self, member: _Member) -> None:
        """Take a caller out of its batch; if it led and others wait still, tell them how to go on."""
        with self._lock:
            batch = member.batch
            if batch is None:
                return
            if member in batch.members:
                batch.members.remove(member)
            if batch.leader is member and not batch.settled:
                self._hand_on(batch)
            if self._forming is batch and not batch.members:
                self._forming = None
            member.batch = None

    def _hand_on(self, batch: _Batch) -> None:
        """Have the next one lead a batch that still forms; one that ran comes to nothing, and each runs its own."""
        if batch.closed:
            _settle(batch, dict.fromkeys(batch.members, _News.ALONE))
        elif batch.members:
            batch.leader = batch.members[0]
            batch.leader.inbox.put(_News.LEAD)


def _settle(batch: _Batch, news: Mapping[_Member, _News | Answers | ModelUnavailable]) -> None:
    """Tell each what became of its pictures; cut short, the rest is told by _leave."""
    for member, told in news.items():
        member.inbox.put(told)
    batch.settled = True
