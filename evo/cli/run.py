"""`evo run` and `evo resume`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo import workspace
from evo.cli import output
from evo.cli.output import counted
from evo.errors import EvoError

if TYPE_CHECKING:
    from evo.config import Config, Model
    from evo.driver.run_folder import RunFolder

SEARCH, TASK, MODEL, BUDGET, MACHINE = "Search", "Task", "Model", "Budget", "Machine"
"""Panels of the help screen."""

KEYS = {
    "generations": "generations",
    "population": "population",
    "seed": "seed",
    "personas": "seeds",
    "evaluator": "evaluator",
    "data": "data.source",
    "data_path": "data.path",
    "model": "model.name",
    "base_url": "model.base_url",
    "preset": "model.preset",
    "gguf": "model.gguf",
    "answers_from": "model.answers_from",
    "budget_usd": "budget.usd",
    "budget_tokens": "budget.tokens",
    "budget_hours": "budget.hours",
    "budget_candidates": "budget.candidates",
    "selection": "selection.rule",
    "max_cost": "selection.max_cost",
    "isolation": "isolation",
    "device": "workers.device",
    "slots": "workers.slots",
}
"""Configuration key that each option sets, by the option's name."""
Generations = Annotated[
    int | None,
    typer.Option("--generations", "-g", help="Number of generations after generation 0.", rich_help_panel=SEARCH),
]
Device = Annotated[str | None, typer.Option(help="Device: auto, cpu, cuda or mps.", rich_help_panel=MACHINE)]
Slots = Annotated[int | None, typer.Option(help="Number of trainings that run at once.", rich_help_panel=MACHINE)]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Name of the model. Default: the built-in catalogue.", rich_help_panel=MODEL),
]
BaseUrl = Annotated[str | None, typer.Option(help="URL of an OpenAI-compatible endpoint.", rich_help_panel=MODEL)]
Preset = Annotated[
    str | None,
    typer.Option(help="Kind of server: openai, gateway, ollama, lmstudio, vllm, llamacpp, mlx.", rich_help_panel=MODEL),
]
BudgetUsd = Annotated[
    float | None,
    typer.Option(help="US dollars that the run may spend. Needs the prices of the models.", rich_help_panel=BUDGET),
]
BudgetTokens = Annotated[
    int | None, typer.Option(help="Tokens that the run may use, input and output.", rich_help_panel=BUDGET)
]
BudgetHours = Annotated[
    float | None, typer.Option(help="Hours after which this session requests nothing new.", rich_help_panel=BUDGET)
]
BudgetCandidates = Annotated[
    int | None, typer.Option(help="Candidates that may be requested from models.", rich_help_panel=BUDGET)
]


def run(
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="TOML file, or a name in configs/.", rich_help_panel=SEARCH),
    ] = None,
    generations: Generations = None,
    population: Annotated[int | None, typer.Option(help="Candidates per generation.", rich_help_panel=SEARCH)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed (an integer) of every draw.", rich_help_panel=SEARCH)
    ] = None,
    personas: Annotated[
        str | None,
        typer.Option(
            help="Personas to start from: names or paths, comma-separated. Default: all.", rich_help_panel=SEARCH
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", hidden=True, help="Old name of --personas.")] = None,
    selection: Annotated[
        str | None, typer.Option(help="Selection rule: loss, nsga2 or score.", rich_help_panel=SEARCH)
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            help="Largest relative cost of a leader: 2 is twice the baseline's training time. inf ignores time.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    evaluator: Annotated[
        str | None, typer.Option(help="Folder, or a name in evaluators/.", rich_help_panel=TASK)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="plays, shakespeare, or the path of a folder of text files.", rich_help_panel=TASK),
    ] = None,
    data_path: Annotated[
        str | None, typer.Option(help="Tiny-Shakespeare file, with --data shakespeare.", rich_help_panel=TASK)
    ] = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    preset: Preset = None,
    gguf: Annotated[
        str | None,
        typer.Option(help="GGUF file of a local model, served by this run (extra `local`).", rich_help_panel=MODEL),
    ] = None,
    answers_from: Annotated[
        str | None, typer.Option(help="Run whose recorded answers are replayed.", rich_help_panel=MODEL)
    ] = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    budget_hours: BudgetHours = None,
    budget_candidates: BudgetCandidates = None,
    isolation: Annotated[
        str | None,
        typer.Option(
            help="Isolation level: auto (the strongest that works) or a level that `evo doctor` lists.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Device = None,
    slots: Slots = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run. Default: the date and time.", rich_help_panel=SEARCH)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what the run would request and spend, then exit.")
    ] = False,
) -> None:
    """Start a search and run it until every generation is done.

    A flag wins over an EVO_* variable (EVO_MODEL__BASE_URL), which wins over the config file, which wins over the default.
    """
    source, path = _data(data, data_path)
    from evo.driver import session

    resolved = load_config(
        config,
        generations=generations,
        population=population,
        seed=seed,
        personas=personas if seeds is None else seeds,
        evaluator=evaluator,
        data=source,
        data_path=path,
        model=model,
        base_url=base_url,
        preset=preset,
        gguf=gguf,
        answers_from=answers_from,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
        budget_hours=budget_hours,
        budget_candidates=budget_candidates,
        selection=selection,
        max_cost=max_cost,
        isolation=isolation,
        device=device,
        slots=slots,
    )
    if dry_run:
        for line in session.forecast(resolved):
            print(line)
        return
    prepared = session.prepare(resolved, name, workspace.population())
    for note in prepared.notes:
        output.note(note)
    _go(prepared.run.path, {})


