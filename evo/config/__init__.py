"""How a search is run: the configuration, where its values come from, and its frozen form.

A value comes from a flag, else `EVO_*` (`EVO_MODEL__BASE_URL` is `base_url` of `[model]`), else the TOML file, else the
default. Unknown keys are refused with a suggestion. It never reads a key's value: only the name of its variable.
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
    """One search. What it says is frozen in the run; a search is a pure function of it and of the lineage."""

    evaluator: str = "tiny_gpt"
    """A folder, or a name in `evaluators/`."""
    seeds: tuple[str, ...] = ()
    """Seed personas by name or path; none means every one of `seeds/`."""
    generations: int = Field(20, ge=1)
    """After the baseline and the seeds, which are generation 0."""
    population: int = Field(8, ge=2)
    """Candidates a generation, and survivors that parents are drawn from."""
    lag: int = Field(0, ge=0)
    """A plan for candidate n reads rows up to n - lag; 0 means `population`. It bounds how many are in work at once."""
    seed: int = Field(1, ge=0)
    """Of every random draw."""
    isolation: Literal["auto", "bubblewrap", "sandbox-exec", "process"] = "auto"
    """`auto` takes the strongest level that works, and refuses a model's code where that is `process`; `process` trusts code as
    far as a clean environment, a process group and limits go."""
    baseline_every: int = Field(8, ge=1)
    """The baseline is trained again before every so many candidates, so that cost follows the machine's mood."""
    answer: Literal["files", "edits"] = "files"
    """What a model answers with: whole files, or SEARCH/REPLACE blocks and diffs, which cost a tenth where files are long."""
    repairs: int = Field(2, ge=0)
    """Times that an answer which fails its checks or its first iterations goes back to its model with the error."""
    choice: Literal["weighted", "bandit"] = "weighted"
    """Which of several models a candidate asks: by their weights, or by what they improved for their cost so far."""
    patience_minutes: float = Field(60.0, ge=0.0)
    """That a search waits for an endpoint that is down before it ends."""
    selection: Selection = Selection()
    variation: Variation = Variation()
    early: Early = Early()
    final: Final = Final()
    prompt: Prompt = Prompt()
    budget: Budget = Budget()
    model: tuple[Model, ...] = Field((Model(),), min_length=1)
    """Who answers: one table a model. A single `[model]` table will do for one."""
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
        names = [model.called for model in models]
        if len(set(names)) < len(names):
            raise ValueError("expected models of different names; a label tells two of one name apart")
        if not sum(model.weight for model in models):
            raise ValueError("expected a model with a weight above 0")
        return models

    @property
    def is_catalogue(self) -> bool:
        """Whether the built-in proposer alone answers."""
        return all(model.is_catalogue for model in self.model)

    @property
    def horizon_lag(self) -> int:
        """`lag`, resolved."""
        return self.lag or self.population


def load(path: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of `path` (TOML; None for defaults) with `EVO_*` and `flags` (dotted keys) on top.

    Raises:
        EvoError: unreadable TOML, an unknown key (with a suggestion), a value that does not fit.
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
            "write_breakthrough and sharpen_topic need a model that writes, and the catalogue does not",
            hint="give a [[model]] table, --model or --gguf, or leave their weights at 0",
            kind="config",
        )
    return config


def freeze(config: Config) -> str:
    """The resolved configuration as TOML; `thaw(freeze(c)) == c`."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def thaw(path: Path) -> Config:
    """The frozen configuration of a run."""
    return validated(_read_toml(path), str(path))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EvoError(f"cannot read {path}: {error}", kind="config") from None
    except tomllib.TOMLDecodeError as error:
        raise EvoError(f"{path} is not valid TOML: {error}", kind="config") from None


def _environment(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """`EVO_*` as dotted keys; names of the package's own that are no keys are left out."""
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
                    f"{key}: expected one [[{table}]] table that it can mean, found {len(inner)}", kind="config"
                )
            inner = inner[0]
        if not isinstance(inner, dict):
            raise EvoError(f"{key}: expected [{table}] to be a table, found {table} = {inner!r}", kind="config")
        values = inner
    values[last] = value


def validated(values: dict[str, Any], source: str) -> Config:
    """The configuration of nested values that came from `source`.

    Raises:
        EvoError: an unknown key, with a suggestion, or a value that does not fit.
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
        found = "…" if where == "model" else json.dumps(first["input"], default=str)  # a key may be in it
        raise EvoError(f"{source}: {where}: {first['msg']}, found {found}", kind="config") from None


def known_keys() -> list[str]:
    """Every key, dotted, in the order of the tables."""
    keys = []
    for name, field in Config.model_fields.items():
        kinds = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)]
        table = next((t for t in kinds if issubclass(t, Table)), None)
        keys += [f"{name}.{inner}" for inner in table.model_fields] if table else [name]
    return keys
