"""Columns of the lineage with types and meanings. Every file has every column of its table.

The documentation, `evo sql --schema` and the files are generated from `TABLES`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 4
"""Version of the schema. Every file holds it in its metadata under `METADATA_KEY`."""
METADATA_KEY = b"evo_schema"
GENE = 0
"""Value of `attempt` for an answer that wrote a gene of a persona. Attempts at code count from 1."""


@dataclass(frozen=True)
class Column:
    """One column. `kind` is its DuckDB type; `clock` marks values that differ between two equal searches.

    `was` is the name of the column in schemas before version 4.
    """

    name: str
    kind: str
    meaning: str
    clock: bool = False
    was: str = ""


_RUN = Column("run", "VARCHAR", "name of the run, its folder in population/")
_ID = Column("id", "BIGINT", "number of the candidate; 0 is the baseline")

TABLES: dict[str, tuple[Column, ...]] = {
    "candidates": (
        _RUN,
        _ID,
        Column("generation", "BIGINT", "0 for the baseline and the seed personas, then from 1"),
        Column("status", "VARCHAR", "outcome from a closed list: ok, or the name of the failure"),
        Column("reason", "VARCHAR", "one line that says what went wrong; empty when ok"),
        Column("parents", "BIGINT[]", "parents; the first one provides persona and files"),
        Column("base", "BIGINT", "candidate whose files the prompt asks to improve"),
        Column("duplicate_of", "BIGINT", "earlier candidate with the same code, whose scores are copied", was="twin"),
        Column("operators", "VARCHAR", "JSON list of variation records: operator, genes, origin"),
        Column("mind", "VARCHAR", "name of its persona"),
        Column("persona", "VARCHAR", "its persona as JSON"),
        Column("prompt", "VARCHAR", "the persona's text, the files and their result, as sent"),
        Column("files", "VARCHAR", "JSON object of file name to text; null if the answer held none"),
        Column("base_files", "VARCHAR", "hash of the files of the base"),
        Column("code_hash", "VARCHAR", "hash of its files' syntax trees"),
        Column("summary", "VARCHAR", "the answer's first line outside its code"),
        Column("val_loss", "DOUBLE", "held-out loss of its first training, nats a token, computed by us"),
        Column(
            "relative_cost",
            "DOUBLE",
            "relative cost: seconds over the baseline's recent median on that worker, in steps of 0.25",
            True,
            was="cost",
        ),
        Column("seconds", "DOUBLE", "of its first training: CPU seconds, wall seconds on MPS and CUDA", True),
        Column("reported_vloss", "DOUBLE", "best_vloss as the candidate reports it; never used"),
        Column("reported_elapsed_min", "DOUBLE", "elapsed_min as the candidate reports it; never used", True),
        Column("n_params", "BIGINT", "parameters of the trained model"),
        Column("early_stop_loss", "DOUBLE", "validation loss reported at the early-stopping step", was="rung_loss"),
        Column("output_tail", "VARCHAR", "the last of what its training printed, at most 16 kB", True),
        Column("asked", "VARCHAR", "label of the model in the configuration"),
        Column("attempts", "BIGINT", "number of answers; more than 1 if a failed answer was sent back for repair"),
        Column("first_status", "VARCHAR", "status of the first answer"),
        Column("model", "VARCHAR", "the model that answered, as the endpoint names it"),
        Column("tokens", "BIGINT", "input and output tokens of its calls; null where one was not counted"),
        Column("cost_usd", "DOUBLE", "price of its calls; null where it is not known"),
        Column("created_at", "TIMESTAMP", "when the row was made, UTC", True),
    ),
    "trainings": (
        _RUN,
        _ID,
        Column(
            "replicate", "BIGINT", "number of the training, unique in its candidate; the same number has the same seeds"
        ),
        Column(
            "purpose",
            "VARCHAR",
            "search: the first training; calibration: baseline on a fresh seed; finalist: fresh seeds after the search; "
            "repair: failed first iterations of an answer that went back to its model; timing: the first training again "
            "for its seconds; verdict: fresh seeds for the verdict",
        ),
        Column("seed", "BIGINT", "random seed of the initialisation; the data order has its own"),
        Column(
            "relative_cost",
            "DOUBLE",
            "relative cost: seconds over the baseline's recent median on that worker, in steps of 0.25",
            True,
            was="cost",
        ),
        Column("status", "VARCHAR", "ok, or the name of its failure"),
        Column("reason", "VARCHAR", "one line that says what went wrong"),
        Column("stage", "VARCHAR", "how far it came: start, short run, training, verification or done"),
        Column("val_loss", "DOUBLE", "held-out loss, nats a token, computed by us"),
        Column("text_se", "DOUBLE", "standard error of val_loss from the choice of text, by blocks of 4 kB"),
        Column("bits_per_byte", "DOUBLE", "val_loss in bits a byte of text"),
        Column("test_loss", "DOUBLE", "loss on the test part, nats a token; only where a verdict asked for it"),
        Column("reported_vloss", "DOUBLE", "best_vloss as the candidate reports it"),
        Column("reported_gap", "DOUBLE", "reported_vloss less val_loss"),
        Column("reported_elapsed_min", "DOUBLE", "elapsed_min as the candidate reports it", True),
        Column("n_params", "BIGINT", "parameters of the trained model"),
        Column("early_stop_loss", "DOUBLE", "validation loss reported at the early-stopping step", was="rung_loss"),
        Column("cpu_seconds", "DOUBLE", "of the whole process tree", True),
        Column("wall_seconds", "DOUBLE", "by our clock", True),
        Column("verify_seconds", "DOUBLE", "that rebuilding, scoring and probing took, by our clock", True),
        Column("peak_memory_bytes", "BIGINT", "resident, of the whole process tree", True),
        Column("device", "VARCHAR", "cpu, cuda or mps", True),
        Column("host", "VARCHAR", "machine that trained", True),
        Column("isolation", "VARCHAR", "level of the sandbox"),
        Column("output_tail", "VARCHAR", "the last of what it printed, at most 16 kB", True),
        Column("started_at", "TIMESTAMP", "UTC", True),
    ),
    "curves": (
        _RUN,
        _ID,
        Column("replicate", "BIGINT", "of the training"),
        Column("step", "BIGINT", "optimiser steps done"),
        Column("seconds", "DOUBLE", "since the candidate's files were read, by the harness", True),
        Column("train_loss", "DOUBLE", "of a training batch, as reported"),
        Column("reported_val_loss", "DOUBLE", "of validation batches, as reported"),
    ),
    "calls": (
        _RUN,
        _ID,
        Column(
            "attempt",
            "BIGINT",
            "1 for the first answer of a candidate, +1 for each repair; 0 for an answer that wrote a gene",
        ),
        Column("model", "VARCHAR", "name of the model, as the endpoint gives it"),
        Column("messages", "VARCHAR", "JSON list of the messages sent"),
        Column("response", "VARCHAR", "the answer's text"),
        Column("reasoning", "VARCHAR", "reasoning of the model, if the endpoint returns it separately"),
        Column("finish_reason", "VARCHAR", "as the endpoint gives it"),
        Column("status", "VARCHAR", "ok, or no_answer"),
        Column("reason", "VARCHAR", "one line that says what went wrong"),
        Column("latency_s", "DOUBLE", "seconds from request to whole answer, retries included", True),
        Column("input_tokens", "BIGINT", "as the endpoint counts them"),
        Column("output_tokens", "BIGINT", "as the endpoint counts them"),
        Column("cost_usd", "DOUBLE", "by the prices of the configuration; null where they are not known"),
        Column("requests", "BIGINT", "number of requests sent; all but the last failed", True),
        Column("lost_tokens", "BIGINT", "upper bound of the tokens billed for broken requests", True),
        Column("lost_usd", "DOUBLE", "the same in US dollars", True),
        Column("created_at", "TIMESTAMP", "when the answer was there, UTC", True),
    ),
    "verdicts": (
        _RUN,
        _ID,
        Column("after", "BIGINT", "number of candidates of the run at the verdict"),
        Column("look", "BIGINT", "number of the verdict in the run, from 1; a row without a verdict does not count"),
        Column("verdict", "VARCHAR", "better, not shown to be better, or nothing to judge"),
        Column("seeds", "BIGINT", "fresh seeds of each side"),
        Column("difference", "DOUBLE", "candidate's mean loss on `test` less the baseline's, nats a token"),
        Column("low", "DOUBLE", "lower end of its 95 % interval (Welch)"),
        Column("high", "DOUBLE", "upper end of its 95 % interval (Welch)"),
        Column("p_welch", "DOUBLE", "one-sided p of Welch's test that the candidate is better"),
        Column("p_permutation", "DOUBLE", "the same by exact permutation"),
        Column("p_holm", "DOUBLE", "p_welch corrected for the run's other looks (Holm)"),
        Column("details", "VARCHAR", "JSON: seeds and losses of both sides"),
        Column("created_at", "TIMESTAMP", "time of the verdict, UTC", True),
    ),
}


def clock_columns(table: str) -> set[str]:
    """Return the columns that hold clock values."""
    return {column.name for column in TABLES[table] if column.clock}


def with_current_names(data: "pa.Table", table: str) -> "pa.Table":
    """Return a table of an older schema with each renamed column under its current name."""
    current = {column.was: column.name for column in TABLES[table] if column.was}
    return data.rename_columns([current.get(name, name) for name in data.schema.names])


def arrow_schema(table: str) -> "pa.Schema":
    """Return the pyarrow schema of `table` with the schema version in its metadata."""
    import pyarrow as pa

    kinds = {
        "BIGINT": pa.int64(),
        "BIGINT[]": pa.list_(pa.int64()),
        "DOUBLE": pa.float64(),
        "VARCHAR": pa.string(),
        "TIMESTAMP": pa.timestamp("us"),
    }
    fields = [pa.field(column.name, kinds[column.kind]) for column in TABLES[table]]
    return pa.schema(fields, metadata={METADATA_KEY: str(VERSION).encode()})
