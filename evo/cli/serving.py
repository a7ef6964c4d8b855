"""`evo catalogue serve`: the built-in proposer as an endpoint of its own."""

import signal
import threading
from typing import Annotated

import typer

from evo.cli import output

catalogue_app = typer.Typer(help="The built-in, offline, rule-based proposer.", no_args_is_help=True)


@catalogue_app.callback()
def catalogue() -> None:
    """The built-in, offline, rule-based proposer. It is not a language model."""


@catalogue_app.command("serve")
def serve(
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    token: Annotated[str | None, typer.Option(envvar="EVO_CATALOGUE_TOKEN", help="Default: a random one.")] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="How it answers badly: truncated=0.1,429=0.05 and so on; truncated, prose, syntax, protected, empty, "
            "429, 500, reset, slow."
        ),
    ] = "",
) -> None:
    """Serve the catalogue on 127.0.0.1, OpenAI-compatible, until it is interrupted."""
    from evo.catalogue import CatalogueServer

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with CatalogueServer(port=port, token=token, faults=faults) as server:
        print(f"export OPENAI_BASE_URL={server.base_url}")
        print(f"export OPENAI_API_KEY={server.token}", flush=True)
        output.note("model: catalogue; stop with Ctrl-C")
        stopped.wait()
