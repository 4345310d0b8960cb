"""What jobs made: brought into a folder, shown as a table."""

import mimetypes
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from api.cli import tables
from api.cli.follow import Saved
from api.cli.progress import printable
from api.cli.tables import Cell, Column
from api.client import Job, Millrace, Output

_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}
TIMES = "\N{MULTIPLICATION SIGN}"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Folder:
    """Brings outputs into one folder as `<stem>-<step>-<output>.<ext>`; each file has a name of its own.

    Files of earlier runs are replaced, files of this one never; nor are `sources`, the photographs themselves.
    """

    def __init__(self, client: Millrace, folder: Path, stems: Sequence[str], sources: Iterable[Path] = ()) -> None:
        """One stem per entry; equal ones are numbered in their order. The folder is made. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._client = client
        here = folder.resolve()
        self._taken = {path.name.casefold() for path in (one.resolve() for one in sources) if path.parent == here}
        self._stems = _distinct(stems)
        self._lock = threading.Lock()

    def save(self, entry: int, job: Job) -> list[Saved]:
        """Bring all outputs of the entry's job. Raises MillraceError, OSError."""
        saved = []
        for output in job.outputs:
            path = self.folder / self._name(self._stems[entry], output)
            self._client.download(output, path)
            saved.append(Saved(output=output, path=path))
        return saved

    def _name(self, stem: str, output: Output) -> str:
        # The server's words become part of a path only without what could lead out of the folder.
        step, name = _UNSAFE.sub("_", output.step), _UNSAFE.sub("_", output.name)
        ending = _ENDINGS.get(output.content_type) or mimetypes.guess_extension(output.content_type) or ".bin"
        with self._lock:
            return _free(f"{stem}-{step}-{name}", ending, self._taken)


def stem_of(path: Path) -> str:
    """What the names of a photograph's outputs begin with."""
    return "".join(character if character.isprintable() else "_" for character in path.stem) or "photo"


def show(console: Console, rows: Sequence[tuple[str, Saved]]) -> None:
    """Print one line per output: label, output, dimensions, bytes, the file if it was saved, and the link.

    On a terminal file and link can be clicked, and are shortened.
    """
    with_step = len({saved.output.step for _, saved in rows}) > 1
    with_file = any(saved.path for _, saved in rows)
    columns = [
        Column(title="photo", cut=True, most=24),
        Column(title="output" if with_step else "variant", most=24),
        Column(title="size", right=True),
        Column(title="bytes", right=True),
        *([Column(title="file", cut=True)] if with_file else []),
        Column(title="link", cut=True),
    ]
    labels = [label for label, _ in rows]
    tables.show(
        console,
        columns,
        [
            (Cell(text="" if label == before else label, plain=label), *_cells(saved, with_step, with_file))
            for before, (label, saved) in zip([None, *labels], rows, strict=False)
        ],
    )


def _cells(saved: Saved, with_step: bool, with_file: bool) -> list[Cell]:
    output, path = saved.output, saved.path
    cells = [
        Cell(text=printable(f"{output.step}/{output.name}" if with_step else output.name)),
        Cell(text=f"{output.width}{TIMES}{output.height}" if output.width and output.height else ""),
        Cell(text=decimal(output.bytes)),
    ]
    if with_file and path:
        cells.append(Cell(text=printable(path.name), plain=printable(str(path)), link=path.resolve().as_uri()))
    elif with_file:
        cells.append(Cell(text=""))
    short = printable(f"…{output.job[-5:]}/{output.step}/{output.name}")
    return [*cells, Cell(text=short, plain=printable(output.href), link=output.href)]


def _distinct(stems: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    return [_free(stem, "", taken) for stem in stems]


def _free(name: str, ending: str, taken: set[str]) -> str:
    """The name, numbered if it is taken (in any case of letters); now it is."""
    found, number = name + ending, 1
    while found.casefold() in taken:
        number += 1
        found = f"{name}-{number}{ending}"
    taken.add(found.casefold())
    return found
