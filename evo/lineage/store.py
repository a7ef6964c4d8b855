"""Durable storage of a lineage: one Parquet file per record, published by rename and never changed.

A file is written under a name that begins with a dot, synced and renamed, and its folder is synced. So every visible
file is valid at every instant.
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

from evo import finalists
from evo.errors import EvoError
from evo.lineage import schema

Row = dict[str, Any]
EMPTY = "schema.parquet"
"""File of a table that holds all columns and no row."""
_RECORD = re.compile(r"\d{6,}(-\d+)?\.parquet")
_KEY_COLUMNS = {
    "candidates": ("id",),
    "trainings": ("id", "replicate"),
    "curves": ("id", "replicate"),
    "calls": ("id", "attempt"),
    "verdicts": ("after",),
}
"""Columns whose values the name of a record begins with."""


class DamagedFile(EvoError):
    """File of the lineage that is not a valid record of its table."""

    def __init__(self, path: Path, found: str) -> None:
        run = path.parents[2].name
        super().__init__(
            f"{path} is damaged: {found}",
            hint=f"`evo resume {run}` moves it to damaged/ and recreates it",
            kind="lineage",
        )


class Lineage:
    """Folder `lineage/` of one run.

    Each table holds `schema.parquet` with all columns and no row from the start, so that readers always find every table.

    Args:
        folder: Folder of the run. The folders of the tables are created in it.
    """

    def __init__(self, folder: Path) -> None:
        self.run = folder.name
        self._root = folder / "lineage"
        for table in schema.TABLES:
            path = self._root / table / EMPTY
            if not path.exists():
                publish(path, schema.arrow_schema(table).empty_table())

    def path(self, table: str, *key: int) -> Path:
        """Return the file of one record. `key` is (id), (id, replicate) or (id, attempt)."""
        return self._root / table / ("-".join([f"{key[0]:06d}", *map(str, key[1:])]) + ".parquet")

    def has(self, table: str, *key: int) -> bool:
        """Return whether the record is durable."""
        return self.path(table, *key).exists()

    def append(self, table: str, key: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        """Publish one record durably. A record that exists is kept unchanged.

        Raises:
            EvoError: The disk is full or cannot be written.
            ValueError: A row lacks a column or has an extra one.
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
        """Return all rows of `table`, ordered by number, then replicate or attempt.

        Raises:
            EvoError: A file is damaged or has a newer schema.
        """
        rows: list[Row] = []
        for path in sorted((self._root / table).glob("[0-9]*.parquet"), key=_key):
            rows += read_file(path, table)
        return rows

    def read_record(self, table: str, *key: int) -> list[Row]:
        """Return the rows of one record, or an empty list."""
        path = self.path(table, *key)
        return read_file(path, table) if path.exists() else []


def now() -> datetime.datetime:
    """Return the current time in UTC."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _key(path: Path) -> list[int]:
    if not _RECORD.fullmatch(path.name):
        raise DamagedFile(path, "expected a name like 000001.parquet or 000001-0.parquet")
    return [int(part) for part in path.stem.split("-")]


def publish(path: Path, table: pa.Table) -> None:
    """Write `table` under a temporary name, sync it and rename it."""
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
    """Sync a folder so that its names are durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_text(path: Path, text: str) -> None:
    """Write a small text file durably and atomically.

    Raises:
        EvoError: The disk is full or cannot be written.
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
    """Return the error to show after a failed write."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full" if full else f"cannot write: {error.strerror}"
    return EvoError(
        f"{what} ({path.parent})", hint="finished work is saved: free disk space, then `evo resume`", kind="disk"
    )


def read_file(path: Path, table: str) -> list[Row]:
    """Return the rows of one file of `table`.

    Raises:
        DamagedFile: The file is not complete Parquet, has other columns, or holds another record than its name says.
        EvoError: The file may not be read or has a newer schema.
    """
    try:
        data = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        version = int((data.schema.metadata or {}).get(schema.METADATA_KEY, b"0"))
    except (OSError, pa.ArrowException, ValueError) as error:
        # An OSError that pyarrow raises itself has no errno.
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
            raise EvoError(f"cannot read {path}: {error.strerror or error}", kind="lineage") from None
        raise DamagedFile(path, str(error).splitlines()[0]) from None
    if version > schema.VERSION:
        raise EvoError(
            f"{path} has lineage schema {version}; this evo reads up to {schema.VERSION}",
            hint="upgrade evo-search",
            kind="lineage",
        )
    if version < schema.VERSION:
        data = schema.with_current_names(data, table)
    names, known = set(data.schema.names), schema.arrow_schema(table)
    if not (data.schema.equals(known) if version == schema.VERSION else {"run", "id"} <= names <= set(known.names)):
        raise DamagedFile(path, f"expected the columns of {table}, found {_named(data.schema.names)}")
    rows: list[Row] = data.to_pylist()
    if path.name != EMPTY and version == schema.VERSION:
        _check_key(path, table, rows)
    if table == "trainings" and "purpose" not in names:  # before schema 4 the replicate number alone said it
        rows = [row | {"purpose": finalists.purpose(row["id"], row["replicate"])} for row in rows]
    return [{column.name: row.get(column.name) for column in schema.TABLES[table]} for row in rows]


def _check_key(path: Path, table: str, rows: Sequence[Row]) -> None:
    """Raise if the rows do not belong to the record in the file name."""
    columns = _KEY_COLUMNS[table]
    expected = tuple(_key(path)[: len(columns)])
    found = {tuple(row[column] for column in columns) for row in rows}
    if found != {expected}:
        told = ", ".join(map(str, sorted(found, key=str)[:3])) or "no row"
        raise DamagedFile(path, f"expected rows of {columns} = {expected}, found {told}")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"
