"""Tables for people on a terminal, and plain complete lines for everything else."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, JustifyMethod
from rich.style import Style
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A text with a style, or one that leads somewhere; `plain` stands in its place where nothing can be clicked."""

    text: str
    plain: str | None = None
    link: str | None = None
    style: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """What stands above, whether it may be cut off, and its width at most; all that on a terminal only."""

    title: str
    right: bool = False
    cut: bool = False
    most: int | None = None


def show(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print the rows under their titles."""
    if not console.is_terminal:
        _plain(console, [[column.title for column in columns], *([_words(cell) for cell in row] for row in rows)])
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        # Where it is too narrow, only what may be cut off gives way.
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, no_wrap=not column.cut, max_width=column.most)
    for row in rows:
        table.add_row(*map(_text, row))
    console.print(table)


def _text(cell: Cell) -> Text:
    return Text(cell.text, style=Style.parse(cell.style) + Style(link=cell.link), no_wrap=True, overflow="ellipsis")


def _plain(console: Console, lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        console.print(Text(text.rstrip()), soft_wrap=True)


def _words(cell: Cell) -> str:
    return cell.text if cell.plain is None else cell.plain
