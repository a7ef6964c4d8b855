"""In-process stand-ins for what the actors answer, and a run's folder made of real files.

The proposer's answers are the catalogue's; a training's loss is drawn from the code's hash, so that equal code has equal
scores and no torch is needed. Everything else (folder, lineage, driver) is the product's.
"""

import asyncio
import random
from pathlib import Path

from evo import catalogue, config, evaluator, persona
from evo.driver import folder as folders
from evo.driver.loop import Driver
from evo.evaluator import code_hash

ROOT = Path(__file__).resolve().parents[1]


class Trainers:
    """Every training takes a moment and a score that its code and its seed determine."""

    busy, slots = 0, 2

    def __init__(self, fails=lambda files: None):
        self.trained, self.fails = [], fails

    async def judge(self, files, seed, data_seed):
        await asyncio.sleep(0)
        self.trained.append(code_hash(files))
        rng = random.Random(f"{code_hash(files)}/{seed}")
        judged = {
            "status": "ok",
            "reason": "",
            "val_loss": 2.6 - rng.random() / 2,
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
        failed = self.fails(files)
        return {**judged, "status": failed, "reason": "as asked", "val_loss": None} if failed else judged


class Proposer:
    """The catalogue's own answers, with every question counted."""

    def __init__(self, spoil=lambda reply: reply):
        self.asked, self.spoil = [], spoil

    async def ask(self, messages, seed):
        await asyncio.sleep(0)
        self.asked.append(seed)
        reply = {
            "status": "ok",
            "reason": "",
            "text": catalogue.answer(messages, seed),
            "finish_reason": "stop",
            "model": "catalogue",
            "latency_s": random.random(),
            "input_tokens": 100,
            "output_tokens": 50,
            "outage": "",
        }
        return self.spoil(reply)


class Watcher:
    """Remembers what it was told."""

    def __init__(self):
        self.rows = []

    def row(self, row):
        self.rows.append(row["id"])

    def tick(self, asking, training, slots):
        pass


def make_run(where: Path, evaluator_folder: Path, name="run", **flags):
    """The folder of a new run, two seeds, no clock among the objectives; opened."""
    wanted = {
        "generations": 2,
        "population": 3,
        "selection.max_cost": float("inf"),
        "seeds": "isaac_newton,leonhard_euler",
    }
    settings = config.load(None, wanted | flags, {})
    judged = evaluator.load(evaluator_folder)
    data = config.Data(source="folder", path=str(evaluator_folder / "text"))
    seeds = [persona.find_seed(persona.load_seeds(ROOT / "seeds"), slug) for slug in settings.seeds]
    settings = settings.model_copy(update={"data": data})
    path = folders.create(where, name, settings, judged, seeds, judged.load_data().sha256())
    return folders.open_run(path)


def drive(run, proposer=None, trainers=None):
    """Carry a run on to its end; returns (proposer, trainers, watcher)."""
    proposer, trainers, watcher = proposer or Proposer(), trainers or Trainers(), Watcher()
    asyncio.run(Driver(run, proposer, trainers, watcher).run())
    return proposer, trainers, watcher


def without_clocks(lineage):
    """Every table's rows by key, clock columns and the run's name left out."""
    from evo.lineage import schema

    def key(row):
        return tuple(row[name] or 0 for name in ("id", "replicate", "attempt", "step") if name in row)

    told = {}
    for table in schema.TABLES:
        drop = schema.clock_columns(table) | {"run"}
        rows = [{name: value for name, value in row.items() if name not in drop} for row in lineage.read(table)]
        told[table] = sorted(rows, key=key)
    return told
