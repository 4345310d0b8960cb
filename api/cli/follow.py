"""Several jobs at once, each from its submission to its end, told as one stream of news."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.client import Event, Job, Millrace, MillraceError, Output
from api.client.sending import OnSent

AT_ONCE = 8  # uploads and event streams; the platform works on more than it is sent at once anyway


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A job to follow: `begin` submits it, or finds it, and may tell how much of its file has been sent."""

    label: str
    begin: Callable[[OnSent], Job]


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """An output, and the file it was brought into, if it was."""

    output: Output
    path: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """Bytes of an entry's file that have been sent, of `size` where that is known."""

    entry: int
    sent: int
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The platform has the job."""

    entry: int
    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """An event of the job."""

    entry: int
    event: Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The end of an entry: its job as it ended (None if it was never accepted), or why it cannot be followed."""

    entry: int
    job: Job | None
    saved: Sequence[Saved] = ()
    error: MillraceError | None = None


News = Sent | Accepted | Happened | Done

Save = Callable[[int, Job], Sequence[Saved]]


class Stalled(Exception):
    """Nothing was heard of any job for too long."""


def follow(
    client: Millrace,
    entries: Sequence[Entry],
    *,
    save: Save | None = None,
    patience: float | None = None,
    to_the_end: bool = True,
) -> Iterator[News]:
    """Begin each entry and tell what happens, until each is done: ended, or only accepted with `to_the_end` false.

    `save` is called with each job that ended, in the thread that followed it. Raises Stalled when nothing was heard
    for `patience` seconds, and whatever a thread of ours did not expect.
    """
    follower = _Follower(client=client, entries=entries, save=save or _links_only, to_the_end=to_the_end)
    threads = [threading.Thread(target=follower.work, daemon=True) for _ in range(min(AT_ONCE, len(entries)))]
    for thread in threads:
        thread.start()
    left = len(entries)
    try:
        while left:
            news = follower.next(patience)
            left -= isinstance(news, Done)
            yield news
    finally:
        follower.stopped.set()


@dataclass(kw_only=True, slots=True)
class _Unexpected:
    error: Exception


@dataclass(kw_only=True, slots=True)
class _Follower:
    client: Millrace
    entries: Sequence[Entry]
    save: Save
    to_the_end: bool
    news: "queue.SimpleQueue[News | _Unexpected]" = field(default_factory=queue.SimpleQueue)
    waiting: "queue.SimpleQueue[int]" = field(default_factory=queue.SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for entry in range(len(self.entries)):
            self.waiting.put(entry)

    def next(self, patience: float | None) -> News:
        try:
            news = self.news.get(timeout=patience)
        except queue.Empty as exc:
            raise Stalled(f"nothing was heard for {patience:g} s") from exc
        if isinstance(news, _Unexpected):
            raise news.error
        return news

    def work(self) -> None:
        """One thread: takes entries until there are no more, or nobody listens."""
        while not self.stopped.is_set():
            try:
                entry = self.waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self.news.put(self._follow(entry))
            except Exception as exc:  # noqa: BLE001 - the edge of the thread: next() raises it in the caller's
                self.news.put(_Unexpected(error=exc))

    def _follow(self, entry: int) -> Done:
        job: Job | None = None
        try:
            job = self.entries[entry].begin(lambda sent, size: self.news.put(Sent(entry=entry, sent=sent, size=size)))
            self.news.put(Accepted(entry=entry, job=job))
            if not self.to_the_end:
                return Done(entry=entry, job=job)
            if not job.ended:
                for event in self.client.events(job.id):
                    self.news.put(Happened(entry=entry, event=event))
                job = self.client.wait(job.id)
            return Done(entry=entry, job=job, saved=self.save(entry, job))
        except MillraceError as exc:
            return Done(entry=entry, job=job, error=exc)
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            return Done(entry=entry, job=job, error=MillraceError(f"{where}{exc.strerror or exc}"))


def _links_only(_entry: int, job: Job) -> Sequence[Saved]:
    return [Saved(output=output) for output in job.outputs]
