"""Writing and reading a run's lineage: one durable Parquet file a record, published by a rename and never changed.

A file is written under a name that begins with a dot, fsynced and renamed, and its folder fsynced, so that at every
instant what can be seen is valid. It never decides what a row holds.
"""

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evo.errors import EvoError
from evo.lineage import schema

Row = dict[str, Any]


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
            path = self._root / table / "schema.parquet"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
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

    def clear_unfinished(self) -> int:
        """Remove what a killed writer left behind under a dotted name; return how many files."""
        left = [path for table in schema.TABLES for path in (self._root / table).glob(".*")]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _key(path: Path) -> list[int]:
    return [int(part) for part in path.stem.split("-")]


def publish(path: Path, table: pa.Table) -> None:
    """Write `table` aside, make it durable, and give it its name."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            pq.write_table(table, file, compression="zstd")
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
    """The rows of one file."""
    try:
        data = pq.read_table(path, partitioning=None)
        version = int((data.schema.metadata or {}).get(schema.METADATA_KEY, b"0"))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise EvoError(
            f"{path} is damaged: {str(error).splitlines()[0]}", hint="move it aside", kind="lineage"
        ) from None
    if version > schema.VERSION:
        raise EvoError(
            f"{path} has lineage schema {version}; this evo reads up to {schema.VERSION}",
            hint="upgrade evo-search",
            kind="lineage",
        )
    rows: list[Row] = data.to_pylist()
    columns = schema.TABLES[table]
    return [{column.name: row.get(column.name) for column in columns} for row in rows]
