"""One run of `evo` that is interrupted again and again: by a terminal that closes, by a second Ctrl-C, by a full disk."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import psutil
import pytest
from killing import mounted

from evo.lineage import lock
from evo.lineage.runs import summary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EVO = [sys.executable, "-m", "evo"]
ROWS = 8


class Night:
    """A run in a workspace of its own, which the tests below carry on, one after the other."""

    def __init__(self, home, evaluator):
        self.home, self.path = home, home / "population" / "night"
        self.begin = ["run", "--evaluator", str(evaluator), "--name", "night", "--isolation", "process"]
        self.begin += ["--personas", "newton", "--population", "2", "--generations", "3"]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "EVO_"))}
        self.env["EVO_FINAL__VERDICT_SEEDS"] = "2"

    def start(self, *args, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        return subprocess.Popen([*EVO, *args], cwd=self.home, env=self.env, **options)

    def go_on(self, **options):
        return self.start(*(["resume", "night"] if self.path.exists() else self.begin), **options)

    def done(self):
        return len(list((self.path / "lineage" / "candidates").glob("[0-9]*.parquet")))

    def wait_for_another(self, process):
        """Until one more candidate is done than now; gives how many there are."""
        before, end = self.done(), time.monotonic() + 120
        while self.done() == before:
            assert time.monotonic() < end, "no row came"
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return self.done()


@pytest.fixture(scope="module")
def night(tmp_path_factory, small_evaluator):
    home = tmp_path_factory.mktemp("night")
    with mounted(home / "population", "20m") as resize:
        night = Night(home, small_evaluator)
        night.resize = resize
        yield night


def stopped(night):
    """It can be resumed, and nobody holds it."""
    assert not lock.is_held(night.path)
    assert summary(night.path).state == "stopped"
    return night.done()


def test_a_terminal_that_closes_stops_a_run_which_can_be_resumed(night):
    ours, theirs = pty.openpty()

    def take():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = night.go_on(stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=take)
    os.close(theirs)
    os.set_blocking(ours, False)
    end = time.monotonic() + 120
    while night.done() < 1:
        assert time.monotonic() < end
        try:
            os.read(ours, 65536)
        except BlockingIOError:
            time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    os.close(ours)
    assert process.wait(60) == 130
    assert stopped(night) >= 1
    psutil.wait_procs(below, timeout=40)
    assert [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_second_interrupt_stops_at_once(night):
    process = night.go_on()
    rows = night.wait_for_another(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # it is closing down by then
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert stopped(night) >= rows


def test_a_full_disk_pauses_a_run_with_what_to_do(night):
    used = sum(path.stat().st_blocks * 512 for path in night.path.rglob("*"))
    before = stopped(night)
    night.resize(used + 64 * 1024)
    out, err = night.go_on().communicate(timeout=200)
    assert "the disk is full (" in err, out + err
    assert "finished work is saved: free disk space, then `evo resume`" in err
    assert "Traceback" not in err
    assert stopped(night) >= before
    night.resize("20m")


def test_after_all_that_the_run_ends_with_every_row_once_and_no_answer_asked_for_twice(night):
    process = night.go_on()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert summary(night.path).state == "finished"
    found = night.start("sql", "SELECT id, count(*) AS n FROM candidates GROUP BY id ORDER BY id", "--json")
    assert json.loads(found.communicate()[0]) == [{"id": number, "n": 1} for number in range(ROWS)]
    query = "SELECT id, attempts - count(*) AS missing FROM candidates JOIN calls USING (run, id) GROUP BY id, attempts"
    found = night.start("sql", query, "--json")
    assert {row["missing"] for row in json.loads(found.communicate()[0])} == {0}
