"""Output of the commands: tables and JSON on stdout, everything else on stderr."""

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
    """The current `sys.stderr`. Errors of a closed terminal are ignored, so that a run survives its terminal."""

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
"""Console for notes and progress."""


def is_plain() -> bool:
    """Return whether stdout is piped. Tables are tab-separated then."""
    return not sys.stdout.isatty()


def program() -> str:
    """Return how to call this command again: by name if it is on PATH, else by path."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m evo"
    found = shutil.which(called.name)
    if found and Path(found).resolve() == called.resolve():
        return called.name
    absolute = called.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def note(text: str) -> None:
    """Print one line on stderr."""
    progress.print(text, markup=False, highlight=False, soft_wrap=True)


def as_json(value: Any) -> None:
    """Print a value as JSON on stdout. NaN and infinities become null."""
    print(json.dumps(_with_nulls(value), indent=2, ensure_ascii=False, allow_nan=False, default=_plain))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout: aligned on a terminal, tab-separated with a header in a pipe."""
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
    """Return one value as text."""
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
    """Return the text with control characters replaced, so that candidates cannot control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fields(values: Mapping[str, Any]) -> None:
    """Print `name: value` lines on stdout."""
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
