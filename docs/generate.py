"""Writes docs/reference.md from the program itself: `python docs/generate.py`. A test compares."""

import re
import sys
from pathlib import Path
from typing import get_args

import typer

from evo import config
from evo.cli.app import app
from evo.cli.run import KEYS
from evo.evaluator import Spec
from evo.lineage.schema import TABLES
from evo.status import Status

REFERENCE = Path(__file__).parent / "reference.md"
STATED = re.compile(r" ?Default: (.+?)\.(?= |$)")
INHERITED = {("evo run", "data"): "the evaluator's", ("evo prompt", "evaluator"): "the configuration's"}
"""Defaults that neither the program nor the help text states."""


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference\n\nWritten by `python docs/generate.py` from the program; do not edit by hand.",
        "## Commands",
        "Where an option of `evo run` sets a configuration key, the default shown is the built-in one; a configuration file or "
        "an `EVO_*` variable changes it. `--slots 0` chooses by device, as `slots` of `[workers]` does.",
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
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    has_panels = any(p.rich_help_panel for p in shown)
    panels: dict[str, list] = {}
    for parameter in shown:
        is_option = parameter.param_type_name == "option"
        panel = parameter.rich_help_panel or ("Options" if is_option else "Arguments")
        names = parameter.opts if is_option else [parameter.metavar or parameter.name.upper()]
        row = (", ".join(f"`{name}`" for name in names), *_default(parameter, path))
        panels.setdefault(panel if has_panels else "", []).append(row)
    parts = [f"### {path}", command.help.strip()]
    for panel, rows in panels.items():
        head = "argument" if panel == "Arguments" else "option" if panel else "argument or option"
        parts += [*([f"**{panel}**"] if panel else []), _table((head, "default", "meaning"), rows)]
    return parts


def _default(parameter, path):
    """Return the default of an option or argument, and its help text without a sentence that says the default."""
    found = STATED.search(parameter.help or "")
    meaning = STATED.sub("", parameter.help or "")
    if parameter.required:
        return "required", meaning
    if getattr(parameter, "is_flag", False):
        return "off", meaning
    if parameter.default is not None:
        return f"`{parameter.default}`" if parameter.default != "" else "unset", meaning
    if found:
        return found[1], meaning
    if path == "evo resume":
        return "the run's", meaning
    if (path, parameter.name) in INHERITED:
        return INHERITED[path, parameter.name], meaning
    if parameter.name == "config":
        return "`default`", meaning
    if path == "evo run" and parameter.name in KEYS:
        value = _value(KEYS[parameter.name])
        return "unset" if value in (None, "") else f"`{value}`", meaning
    return "unset", meaning


def _value(key):
    """Return the default of a configuration key."""
    value = config.Config()
    for part in key.split("."):
        value = getattr(value, part)
        value = value[0] if part == "model" else value
    return value


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
