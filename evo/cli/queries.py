"""Commands that read the lineage: `evo runs`, `show`, `best`, `diff`, `sql`. They import neither torch nor ray."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evo import workspace
from evo.cli import output
from evo.errors import EvoError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunName = Annotated[str | None, typer.Argument(help="Name of the run. Default: the latest.")]


def runs(json: Json = False) -> None:
    """List the runs of this workspace."""
    from dataclasses import asdict, fields

    from evo.lineage.runs import RunSummary, summaries

    found = summaries(workspace.population())
    if json:
        output.as_json([asdict(run) for run in found])
    elif found:
        names = [field.name for field in fields(RunSummary)]
        output.table(names, [[getattr(run, name) for name in names] for run in found])
    else:
        output.note(f"no runs in {workspace.population()}; start one: evo run")


def show(
    run: RunName = None,
    number: Annotated[int | None, typer.Argument(metavar="[ID]", help="Number of a candidate.")] = None,
    json: Json = False,
) -> None:
    """Print the state of a run, or everything about one of its candidates."""
    name, rows = _rows(run)
    if number is not None:
        _show_candidate(_one(rows, name, number), as_json=json)
        return
    from evo import report

    config = _config(name)
    trainings, verdicts, calls = (_table(table, name) for table in ("trainings", "verdicts", "calls"))
    now = report.standing(rows, trainings, config)
    if json:
        output.as_json(
            {"run": name, "done": now.done, "failures": now.failures, "stopped": now.stopped, "gain": now.gain}
            | {"baseline": _brief(now.baseline), "leader": _brief(now.leader), "fresh": now.fresh, "verdicts": verdicts}
        )
        return
    lines = report.ending(name, rows, trainings, verdicts, calls, config, f"population/{name}", output.program())
    print("\n".join(map(output.clean, lines)))


def best(
    run: RunName = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the files, persona and scores of the leader into this folder.")
    ] = None,
    verdict: Annotated[
        bool,
        typer.Option(
            "--verdict", help="Train the leader and the baseline on fresh seeds and compare them on the test part."
        ),
    ] = False,
    candidate: Annotated[
        int | None,
        typer.Option(
            help="With --verdict: judge this candidate instead. Every verdict counts in the correction for many looks."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the leader of a run and its verdict. Export its files with --export DIR.

    The leader is the fittest candidate by the selection rule of the run. In a finished long run it is the finalist with the
    lowest mean loss over fresh seeds.
    """
    from evo import report

    name, rows = _rows(run)
    if candidate is not None and not verdict:
        raise EvoError(
            "expected --verdict with --candidate, found --candidate alone",
            hint=f"evo show {name} {candidate}",
            kind="usage",
        )
    leader = report.standing(rows, _table("trainings", name), _config(name)).leader
    if leader is None:
        raise EvoError(f"no candidate of run {name} was scored", hint=f"evo show {name}", kind="run")
    if verdict:
        from evo.cli import reproduce

        leader = _one(rows, name, leader["id"] if candidate is None else candidate)
        reproduce.look(workspace.population() / name, leader)
    if export is not None:
        _export(leader, export)
        output.note(f"exported candidate {leader['id']} of {name} to {export}")
    verdicts = [row for row in _table("verdicts", name) if row["id"] == leader["id"]]
    if json:
        output.as_json((_brief(leader) or {}) | {"verdicts": verdicts})
        return
    print("\n".join(report.verdict_lines(verdicts)) + "\n")
    _show_candidate(leader, as_json=False)


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="RUN:ID, or the ID of a candidate in the latest run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="RUN:ID, or the ID of a candidate in the latest run.")],
    json: Json = False,
) -> None:
    """Compare the scores, genes and files of two candidates."""
    a, b = _candidate(first), _candidate(second)
    genes = _gene_changes(a, b)
    patch = "".join(_file_changes(a, b))
    if json:
        output.as_json({"a": _brief(a), "b": _brief(b), "genes": genes, "files": patch})
        return
    output.table(
        ["candidate", "status", "val_loss", "relative_cost", "seconds", "mind"],
        [
            [f"{r['run']}:{r['id']}", r["status"], r["val_loss"], r["relative_cost"], r["seconds"], r["mind"]]
            for r in (a, b)
        ],
    )
    for line in genes:
        print(output.clean(line))
    print(output.clean(patch), end="")


