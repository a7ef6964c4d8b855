"""`evo init` and `evo seeds`: workspaces and personas."""

from pathlib import Path
from typing import Annotated

import typer

from evo import persona, workspace
from evo.cli import output

seeds_app = typer.Typer(
    help="Seed personas: list them, check a text, import one.", invoke_without_command=True, no_args_is_help=False
)
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Files = Annotated[list[Path], typer.Argument(help="Persona texts.", show_default=False)]


def init(folder: Annotated[Path, typer.Argument(help="The folder to make a workspace.")]) -> None:
    """Make a workspace: seeds/, evaluators/, configs/ and population/, with the built-in ones to change."""
    written = workspace.create(folder)
    print(f"{folder}: {len(written)} files in {', '.join(f'{name}/' for name in workspace.FOLDERS)}")
    output.note(f"next: cd {folder} && evo run")


@seeds_app.callback()
def seeds(context: typer.Context, json: Json = False) -> None:
    """List the seed personas."""
    if context.invoked_subcommand is not None:
        return
    found = persona.load_seeds(workspace.seeds_folder())
    rows = [(s.slug, s.persona.name, *(_count(s.persona, kind) for kind in persona.VARIED)) for s in found]
    columns = ["seed", "name", *persona.VARIED]
    if json:
        output.as_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        output.table(columns, rows)


@seeds_app.command("check")
def check(files: Files, json: Json = False) -> None:
    """Parse persona texts: show their genes, or say which line does not fit the grammar and what was expected there."""
    told = []
    for path in files:
        seed = persona.read_seed(path)
        notes = persona.check(persona.render(seed.persona))
        told.append(
            {
                "file": str(path),
                "name": seed.persona.name,
                "stance": seed.persona.stance,
                "genes": seed.persona.genes(),
                "mended": [{"line": m.line, "before": m.before, "after": m.after} for m in seed.mends],
                "notes": [{"line": n.line, "found": n.found, "expected": n.expected} for n in notes],
            }
        )
        if not json:
            _tell(path, seed, notes)
    if json:
        output.as_json(told)


@seeds_app.command("import")
def import_(files: Files) -> None:
    """Mend persona texts and add them to seeds/ of this workspace, named for the person."""
    folder = Path.cwd() / "seeds"
    folder.mkdir(exist_ok=True)
    for path in files:
        seed = persona.import_seed(path, folder)
        print(f"{path} -> seeds/{seed.slug}.txt")
        _tell_mends(seed)


def _tell(path: Path, seed: persona.Seed, notes: list[persona.Note]) -> None:
    print(f"{path}: {seed.persona.name}")
    print(f"  stance: {seed.persona.stance}")
    for kind, genes in seed.persona.genes().items():
        print(f"  {kind} ({len(genes)}): {', '.join(genes)}")
    _tell_mends(seed)
    for note in notes:
        print(f"  line {note.line}: found {note.found!r}, expected {note.expected}; kept as it is and not varied")


def _tell_mends(seed: persona.Seed) -> None:
    for mend in seed.mends:
        print(f"  line {mend.line}: mended {mend.before!r} to {mend.after!r}, damaged by a wrong decoding")


def _count(who: persona.Persona, kind: persona.Kind) -> int:
    section = who.section(kind)
    return len(section.items) if section else 0
