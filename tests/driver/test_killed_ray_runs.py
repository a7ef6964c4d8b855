"""kill -9 of the whole process tree of a real `evo resume`, Ray and sandboxes included, ten times; then resumed."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import killing
import psutil
import pytest
from killing import kill_tree, mounted, run_killing
from standins import make_run, without_clocks

from evo import rng
from evo.catalogue import CatalogueServer, server
from evo.lineage.store import Lineage

MOMENTS = [("after ask", 2), ("before judge", 3), ("after judge", 4), ("after judge verdict", 1)]
TIMES = [(int(rng.uniform(0, 8)), round(rng.uniform(0, 1.5), 3)) for rng in map(random.Random, range(6))]
"""When, at random: so many trainings of nine are durable, and so many seconds later."""
SMALL = {"generations": 1, "population": 2, "seeds": "isaac_newton", "isolation": "process", "model.name": "catalogue"}
SMALL |= {"final.verdict_seeds": 2}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def endpoint():
    """A real catalogue outside the process trees that are killed, and how often each seed was asked for."""
    asked = Counter()
    composing = server.compose

    def counted(messages, seed):
        asked[seed] += 1
        return composing(messages, seed)

    patch = pytest.MonkeyPatch()
    patch.setattr(server, "compose", counted)
    with CatalogueServer() as running:
        patch.setenv("OPENAI_API_KEY", running.token)
        yield running.base_url, asked
    patch.undo()


def new_run(folder, small_evaluator, endpoint):
    return make_run(folder / "population", small_evaluator, **SMALL, **{"model.base_url": endpoint[0]})


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_evaluator, endpoint):
    """The rows of a run that was not killed."""
    folder = tmp_path_factory.mktemp("whole")
    run = new_run(folder, small_evaluator, endpoint)
    done = run_killing(run.path, folder / "none", "none", 1, "ray")
    assert done.returncode == 0, done.stderr
    lineage = without_clocks(Lineage(run.path))
    assert len(lineage["trainings"]) == 9
    return lineage


@pytest.fixture(scope="module")
def figures(request):
    """Kills, candidates, and what was lost and repeated; printed when all is done."""
    counted = Counter()
    yield counted
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        told = ", ".join(f"{name} {counted[name]}" for name in ("kills", "candidates", "lost", "repeated"))
        terminal.write_line(f"\nof a real Ray run: {told}")


def resume_and_compare(run, folder, asked, whole, figures):
    """Go on with a run that was killed to its end; nothing that was durable is lost, asked for or trained again."""
    kept = Lineage(run.path)
    durable = [rng.derived(1, row["id"], "answer") % 2**31 for row in kept.read("calls")]
    trained = {(row["id"], row["replicate"]): row for row in kept.read("trainings")}
    done = run_killing(run.path, folder / "none", "none", 1, "ray")
    assert done.returncode == 0, done.stderr
    assert "was killed while it wrote run" in done.stderr
    after = {(row["id"], row["replicate"]): row for row in kept.read("trainings")}
    figures["kills"] += 1
    figures["candidates"] += len(kept.read("candidates"))
    figures["lost"] += sum(key not in after for key in trained)
    figures["repeated"] += sum(asked[seed] - 1 for seed in durable)
    figures["repeated"] += sum(key in after and after[key] != row for key, row in trained.items())
    assert (figures["lost"], figures["repeated"]) == (0, 0)
    assert without_clocks(Lineage(run.path)) == whole


@pytest.mark.parametrize(("moment", "nth"), MOMENTS)
def test_a_run_killed_at_a_hand_over_resumes_to_the_lineage_of_one_that_was_not(
    tmp_path, small_evaluator, endpoint, whole, figures, moment, nth
):
    endpoint[1].clear()
    run = new_run(tmp_path, small_evaluator, endpoint)
    killed = run_killing(run.path, tmp_path / "hit", moment, nth, "ray")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "hit").read_text().startswith(moment)
    resume_and_compare(run, tmp_path, endpoint[1], whole, figures)


@pytest.mark.parametrize(("trainings", "seconds"), TIMES)
def test_a_run_killed_at_a_random_time_resumes_to_the_lineage_of_one_that_was_not(
    tmp_path, small_evaluator, endpoint, whole, figures, trainings, seconds
):
    endpoint[1].clear()
    run = new_run(tmp_path, small_evaluator, endpoint)
    command = [sys.executable, killing.__file__, str(run.path), str(tmp_path / "none"), "none", "1", "ray"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (run.path / ".holder.json").exists() or count(run) < trainings:
        assert process.poll() is None, "it ended before its time"
        time.sleep(0.02)
    time.sleep(seconds)
    kill_tree(psutil.Process(process.pid))
    assert process.wait(60) == -signal.SIGKILL
    resume_and_compare(run, tmp_path, endpoint[1], whole, figures)


def count(run):
    return len(list((run.path / "lineage" / "trainings").glob("[0-9]*.parquet")))


def test_a_full_disk_in_the_midst_of_a_run_pauses_it_and_it_resumes(tmp_path, small_evaluator, endpoint, whole):
    """The lineage stands on a file system of its own, which is made larger afterwards."""
    run = new_run(tmp_path, small_evaluator, endpoint)
    copy = shutil.copytree(run.path, tmp_path / "copy" / run.name)
    with mounted(run.path, "20m") as resize:
        resize("200k")
        shutil.copytree(copy, run.path, dirs_exist_ok=True)
        paused = run_killing(run.path, tmp_path / "none", "none", 1, "ray")
        assert paused.returncode == 1
        assert "evo.errors.EvoError: the disk is full" in paused.stderr
        resize("20m")
        done = run_killing(run.path, tmp_path / "none", "none", 1, "ray")
        assert done.returncode == 0, done.stderr
        assert without_clocks(Lineage(run.path)) == whole
