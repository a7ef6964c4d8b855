"""`evo run` and `evo resume`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo import workspace
from evo.cli import output
from evo.errors import EvoError

if TYPE_CHECKING:
    from evo.config import Model
    from evo.driver.run_folder import RunFolder

Generations = Annotated[int | None, typer.Option("--generations", "-g", help="Generations after the seeds.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Slots = Annotated[int | None, typer.Option(help="Trainings at a time.")]
BudgetUsd = Annotated[float | None, typer.Option(help="US dollars that the run may spend; needs the models' prices.")]
BudgetTokens = Annotated[int | None, typer.Option(help="Tokens that it may use, in and out.")]
BudgetHours = Annotated[float | None, typer.Option(help="Hours of a session after which nothing new is asked for.")]
BudgetCandidates = Annotated[int | None, typer.Option(help="Candidates that models may be asked for.")]


def run(
    config: Annotated[str | None, typer.Option("--config", "-c", help="A TOML file, or a name in configs/.")] = None,
    generations: Generations = None,
    population: Annotated[int | None, typer.Option(help="Candidates a generation.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seed personas by name or path, comma-separated; default all.")
    ] = None,
    evaluator: Annotated[str | None, typer.Option(help="A folder, or a name in evaluators/.")] = None,
    data: Annotated[str | None, typer.Option(help="plays, shakespeare, or a folder of text.")] = None,
    data_path: Annotated[
        str | None, typer.Option(help="An existing tiny-Shakespeare file, with --data shakespeare.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name; default the built-in catalogue.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Of an OpenAI-compatible endpoint.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Kind of server: openai, gateway, ollama, lmstudio, vllm, llamacpp, mlx.")
    ] = None,
    gguf: Annotated[str | None, typer.Option(help="File of a local model, served here (extra `local`).")] = None,
    answers_from: Annotated[str | None, typer.Option(help="A run whose recorded answers are given again.")] = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    budget_hours: BudgetHours = None,
    budget_candidates: BudgetCandidates = None,
    selection: Annotated[str | None, typer.Option(help="loss, nsga2 or score.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Times the baseline's cost; inf takes the clock out.")] = None,
    isolation: Annotated[
        str | None, typer.Option(help="auto: the strongest that works; or a level by name (evo doctor).")
    ] = None,
    device: Device = None,
    slots: Slots = None,
    name: Annotated[str | None, typer.Option(help="Of the run; default the time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would ask for and spend, and stop.")] = False,
) -> None:
    """Start a search, and go on until every generation is done.

    Values come from a flag, else EVO_* (EVO_MODEL__BASE_URL), else the config file, else the default.
    """
    source, path = ("folder", data) if data and Path(data).is_dir() else (data, data_path)
    flags: dict[str, Any] = {
        "generations": generations,
        "population": population,
        "seed": seed,
        "seeds": seeds,
        "evaluator": evaluator,
        "data.source": source,
        "data.path": path,
        "model.name": model,
        "model.base_url": base_url,
        "model.preset": preset,
        "model.gguf": gguf,
        "model.answers_from": answers_from,
        **_budget(budget_usd, budget_tokens, budget_hours, budget_candidates),
        "selection.rule": selection,
        "selection.max_cost": max_cost,
        "isolation": isolation,
        "workers.device": device,
        "workers.slots": slots,
    }
    from evo import config as configuration
    from evo.driver import session

    found = workspace.locate("configs", config, ".toml") if config else default_config()
    resolved = configuration.load(found, {key: value for key, value in flags.items() if value is not None})
    if dry_run:
        for line in session.forecast(resolved):
            print(line)
        return
    prepared = session.prepare(resolved, name, workspace.population())
    for note in prepared.notes:
        output.note(note)
    _go(prepared.run.path, {})


def resume(
    run: Annotated[str | None, typer.Argument(help="The run's name; default the latest unfinished one.")] = None,
    generations: Generations = None,
    device: Device = None,
    slots: Slots = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    budget_hours: BudgetHours = None,
    budget_candidates: BudgetCandidates = None,
) -> None:
    """Go on with a run where it stopped; with more --generations, beyond its end; with another budget, beyond that."""
    from evo.lineage.runs import find

    changes: dict[str, Any] = {"generations": generations, "workers.device": device, "workers.slots": slots}
    changes |= _budget(budget_usd, budget_tokens, budget_hours, budget_candidates)
    path = find(workspace.population(), run, unfinished=generations is None)
    _go(path, {key: value for key, value in changes.items() if value is not None})


def default_config() -> Path | None:
    """`configs/default.toml` of this workspace, else the built-in one."""
    try:
        return workspace.locate("configs", "default", ".toml")
    except EvoError:
        return None


def _go(path: Path, changes: dict[str, Any]) -> None:
    """Carry a run on, then print how it stands; exit 130 where it was interrupted, 1 where no candidate was scored."""
    from evo import report
    from evo.cli.screen import Screen
    from evo.driver import run_folder as folders
    from evo.driver import session
    from evo.lineage import lock, recovery
    from evo.lineage.runs import summary
    from evo.lineage.store import Lineage

    with lock.writer(path) as left:
        opened = folders.open_run(path)
        for said in [*left, *recovery.clear_population(path.parent), *recovery.recover(path)]:
            output.note(said)
        run = folders.extend(opened, changes)
        output.note(
            f"run {run.name}: {run.candidates} candidates of {run.evaluator.spec.name}, "
            f"{run.config.generations} generations of {run.config.population}, asked of {_who(run)}"
        )
        try:
            if summary(path).state != "finished":
                with Screen(run.config, run.candidates) as screen:
                    session.carry_on(run, screen)
        except (session.Interrupted, KeyboardInterrupt):
            output.note(f"stopped; nothing finished is lost. Go on with: {output.program()} resume {run.name}")
            raise typer.Exit(130) from None
        lineage = Lineage(run.path)
        tables = [lineage.read(table) for table in ("candidates", "trainings", "verdicts", "calls")]
    rows, trainings, verdicts, calls = tables
    lines = report.ending(run.name, rows, trainings, verdicts, calls, run.config, _shown(run.path), output.program())
    print("\n".join(map(output.clean, lines)))
    if report.standing(rows, trainings, run.config).leader is None:
        raise typer.Exit(1)


def _budget(usd: float | None, tokens: int | None, hours: float | None, candidates: int | None) -> dict[str, Any]:
    return {"budget.usd": usd, "budget.tokens": tokens, "budget.hours": hours, "budget.candidates": candidates}


def _who(run: "RunFolder") -> str:
    return ", ".join(map(_model, run.config.model))


def _model(model: "Model") -> str:
    where = {
        "catalogue": "the built-in catalogue (rule-based, offline)",
        "endpoint": f"{model.called} at {model.base_url}",
        "command": f"the command {model.called}",
        "gguf": f"{model.called}, served here",
        "answers": f"the answers of run {model.answers_from}",
    }
    return where[model.kind]


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
