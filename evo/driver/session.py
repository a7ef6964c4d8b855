"""A session of a run: everything that can be refused is refused first, then endpoint, lock, Ray and the loop."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evo import corpus, persona, workspace
from evo import evaluator as evaluators
from evo.catalogue import CatalogueServer, faults
from evo.config import Config, Data
from evo.driver import folder as folders
from evo.driver.folder import RunFolder
from evo.driver.loop import Driver, Watcher
from evo.errors import EvoError
from evo.proposer.client import Endpoint, Proposer, endpoint
from evo.trainer import device as devices
from evo.trainer.isolation import require


class Interrupted(Exception):
    """The user, or the system, asked the session to stop: the signal's number."""


@dataclass(frozen=True)
class Prepared:
    """A new run, and what its user should be told before it begins."""

    run: RunFolder
    notes: list[str]


def prepare(config: Config, name: str | None, population: Path) -> Prepared:
    """Check everything that a new run needs, make its folder and open it. Nothing is asked or trained.

    Raises:
        EvoError: whatever is wrong with evaluator, data, seeds, isolation, key, endpoint or disk.
    """
    evaluator = evaluators.load(workspace.locate("evaluators", config.evaluator))
    data = config.data
    if data.source or data.path:
        evaluator = evaluator.with_data(data.source, data.path)
    own = evaluator.spec.data
    if own.path is not None:
        data = Data(source=own.source, path=str((evaluator.folder / own.path).resolve()))
    seeds = chosen_seeds(config)
    text = evaluator.load_data()
    text.tokens("val", own.tokens)
    devices.find(config.workers.device, config.workers.slots, config.workers.threads)
    faults.parse(config.model.faults)
    check_endpoint(config)
    resolved = config.model_copy(
        update={
            "seeds": tuple(seed.slug for seed in seeds),
            "data": data,
            "model": config.model
            if config.model.is_catalogue
            else config.model.model_copy(update={"base_url": endpoint(config.model).base_url}),
        }
    )
    path = folders.create(population, name, resolved, evaluator, seeds, text.sha256())
    notes = [f"{s.path}: line {m.line}: mended {m.before!r} to {m.after!r}" for s in seeds for m in s.mends]
    if own.source == "folder":
        notes += [f"warning: {warning}" for warning in corpus.warnings(text)]
    return Prepared(folders.open_run(path), notes)


def chosen_seeds(config: Config) -> list[persona.Seed]:
    """The seed personas that the configuration names, or all of the workspace's.

    Raises:
        EvoError: none, one that is not there, or two of one name.
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
        found = f"twice {', '.join(sorted(twice))}" if twice else "none"
        raise EvoError(f"expected seed personas of different names, found {found}", kind="persona")
    return seeds


def check_endpoint(config: Config) -> None:
    """Refuse what could not be asked or trained: no isolation for a model's code, no key, an endpoint that is down."""
    require(config.isolation, trusted=config.model.is_catalogue)
    if config.model.is_catalogue:
        return
    wrong = asyncio.run(Proposer(endpoint(config.model), config.model).preflight())
    if wrong:
        raise EvoError(wrong, hint="evo doctor; nothing was asked or trained", kind="endpoint")


def carry_on(run: RunFolder, watcher: Watcher, look_at: int | None = None) -> None:
    """Run the search from where its lineage stands to its end and its verdict; the caller holds the run's lock.

    Args:
        run: the run.
        watcher: who is told.
        look_at: of a run that is done: give a verdict on this candidate, and ask nobody for answers.

    Raises:
        EvoError: what ended it before its time.
        Interrupted: a signal did.
    """
    from evo.driver import workers

    if look_at is None:
        check_endpoint(run.config)
    settings = run.config.workers
    device = devices.find(settings.device, settings.slots, settings.threads)
    found = run.evaluator.load_data().sha256()
    if found != run.data_sha256:
        changed = ", ".join(part for part in found if found[part] != run.data_sha256.get(part))
        raise EvoError(f"the data changed since the run began: {changed}", kind="data")
    key = run.config.model.key_variable
    with _endpoint(run.config) as where, workers.ray_started(settings, device, key) as ray:
        asyncio.run(_drive(run, watcher, ray, where, device, look_at))


async def _drive(
    run: RunFolder, watcher: Watcher, ray: object, where: Endpoint, device: devices.Device, look_at: int | None
) -> None:
    from evo.driver import workers

    slots = workers.cluster_slots(ray, run.config.workers, device)
    trainers = workers.Trainers(ray, run.evaluator, device, run.data_sha256, slots)
    proposer = workers.RemoteProposer(ray, where, run.config.model)
    with _signals_cancel() as stopped:
        try:
            await trainers.start()
            driver = Driver(run, proposer, trainers, watcher)
            await (driver.run() if look_at is None else driver.finish(look_at))
        except asyncio.CancelledError:
            if not stopped:
                raise
            raise Interrupted(stopped[0]) from None


@contextmanager
def _endpoint(config: Config) -> Iterator[Endpoint]:
    """The model's endpoint, or the built-in catalogue's for as long as the block runs."""
    if not config.model.is_catalogue:
        yield endpoint(config.model)
        return
    with CatalogueServer(faults=config.model.faults) as server:
        yield Endpoint(server.base_url, server.token)


@contextmanager
def _signals_cancel() -> Iterator[list[int]]:
    """Let the first signal cancel this task, and a second one end the process at once. Ray takes SIGTERM: so after it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped: list[int] = []

    def stop(number: int) -> None:
        if stopped:
            os._exit(128 + number)
        stopped.append(number)
        if task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
