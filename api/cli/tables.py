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
    """What stands above, whether it may be cut off or go on below, and its width at most; all on a terminal only."""

    title: str
    right: bool = False
    cut: bool = False
    wrap: bool = False
    most: int | None = None


def show(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, gap: int = 2) -> None:
    """Print the rows under their titles; on a terminal with `gap` columns of nothing between them."""
    if not console.is_terminal:
        _plain(console, [[column.title for column in columns], *([_words(cell) for cell in row] for row in rows)])
        return
    console.print(laid_out(columns, rows, gap=gap))


def laid_out(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, gap: int = 2) -> Table:
    """The rows under their titles, for a terminal."""
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="dim")
    for column in columns:
        # Where it is too narrow, only what may be cut off or go on below gives way.
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, no_wrap=not (column.cut or column.wrap), max_width=column.most)
    for row in rows:
        table.add_row(*(_text(cell, wrap=column.wrap) for column, cell in zip(columns, row, strict=True)))
    return table


def _text(cell: Cell, *, wrap: bool) -> Text:
    style = Style.parse(cell.style) + Style(link=cell.link)
    return Text(cell.text, style=style, no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")


def _plain(console: Console, lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        console.print(Text(text.rstrip()), soft_wrap=True)


def _words(cell: Cell) -> str:
    return cell.text if cell.plain is None else cell.plain


def lasting(seconds: float, *, below: float = 9.995) -> str:
    """A length of time in words; hundredths of seconds only `below` so many."""
    if seconds < below:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} d"
