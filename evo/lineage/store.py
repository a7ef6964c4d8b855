"""Writing and reading a run's lineage: one durable Parquet file a record, published by a rename and never changed.

A file is written under a name that begins with a dot, fsynced and renamed, and its folder fsynced, so that at every
instant what can be seen is valid. It never decides what a row holds.
"""

import contextlib
import datetime
import errno
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evo.errors import EvoError
from evo.lineage import schema

Row = dict[str, Any]
EMPTY = "schema.parquet"
"""The file of a table that holds all columns and no row."""
_RECORD = re.compile(r"\d{6,}(-\d+)?\.parquet")
_KEY_COLUMNS = {
    "candidates": ("id",),
    "trainings": ("id", "replicate"),
    "curves": ("id", "replicate"),
    "calls": ("id", "attempt"),
    "verdicts": ("after",),
}
"""The columns that a record's name tells."""


class DamagedFile(EvoError):
    """A file of the lineage that is no longer, or never was, a record of its table."""

    def __init__(self, path: Path, found: str) -> None:
        run = path.parents[2].name
        super().__init__(
            f"{path} is damaged: {found}",
            hint=f"`evo resume {run}` sets it aside and makes it again",
            kind="lineage",
        )


class Lineage:
    """The folder `lineage/` of one run. Each table holds `schema.parquet`, all columns and no row, from the first: so a
    reader finds every table at every instant.

    Args:
        folder: the run's folder; the tables' folders are made below it.
    """

    def __init__(self, folder: Path) -> None:
        self.run = folder.name
        self._root = folder / "lineage"
        for table in schema.TABLES:
            path = self._root / table / EMPTY
            if not path.exists():
                publish(path, schema.arrow_schema(table).empty_table())

    def path(self, table: str, *key: int) -> Path:
        """The file of one record: `key` is (id), (id, replicate) or (id, attempt)."""
        return self._root / table / ("-".join([f"{key[0]:06d}", *map(str, key[1:])]) + ".parquet")

    def has(self, table: str, *key: int) -> bool:
        """Whether that record is durable."""
        return self.path(table, *key).exists()

    def append(self, table: str, key: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        """Publish one record. When this returns it is durable; a record that is there already stays as it is.

        Raises:
            EvoError: the disk is full, or cannot be written.
            ValueError: a row lacks a column or has one too many.
        """
        path = self.path(table, *key)
        if not rows or path.exists():
            return
        names = {column.name for column in schema.TABLES[table]}
        full = [{"run": self.run, **row} for row in rows]
        for row in full:
            if set(row) != names:
                raise ValueError(f"{table}: columns {sorted(set(row) ^ names)} are missing or unknown")
        data = pa.Table.from_pylist(full, schema=schema.arrow_schema(table))
        publish(path, data)

    def read(self, table: str) -> list[Row]:
        """Every row of `table`, by number and then by replicate or attempt.

        Raises:
            EvoError: a file is damaged, or of a newer schema, with its name.
        """
        rows: list[Row] = []
        for path in sorted((self._root / table).glob("[0-9]*.parquet"), key=_key):
            rows += read_file(path, table)
        return rows

    def read_record(self, table: str, *key: int) -> list[Row]:
        """The rows of one record; empty where it is not there."""
        path = self.path(table, *key)
        return read_file(path, table) if path.exists() else []


def now() -> datetime.datetime:
    """UTC, as rows have it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _key(path: Path) -> list[int]:
    if not _RECORD.fullmatch(path.name):
        raise DamagedFile(path, "expected a name like 000001.parquet or 000001-0.parquet")
    return [int(part) for part in path.stem.split("-")]


def publish(path: Path, table: pa.Table) -> None:
    """Write `table` aside, make it durable, and give it its name."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise disk_error(error, path) from None


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_text(path: Path, text: str) -> None:
    """Write a small text file durably: whole or not at all.

    Raises:
        EvoError: the disk is full, or cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise disk_error(error, path) from None


def disk_error(error: OSError, path: Path) -> EvoError:
    """What a user is told when a write failed."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full" if full else f"cannot write: {error.strerror}"
    return EvoError(
        f"{what} ({path.parent})", hint="nothing finished is lost: make room, then `evo resume`", kind="disk"
    )


def read_file(path: Path, table: str) -> list[Row]:
    """The rows of one file of `table`.

    Raises:
        DamagedFile: it is no Parquet, not whole, of other columns, or holds another record than its name says.
        EvoError: it may not be read, or is of a newer schema.
    """
    try:
        data = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        version = int((data.schema.metadata or {}).get(schema.METADATA_KEY, b"0"))
    except (OSError, pa.ArrowException, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):  # pyarrow's own have no number
            raise EvoError(f"cannot read {path}: {error.strerror or error}", kind="lineage") from None
        raise DamagedFile(path, str(error).splitlines()[0]) from None
    if version > schema.VERSION:
        raise EvoError(
            f"{path} has lineage schema {version}; this evo reads up to {schema.VERSION}",
            hint="upgrade evo-search",
            kind="lineage",
        )
    names, known = set(data.schema.names), schema.arrow_schema(table)
    if not (data.schema.equals(known) if version == schema.VERSION else {"run", "id"} <= names <= set(known.names)):
        raise DamagedFile(path, f"expected the columns of {table}, found {_named(data.schema.names)}")
    rows: list[Row] = data.to_pylist()
    if path.name != EMPTY and version == schema.VERSION:
        _check_key(path, table, rows)
    return [{column.name: row.get(column.name) for column in schema.TABLES[table]} for row in rows]


def _check_key(path: Path, table: str, rows: Sequence[Row]) -> None:
    """Refuse rows that are not of the record that a file's name tells."""
    columns = _KEY_COLUMNS[table]
    expected = tuple(_key(path)[: len(columns)])
    found = {tuple(row[column] for column in columns) for row in rows}
    if found != {expected}:
        told = ", ".join(map(str, sorted(found, key=str)[:3])) or "no row"
        raise DamagedFile(path, f"expected rows of {columns} = {expected}, found {told}")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"
