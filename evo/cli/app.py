"""The commands put together, and the options of the program itself."""

import os
from pathlib import Path
from typing import Annotated

import typer

import evo
from evo.cli import check, doctor, personas, prompt, queries, reproduce, run, serve

app = typer.Typer(
    help="Evolve personas, and the small-GPT training code that a model writes when each of them is asked.\n\n"
    "Start with: evo run --generations 5",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{evo.DISTRIBUTION} {evo.__version__} ({Path(evo.__file__).parent})")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Distribution, version and path.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options of the program itself."""
    if debug:
        os.environ["EVO_DEBUG"] = "1"


app.command("init")(personas.init)
app.command("run")(run.run)
app.command("resume")(run.resume)
app.command("runs")(queries.runs)
app.command("show")(queries.show)
app.command("best")(queries.best)
app.command("diff")(queries.diff)
app.command("sql")(queries.sql)
app.command("prompt")(prompt.prompt)
app.add_typer(personas.seeds_app, name="seeds")
app.command("check")(check.check)
app.command("evaluate")(check.evaluate)
app.command("reproduce")(reproduce.reproduce)
app.add_typer(serve.catalogue_app, name="catalogue")
app.command("serve")(serve.serve_model)
app.command("doctor")(doctor.doctor)
