"""How results and progress are written: tables and JSON on stdout, everything else on stderr."""

import contextlib
import datetime
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table


class _Stderr:
    """Stderr as it is now. What a terminal that was closed no longer takes is dropped: no run ends for want of a reader."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


progress = Console(file=cast(TextIO, _Stderr()))
"""Where prose and progress go."""


def is_plain() -> bool:
    """Whether stdout is piped: tables are then tab-separated."""
    return not sys.stdout.isatty()


def program() -> str:
    """How this command can be called again as it was: by name where the shell would find it, else by its path."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m evo"
    found = shutil.which(called.name)
    if found and Path(found).resolve() == called.resolve():
        return called.name
    absolute = called.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def note(text: str) -> None:
    """One line for people, on stderr."""
    progress.print(text, markup=False, highlight=False, soft_wrap=True)


def as_json(value: Any) -> None:
    """A result as JSON on stdout; what is not a number (or no finite one) is null, as JSON has no word for it."""
    print(json.dumps(_with_nulls(value), indent=2, ensure_ascii=False, allow_nan=False, default=_plain))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A result as a table on stdout: drawn for a terminal, tab-separated with a header for a pipe."""
    cells = [[cell(value) for value in row] for row in rows]
    if is_plain():
        for row in [list(columns), *cells]:
            print("\t".join(text.replace("\t", " ").replace("\n", " ") for text in row))
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int | float | None) for row in rows)
        drawn.add_column(
            name, justify="right" if numeric else "left", overflow="ellipsis", max_width=None if numeric else 70
        )
    for row in cells:
        drawn.add_row(*(text.replace("\n", " ") for text in row))
    Console(markup=False, highlight=False).print(drawn)


def cell(value: Any) -> str:
    """One value as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return clean(str(value))


def clean(text: str) -> str:
    """Text that came from a candidate, without the control characters that a terminal obeys."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fields(values: Mapping[str, Any]) -> None:
    """`name: value` lines on stdout."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        print(f"{name + ':':<{width + 2}}{cell(value)}")


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return str(value)
