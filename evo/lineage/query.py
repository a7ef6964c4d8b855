"""SQL over lineages with DuckDB: one view per table, over all runs of a population or one. Read only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from evo.errors import EvoError
from evo.finalists import CODED
from evo.lineage import schema

_SCORES = """
CREATE VIEW scores AS
WITH told AS (
    SELECT run, id, count(*) AS trainings, avg(val_loss) AS mean_loss, stddev_samp(val_loss) AS sd,
           avg(text_se) AS text_se, median(cpu_seconds) AS cpu_seconds, median(relative_cost) AS relative_cost
    FROM trainings WHERE status = 'ok' AND val_loss IS NOT NULL AND purpose <> 'timing' GROUP BY run, id
), pooled AS (
    SELECT run, sqrt(sum((trainings - 1) * sd * sd) / sum(trainings - 1)) AS pooled_sd
    FROM told WHERE trainings > 1 GROUP BY run
)
SELECT run, id, trainings, mean_loss, sd, pooled_sd, pooled_sd / sqrt(trainings) AS seed_se, text_se,
       sqrt(pooled_sd * pooled_sd / trainings + text_se * text_se) AS val_loss_se, cpu_seconds, relative_cost
FROM told LEFT JOIN pooled USING (run)
"""
_CREDIT = """
CREATE VIEW credit AS
WITH told AS (
    SELECT run, id, base, status, duplicate_of, val_loss, unnest(json_extract(operators, '$[*]')) AS record FROM candidates
)
SELECT told.run, told.id, record->>'$.operator' AS operator, told.status, record->>'$.refused' AS refused,
       CASE WHEN told.duplicate_of IS NULL AND record->>'$.refused' IS NULL THEN base.val_loss - told.val_loss END AS gain
FROM told LEFT JOIN candidates base ON base.run = told.run AND base.id = told.base
"""

_PURPOSE = (
    "CASE "
    + " ".join(f"WHEN replicate >= {first} THEN '{name}'" for first, name in CODED)
    + " WHEN replicate = 0 THEN 'search' WHEN id = 0 THEN 'calibration' ELSE 'finalist' END"
)
"""`finalists.purpose` in SQL, for lineages before schema 4."""
_MADE_OF = {"scores": "trainings", "credit": "candidates"}


@dataclass(frozen=True)
class Answer:
    """Column names and rows of a query result."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return one dictionary per row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def connect(population: Path, run: str | None = None, text: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection with one view per table, and the views `scores` and `credit`.

    `scores` has one row per candidate: the mean loss over its successful trainings (timing repeats excluded) and its standard
    error. The seed part of the error uses the standard deviation pooled over all candidates of the run with several
    trainings. The text part is `text_se`.

    `credit` has one row per operator of each candidate. `gain` is the loss of the base less the loss of the candidate, in nats
    per token; it is null without both losses, for a duplicate, and if `refused` says why a model's text was not used.

    Args:
        population: Folder of the runs.
        run: Name of one run. Default: all.
        text: Query. If given, only the views that it names are created, because each view opens its files.
    """
    connection = duckdb.connect()
    named = _named(text)
    for table, columns in schema.TABLES.items():
        if table not in named:
            continue
        files = _files(population, run, table)
        wanted = ", ".join(_current(c) for c in columns)
        kinds = [(name, c.kind) for c in columns for name in (c.name, c.was) if name]
        source = "SELECT " + ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in kinds) + " WHERE false"
        if files:  # files of another schema lack columns, which the empty rows provide
            names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
            rows = f"SELECT * FROM read_parquet([{names}], union_by_name = true, hive_partitioning = false)"
            source = f"SELECT {wanted} FROM ({rows} UNION ALL BY NAME {source})"
        connection.execute(f"CREATE VIEW {table} AS {source}")
    if "trainings" in named:
        connection.execute(_SCORES)
    if text is None or "credit" in named:
        connection.execute(_CREDIT)
    return connection


def sql(population: Path, text: str, run: str | None = None, parameters: Sequence[Any] = ()) -> Answer:
    """Run one SQL query.

    Raises:
        EvoError: DuckDB refuses the query, or a file is damaged.
    """
    try:
        with connect(population, run, text) as connection:
            result = connection.execute(text, list(parameters))
            columns = [entry[0] for entry in result.description or []]
            return Answer(columns, result.fetchall())
    except duckdb.Error as error:
        if not isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
            _name_damage(population, text, run)
        first = re.sub(r"\s+", " ", str(error).split("\n\n")[0])
        raise EvoError(f"SQL: {first}", hint=_sql_hint(first, text), kind="usage") from None


def _sql_hint(error: str, text: str) -> str:
    """Return what to change in a query that DuckDB refuses with `error`."""
    unknown = re.search(r'Referenced column "([^"]+)" (?:was )?not found', error)
    if unknown and f'"{unknown[1]}"' in text:
        return f"write text in single quotes: '{unknown[1]}'"
    if "Table with name runs does not exist" in error:
        return "`evo runs --json` lists runs; each table has a column `run`"
    return "`evo sql --schema` lists tables and columns"


def _current(column: schema.Column) -> str:
    """Return the SQL of one column over files of every schema version."""
    if column.was:
        return f'coalesce("{column.name}", "{column.was}") AS "{column.name}"'
    return f"coalesce(purpose, {_PURPOSE}) AS purpose" if column.name == "purpose" else f'"{column.name}"'


def _named(text: str | None) -> set[str]:
    """Return the words of a query that may be table names, with the tables behind `scores` and `credit`."""
    named = set(schema.TABLES) if text is None else set(re.findall(r"\w+", text.lower()))
    return named | {table for view, table in _MADE_OF.items() if view in named}


def _files(population: Path, run: str | None, table: str) -> list[Path]:
    name = "*" if run is None else re.sub(r"([*?\[])", r"[\1]", run)
    return sorted(population.glob(f"{name}/lineage/{table}/[0-9]*.parquet"))


def _name_damage(population: Path, text: str, run: str | None) -> None:
    """Read the files of a query one by one and raise the error of the damaged one."""
    from evo.lineage import store

    for table in schema.TABLES:
        if table in _named(text):
            for path in _files(population, run, table):
                store.read_file(path, table)