def sql(
    query: Annotated[
        str | None, typer.Argument(help='Query, e.g. "SELECT id, val_loss FROM candidates ORDER BY val_loss"')
    ] = None,
    run: Annotated[str | None, typer.Option(help="Query one run only. Default: all runs.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="List the tables and their columns.")] = False,
    json: Json = False,
) -> None:
    """Query the lineage with DuckDB.

    Tables: candidates, trainings, curves, calls, verdicts. Views: scores, credit.
    """
    from evo.lineage import query as queries
    from evo.lineage import runs
    from evo.lineage.schema import TABLES

    if schema:
        rows = [[table, c.name, c.kind, c.meaning] for table, columns in TABLES.items() for c in columns]
        output.as_json(
            [dict(zip(("table", "column", "type", "meaning"), row, strict=True)) for row in rows]
        ) if json else (output.table(["table", "column", "type", "meaning"], rows))
        return
    if query is None:
        raise EvoError("expected a query", hint='evo sql "SELECT * FROM candidates", or evo sql --schema', kind="usage")
    if run is not None:
        runs.find(workspace.population(), run)
    answer = queries.sql(workspace.population(), query, run)
    if json:
        output.as_json(answer.as_dicts())
    else:
        output.table(answer.columns, answer.rows)


def _rows(run: str | None) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a run and its candidates, ordered by number."""
    from evo.lineage import runs

    name = runs.find(workspace.population(), run).name
    return name, _table("candidates", name)


def _table(table: str, name: str) -> list[dict[str, Any]]:
    """Return all rows of one table of a run, ordered by key."""
    from evo.lineage import query

    keys = {"trainings": "id, replicate", "verdicts": "look"}.get(table, "id")
    return query.sql(workspace.population(), f"SELECT * FROM {table} ORDER BY {keys}", name).as_dicts()


def _config(name: str) -> Any:
    from evo import config

    return config.thaw(workspace.population() / name / "config.toml")


def _one(rows: list[dict[str, Any]], name: str, number: int) -> dict[str, Any]:
    found = next((row for row in rows if row["id"] == number), None)
    if found is None:
        last = max((row["id"] for row in rows), default=None)
        there = "it has none yet" if last is None else f"its candidates are 0 to {last}"
        raise EvoError(f"run {name} has no candidate {number}; {there}", kind="usage")
    return found


def _candidate(reference: str) -> dict[str, Any]:
    run, _, number = reference.rpartition(":")
    if not number.isdecimal():
        raise EvoError(f"expected RUN:ID or ID, found {reference!r}", kind="usage")
    name, rows = _rows(run or None)
    return _one(rows, name, int(number))


def _brief(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a row with its JSON columns decoded."""
    if row is None:
        return None
    unpacked = {key: json.loads(row[key]) for key in ("operators", "persona", "files") if row[key]}
    return {**row, **unpacked}


def _show_candidate(row: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.as_json(_brief(row))
        return
    long = ("persona", "prompt", "files", "operators", "output_tail")
    output.fields({key: value for key, value in row.items() if key not in long and value is not None})
    for record in json.loads(row["operators"]):
        print(output.clean(f"  {record.pop('operator')}: {json.dumps(record, ensure_ascii=False)}"))
    if row["output_tail"]:
        print(f"\n--- output ---\n{output.clean(row['output_tail']).rstrip()}")
    for name, text in json.loads(row["files"] or "{}").items():
        print(f"\n--- {name} ---\n{output.clean(text).rstrip()}")


def _export(row: Mapping[str, Any], folder: Path) -> None:
    from evo import persona
    from evo.lineage.store import write_text

    for name, text in json.loads(row["files"]).items():
        write_text(folder / name, text)
    if row["persona"]:
        write_text(folder / "persona.txt", persona.render(persona.from_json(row["persona"])))
    about = {
        key: row[key]
        for key in ("run", "id", "val_loss", "relative_cost", "seconds", "n_params", "mind", "model", "code_hash")
    }
    write_text(folder / "scores.json", json.dumps(about, indent=2) + "\n")


def _gene_changes(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Return one line per gene that only one candidate has, or that the two emphasise differently."""
    from evo import persona

    who = [persona.from_json(row["persona"]) if row["persona"] else None for row in (a, b)]
    lines = []
    for kind in persona.VARIED:
        found = [{i.label: i.emphasis for i in s.items} if p and (s := p.section(kind)) else {} for p in who]
        for label in [*found[0], *(x for x in found[1] if x not in found[0])]:
            if label not in found[1]:
                lines.append(f"- {kind}: {label}")
            elif label not in found[0]:
                lines.append(f"+ {kind}: {label}")
            elif found[0][label] != found[1][label]:
                lines.append(f"~ {kind}: {label}: emphasis {found[0][label]} to {found[1][label]}")
    return lines


def _file_changes(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    files = [json.loads(row["files"] or "{}") for row in (a, b)]
    changes: list[str] = []
    for name in sorted({*files[0], *files[1]}):
        old, new = (f.get(name, "").splitlines(keepends=True) for f in files)
        changes += difflib.unified_diff(old, new, f"{a['run']}:{a['id']}/{name}", f"{b['run']}:{b['id']}/{name}")
    return changes
