"""The Typer application: all commands, and the global options."""

import os
from pathlib import Path
from typing import Annotated

import typer

import evo
from evo.cli import check, doctor, personas, prompt, queries, reproduce, run, serve

app = typer.Typer(
    help="Search for the personas and the small-GPT training code that give the lowest validation loss.\n\n"
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
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the distribution, its version and its path."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback with each error.")] = False,
) -> None:
    """Handle the global options."""
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
app.add_typer(personas.personas_app, name="personas")
app.add_typer(personas.personas_app, name="seeds", hidden=True)  # the old name
app.command("check")(check.check)
app.command("evaluate")(check.evaluate)
app.command("reproduce")(reproduce.reproduce)
app.add_typer(serve.catalogue_app, name="catalogue")
app.command("serve")(serve.serve_model)
app.command("doctor")(doctor.doctor)
