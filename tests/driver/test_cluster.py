"""Ray dies, or is left behind by a search that was killed: real Ray, real processes."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from evo.config import Workers
from evo.driver import cluster
from evo.proposer import key
from evo.trainer.device import Device

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def here(monkeypatch):
    """A folder of this test's own for Ray's sessions: other tests start Ray too, and clear what they find left."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        assert key.short_folder() == folder
        yield Path(folder)


@pytest.fixture
def start(tmp_path, here):
    """Starts `evo` with these arguments; what still runs at the test's end is stopped."""
    started = []

    def begin(*args):
        process = subprocess.Popen(
            [sys.executable, "-m", "evo", *args],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"EVO_FINAL__VERDICT_SEEDS": "0"},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def start_run(start, small_evaluator, generations):
    return start(
        *("run", "--evaluator", str(small_evaluator), "--personas", "newton", "--population", "2", "--name", "r"),
        *("--generations", str(generations), "--isolation", "process", "--slots", "1"),
    )


def wait_for(condition, what, seconds=90):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not in {seconds} s"
        time.sleep(0.1)
    return found


def wait_for_a_row(home):
    folder = home / "population" / "r" / "lineage" / "candidates"
    wait_for(lambda: list(folder.glob("[0-9]*.parquet")), "a row")


def of_ray(process):
    """Processes below it that are Ray's, by name."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if cluster._is_rays(child.cmdline()):
                found[child.name()] = child
    return found


def lives(process):
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("server", ["raylet", "gcs_server"])
def test_ray_dying_ends_the_run_with_how_to_resume(start, tmp_path, small_evaluator, server):
    process = start_run(start, small_evaluator, 30)
    wait_for_a_row(tmp_path)
    started = of_ray(process)
    started[server].kill()
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    print(f"{server} killed: the run ended after {time.monotonic() - began:.1f} s")
    assert process.returncode == 1
    assert out == ""
    assert "Ray died" in err
    assert "continue with `evo resume`" in err
    assert "Traceback" not in err
    assert "worker_lost" not in err
    assert not [name for name, one in started.items() if lives(one)]


def test_what_ray_leaves_of_a_killed_search_is_cleared_and_said_and_no_other_is_touched(
    start, tmp_path, here, small_evaluator
):
    process = start_run(start, small_evaluator, 1)
    wait_for_a_row(tmp_path)
    left = of_ray(process)
    opened = next(file.path for file in left["raylet"].open_files() if "/evo-ray-" in file.path)
    folder = here / Path(opened).relative_to(here).parts[0]
    assert folder.exists()
    for one in left.values():
        one.suspend()  # so that they are still there
    process.kill()
    process.communicate(timeout=30)
    agents = [one for one in left.values() if lives(one)]
    assert agents
    with cluster.ray_started(Workers(), Device("cpu", 1, 1)) as other:
        resumed = start("resume")
        _, err = resumed.communicate(timeout=200)
        assert resumed.returncode == 0, err
        assert "Ray process(es) that a killed search left behind" in err
        assert other.ray.get(other.ray.remote(lambda: 7).remote(), timeout=60) == 7
    assert not [one for one in agents if lives(one)]
    assert not folder.exists()


LISTENING = """
import json, psutil
from evo.config import Workers
from evo.driver import cluster
from evo.trainer.device import Device
with cluster.ray_started(Workers(), Device("cpu", 1, 1)) as started:
    seven = started.ray.get(started.ray.remote(lambda: 7).remote(), timeout=60)
    ports = cluster.listening(started.ray, Workers())
    below = [one for one in psutil.Process().children(recursive=True) if cluster._is_rays(one.cmdline())]
print(json.dumps([seven, ports, [one.pid for one in below if one.is_running() and one.status() != "zombie"]]))
"""


def test_ray_listens_on_this_machine_alone_and_leaves_nothing_when_it_ends(here):
    """In a process of its own: what Ray takes for this machine's address is settled when it is imported."""
    done = subprocess.run([sys.executable, "-c", LISTENING], capture_output=True, text=True, timeout=120, check=True)
    seven, ports, left = json.loads(done.stdout.splitlines()[-1])
    assert seven == 7
    assert {process for process, _, _ in ports} >= {"gcs_server", "raylet"}
    assert {address for _, address, _ in ports} == {"127.0.0.1"}
    assert list(here.glob("evo-ray-*")) == []
    assert left == []


def test_the_doctor_tells_rays_ports_and_the_isolation(start):
    process = start("doctor")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    ray, isolation = (next(line for line in out.splitlines() if line.startswith(what)) for what in ("ray", "isolation"))
    assert "it listens only on the loopback address" in ray
    assert "gcs_server 127.0.0.1:" in ray
    assert any(level in isolation for level in ("bubblewrap", "sandbox-exec", "process"))
