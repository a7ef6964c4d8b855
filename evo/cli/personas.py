"""Commands `evo init` and `evo personas`."""

from pathlib import Path
from typing import Annotated

import typer

from evo import persona, workspace
from evo.cli import output

personas_app = typer.Typer(
    help="List the personas, check a persona text, import one.", invoke_without_command=True, no_args_is_help=False
)
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Files = Annotated[list[Path], typer.Argument(help="Files with persona texts.", show_default=False)]


def init(folder: Annotated[Path, typer.Argument(help="Folder of the new workspace.")]) -> None:
    """Create a workspace: seeds/, evaluators/, configs/ and population/, filled with the built-in files."""
    written = workspace.create(folder)
    print(f"{folder}: {len(written)} files in {', '.join(f'{name}/' for name in workspace.FOLDERS)}")
    output.note(f"next: cd {folder} && evo run")


@personas_app.callback()
def personas(context: typer.Context, json: Json = False) -> None:
    """List the personas."""
    if context.invoked_subcommand is not None:
        return
    found = persona.load_seeds(workspace.seeds_folder())
    rows = [(s.slug, s.persona.name, *(_count(s.persona, kind) for kind in persona.VARIED)) for s in found]
    columns = ["persona", "name", *persona.VARIED]
    if json:
        output.as_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        output.table(columns, rows)


@personas_app.command("check")
def check(files: Files, json: Json = False) -> None:
    """Parse persona texts. Print their genes, and each line that does not fit the grammar with what was expected."""
    reports = []
    for path in files:
        seed = persona.read_seed(path)
        notes = persona.check(persona.render(seed.persona))
        reports.append(
            {
                "file": str(path),
                "name": seed.persona.name,
                "stance": seed.persona.stance,
                "genes": seed.persona.genes(),
                "repaired": [{"line": m.line, "before": m.before, "after": m.after} for m in seed.repairs],
                "notes": [{"line": n.line, "found": n.found, "expected": n.expected} for n in notes],
            }
        )
        if not json:
            _print_persona(path, seed, notes)
    if json:
        output.as_json(reports)


@personas_app.command("import")
def import_(files: Files) -> None:
    """Repair the encoding of persona texts and copy them into seeds/ of this workspace, named after the persona."""
    folder = Path.cwd() / "seeds"
    folder.mkdir(exist_ok=True)
    for path in files:
        seed = persona.import_seed(path, folder)
        print(f"{path} -> seeds/{seed.slug}.txt")
        _print_repairs(seed)


def _print_persona(path: Path, seed: persona.Seed, notes: list[persona.Note]) -> None:
    print(f"{path}: {seed.persona.name}")
    print(f"  stance: {seed.persona.stance}")
    for kind, genes in seed.persona.genes().items():
        print(f"  {kind} ({len(genes)}): {', '.join(genes)}")
    _print_repairs(seed)
    for note in notes:
        print(f"  line {note.line}: found {note.found!r}, expected {note.expected}; kept verbatim, not varied")


def _print_repairs(seed: persona.Seed) -> None:
    for repair in seed.repairs:
        print(
            f"  line {repair.line}: repaired {repair.before!r} to {repair.after!r} (text decoded with the wrong encoding)"
        )


def _count(who: persona.Persona, kind: persona.Kind) -> int:
    section = who.section(kind)
    return len(section.items) if section else 0
