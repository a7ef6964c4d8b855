"""`evo prompt`: what is sent to a model, before it is, and what was. It asks nobody and loads neither torch nor ray."""

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
        str | None, typer.Argument(metavar="[SEED]", help="A seed persona, by name or path.", show_default=False)
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(help="With the files and the result of RUN:ID (or ID, of the latest run), not the baseline's."),
    ] = None,
    of: Annotated[str | None, typer.Option(help="What was sent for the candidate RUN:ID, every attempt.")] = None,
    form: Annotated[
        str | None, typer.Option(help="Of the answer: files or edits; default the configuration's.")
    ] = None,
    evaluator: Annotated[str | None, typer.Option(help="A folder, or a name in evaluators/.")] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", help="A TOML file, or a name in configs/.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Print what would be sent for a seed persona, exactly, and how long it is; nothing is sent.

    To a terminal, control characters are replaced. With --of, what was sent.
    """
    if of is not None:
        _refuse(
            "--of", {"SEED": seed, "--parent": parent, "--form": form, "--evaluator": evaluator, "--config": config}
        )
        _tell_sent(of, as_json=json)
        return
    if seed is None:
        raise EvoError("expected a seed persona, or --of RUN:ID", hint="`evo seeds` lists the personas", kind="usage")
    if form not in (None, "files", "edits"):
        raise EvoError(f"expected --form files or edits, found {form!r}", kind="usage")
    who = _persona(seed)
    if parent is not None:
        _refuse("--parent", {"--evaluator": evaluator, "--config": config})
        parts, limit, notes = _of_parent(who, parent, form)
    else:
        parts, limit, notes = _of_baseline(who, evaluator, config, form)
    _tell(parts, limit, notes, as_json=json)


def _persona(word: str) -> persona.Persona:
    """The seed persona that a word means, as `evo run --seeds` reads it."""
    if Path(word).is_file():
        return persona.read_seed(Path(word)).persona
    return persona.find_seed(persona.load_seeds(workspace.seeds_folder()), word).persona


def _of_baseline(
    who: persona.Persona, evaluator: str | None, config: str | None, form: str | None
) -> tuple[list["Part"], int | None, list[str]]:
    """The parts of a seed's own prompt, the most tokens there are for it, and what should be said of it."""
    from evo import config as configuration
    from evo import evaluator as evaluators
    from evo.cli import run
    from evo.proposer import prompt as prompts

    found = workspace.locate("configs", config, ".toml") if config else run.default_config()
    resolved = configuration.load(found, {"evaluator": evaluator} if evaluator is not None else {})
    files = evaluators.load(workspace.locate("evaluators", resolved.evaluator)).baseline
    limit = _room(resolved)
    parts = prompts.parts(who, files, prompts.Outcome(None), form=_form(form, resolved), limit=limit)
    note = f"the baseline is not trained yet: {prompts.NOT_TRAINED} stands where its held-out loss will be"
    return parts, limit, [note]


def _of_parent(who: persona.Persona, reference: str, form: str | None) -> tuple[list["Part"], int | None, list[str]]:
    """The same of a candidate's files, as the candidate's run would ask."""
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
            f"candidate {number} of {found} has no loss ({base['status']}, {base['reason']}): no search asks to improve it",
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
    return parts, limit, ["a child of two parents would be shown the second one's files too"] if second else []


def _form(wanted: str | None, config: "Config") -> "Form":
    form = wanted or config.answer
    return "edits" if form == "edits" else "files"


def _room(config: "Config") -> int | None:
    """The most tokens of a prompt that every one of the models takes."""
    return min((limit for model in config.model if (limit := model.prompt_limit) is not None), default=None)


def _reference(text: str) -> tuple[str | None, int]:
    """The run, None for the latest, and the number."""
    run, _, number = text.rpartition(":")
    if not number.isdecimal():
        raise EvoError(f"expected RUN:ID or ID, found {text!r}", kind="usage")
    return run or None, int(number)


def _refuse(option: str, others: Mapping[str, str | None]) -> None:
    """Refuse what says nothing beside `option`."""
    if given := [name for name, value in others.items() if value is not None]:
        raise EvoError(f"{option} takes no {' and no '.join(given)}: what it needs, it has from its run", kind="usage")


def _tell(parts: Sequence["Part"], limit: int | None, notes: Sequence[str], *, as_json: bool) -> None:
    """The prompt on stdout, what it comes to on stderr."""
    from evo.proposer import prompt as prompts

    messages = [{"role": "user", "content": "".join(part.text for part in parts)}]
    counted = _counted(messages)
    if as_json:
        shares = [{"part": p.name, "bytes": len(p.text.encode()), "tokens": prompts.tokens(p.text)} for p in parts]
        output.as_json({"messages": messages, **counted, "limit": limit, "parts": shares, "notes": list(notes)})
        return
    _print(messages[0]["content"])
    told = ", ".join(f"{part.name} {prompts.tokens(part.text)}" for part in parts)
    output.note(f"{_said(counted)}: {told}" + ("" if limit is None else f"; there are {limit} for it"))
    for note in notes:
        output.note(note)


def _tell_sent(reference: str, *, as_json: bool) -> None:
    """What was sent for a candidate; where there was more than one message, each under a line that names it."""
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
        output.note(f"{name}, attempt {call['attempt']}, sent to {call['model']}: {_said(_counted(call['messages']))}")


def _sent(reference: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A candidate's row, and of its calls attempt, model and messages.

    Raises:
        EvoError: no such candidate, or nobody was asked for it.
    """
    from evo.cli import queries
    from evo.lineage import query

    row = queries._candidate(reference)
    asked = "SELECT attempt, model, messages FROM calls WHERE id = ? ORDER BY attempt"
    calls = query.sql(workspace.population(), asked, row["run"], [row["id"]]).as_dicts()
    if calls:
        return row, [call | {"messages": json.loads(call["messages"])} for call in calls]
    if row["prompt"]:
        output.note("its calls are lost; this is the prompt that its own row holds")
        return row, [{"attempt": 1, "model": row["model"], "messages": [{"role": "user", "content": row["prompt"]}]}]
    why = "it is the baseline" if row["id"] == 0 else row["reason"]
    raise EvoError(f"nobody was asked for candidate {row['id']} of {row['run']}: {why}", kind="usage")


def _counted(messages: Messages) -> dict[str, int]:
    from evo.proposer import prompt as prompts

    size = sum(len(message["content"].encode()) for message in messages)
    return {"bytes": size, "tokens": prompts.estimate(messages), "most_tokens": prompts.most_tokens(messages)}


def _said(counted: Mapping[str, int]) -> str:
    return f"{counted['bytes']} bytes, about {counted['tokens']} tokens, never over {counted['most_tokens']}"


def _print(text: str) -> None:
    """A text as it is, to the byte; to a terminal without what it would obey."""
    sys.stdout.write(text if output.is_plain() else output.clean(text))
