"""Folder of a run: frozen configuration, evaluator and seed personas.

`population/<run>/` holds config.toml, run.json, evaluator/, seeds/ and lineage/. The folder is created atomically, and
only the lineage grows.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evo
from evo import config as configuration
from evo import evaluator as evaluators
from evo import persona
from evo.config import Config
from evo.driver import endpoints
from evo.errors import EvoError
from evo.evaluator import Evaluator
from evo.lineage import lock, schema, store
from evo.trainer import device as devices

_TRANSPORT = {
    *("key_variable", "connect_seconds", "first_token_seconds", "stall_seconds", "timeout_seconds", "retries"),
    *("concurrency", "requests_per_minute", "tokens_per_minute"),
}
"""Keys of a `[[model]]` table that do not affect the answers."""


@dataclass(frozen=True)
class RunFolder:
    """Opened run with its frozen inputs."""

    path: Path
    config: Config
    evaluator: Evaluator
    seeds: tuple[persona.Persona, ...]
    data_sha256: dict[str, str]

    @property
    def name(self) -> str:
        """Return the name of the run, which is the name of its folder."""
        return self.path.name

    @property
    def candidates(self) -> int:
        """Return the number of candidates of the finished run, including the baseline."""
        return 1 + len(self.seeds) + self.config.generations * self.config.population


def create(
    population: Path,
    name: str | None,
    config: Config,
    evaluator: Evaluator,
    seeds: Sequence[persona.Seed],
    data_sha256: dict[str, str],
) -> Path:
    """Create and sync the folder of a new run, and return its path.

    Raises:
        EvoError: The name is taken or invalid, or the disk is full.
    """
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise EvoError(f"expected a run name of letters, digits, '-', '_' and '.', found {name!r}", kind="usage")
    try:
        population.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store.disk_error(error, population) from None
    with lock.making(population):
        path = population / (name or _free_name(population))
        if path.exists():
            hint = f"continue it with `evo resume {path.name}`, or choose another name"
            raise EvoError(f"run {path.name} already exists", hint=hint, kind="run")
        _write(path, config, evaluator, seeds, data_sha256)
    return path


def _write(
    path: Path, config: Config, evaluator: Evaluator, seeds: Sequence[persona.Seed], data_sha256: dict[str, str]
) -> None:
    """Write the folder of a new run under a temporary name that `recovery` recognizes, sync it and rename it."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=f".{os.getpid()}", dir=path.parent))
        aside.chmod(0o755)
    except OSError as error:
        raise store.disk_error(error, path) from None
    try:
        store.write_text(aside / "config.toml", configuration.freeze(config))
        for file in ("evaluator.toml", *evaluator.spec.files):
            store.write_text(aside / "evaluator" / file, (evaluator.folder / file).read_text(encoding="utf-8"))
        for seed in seeds:
            store.write_text(aside / "seeds" / f"{seed.slug}.txt", persona.render(seed.persona))
        about = {
            "evo": evo.__version__,
            "schema": schema.VERSION,
            "data_sha256": data_sha256,
            "past_sha256": past_sha256(config, aside),
        }
        store.write_text(aside / "run.json", json.dumps(about, indent=2) + "\n")
        store.Lineage(aside)
        for folder in (aside / "lineage", aside):
            store.sync_folder(folder)
        os.replace(aside, path)
        store.sync_folder(path.parent)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise store.disk_error(error, path) from None
        raise


