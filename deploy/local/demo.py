"""`make demo`: real photographs through the whole platform, and what comes out of them."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import deploy
from api.cli import results, sights
from api.cli.follow import Done, Entry, Happened, Stalled, follow
from api.cli.progress import display, printable, reason
from api.cli.results import Folder
from api.client import Job, Millrace, MillraceError
from api.client.sending import OnSent
from deploy.local.settings import Settings, from_env
from deploy.local.stack import Running, find_running, running_platform
from scheduler import pools
from tasks.names import KINDS

SAMPLES = Path(deploy.__file__).parent / "photos"
OUTPUT = Path("millrace-demo")
THUMBNAILS = {"template": "thumbnails"}
LOOK = {"steps": {"look": {"kind": "image.analyze", "features": ["labels", "objects", "faces", "colors"]}}}
PATIENCE_SECONDS = 120.0
"""After so long without any news something is wrong: the largest pictures have news every few seconds."""

WRONG_USE = 2


def run(photos: Sequence[str]) -> int:
    """Send the photographs (default: the samples) through the platform that runs here, or one started for them.

    Prints what happens and writes the variants to ./millrace-demo. Returns the exit status: 0 when every photograph
    has succeeded, 2 when one cannot be read. Raises AlreadyRunning, BadSetting, CannotPrepare, PartFailed.
    """
    console = Console(highlight=False)
    chosen = [Path(photo) for photo in photos] or sorted((*SAMPLES.glob("*.png"), *SAMPLES.glob("*.jpg")))
    unreadable = {path: why for path in chosen if (why := _unreadable(path))}
    for path, why in unreadable.items():
        print(f"error: {printable(str(path))}: {why}", file=sys.stderr)
    if unreadable:
        return WRONG_USE
    settings = from_env()
    running = find_running(settings.home)
    if running:
        _say(console, f"Using the platform that runs in {_short(settings.home)}")
        return _show(running, settings.home, chosen, console)
    with _started(settings, console) as running:
        return _show(running, settings.home, chosen, console)


@contextlib.contextmanager
def _started(settings: Settings, console: Console) -> Iterator[Running]:
    """A platform while the body runs, and a word about its beginning and its end."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            with _starting(console, _short(settings.home)) as say:
                running = stack.enter_context(running_platform(settings=settings, say=say))
        except KeyboardInterrupt:
            _say(console, "\nInterrupted; everything is stopped.")
            raise
        _say(console, "Platform ready", f" after {time.monotonic() - began:.1f} s", mark=True)
        try:
            yield running
        finally:
            _say(console, "\nStopping everything …")
            began = time.monotonic()
            stack.close()
            _say(console, f"Everything is stopped after {time.monotonic() - began:.1f} s; `make up` starts it to stay.")


@contextlib.contextmanager
def _starting(console: Console, home: str) -> Iterator[Callable[[str], None]]:
    """One line that changes while the platform starts; gives what is to be told its lines.

    Once it is ready, what it has to say is trouble, and stays on the screen.
    """
    beginning = f"Starting the platform; its data and logs are in {home}"
    if not console.is_terminal:
        console.print(Text(beginning), soft_wrap=True)
    ready = threading.Event()
    with console.status(Text(beginning), spinner="dots") as line:

        def say(told: str) -> None:
            if ready.is_set() or ": died" in told:
                _say(console, printable(told))
            else:
                line.update(Text.assemble(beginning, (f"  {told}", "dim")))

        yield say
    ready.set()


def _show(running: Running, home: Path, photos: Sequence[Path], console: Console) -> int:
    with Millrace(running.api, running.key) as client:
        try:
            folder = Folder(client, OUTPUT, [results.stem_of(path) for path in photos], photos)
            entries = [Entry(label=path.name, begin=partial(_send, client, path, THUMBNAILS)) for path in photos]
            done, first = _follow(client, entries, folder, console)
            console.print()
            if first is not None:
                _say(console, f"First result {first:.2f} s after submitting.\n")
            _say(console, "What is to be seen in them (the first worker of the pool ai is started for it) …")
            good = [photos[end.entry] for end in done if not reason(end)]
            looks = [Entry(label=path.name, begin=partial(_send, client, path, LOOK)) for path in good]
            seen, _ = _follow(client, looks, None, console)
        except (MillraceError, Stalled, OSError) as exc:
            _fail(str(exc), home / "log")
            return 1
    console.print()
    if any(end.saved for end in done):
        results.show(console, [(printable(entries[end.entry].label), saved) for end in done for saved in end.saved])
        _say(console, f"\nVariants  {OUTPUT.absolute()}")
    if rows := [row for end in seen if end.job for row in sights.rows_of(looks[end.entry].label, end.job)]:
        console.print()
        sights.show(console, rows)
    _say(console, f"\nAPI docs  {running.api}/docs\nFlower    {running.flower}")
    failed = [end for end in (*done, *seen) if reason(end)]
    for end in failed:
        _fail(f"{entries[end.entry].label}: {reason(end)}", _log(end.job, home))
    return 1 if failed else 0


def _follow(
    client: Millrace, entries: Sequence[Entry], folder: Folder | None, console: Console
) -> tuple[list[Done], float | None]:
    """The end of each entry, in their order, and the seconds to the first job that succeeded. Raises Stalled."""
    done: dict[int, Done] = {}
    first: float | None = None
    began = time.monotonic()
    try:
        with display(console, entries) as screen:
            for news in follow(client, entries, save=folder.save if folder else None, patience=PATIENCE_SECONDS):
                screen.tell(news)
                if first is None and isinstance(news, Happened) and news.event.type == "job.succeeded":
                    first = time.monotonic() - began
                elif isinstance(news, Done):
                    done[news.entry] = news
    except Stalled as exc:
        left = [entry.label for number, entry in enumerate(entries) if number not in done]
        raise Stalled(f"{', '.join(left)}: {exc}") from exc
    return [done[entry] for entry in sorted(done)], first


def _send(client: Millrace, photo: Path, document: Mapping[str, Any], on_sent: OnSent) -> Job:
    return client.submit(document, file=photo, on_sent=on_sent)


def _log(job: Job | None, home: Path) -> Path:
    """Where to read on: the log of the workers that had the step that did not succeed, or of the API."""
    if job is None:
        return home / "log" / "api.log"
    for step in job.steps.values():
        if step.state != "succeeded" and step.kind in KINDS:
            queue = KINDS[step.kind].queue
            pool = next((name for name, pool in pools.load().items() if queue in pool.queues), "default")
            return home / "log" / f"worker-{pool}.log"
    return home / "log"


def _fail(why: str, log: Path) -> None:
    lines = "\n".join(map(printable, why.splitlines()))
    print(f"\nerror: {lines}\n  log: {log}", file=sys.stderr)


def _unreadable(path: Path) -> str | None:
    """Why a photograph cannot be sent; None if it can."""
    try:
        with path.open("rb"):
            return None
    except IsADirectoryError:
        return "is a folder; name the photographs in it"
    except OSError as exc:
        return exc.strerror or str(exc)


def _say(console: Console, text: str, aside: str = "", *, mark: bool = False) -> None:
    console.print(Text.assemble(("✓  ", "green") if mark else "", text, (aside, "dim")), soft_wrap=True)


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
