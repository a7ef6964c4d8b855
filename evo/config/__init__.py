"""Configuration of a search: its schema, its sources and its frozen form.

Flags override `EVO_*` variables (`EVO_MODEL__BASE_URL` sets `base_url` of `[model]`), which override the TOML file, which
overrides the defaults. Unknown keys are refused with a suggestion. This module never reads API keys, only the names of the
variables that hold them.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w
from pydantic import Field, ValidationError, field_validator

from evo.config.model import CATALOGUE, OPENAI_URL, PRESETS, Model, Preset
from evo.config.tables import Budget, Data, Early, Final, Prompt, Selection, Table, Variation, Workers
from evo.errors import EvoError

__all__ = [
    "CATALOGUE",
    "OPENAI_URL",
    "PRESETS",
    "Budget",
    "Config",
    "Data",
    "Early",
    "Final",
    "Model",
    "Preset",
    "Prompt",
    "Selection",
    "Variation",
    "Workers",
    "freeze",
    "known_keys",
    "load",
    "thaw",
    "validated",
]


class Config(Table):
    """Configuration of one search, frozen with the run. A search is a pure function of its configuration and its lineage."""

    evaluator: str = "tiny_gpt"
    """Evaluator, as a folder or a name in `evaluators/`."""
    seeds: tuple[str, ...] = ()
    """Seed personas, by name or path. Empty for all of `seeds/`."""
    generations: int = Field(20, ge=1)
    """Number of generations after generation 0, which holds the baseline and the seed personas."""
    population: int = Field(8, ge=2)
    """Number of candidates per generation, and of survivors from which parents are drawn."""
    lag: int = Field(0, ge=0)
    """The plan for candidate n reads rows up to n - lag. Limits the number of candidates in progress. 0 for `population`."""
    seed: int = Field(1, ge=0)
    """Random seed from which all random draws are derived."""
    isolation: Literal["auto", "bubblewrap", "sandbox-exec", "process"] = "auto"
    """Isolation level. `auto` uses the strongest level that works, and refuses code from a language model if only `process`
    works. `process` protects by no more than a clean environment, a process group and resource limits."""
    baseline_every: int = Field(8, ge=1)
    """Number of candidates between trainings of the baseline. Relative cost then follows changes in the speed of the machine."""
    answer: Literal["files", "edits"] = "files"
    """Form of an answer: whole files, or SEARCH/REPLACE blocks and diffs. Edits cost a tenth as much for long files."""
    repairs: int = Field(2, ge=0)
    """Maximum number of times that an answer which fails its checks or first iterations goes back to its model with the error."""
    choice: Literal["weighted", "bandit"] = "weighted"
    """How a candidate chooses among several models: by weight, or by improvement per cost so far."""
    patience_minutes: float = Field(60.0, ge=0.0)
    """Minutes to wait for an endpoint that is down before the search ends."""
    selection: Selection = Selection()
    variation: Variation = Variation()
    early: Early = Early()
    final: Final = Final()
    prompt: Prompt = Prompt()
    budget: Budget = Budget()
    model: tuple[Model, ...] = Field((Model(),), min_length=1)
    """Models that answer prompts, one table per model. A single model can be written as `[model]`."""
    workers: Workers = Workers()
    data: Data = Data()

    @field_validator("seeds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("model", mode="before")
    @classmethod
    def _one_model(cls, value: object) -> object:
        return (value,) if isinstance(value, dict | Model) else value

    @field_validator("model")
    @classmethod
    def _named_apart(cls, models: tuple[Model, ...]) -> tuple[Model, ...]:
        names = [model.display_name for model in models]
        if len(set(names)) < len(names):
            raise ValueError("expected models with different names; set `label` where two models share a name")
        if not sum(model.weight for model in models):
            raise ValueError("expected at least one model with a weight above 0")
        return models

    @property
    def is_catalogue(self) -> bool:
        """Return whether the catalogue is the only model."""
        return all(model.is_catalogue for model in self.model)

    @property
    def horizon_lag(self) -> int:
        """Return `lag`, or `population` if `lag` is 0."""
        return self.lag or self.population


def load(path: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """Load a configuration from defaults, a TOML file, `EVO_*` variables and flags. Later sources override earlier ones.

    Args:
        path: TOML file. None for no file.
        flags: Values by dotted key.
        environ: Environment variables. None for `os.environ`.

    Raises:
        EvoError: The TOML cannot be read, a key is unknown (with a suggestion), a value is invalid, or an operator needs a
            language model and only the catalogue is configured.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read_toml(path)
        validated(values, str(path))
    environment = dict(_environment(os.environ if environ is None else environ))
    for source, changes in (("the environment", environment), ("the command line", dict(flags))):
        for key, value in changes.items():
            _put(values, key, value)
        if changes:
            validated(values, source)
    config = validated(values, "the configuration")
    wants = config.variation.write_breakthrough or config.variation.sharpen_topic
    if wants and all(model.is_catalogue for model in config.model if model.weight):
        raise EvoError(
            "write_breakthrough and sharpen_topic need a language model, but only the catalogue is configured",
            hint="give a [[model]] table, --model or --gguf, or leave their weights at 0",
            kind="config",
        )
    return config


def freeze(config: Config) -> str:
    """Return the resolved configuration as TOML. `thaw` reads it back without loss."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def thaw(path: Path) -> Config:
    """Read the frozen configuration of a run."""
    return validated(_read_toml(path), str(path))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EvoError(f"cannot read {path}: {error}", kind="config") from None
    except tomllib.TOMLDecodeError as error:
        raise EvoError(f"{path} is not valid TOML: {error}", kind="config") from None


def _environment(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return `EVO_*` variables by dotted key, without the package's variables that are not configuration keys."""
    own = {"EVO_DEBUG", "EVO_CATALOGUE_TOKEN"}
    return [
        (name.removeprefix("EVO_").lower().replace("__", "."), value)
        for name, value in sorted(environ.items())
        if name.startswith("EVO_") and name not in own
    ]


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if isinstance(inner, list):
            if len(inner) != 1:
                raise EvoError(
                    f"{key}: expected exactly one [[{table}]] table, found {len(inner)}; set the key in the TOML file",
                    kind="config",
                )
            inner = inner[0]
        if not isinstance(inner, dict):
            raise EvoError(f"{key}: expected [{table}] to be a table, found {table} = {inner!r}", kind="config")
        values = inner
    values[last] = value


def validated(values: dict[str, Any], source: str) -> Config:
    """Validate nested values from `source`, which error messages name.

    Raises:
        EvoError: A key is unknown (with a suggestion), or a value is invalid.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(part for part in first["loc"] if isinstance(part, str))
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where, known_keys(), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known_keys())}"
            raise EvoError(f"{source}: unknown key {where!r}", hint=hint, kind="config") from None
        found = "…" if where == "model" else json.dumps(first["input"], default=str)  # it may contain an API key
        raise EvoError(f"{source}: {where}: {first['msg']}, found {found}", kind="config") from None


def known_keys() -> list[str]:
    """Return all keys as dotted names, in the order of the tables."""
    keys = []
    for name, field in Config.model_fields.items():
        kinds = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)]
        table = next((t for t in kinds if issubclass(t, Table)), None)
        keys += [f"{name}.{inner}" for inner in table.model_fields] if table else [name]
    return keys
