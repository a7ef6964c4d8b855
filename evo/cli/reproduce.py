"""Command `evo reproduce`, and the verdict that `evo best --verdict` requests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo import finalists, workspace
from evo.cli import output
from evo.errors import EvoError
from evo.lineage.schema import GENE
from evo.status import Status

if TYPE_CHECKING:
    from evo.driver.run_folder import RunFolder
    from evo.lineage.store import Lineage, Row

_JUDGED = (Status.OK, Status.DUPLICATE, Status.STOPPED_EARLY)
"""Statuses of candidates that a verdict can judge."""
CLOSE = 1e-6
"""Largest difference, in nats, between two trainings that count as equal. Builds of torch differ in rounding."""


def look(path: Path, candidate: Mapping[str, Any]) -> None:
    """Judge a candidate of a finished run on the test part, unless its verdict exists.

    Raises:
        EvoError: The run is unfinished or configured without a verdict, or the candidate cannot be trained.
    """
    from evo.cli.screen import Screen
    from evo.driver import run_folder as folders
    from evo.driver import session
    from evo.lineage import lock, recovery
    from evo.lineage.runs import summary

    if candidate["id"] == 0 or candidate["status"] not in _JUDGED:
        raise EvoError(
            f"expected a scored candidate, found candidate {candidate['id']}: the baseline or a failure ({candidate['status']})",
            hint=f"evo show {candidate['run']}",
            kind="usage",
        )
    with lock.writer(path) as left:
        run = folders.open_run(path)
        for said in [*left, *recovery.recover(path)]:
            output.note(said)
        if not run.config.final.verdict_seeds:
            raise EvoError(
                f"run {run.name} has no verdict: its configuration sets final.verdict_seeds = 0", kind="usage"
            )
        if summary(path).state != "finished":
            raise EvoError(f"run {run.name} is not finished", hint=f"evo resume {run.name}", kind="run")
        try:
            with Screen(run.config, run.candidates) as screen:
                session.run_session(run, screen, look_at=candidate["id"])
        except (session.Interrupted, KeyboardInterrupt):
            output.note("stopped; finished trainings are saved")
            raise typer.Exit(130) from None


def reproduce(
    run: Annotated[str, typer.Argument(help="Name of the run.")],
    number: Annotated[int, typer.Argument(metavar="ID", help="Number of the candidate.")],
    replicate: Annotated[int, typer.Option(help="Number of the training.", min=0)] = 0,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rebuild a candidate from the lineage, train and verify it again, and compare. Exit 1 if the result differs.

    The same CPU kind, torch version and thread count give bit-identical losses. Elsewhere losses differ by rounding or more.
    """
    from evo.driver import run_folder as folders
    from evo.lineage import runs
    from evo.lineage.store import Lineage

    opened = folders.open_run(runs.find(workspace.population(), run))
    lineage = Lineage(opened.path)
    recorded = _recorded(lineage, number, replicate)
    files = rebuilt(lineage, opened, number)
    again = _train_again(opened, files, recorded, device)
    shown = ("status", "val_loss", "test_loss", "reported_vloss", "n_params", "cpu_seconds")
    says, same = _compare(recorded, again)
    if json:
        then, now = ({key: values[key] for key in shown} for values in (recorded, again))
        output.as_json({"run": run, "id": number, "replicate": replicate, "recorded": then, "again": now, "says": says})
    else:
        rows = [[name, *(values[key] for key in shown)] for name, values in (("recorded", recorded), ("again", again))]
        output.table(["", *shown], rows)
        print(says)
    if not same:
        raise typer.Exit(1)


def rebuilt(lineage: "Lineage", run: "RunFolder", number: int) -> dict[str, str]:
    """Return the files of a candidate, rebuilt from its recorded answer and the files of its parent.

    Raises:
        EvoError: The candidate has no files, its answer is lost, or the rebuilt files differ from the recorded ones.
    """
    from evo.proposer.conversation import files_of

    if number == 0:
        return dict(run.evaluator.baseline)
    row = _candidate(lineage, number)
    calls = [call for call in lineage.read("calls") if call["id"] == number and call["attempt"] != GENE]
    if not row["files"]:
        raise EvoError(f"candidate {number} has no files: {row['status']}, {row['reason']}", kind="usage")
    if not calls:
        raise EvoError(
            f"the recorded answer of candidate {number} is lost", hint=f"evo show {row['run']}", kind="lineage"
        )
    base = run.evaluator.baseline if row["base"] == 0 else json.loads(_candidate(lineage, row["base"])["files"])
    files: dict[str, str] = json.loads(row["files"])
    if files not in files_of(calls, base, run.config.answer):
        raise EvoError(f"the recorded answer of candidate {number} does not yield its recorded files", kind="lineage")
    return files


def _candidate(lineage: "Lineage", number: int) -> "Row":
    found = lineage.read_record("candidates", number)
    if not found:
        raise EvoError(f"run {lineage.run} has no candidate {number}", kind="usage")
    return found[0]


def _recorded(lineage: "Lineage", number: int, replicate: int) -> "Row":
    """Return the recorded training to compare with. For a duplicate, return the training of the original."""
    row = _candidate(lineage, number)
    found = lineage.read_record(
        "trainings", row["duplicate_of"] if row["duplicate_of"] is not None else number, replicate
    )
    if not found:
        said = f"candidate {number} ({row['status']}) has no training {replicate}"
        raise EvoError(said, hint=f"evo show {lineage.run} {number}", kind="usage")
    return found[0]


def _train_again(run: "RunFolder", files: dict[str, str], recorded: "Row", device: str) -> "Row":
    from evo.trainer import device as devices
    from evo.trainer.isolation import choose
    from evo.trainer.job import Job
    from evo.trainer.trainer import Trainer

    level = choose(run.config.isolation, trusted=run.config.is_catalogue)
    trainer = Trainer(run.evaluator, devices.find(device, threads=run.config.workers.threads), level)
    if trainer.data_sha256 != run.data_sha256:
        raise EvoError("the evaluator's data differs from the data of the run", hint="evo doctor", kind="data")
    seeds = finalists.seeds_of(run.config.seed, recorded["replicate"])
    return trainer.judge(Job(files, *seeds, test=recorded["test_loss"] is not None)).as_dict()


def _compare(recorded: "Row", again: "Row") -> tuple[str, bool]:
    """Return a sentence that compares two trainings on one seed, and whether they agree."""
    before, now = recorded["val_loss"], again["val_loss"]
    if recorded["status"] == Status.STOPPED_EARLY:
        same = (
            recorded["early_stop_loss"] is not None
            and abs(recorded["early_stop_loss"] - (again["early_stop_loss"] or 0)) <= CLOSE
        )
        return f"stopped early when recorded; trained in full now: {again['status']}, loss {now}", same
    if recorded["status"] != again["status"]:
        return f"DIFFERS: recorded {recorded['status']}, now {again['status']} ({again['reason']})", False
    if before is None or now is None:
        return f"the same failure: {again['status']}", True
    if before == now:
        return "the same to the last bit", True
    same = abs(before - now) <= CLOSE
    return f"{'the same within rounding' if same else 'DIFFERS'}: {now - before:+.3g} nats a token", same
