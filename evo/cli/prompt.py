"""Command `evo prompt`: print a prompt without sending it, or one that was sent. Imports neither torch nor ray."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo import persona, workspace
from evo.cli import output
from evo.errors import EvoError

if TYPE_CHECKING:
    from evo.config import Config
    from evo.proposer.prompt import Form, Part

Messages = Sequence[Mapping[str, str]]


def prompt(
    seed: Annotated[
        str | None, typer.Argument(metavar="[PERSONA]", help="Name or path of a persona.", show_default=False)
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            help="Use the files and result of candidate RUN:ID (or ID, in the latest run) instead of the baseline's."
        ),
    ] = None,
    of: Annotated[str | None, typer.Option(help="Print what was sent for candidate RUN:ID, every attempt.")] = None,
    form: Annotated[
        str | None, typer.Option(help="Form of the answer: files or edits. Default: the configuration's.")
    ] = None,
    evaluator: Annotated[str | None, typer.Option(help="Folder, or a name in evaluators/.")] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", help="TOML file, or a name in configs/.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the exact prompt of a persona and its length. Nothing is sent.

    With --of, print the prompts that were sent for a candidate. On a terminal control characters are replaced.
    """
    if of is not None:
        _refuse(
            "--of", {"PERSONA": seed, "--parent": parent, "--form": form, "--evaluator": evaluator, "--config": config}
        )
        _print_sent(of, as_json=json)
        return
    if seed is None:
        raise EvoError("expected a persona, or --of RUN:ID", hint="`evo personas` lists the personas", kind="usage")
    if form not in (None, "files", "edits"):
        raise EvoError(f"expected --form files or edits, found {form!r}", kind="usage")
    who = _persona(seed)
    if parent is not None:
        _refuse("--parent", {"--evaluator": evaluator, "--config": config})
        parts, limit, notes = _of_parent(who, parent, form)
    else:
        parts, limit, notes = _of_baseline(who, evaluator, config, form)
    _print_parts(parts, limit, notes, as_json=json)


def _persona(word: str) -> persona.Persona:
    """Return the persona that `word` names, as `evo run --personas` reads it."""
    if Path(word).is_file():
        return persona.read_seed(Path(word)).persona
    return persona.find_seed(persona.load_seeds(workspace.seeds_folder()), word).persona


def _of_baseline(
    who: persona.Persona, evaluator: str | None, config: str | None, form: str | None
) -> tuple[list["Part"], int | None, list[str]]:
    """Return the parts of a persona's first prompt, its token limit, and notes for the user."""
    from evo import evaluator as evaluators
    from evo.cli import run
    from evo.proposer import prompt as prompts

    resolved = run.load_config(config, evaluator=evaluator)
    files = evaluators.load(workspace.locate("evaluators", resolved.evaluator)).baseline
    limit = _room(resolved)
    parts = prompts.parts(who, files, prompts.Outcome(None), form=_form(form, resolved), limit=limit)
    note = f"the baseline is not trained yet: {prompts.NOT_TRAINED} stands in place of its held-out loss"
    return parts, limit, [note]


def _of_parent(who: persona.Persona, reference: str, form: str | None) -> tuple[list["Part"], int | None, list[str]]:
    """Return the same for the files of a candidate, under the configuration of its run."""
    from evo.cli import queries
    from evo.driver import prompt_history
    from evo.proposer import prompt as prompts
    from evo.selection import BASELINE, Selector

    name, number = _reference(reference)
    found, rows = queries._rows(name)
    base = queries._one(rows, found, number)
    config: Config = queries._config(found)
    by_number = {row["id"]: row for row in rows}
    if not base["files"]:
        raise EvoError(f"candidate {number} of {found} has no files: {base['status']}, {base['reason']}", kind="usage")
    if base["val_loss"] is None or BASELINE not in by_number:
        raise EvoError(
            f"candidate {number} of {found} has no loss ({base['status']}, {base['reason']}), so no prompt is built on it",
            hint=f"evo show {found} {number}",
            kind="usage",
        )
    row, limit = by_number.__getitem__, _room(config)
    parts = prompts.parts(
        who,
        prompt_history.files_of(base),
        prompt_history.outcome_of(row, number, holds_clock=Selector(config.selection).holds_clock),
        form=_form(form, config),
        lessons=prompt_history.lessons_of(row, number, config.prompt.lessons),
        limit=limit,
    )
    second = config.prompt.second_parent
    return parts, limit, ["a child of two parents is also shown the files of the second parent"] if second else []


