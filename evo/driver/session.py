"""Session of a run: validate the input, then start the endpoints, Ray and the main loop."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo import corpus, persona, workspace
from evo import evaluator as evaluators
from evo.config import Config, Data
from evo.driver import endpoints
from evo.driver import forecast as forecasts
from evo.driver import run_folder as folders
from evo.driver.endpoints import Served
from evo.driver.loop import Driver, Watcher
from evo.driver.run_folder import RunFolder
from evo.errors import EvoError
from evo.trainer import device as devices
from evo.trainer import isolation

if TYPE_CHECKING:
    from evo.driver.cluster import Cluster


class Interrupted(Exception):
    """Raised when a signal stops the session. The argument is the signal number."""


@dataclass(frozen=True)
class Prepared:
    """New run with notes for the user."""

    run: RunFolder
    notes: list[str]


def prepare(config: Config, name: str | None, population: Path) -> Prepared:
    """Validate everything that a new run needs, then create and open its folder. No model is asked and nothing is trained.

    Raises:
        EvoError: The evaluator, data, personas, isolation, key, endpoint or disk is unusable.
    """
    evaluator, data = _evaluator(config), config.data
    own = evaluator.spec.data
    if own.path is not None:
        data = Data(source=own.source, path=str((evaluator.folder / own.path).resolve()))
    seeds = chosen_seeds(config)
    text = evaluator.load_data()
    text.tokens("val", own.tokens)
    devices.find(config.workers.device, config.workers.slots, config.workers.threads)
    choose_isolation(config)
    endpoints.check(config, population)
    resolved = config.model_copy(
        update={
            "seeds": tuple(seed.slug for seed in seeds),
            "data": data,
            "model": tuple(map(endpoints.frozen, config.model)),
        }
    )
    path = folders.create(population, name, resolved, evaluator, seeds, text.sha256())
    notes = [
        f"{s.path}: line {m.line}: repaired the encoding of {m.before!r} to {m.after!r}"
        for s in seeds
        for m in s.repairs
    ]
    if own.source == "folder":
        notes += [f"warning: {warning}" for warning in corpus.warnings(text)]
    return Prepared(folders.open_run(path), notes)


def forecast(config: Config) -> list[str]:
    """Return a text forecast of the requests and spending of a run. No model is asked.

    Raises:
        EvoError: The evaluator, the data or the personas are missing.
    """
    return forecasts.lines(config, _evaluator(config), chosen_seeds(config))


def _evaluator(config: Config) -> evaluators.Evaluator:
    """Load the configured evaluator with the configured data."""
    named = evaluators.load(workspace.locate("evaluators", config.evaluator))
    return named.with_data(config.data.source, config.data.path)


def chosen_seeds(config: Config) -> list[persona.Seed]:
    """Return the configured seed personas, or all personas of the workspace if none is configured.

    Raises:
        EvoError: There is no persona, a name is unknown, or two personas have the same name.
    """
    known = persona.load_seeds(workspace.seeds_folder())
    if not config.seeds:
        seeds = known
    else:
        seeds = [
            persona.read_seed(Path(word)) if Path(word).is_file() else persona.find_seed(known, word)
            for word in config.seeds
        ]
    slugs = [seed.slug for seed in seeds]
    twice = {slug for slug in slugs if slugs.count(slug) > 1}
    if not seeds or twice:
        found = f"more than one named {', '.join(sorted(twice))}" if twice else "none"
        raise EvoError(f"expected at least one persona, each with its own name, found {found}", kind="persona")
    return seeds


def choose_isolation(config: Config) -> isolation.Level:
    """Return the isolation level of all trainers.

    Raises:
        EvoError: The requested level does not work on this machine, or no level is strong enough for code from a model.
    """
    return isolation.choose(config.isolation, trusted=config.is_catalogue)


def run_session(run: RunFolder, watcher: Watcher, look_at: int | None = None) -> None:
    """Continue the search from its lineage until it has its verdict. The caller must hold the lock of the run.

    Args:
        run: The run.
        watcher: Receives progress.
        look_at: Candidate of a finished run to judge. No model is asked in this case.

    Raises:
        EvoError: The session cannot start or continue.
        Interrupted: A signal ended the session.
    """
    from evo.driver import cluster

    level = choose_isolation(run.config)
    if look_at is None:
        endpoints.check(run.config, run.path.parent)
    settings = run.config.workers
    device = devices.find(settings.device, settings.slots, settings.threads)
    found = run.evaluator.load_data().sha256()
    if found != run.data_sha256:
        changed = ", ".join(part for part in found if found[part] != run.data_sha256.get(part))
        hint = "restore the data, or start a new run with `evo run`"
        raise EvoError(f"the data has changed since the run began, in {changed}", hint=hint, kind="data")
    watcher.note(f"isolation: {level.name}")
    if cleared := cluster.clear_leftovers():
        watcher.note(f"killed {cleared} Ray process(es) that a killed search left behind")
    variables = [name for model in run.config.model for name in (model.key_variable, *model.environment)]
    models = run.config.model if look_at is None else ()
    with endpoints.served(models, run.path.parent) as served, cluster.ray_started(settings, device, variables) as ray:
        asyncio.run(_drive(run, watcher, ray, served, device, level.name, look_at))


async def _drive(
    run: RunFolder,
    watcher: Watcher,
    ray: "Cluster",
    served: Served,
    device: devices.Device,
    level: str,
    look_at: int | None,
) -> None:
    """Run the main loop until it ends, Ray or a local server fails, or a signal arrives."""
    from evo.driver import cluster, workers

    slots = cluster.slots(ray.ray, run.config.workers, device)
    trainers = workers.Trainers(ray, run.evaluator, device, run.data_sha256, level, slots, watcher.note)
    proposer = workers.RemoteProposer(ray, served.asked)

    async def search() -> None:
        await asyncio.gather(trainers.start(), proposer.start())
        driver = Driver(run, proposer, trainers, watcher)
        await (driver.run() if look_at is None else driver.finish(look_at))

    with _signals_cancel() as stopped:
        tasks = [asyncio.ensure_future(work) for work in (ray.watch(), served.watch(), search())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not stopped:
                raise
            raise Interrupted(stopped[0]) from None
        finally:
            ended = [task for task in tasks if task.done()]
            while left := [task for task in tasks if not task.done()]:
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=1.0)
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()


@contextmanager
def _signals_cancel() -> Iterator[list[int]]:
    """Cancel this task on the first signal and end the process on the second.

    Call this after `ray.init`, which installs its own handler of SIGTERM.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped: list[int] = []

    def stop(number: int) -> None:
        if stopped:
            os._exit(128 + number)
        stopped.append(number)
        if task is not None:
            task.cancel()

    numbers = [
        n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN
    ]  # `nohup` ignores SIGHUP, and it must stay ignored
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            if stopped:  # Ray may take seconds to shut down, and another signal must still end the process
                signal.signal(number, lambda again, _: os._exit(128 + again))
