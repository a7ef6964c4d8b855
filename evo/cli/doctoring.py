"""`evo doctor`: device, Ray, endpoint, isolation and data, one line each, with what to do."""

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from evo import workspace
from evo.cli import output
from evo.errors import EvoError

if TYPE_CHECKING:
    from evo.config import Config

Finding = tuple[bool, str]


def doctor(
    config: Annotated[str | None, typer.Option("--config", "-c", help="A TOML file, or a name in configs/.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Look at everything that a run needs, one line each, with what to do. Exit 1 where something is missing."""
    from evo import config as configuration

    path = workspace.locate("configs", config, ".toml") if config else None
    settings = configuration.load(path, {})
    looks: dict[str, Callable[[], Finding]] = {
        "device": lambda: _device(settings),
        "ray": lambda: _ray(settings),
        "endpoint": lambda: _endpoint(settings),
        "isolation": lambda: _isolation(settings),
        "data": lambda: _data(settings),
    }
    found = {}
    for what, look in looks.items():
        try:
            found[what] = look()
        except EvoError as error:
            found[what] = (False, f"{error.message}; {error.hint}" if error.hint else error.message)
        if not json:
            print(f"{what + ':':<11}{'ok' if found[what][0] else 'NO'}  {found[what][1]}", flush=True)
    if json:
        output.as_json({what: {"ok": fine, "says": says} for what, (fine, says) in found.items()})
    if not all(fine for fine, _ in found.values()):
        raise typer.Exit(1)


def _device(settings: "Config") -> Finding:
    from evo.trainer import device

    workers = settings.workers
    found = device.find(workers.device, workers.slots, workers.threads)
    return True, (
        f"{found.kind}: {found.slots} training(s) at a time, {found.threads} CPU thread(s) each, ranked by "
        f"{'CPU' if found.ranks_by_cpu else 'wall'} seconds ({platform.system()} {platform.machine()})"
    )


def _ray(settings: "Config") -> Finding:
    from evo.driver import workers
    from evo.trainer.device import Device

    with workers.ray_started(settings.workers, Device("cpu", 1, 1)) as ray:
        nodes = len(ray.nodes())
        where = settings.workers.address or "this machine"
        return True, f"version {ray.__version__} starts on {where}, {nodes} node(s)"


def _endpoint(settings: "Config") -> Finding:
    import asyncio

    from evo.proposer.client import Proposer, endpoint

    if settings.model.is_catalogue:
        return True, "the built-in catalogue (rule-based, offline); --model NAME and --base-url ask a language model"
    where = endpoint(settings.model)
    wrong = asyncio.run(Proposer(where, settings.model).preflight())
    return not wrong, wrong or f"{where.base_url} answers; model {settings.model.name}"


def _isolation(settings: "Config") -> Finding:
    from evo.trainer.isolation import require

    level = require(settings.isolation, trusted=settings.model.is_catalogue)
    return True, (
        f"{level}: own scratch folder, clean environment, limits, all processes killed; it does not stop reading your "
        "files or the network, so code of a language model needs --isolation process to say so"
    )


def _data(settings: "Config") -> Finding:
    from evo import evaluator

    judged = evaluator.load(workspace.locate("evaluators", settings.evaluator))
    judged = judged.with_data(settings.data.source, settings.data.path)
    text = judged.load_data()
    text.tokens("val", judged.spec.data.tokens)
    sizes = ", ".join(f"{part} {len(body) // 1000} kB" for part, body in text.parts.items())
    return True, f"{text.source} in {judged.spec.data.tokens}: {sizes}"
