"""A search in which everything goes wrong at once ends as a calm one does."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import chaos
import pytest
from standins import make_run

from evo import rng
from evo.lineage.store import Lineage
from evo.status import Status
from evo.trainer import isolation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CANDIDATES = 60
SIXTY = {"generations": 7, "population": 8, "seeds": "galileo_galilei,isaac_newton,leonhard_euler"}
SETTINGS = {"model.name": "m", "model.timeout_seconds": 3, "model.retries": 6, "workers.slots": 2, "repairs": 0}
SETTINGS |= {"final.verdict_seeds": 0, "baseline_every": 30}
LIMITS = """
[batches]
short_run = 0
[limits]
cpu_seconds = 6
baseline_multiple = 1000
wall_seconds = 40
memory_mb = 1500
processes = 24
"""
OF_HONEST = ("status", "val_loss", "n_params", "code_hash", "reported_vloss")
OF_ALL = ("generation", "parents", "base", "persona", "operators", "prompt", "files", "duplicate_of")


@pytest.fixture(scope="module")
def strict(tmp_path_factory, small_evaluator):
    """The small evaluator with limits that end the hostile soon, however loaded the machine is."""
    folder = shutil.copytree(small_evaluator, tmp_path_factory.mktemp("strict") / "strict")
    spec = folder / "evaluator.toml"
    spec.write_text(spec.read_text(encoding="utf-8").split("[limits]")[0] + LIMITS, encoding="utf-8")
    return folder


def searched(where, evaluator, faults, seconds, monkeypatch):
    """A whole search: its rows, what the endpoint met, and what its process said."""
    baseline = {name: (evaluator / name).read_text(encoding="utf-8") for name in ("train_mps.py", "model.py")}
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-this-test")
    with chaos.Endpoint(baseline, faults) as server:
        flags = SIXTY | SETTINGS | {"model.base_url": server.base_url, "isolation": isolation.strongest().name}
        run = make_run(where, evaluator, **flags)
        command = [sys.executable, chaos.__file__, str(run.path), str(seconds)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        server.shutdown()
        said = json.loads(done.stdout.splitlines()[-1]) | {"seconds": time.monotonic() - began}
        return Lineage(run.path).read("candidates"), Counter(server.met), said


def test_a_search_among_faults_hostile_candidates_and_killed_workers_ends_as_a_calm_one(tmp_path, strict, monkeypatch):
    calm, _, quiet = searched(tmp_path / "calm", strict, False, 0, monkeypatch)
    rows, met, said = searched(tmp_path / "chaos", strict, True, 10, monkeypatch)
    kinds = {row["id"]: kind(row["id"]) for row in rows}
    told = Counter(f"{kinds[row['id']]} → {row['status']}" for row in rows)
    print(
        f"\n{said['kills']} workers killed; {dict(met)}; calm {quiet['seconds']:.0f} s, chaos {said['seconds']:.0f} s"
    )
    print("\n".join(f"  {count:3} {what}" for what, count in sorted(told.items())))
    assert [row["id"] for row in rows] == list(range(CANDIDATES))
    assert {row["status"] for row in rows} <= set(Status)
    assert all(row["reason"] for row in rows if row["status"] != Status.OK)
    assert said["kills"] >= 2
    assert sum("lost and replaced" in note for note in said["notes"]) >= said["kills"]
    assert {kind for kind, count in met.items() if count} >= {"429", "500", "reset", "silence"}
    assert sum(kind in chaos.HOSTILE for kind in kinds.values()) >= 4
    assert sum(kind == "bad" for kind in kinds.values()) >= 4
    for row, before in zip(rows, calm, strict=True):
        assert all(row[name] == before[name] for name in OF_ALL), row["id"]
        if kinds[row["id"]] == "honest":
            assert {name: row[name] for name in OF_HONEST} == {name: before[name] for name in OF_HONEST}
            assert row["status"] in (Status.OK, Status.DUPLICATE)
        else:
            assert row["status"] not in (Status.OK, Status.WORKER_LOST)


def kind(number):
    """What a candidate of this search is."""
    return chaos.kind_of(rng.derived(1, number, "answer") % 2**31) if number else "honest"


def test_the_candidates_of_the_test_are_what_it_says(small_evaluator):
    assert Path(chaos.__file__).name == "chaos.py"
    baseline = {name: (small_evaluator / name).read_text(encoding="utf-8") for name in ("train_mps.py", "model.py")}
    answers = {name: chaos.answer(baseline, seed) for seed in range(300) for name in [chaos.kind_of(seed)]}
    assert set(answers) == {"honest", "bad", *chaos.HOSTILE}
    assert "std=0.02 /" not in answers["honest"]
    for name, body in chaos.HOSTILE.items():
        assert body.splitlines()[-1].strip() in answers[name]