def _form(wanted: str | None, config: "Config") -> "Form":
    form = wanted or config.answer
    return "edits" if form == "edits" else "files"


def _room(config: "Config") -> int | None:
    """Return the largest prompt, in tokens, that every model accepts. None means no limit."""
    return min((limit for model in config.model if (limit := model.prompt_limit) is not None), default=None)


def _reference(text: str) -> tuple[str | None, int]:
    """Return run and candidate number of `RUN:ID`. The run is None for the latest."""
    run, _, number = text.rpartition(":")
    if not number.isdecimal():
        raise EvoError(f"expected RUN:ID or ID, found {text!r}", kind="usage")
    return run or None, int(number)


def _refuse(option: str, others: Mapping[str, str | None]) -> None:
    """Refuse arguments that `option` excludes."""
    if given := [name for name, value in others.items() if value is not None]:
        raise EvoError(f"{option} excludes {' and '.join(given)}: it uses the configuration of the run", kind="usage")


def _print_parts(parts: Sequence["Part"], limit: int | None, notes: Sequence[str], *, as_json: bool) -> None:
    """Print the prompt on stdout and its length on stderr."""
    from evo.proposer import prompt as prompts

    messages = [{"role": "user", "content": "".join(part.text for part in parts)}]
    counted = _counted(messages)
    if as_json:
        shares = [{"part": p.name, "bytes": len(p.text.encode()), "tokens": prompts.tokens(p.text)} for p in parts]
        output.as_json({"messages": messages, **counted, "limit": limit, "parts": shares, "notes": list(notes)})
        return
    _print(messages[0]["content"])
    told = ", ".join(f"{part.name} {prompts.tokens(part.text)}" for part in parts)
    output.note(f"{_length(counted)}: {told}" + ("" if limit is None else f"; limit {limit}"))
    for note in notes:
        output.note(note)


def _print_sent(reference: str, *, as_json: bool) -> None:
    """Print what was sent for a candidate, with a header line per message if there are several."""
    row, calls = _sent(reference)
    name = f"{row['run']}:{row['id']}"
    if as_json:
        attempts = [call | _counted(call["messages"]) for call in calls]
        output.as_json({"run": row["run"], "id": row["id"], "attempts": attempts})
        return
    alone = len(calls) == 1 and len(calls[0]["messages"]) == 1
    for call in calls:
        for number, message in enumerate(call["messages"], start=1):
            if not alone:
                _print(f"--- attempt {call['attempt']}, message {number}, {message['role']} ---\n")
            _print(message["content"])
            if not alone and not message["content"].endswith("\n"):
                _print("\n")
    for call in calls:
        output.note(
            f"{name}, attempt {call['attempt']}, sent to {call['model']}: {_length(_counted(call['messages']))}"
        )


def _sent(reference: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the row of a candidate, and attempt, model and messages of its calls.

    Raises:
        EvoError: There is no such candidate, or no model was asked for it.
    """
    from evo.cli import queries
    from evo.lineage import query

    row = queries._candidate(reference)
    asked = "SELECT attempt, model, messages FROM calls WHERE id = ? ORDER BY attempt"
    calls = query.sql(workspace.population(), asked, row["run"], [row["id"]]).as_dicts()
    if calls:
        return row, [call | {"messages": json.loads(call["messages"])} for call in calls]
    if row["prompt"]:
        output.note("the calls are lost; this is the prompt in the row of the candidate")
        return row, [{"attempt": 1, "model": row["model"], "messages": [{"role": "user", "content": row["prompt"]}]}]
    why = "it is the baseline" if row["id"] == 0 else row["reason"]
    raise EvoError(f"no model was asked for candidate {row['id']} of {row['run']}: {why}", kind="usage")


def _counted(messages: Messages) -> dict[str, int]:
    from evo.proposer import prompt as prompts

    size = sum(len(message["content"].encode()) for message in messages)
    return {"bytes": size, "tokens": prompts.estimate(messages), "most_tokens": prompts.most_tokens(messages)}


def _length(counted: Mapping[str, int]) -> str:
    return f"{counted['bytes']} bytes, about {counted['tokens']} tokens, at most {counted['most_tokens']}"


def _print(text: str) -> None:
    """Write a text unchanged to a pipe, and with control characters replaced to a terminal."""
    sys.stdout.write(text if output.is_plain() else output.clean(text))
