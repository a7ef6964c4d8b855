"""Command `evo doctor`: check device, Ray, endpoint, isolation and data."""

import ipaddress
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from evo import workspace
from evo.cli import output
from evo.cli.run import BaseUrl, ModelName, Preset, load_config
from evo.errors import EvoError

if TYPE_CHECKING:
    from evo.config import Config, Model

Finding = tuple[bool, str]


def doctor(
    config: Annotated[str | None, typer.Option("--config", "-c", help="TOML file, or a name in configs/.")] = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    preset: Preset = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything that a run needs and print what to do about each problem. Exit 1 if something is missing."""
    settings = load_config(config, model=model, base_url=base_url, preset=preset)
    checks: dict[str, Callable[[], Finding]] = {
        "device": lambda: _device(settings),
        "ray": lambda: _ray(settings),
        "endpoint": lambda: _endpoint(settings),
        "isolation": lambda: _isolation(settings),
        "data": lambda: _data(settings),
    }
    found = {}
    for what, check in checks.items():
        try:
            found[what] = check()
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
    from evo.driver import cluster
    from evo.trainer.device import Device

    with cluster.ray_started(settings.workers, Device("cpu", 1, 1)) as started:
        ray = started.ray
        where = settings.workers.address or "this machine"
        said = f"version {ray.__version__} starts on {where}, {len(ray.nodes())} node(s)"
        return True, f"{said}; {_ports(cluster.listening(ray, settings.workers))}"


def _ports(found: list[tuple[str, str, int]]) -> str:
    """Describe where Ray listens, and how to close ports that other machines can reach."""
    told = ", ".join(f"{process} {address}:{port}" for process, address, port in found)
    open_ports = [port for _, address, port in found if not ipaddress.ip_address(address).is_loopback]
    if not open_ports:
        return f"it listens only on the loopback address: {told}"
    numbers = ",".join(map(str, open_ports))
    return (
        f"it listens on {told}; other machines can reach port(s) {numbers} unless a firewall blocks them: allow the machines "
        f"of the cluster (sudo ufw allow from ADDRESS), then block others (sudo ufw deny proto tcp to any port {numbers})"
    )


def _endpoint(settings: "Config") -> Finding:
    """Probe every endpoint. Check that every model served by this run can be served."""
    from evo.driver import endpoints

    endpoints.check(settings, workspace.population())
    found = [_model(settings, model) for model in settings.model]
    return all(fine for fine, _ in found), "; ".join(said for _, said in found)


def _model(settings: "Config", model: "Model") -> Finding:
    import asyncio

    from evo import evaluator as evaluators
    from evo.driver import forecast, session
    from evo.proposer.client import Proposer, endpoint
    from evo.proposer.endpoint_probe import learn

    if model.is_catalogue:
        return True, "the built-in catalogue (rule-based, offline); use --model and --base-url for a language model"
    if model.kind != "endpoint":
        return True, f"{model.display_name} ({model.kind}) is served on this machine while a session runs"
    where = endpoint(model)
    evaluator = evaluators.load(workspace.locate("evaluators", settings.evaluator))
    messages = forecast.first_messages(settings, evaluator, session.chosen_seeds(settings)[0].persona)
    answer = forecast.answer_tokens(settings, evaluator)
    learned = asyncio.run(learn(Proposer(where, model), model, messages, answer))
    return not learned.wrong, learned.wrong or "; ".join(
        [f"{model.display_name} at {where.base_url} answers", *learned.lines]
    )


def _isolation(settings: "Config") -> Finding:
    from evo.trainer import isolation

    level = isolation.choose(settings.isolation, trusted=settings.is_catalogue)
    stronger = isolation.LEVELS[isolation.LEVELS.index(level) + 1 :]
    said = [level.name]
    if level.name == "process":
        said.append(
            "clean environment, limits and all processes killed, but it does not stop code from reading your files, "
            "your other processes or the network; to run code from a language model, pass --isolation process"
        )
    said += [
        f"not {other.name}: {other.missing() or 'it works, but another level is configured'}" for other in stronger
    ]
    return True, "; ".join(said)


def _data(settings: "Config") -> Finding:
    from evo import evaluator

    judged = evaluator.load(workspace.locate("evaluators", settings.evaluator))
    judged = judged.with_data(settings.data.source, settings.data.path)
    text = judged.load_data()
    text.tokens("val", judged.spec.data.tokens)
    sizes = ", ".join(f"{part} {len(body) // 1000} kB" for part, body in text.parts.items())
    return True, f"{text.source} in {judged.spec.data.tokens}: {sizes}"
