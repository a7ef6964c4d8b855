"""Writes docs/reference.md from the program itself: `python docs/generate.py`. A test compares."""

import sys
from pathlib import Path
from typing import get_args

import typer

from evo import config
from evo.cli.app import app
from evo.evaluator import Spec
from evo.lineage.schema import TABLES
from evo.status import Status

REFERENCE = Path(__file__).parent / "reference.md"


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference\n\nWritten by `python docs/generate.py` from the program; do not edit by hand.",
        "## Commands",
        *_commands(typer.main.get_command(app), "evo"),
        "## Configuration",
        "One TOML file in `configs/`. A flag wins over `EVO_*` (`EVO_MODEL__BASE_URL` is `base_url` of `[[model]]`), which wins "
        "over the file, which wins over the default.",
        *_tables("", config.Config),
        "## Evaluators",
        "`evaluator.toml` of a folder in `evaluators/`.",
        *_tables("", Spec),
        "## Statuses",
        _table(("status", "meaning"), [(f"`{status}`", status.meaning) for status in Status]),
        "## Lineage",
        "Parquet files in `population/<run>/lineage/<table>/`. Clock columns differ between two equal searches.",
    ]
    for name, columns in TABLES.items():
        rows = [(f"`{c.name}`", c.kind, c.meaning, "yes" if c.clock else "") for c in columns]
        parts += [f"### {name}", _table(("column", "type", "meaning", "clock"), rows)]
    return "\n\n".join(parts) + "\n"


def _commands(command, path):
    if subcommands := getattr(command, "commands", None):
        return [
            text for name, sub in subcommands.items() if not sub.hidden for text in _commands(sub, f"{path} {name}")
        ]
    rows = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        names = ", ".join(f"`{name}`" for name in parameter.opts) if parameter.param_type_name == "option" else ""
        rows.append(
            (names or f"`{parameter.metavar or parameter.name.upper()}`", getattr(parameter, "help", None) or "")
        )
    return [f"### {path}", command.help.strip(), *([_table(("argument or option", "meaning"), rows)] if rows else [])]


def _tables(name, model):
    inner, rows = [], []
    for key, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        table = next((t for t in kinds if isinstance(t, type) and hasattr(t, "model_fields")), None)
        if table is not None:
            part = f"{name}.{key}".strip(".")
            inner += _tables(part if table is field.annotation else f"[{part}]", table)
            continue
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        rows.append((f"`{key}`", f"`{default}`", (field.description or "").replace("\n", " ").replace("|", "\\|")))
    return [f"### [{name}]" if name else "### top level", _table(("key", "default", "meaning"), rows), *inner]


def _table(head, rows):
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"wrote {REFERENCE}\n")
