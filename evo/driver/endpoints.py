"""Endpoints of a run: validate them before any request, and start the local ones."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from evo.catalogue import CatalogueServer, faults
from evo.config import CATALOGUE, Config, Model
from evo.errors import EvoError
from evo.lineage.runs import find
from evo.proposer import key
from evo.proposer.client import Endpoint, Proposer, endpoint

if TYPE_CHECKING:
    from evo.serving.local import LocalModel

_SPARE_SECONDS = 30.0
Endpoints = list[tuple[Model, Endpoint]]


def check(config: Config, population: Path) -> None:
    """Validate the endpoints of a configuration. No model is asked.

    Raises:
        EvoError: A key, model file, command or replayed run is missing, a key is refused or written in the configuration,
            an endpoint is down, or a budget in US dollars lacks a price.
    """
    key.hide_memory()
    check_prices(config)
    for model in config.model:
        faults.parse(model.faults)
        if model.kind == "endpoint":
            _check_endpoint(model)
        elif model.answers_from is not None:
            find(population, model.answers_from)
        elif model.gguf is not None and not Path(model.gguf).is_file():
            raise EvoError(f"expected a GGUF file at {model.gguf}, found none", kind="endpoint")
        elif model.command and shutil.which(model.command[0]) is None:
            raise EvoError(
                f"the command {model.command[0]!r} was not found",
                hint="give its full path in `command`",
                kind="endpoint",
            )


def frozen(model: Model) -> Model:
    """Resolve the address, command, file and context length of a model, so that a resumed run asks the same model."""
    if model.kind == "endpoint":
        return model.model_copy(update={"base_url": endpoint(model).base_url})
    if model.command:
        found = shutil.which(model.command[0]) or model.command[0]
        return model.model_copy(update={"command": (str(Path(found).absolute()), *model.command[1:])})
    if model.gguf is None:
        return model
    from evo.serving import gguf, local

    file = Path(model.gguf).resolve()
    trained = gguf.context_length(file) or local.MOST_CONTEXT
    most = trained if model.context_length else min(trained, local.MOST_CONTEXT)
    return model.model_copy(update={"gguf": str(file), "context_length": min(model.context_length or most, most)})


@dataclass(frozen=True)
class Served:
    """Endpoints of a run.

    Attributes:
        asked: Every model with its endpoint.
        may_end: Local model servers, which may exit during the run.
    """

    asked: Endpoints
    may_end: Sequence["LocalModel"]

    async def watch(self) -> None:
        """Check the local model servers every second until cancelled.

        Raises:
            EvoError: A server exited and could not be restarted.
        """
        while True:
            await asyncio.sleep(1.0)
            for model in self.may_end:
                if model.failure:
                    hint = "free memory, then `evo resume`; a new run with a shorter context_length needs less memory"
                    raise EvoError(
                        f"the server of {model.model_id} stopped: {model.failure}", hint=hint, kind="endpoint"
                    )


@contextlib.contextmanager
def served(models: Sequence[Model], population: Path) -> Iterator[Served]:
    """Serve the local endpoints while the block runs, and yield every model with its endpoint.

    Args:
        models: Models of the configuration.
        population: Folder of the runs whose answers may be replayed.
    """
    key.hide_memory()
    with contextlib.ExitStack() as stack:
        found, may_end = list[tuple[Model, Endpoint]](), []
        for model in models:
            if model.kind == "endpoint":
                found.append((model, endpoint(model)))
                continue
            server = stack.enter_context(_server(model, population))
            if model.gguf is not None:
                may_end.append(cast("LocalModel", server))
            # A command answers all at once, and its server has to report a timeout before the client does.
            if model.command:
                seconds = model.timeout_seconds + _SPARE_SECONDS
                model = model.model_copy(update={"first_token_seconds": seconds, "timeout_seconds": seconds})
            found.append((model, Endpoint(server.base_url, server.token)))
        yield Served(found, may_end)


class _Server(Protocol):
    """Interface of a local server: a context manager with an address and a token."""

    base_url: str
    token: str

    def __enter__(self) -> "_Server": ...

    def __exit__(self, *error: Any) -> None: ...


def _server(model: Model, population: Path) -> _Server:
    if model.command:
        from evo.serving.command import CommandServer

        return CommandServer(model.command, model.timeout_seconds, model.environment, model.concurrency)
    if model.answers_from is not None:
        from evo.serving.replay import ReplayServer

        return ReplayServer(find(population, model.answers_from))
    if model.gguf is not None:
        from evo.serving.local import LocalModel

        return LocalModel(Path(model.gguf), context=model.context_length, parallel=at_once(model))
    return CatalogueServer(faults=model.faults)


def at_once(model: Model) -> int:
    """Return the limit on concurrent requests. A local model gets at most one per four cores of the machine."""
    return min(model.concurrency, max(1, (os.cpu_count() or 1) // 4)) if model.gguf is not None else model.concurrency


def check_prices(config: Config) -> None:
    """Check that all prices are known if the budget is in US dollars.

    Raises:
        EvoError: A price is unknown.
    """
    for model in config.model:
        if config.budget.usd is not None and not model.is_free and None in (model.price_in, model.price_out):
            raise EvoError(
                f"a budget in US dollars needs the prices of {model.display_name}, but they are not set",
                hint="set price_in and price_out (US dollars per million tokens; 0 if free) in its [[model]] table, or in "
                "config.toml of an existing run",
                kind="config",
            )


def _check_endpoint(model: Model) -> None:
    if model.preset and model.name == CATALOGUE:
        raise EvoError(
            f"expected the name of a model with preset {model.preset}, found none",
            hint=f"add --model NAME, a model that the {model.preset} server lists",
            kind="config",
        )
    where = endpoint(model)
    parts = urlsplit(where.base_url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise EvoError(
            "base_url contains a user name, password, query or fragment, which the run would store on disk",
            hint=f"remove it; a key belongs in the environment variable {model.key_variable}",
            kind="endpoint",
        )
    wrong = asyncio.run(Proposer(where, model).preflight())
    if wrong:
        raise EvoError(
            wrong,
            hint="check it with `evo doctor` and the same options; no prompt was sent and nothing was trained",
            kind="endpoint",
        )
