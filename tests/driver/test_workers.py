"""Trainers that are lost, with actors of this process in Ray's place."""

import asyncio
import types

import pytest
from ray import exceptions

from evo.driver import workers
from evo.errors import EvoError
from evo.status import Status
from evo.trainer import isolation
from evo.trainer.actor import TrainerActor
from evo.trainer.device import Device

LOST = exceptions.ActorDiedError()


class Cluster:
    """Makes actors that behave as they are told, one after the other; the last way for all that come later."""

    def __init__(self, *ways, alive=True):
        self.ways, self.alive, self.made, self.killed = list(ways), alive, [], []
        self.ray = types.SimpleNamespace(exceptions=exceptions, remote=lambda kind: self, kill=self.killed.append)

    def options(self, **resources):
        return self

    def remote(self, *args):
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        self.made.append(Actor(way))
        return self.made[-1]

    async def check(self):
        if not self.alive:
            raise EvoError("Ray died", hint="continue with `evo resume`", kind="device")


class Actor:
    """`starts` and `judges` are what its two methods raise, or return."""

    def __init__(self, way):
        self.starts, self.judges = way
        self.ready = types.SimpleNamespace(remote=lambda: self.answer(self.starts))
        self.judge = types.SimpleNamespace(remote=lambda job: self.answer(self.judges))

    async def answer(self, what):
        await asyncio.sleep(0.01)
        if isinstance(what, BaseException):
            raise what
        if what == "nothing":
            await asyncio.sleep(60)
        return what


GOOD = (None, {"status": "ok"})
DIES = (None, LOST)
NEVER = ("nothing", None)


def judged(cluster, jobs=1, slots=1, after=0.1):
    """What so many jobs came to, the pool, and what it said."""
    said = []

    async def work():
        pool = workers.Trainers(cluster, None, Device("cpu", slots, 1), {}, "process", slots, said.append)
        await pool.start()
        found = await asyncio.gather(*(pool.judge(None) for _ in range(jobs)), return_exceptions=True)
        await asyncio.sleep(after)
        return found, pool

    found, pool = asyncio.run(work())
    return found, pool, said


def test_a_lost_trainer_is_replaced_and_its_training_tried_on_another():
    cluster = Cluster(DIES, GOOD)
    found, pool, said = judged(cluster)
    assert found == [{"status": "ok"}]
    assert (pool.slots, pool.busy, len(cluster.made)) == (1, 0, 2)
    assert cluster.killed == cluster.made[:1]
    assert said == ["a trainer was lost and replaced"]


def test_a_candidate_that_loses_two_workers_is_not_given_a_third():
    cluster = Cluster(DIES, DIES, GOOD)
    (lost,), pool, _ = judged(cluster)
    assert lost["status"] == Status.WORKER_LOST
    assert lost["reason"] == "2 workers were lost while training this candidate"
    assert lost["isolation"] == "process"
    assert lost["wall_seconds"] > 0.0
    assert lost["started_at"] > 1e9
    assert (pool.slots, len(cluster.made)) == (1, 3)


def test_the_second_try_is_elsewhere_where_there_is_an_elsewhere():
    cluster = Cluster(DIES, GOOD, NEVER)
    (found,), pool, _ = judged(cluster, slots=2)
    assert found == {"status": "ok"}
    assert pool.slots == 2


def test_a_trainer_that_is_lost_while_it_waits_counts_against_no_candidate():
    cluster = Cluster(GOOD, DIES, GOOD)

    async def work():
        pool = workers.Trainers(cluster, None, Device("cpu", 1, 1), {}, "process", 1, lambda said: None)
        await pool.start()
        cluster.made[0].starts = LOST
        return await pool.judge(None)

    assert asyncio.run(work()) == {"status": "ok"}
    assert len(cluster.made) == 3


def test_the_next_candidate_is_not_charged_for_the_one_before():
    found, _, _ = judged(Cluster(DIES, DIES, DIES, GOOD), jobs=2)
    assert {one["status"] for one in found} == {"ok", Status.WORKER_LOST}


def test_where_none_can_be_started_in_its_place_the_search_goes_on_with_fewer_slots_and_says_so():
    broken = (exceptions.ActorDiedError(), None)
    cluster = Cluster(DIES, GOOD, broken)
    found, pool, said = judged(cluster, jobs=3, slots=2)
    assert [one["status"] for one in found] == ["ok"] * 3
    assert pool.slots == 1
    assert len(cluster.made) == 5
    (line,) = said
    assert line.startswith("a trainer was lost, and its replacement did not start: ")
    assert line.endswith("; 1 slot(s) left")


def test_a_start_that_fails_once_is_tried_again_and_counts_against_no_candidate():
    broken = (exceptions.ActorDiedError(), None)
    (found,), pool, _ = judged(Cluster(DIES, broken, broken, GOOD))
    assert found == {"status": "ok"}
    assert pool.slots == 1


def test_where_no_slot_is_left_everyone_who_waits_is_told_how_to_resume():
    found, pool, said = judged(Cluster(DIES, (exceptions.ActorDiedError(), None)), jobs=3)
    assert [str(one) for one in found] == ["no trainer is left: all were lost, and no replacement started"] * 3
    assert {one.hint for one in found} == {"run `evo doctor`, then `evo resume`"}
    assert pool.slots == 0
    assert said[-1].endswith("0 slot(s) left")


def test_a_trainer_that_is_lost_because_ray_died_counts_against_no_candidate():
    (found,), _, said = judged(Cluster(DIES, alive=False))
    assert str(found) == "Ray died"
    assert said == []


def test_a_trainer_for_which_the_cluster_has_no_place_is_done_without(monkeypatch):
    monkeypatch.setattr(workers, "_START_SECONDS", 0.05)
    (found,), pool, said = judged(Cluster(GOOD, NEVER), slots=2)
    assert found == {"status": "ok"}
    assert pool.slots == 1
    assert said == ["a trainer did not start: the cluster had no free resources for it in 0.05 s; 1 slot(s) left"]


def test_a_worker_that_cannot_work_at_all_refuses_the_run():
    raised = exceptions.RayTaskError("__init__", "ValueError: the data on there differs from the run's", ValueError())
    cluster = Cluster((exceptions.ActorDiedError(raised), None))
    with pytest.raises(EvoError, match=r"a trainer did not start: .*the data on there differs"):
        judged(cluster)
    assert len(cluster.made) == 1


def test_a_full_disk_of_a_trainer_is_not_the_candidates_failure():
    error = exceptions.RayTaskError("judge", "traceback", OSError(28, "No space left on device", "/tmp/x"))
    (found,), _, _ = judged(Cluster((None, error)))
    assert isinstance(found, EvoError)
    assert found.kind == "disk"


def test_a_worker_on_whose_node_the_runs_isolation_does_not_work_says_so_at_its_start(monkeypatch):
    strongest = isolation.LEVELS[-1]
    monkeypatch.setattr(type(strongest), "missing", lambda self: "bwrap is not there; apt install bubblewrap")
    with pytest.raises(
        ValueError, match=f"isolation {strongest.name}, which the run uses, does not work on .*apt install"
    ):
        TrainerActor(None, Device("cpu", 1, 1), {}, strongest.name)