def resume(
    run: Annotated[str | None, typer.Argument(help="Name of the run. Default: the latest unfinished one.")] = None,
    generations: Generations = None,
    device: Device = None,
    slots: Slots = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    budget_hours: BudgetHours = None,
    budget_candidates: BudgetCandidates = None,
) -> None:
    """Continue a run from where it stopped.

    A finished run continues with a larger --generations. A run that spent its budget continues with a larger budget.
    """
    from evo.lineage.runs import find

    changes = _flags(
        generations=generations,
        device=device,
        slots=slots,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
        budget_hours=budget_hours,
        budget_candidates=budget_candidates,
    )
    path = find(workspace.population(), run, unfinished=generations is None)
    _go(path, changes)


def load_config(name: str | None, **options: Any) -> "Config":
    """Load a configuration and apply the command-line options that were given.

    Args:
        name: TOML file, or a name in configs/. None for `configs/default.toml`, if there is one.
        options: Values by option, as in `KEYS`. None for an option that was not given.

    Raises:
        EvoError: There is no such file, or a value is invalid.
    """
    from evo import config as configuration

    path = workspace.locate("configs", name, ".toml") if name else _default_config()
    return configuration.load(path, _flags(**options))


def _flags(**options: Any) -> dict[str, Any]:
    """Return the values of the options that were given, by configuration key."""
    return {KEYS[option]: value for option, value in options.items() if value is not None}


def _default_config() -> Path | None:
    """Return the path of `configs/default.toml` in this workspace, else of the built-in one."""
    try:
        return workspace.locate("configs", "default", ".toml")
    except EvoError:
        return None


def _go(path: Path, changes: dict[str, Any]) -> None:
    """Continue a run, then print its summary. Exit 130 if it was interrupted, 1 if no candidate was scored."""
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
            f"run {run.name} on {run.evaluator.spec.name}: the baseline and {counted(run.candidates - 1, 'candidate')} "
            f"({counted(run.config.generations, 'generation')} of {run.config.population}), proposed by {_proposers(run)}"
        )
        try:
            if summary(path).state != "finished":
                with Screen(run.config, run.candidates) as screen:
                    session.run_session(run, screen)
        except (session.Interrupted, KeyboardInterrupt):
            output.note(f"stopped; finished work is saved. Continue with: {output.program()} resume {run.name}")
            raise typer.Exit(130) from None
        lineage = Lineage(run.path)
        tables = [lineage.read(table) for table in ("candidates", "trainings", "verdicts", "calls")]
    rows, trainings, verdicts, calls = tables
    lines = report.ending(run.name, rows, trainings, verdicts, calls, run.config, _shown(run.path), output.program())
    print("\n".join(map(output.clean, lines)))
    if report.standing(rows, trainings, run.config).leader is None:
        raise typer.Exit(1)


def _data(data: str | None, path: str | None) -> tuple[str | None, str | None]:
    """Return the data source and its path from --data and --data-path.

    Raises:
        EvoError: --data is neither a source nor a folder, or contradicts --data-path.
    """
    if path is not None and data not in (None, "shakespeare"):
        raise EvoError(f"expected --data shakespeare with --data-path, found --data {data}", kind="usage")
    if data is None or data in ("plays", "shakespeare"):
        return data, path
    if Path(data).is_dir():
        return "folder", data
    found = "a file" if Path(data).is_file() else "no such folder"
    raise EvoError(
        f"expected --data plays, --data shakespeare or the path of a folder of text files, found {data!r} ({found})",
        hint="put the text file into a folder of its own and give that folder",
        kind="usage",
    )


def _proposers(run: "RunFolder") -> str:
    return ", ".join(map(_model, run.config.model))


def _model(model: "Model") -> str:
    where = {
        "catalogue": "the built-in catalogue (rule-based, offline)",
        "endpoint": f"{model.display_name} at {model.base_url}",
        "command": f"the command {model.display_name}",
        "gguf": f"{model.display_name}, served here",
        "answers": f"the answers of run {model.answers_from}",
    }
    return where[model.kind]


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
