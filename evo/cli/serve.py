"""Commands `evo catalogue serve` and `evo serve`: serve the catalogue or a model file as an endpoint."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from evo.cli import output
from evo.errors import EvoError

catalogue_app = typer.Typer(help="The built-in, offline, rule-based proposer.", no_args_is_help=True)


@catalogue_app.callback()
def catalogue() -> None:
    """The built-in, offline, rule-based proposer. It is not a language model."""


@catalogue_app.command("serve")
def serve(
    port: Annotated[int, typer.Option(help="Port. 0 takes a free one.", min=0, max=65535)] = 0,
    token: Annotated[
        str | None, typer.Option(envvar="EVO_CATALOGUE_TOKEN", help="API key of the server. Default: a random one.")
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="Shares of faulty answers, e.g. truncated=0.1,429=0.05. Kinds: truncated, prose, syntax, protected, empty, "
            "429, 500, reset, slow."
        ),
    ] = "",
) -> None:
    """Serve the catalogue as an OpenAI-compatible endpoint on 127.0.0.1 until interrupted."""
    from evo.catalogue import CatalogueServer

    with CatalogueServer(port=port, token=token, faults=faults) as server:
        _until_stopped(server.base_url, server.token, "catalogue")


def serve_model(
    gguf: Annotated[Path, typer.Option(help="GGUF file of the model.")],
    port: Annotated[int, typer.Option(help="Port. 0 takes a free one.", min=0, max=65535)] = 0,
    context: Annotated[
        int | None,
        typer.Option(help="Context length in tokens, prompt and answer. Default: the model's, at most 16384.", min=512),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: one per physical core.", min=1)] = None,
    parallel: Annotated[
        int, typer.Option(help="Requests served at once. Each has the full context length.", min=1)
    ] = 1,
) -> None:
    """Serve a GGUF file with llama.cpp as an OpenAI-compatible endpoint on 127.0.0.1. Needs the extra `local`."""
    from evo.serving.local import LocalModel

    with LocalModel(gguf, port, context, threads, parallel) as model:
        about = f"{model.model_id}, {model.context_length} tokens of context"
        _until_stopped(model.base_url, model.token, about, lambda: model.failure)


def _until_stopped(base_url: str, token: str, about: str, failure: Callable[[], str] = str) -> None:
    """Print the address and wait for SIGINT or SIGTERM.

    Raises:
        EvoError: The server ended by itself.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    print(f"export OPENAI_BASE_URL={base_url}")
    print(f"export OPENAI_API_KEY={token}", flush=True)
    output.note(f"model: {about}; stop with Ctrl-C")
    while not stopped.wait(0.5):
        if failed := failure():
            raise EvoError(f"the model server ended: {failed}", kind="endpoint")