def open_run(path: Path) -> RunFolder:
    """Open the run in `path` with its frozen configuration, evaluator and seed personas.

    Raises:
        EvoError: There is no run, `run.json` is damaged, the lineage has another schema version, or a frozen file was
            changed after the run began.
    """
    if not (path / "run.json").is_file():
        raise EvoError(f"no run in {path}", hint="`evo runs` lists the runs", kind="run")
    about = _about(path)
    if about.get("schema", 1) != schema.VERSION:
        raise EvoError(
            f"run {path.name} was started by evo {about['evo']} with lineage schema {about.get('schema', 1)}; this evo uses "
            f"schema {schema.VERSION} and cannot continue the same search",
            hint="read it with `evo show`, `evo sql` or `evo best`, or start a new run with `evo run`",
            kind="run",
        )
    config = configuration.thaw(path / "config.toml")
    if past_sha256(config, path) != about["past_sha256"]:
        raise EvoError(
            f"config.toml, evaluator/ or seeds/ of {path} was changed after the run began, so its candidates no longer match it",
            hint="undo the change, or start a new run with `evo run`",
            kind="run",
        )
    evaluator = evaluators.load(path / "evaluator").with_data(config.data.source, config.data.path)
    seeds = tuple(seed.persona for seed in _frozen_seeds(path, config))
    return RunFolder(path, config, evaluator, seeds, about["data_sha256"])


def _about(path: Path) -> dict[str, Any]:
    """Return the contents of `run.json`.

    Raises:
        EvoError: The file is damaged.
    """
    try:
        about: dict[str, Any] = json.loads((path / "run.json").read_text(encoding="utf-8"))
        if missing := {"evo", "data_sha256", "past_sha256"} - set(about):
            raise ValueError(f"{', '.join(sorted(missing))} missing")
    except (OSError, ValueError, TypeError) as error:
        raise EvoError(
            f"{path / 'run.json'} is damaged: {error}",
            hint="restore it from a copy; `evo show`, `evo sql` and `evo best` work without it",
            kind="run",
        ) from None
    return about


def extend(folder: RunFolder, changes: dict[str, Any]) -> RunFolder:
    """Rewrite the frozen configuration of a run with more generations, other workers or another budget.

    Args:
        folder: The run.
        changes: New values by key. A dot separates the table and the key.

    Returns:
        The run with its new configuration.

    Raises:
        EvoError: The number of generations is smaller than before, or a value is invalid.
    """
    if not changes:
        return folder
    generations = changes.get("generations", folder.config.generations)
    if generations < folder.config.generations:
        raise EvoError(
            f"expected at least the {folder.config.generations} generations of run {folder.name}, found {generations}",
            kind="usage",
        )
    values = folder.config.model_dump(exclude_none=True)
    for key, value in changes.items():
        *tables, last = key.split(".")
        table = values[tables[0]] if tables else values
        table[last] = value
    config = configuration.validated(values, "the command line")
    devices.find(config.workers.device, config.workers.slots, config.workers.threads)
    endpoints.check_prices(config)
    store.write_text(folder.path / "config.toml", configuration.freeze(config))
    return RunFolder(folder.path, config, folder.evaluator, folder.seeds, folder.data_sha256)


def past_sha256(config: Config, folder: Path) -> str:
    """Return a hash of the inputs that determine the candidates of a run.

    The hash covers the frozen evaluator, the seed personas and the configuration. It leaves out the number of generations,
    the budget, the workers, the final stage and other settings that change no candidate.
    """
    files = sorted(p for part in ("evaluator", "seeds") for p in (folder / part).iterdir() if p.is_file())
    values = config.model_dump(mode="json", exclude={"generations", "workers", "final", "budget", "patience_minutes"})
    prices = {"price_in", "price_out"} if config.choice == "weighted" else set()
    values["model"] = [
        {name: value for name, value in model.items() if name not in _TRANSPORT | prices} for model in values["model"]
    ]
    values["files"] = [[f"{p.parent.name}/{p.name}", hashlib.sha256(p.read_bytes()).hexdigest()] for p in files]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _frozen_seeds(path: Path, config: Config) -> list[persona.Seed]:
    """Return the frozen seed personas in the order of the configuration."""
    seeds = {seed.slug: seed for seed in persona.load_seeds(path / "seeds")}
    order = [slug for slug in config.seeds if slug in seeds]
    return [seeds[slug] for slug in order] or list(seeds.values())


def _free_name(population: Path) -> str:
    base = time.strftime("%Y%m%d-%H%M%S")
    names = [base, *(f"{base}-{n}" for n in range(2, 100))]
    return next(name for name in names if not (population / name).exists())
