"""In-process stand-ins for what the actors answer, and a run's folder made of real files.

The proposer's answers are the catalogue's; a training's loss is drawn from the code's hash, so that equal code has equal
scores and no torch is needed. Everything else (folder, lineage, driver) is the product's.
"""

import asyncio
import functools
import random
import shutil
from pathlib import Path

from evo import catalogue, config, evaluator, persona
from evo.driver import run_folder as folders
from evo.driver.loop import Driver
from evo.evaluator import code_hash
from evo.lineage import recovery
from evo.proposer.reply import Reply
from evo.status import Status

ROOT = Path(__file__).resolve().parents[1]


class Trainers:
    """Every training takes a moment and scores that its code and its seed determine.

    Args:
        fails: the status that a job ends with, None where it does well.
        shift: nats added to both losses of a job.
    """

    busy, slots = 0, 2

    def __init__(self, fails=lambda job: None, shift=lambda job: 0.0):
        self.jobs, self.trained, self.fails, self.shift = [], [], fails, shift

    async def judge(self, job):
        await asyncio.sleep(0)
        code = hash_of(job.files)
        self.jobs.append(job)
        self.trained.append(code)
        rng = random.Random(f"{code}/{job.seed}")
        judged = {
            "status": "ok",
            "reason": "",
            "val_loss": 2.6 - rng.random() / 2 + self.shift(job),
            "text_se": 0.01,
            "test_loss": 2.7 - rng.random() / 2 + self.shift(job) if job.test else None,
            "early_stop_loss": 2.8 - rng.random() / 2,
            "verify_seconds": random.random(),
            "bits_per_byte": 3.5,
            "reported_vloss": 2.5,
            "reported_elapsed_min": random.random(),
            "n_params": 1000,
            "cpu_seconds": 6.0 + random.random() / 2,
            "wall_seconds": 6.5 + random.random(),
            "peak_memory_bytes": 10**8 + random.randrange(10**6),
            "started_at": 1.8e9 + random.random(),
            "curve": [{"step": 30, "seconds": random.random(), "train_loss": 2.7, "reported_val_loss": 2.8}],
            "output_tail": "",
            "device": "cpu",
            "host": "here",
            "isolation": "process",
        }
        failed = self.fails(job)
        if job.early_stop is not None and judged["early_stop_loss"] > job.early_stop.loss:
            failed = failed or "stopped_early"
        if failed:
            unknown = ("val_loss", "test_loss", "text_se", "bits_per_byte", "reported_vloss", "n_params")
            judged |= dict.fromkeys(unknown) | {"status": failed, "reason": "as asked"}
        return judged


def hash_of(files):
    """`code_hash`, which takes longer than all else here, once for each code."""
    return _hash_of(tuple(sorted(files.items())))


@functools.lru_cache
def _hash_of(files):
    return code_hash(dict(files))


class Proposer:
    """The catalogue's own answers, with every question counted."""

    def __init__(self, spoil=lambda reply: reply):
        self.asked, self.spoil = [], spoil

    async def ask(self, model, messages, seed, max_tokens=None):
        await asyncio.sleep(0)
        self.asked.append(seed)
        reply = Reply(
            Status.OK,
            text=catalogue.answer(messages, seed),
            finish_reason="stop",
            model="catalogue",
            latency_s=random.random(),
            input_tokens=100,
            output_tokens=50,
            worked=True,
        ).as_dict()
        return self.spoil(reply)


class Watcher:
    """Remembers what it was told."""

    def __init__(self):
        self.rows, self.stages, self.trainings, self.notes = [], [], [], []

    def note(self, said):
        self.notes.append(said)

    def row(self, row):
        self.rows.append(row["id"])

    def tick(self, asking, training, slots):
        pass

    def stage(self, said, trainings):
        self.stages.append((said, trainings))

    def training(self, row):
        self.trainings.append((row["id"], row["replicate"]))


def with_rung(evaluator_folder: Path, where: Path, step=2) -> Path:
    """A copy of an evaluator that stops losing trainings at a step of their curve."""
    folder = shutil.copytree(evaluator_folder, where)
    spec = folder / "evaluator.toml"
    spec.write_text(f"rung_step = {step}\n{spec.read_text(encoding='utf-8')}", encoding="utf-8")
    return folder


def make_run(where: Path, evaluator_folder: Path, name="run", **flags):
    """The folder of a new run, two seeds, no clock among the objectives, a verdict on two seeds; opened."""
    wanted = {
        "generations": 2,
        "population": 3,
        "selection.max_cost": float("inf"),
        "repairs": 0,
        "patience_minutes": 0,
        "model.retries": 0,
        "seeds": "isaac_newton,leonhard_euler",
        "final.verdict_seeds": 2,
    }
    settings = config.load(None, wanted | flags, {})
    judged = evaluator.load(evaluator_folder)
    data = config.Data(source="folder", path=str(evaluator_folder / "text"))
    seeds = [persona.find_seed(persona.load_seeds(ROOT / "seeds"), slug) for slug in settings.seeds]
    settings = settings.model_copy(update={"data": data})
    path = folders.create(where, name, settings, judged, seeds, judged.load_data().sha256())
    return folders.open_run(path)


def drive(run, proposer=None, trainers=None):
    """Carry a run on to its end as `evo resume` does; returns (proposer, trainers, watcher)."""
    proposer, trainers, watcher = proposer or Proposer(), trainers or Trainers(), Watcher()
    watcher.notes += recovery.recover(run.path)
    asyncio.run(Driver(run, proposer, trainers, watcher).run())
    return proposer, trainers, watcher


def look(run, number, trainers=None):
    """Judge a candidate of a run that is done; returns (trainers, watcher)."""
    trainers, watcher = trainers or Trainers(), Watcher()
    asyncio.run(Driver(run, Proposer(), trainers, watcher).finish(number))
    return trainers, watcher


def without_clocks(lineage):
    """Every table's rows by key, clock columns and the run's name left out."""
    from evo.lineage import schema

    def key(row):
        return tuple(row[name] or 0 for name in ("id", "replicate", "attempt", "step", "look") if name in row)

    told = {}
    for table in schema.TABLES:
        drop = schema.clock_columns(table) | {"run"}
        rows = [{name: value for name, value in row.items() if name not in drop} for row in lineage.read(table)]
        told[table] = sorted(rows, key=key)
    return told
