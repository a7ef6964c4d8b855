"""A key that its user gave to evo is found nowhere else: not in a byte that a run wrote, not in a process that it started."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from evo import config
from evo.catalogue import CatalogueServer, answer
from evo.config import Config, Model
from evo.driver import endpoints
from evo.errors import EvoError
from evo.lineage.store import Lineage
from evo.proposer import key

CANARY = "sk-canary-4e1f93b7c02d"
CRASHING = "\n\nraise RuntimeError('on purpose')\n"


class Endpoint(ThreadingHTTPServer):
    """Answers with the catalogue's words and the key that it was sent; refuses it once, and repeats it in the refusal."""

    daemon_threads = True

    def __init__(self, baseline):
        self.baseline, self.asked, self.lock = baseline, 0, threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """A search that ends hangs up."""

    def reply(self, question, authorization):
        with self.lock:
            self.asked += 1
            number = self.asked
        if number == 2:
            return 401, {
                "error": {"message": f"Incorrect API key provided: {authorization}", "code": "invalid_api_key"}
            }
        text = answer(question["messages"], question["seed"])
        if number == 4:  # the third may have been cut off by the refusal
            text = f"```python\ntrain_mps.py\n{self.baseline}{CRASHING}```"
        message = {"role": "assistant", "content": f"You sent {authorization}.\n\n{text}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {"id": "x", "object": "chat.completion", "created": 0, "model": authorization, "choices": [choice]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.send(200, {"object": "list", "data": []})

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send(*self.server.reply(question, self.headers["Authorization"]))

    def send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def watched(process, temporary, seen):
    """Run it to its end; note what its descendants' environments and arguments hold, and each file's bytes as they come."""
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error, OSError):
                    if child.cmdline() == psutil.Process(process.pid).cmdline():
                        time.sleep(0.2)  # between fork and exec: until then it is the driver's own memory
                    told = [*child.cmdline(), *Path(f"/proc/{child.pid}/environ").read_bytes().decode().split("\0")]
                    seen["processes"][child.name()] = seen["processes"].get(child.name(), False) or CANARY in str(told)
        search(temporary, seen)
        time.sleep(0.5)
    return process.communicate(timeout=60)


def search(folder, seen):
    for path in (Path(where, name) for where, _, names in os.walk(folder) for name in names):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                seen["files"].add(path)
                if CANARY.encode() in path.read_bytes():
                    seen["with it"].add(path)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_canary_key_is_in_no_byte_that_a_run_writes_and_in_no_process_that_it_starts(tmp_path, small_evaluator):
    temporary = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))  # short: Ray's sockets lie below it
    seen = {"processes": {}, "files": set(), "with it": set()}
    server = Endpoint((small_evaluator / "train_mps.py").read_text(encoding="utf-8"))
    env = os.environ | {"OPENAI_API_KEY": CANARY, "TMPDIR": str(temporary), "RAY_BACKEND_LOG_LEVEL": "debug"}
    env |= {"EVO_FINAL__VERDICT_SEEDS": "0", "EVO_REPAIRS": "0", "HOME": str(temporary / "home")}
    flags = ("--personas", "newton", "--population", "2", "--generations", "1", "--name", "r", "--isolation", "process")
    first = ("run", "--evaluator", str(small_evaluator), *flags, "--model", "m", "--base-url", server.base_url)
    said = []
    for arguments, code in (first, 1), (("resume", "r"), 0):
        process = subprocess.Popen(
            [sys.executable, "-m", "evo", "--debug", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        said += watched(process, temporary, seen)
        assert process.returncode == code, said
    search(temporary, seen)
    search(tmp_path / "population", seen)
    assert "401" in "".join(said)
    assert CANARY not in "".join(said)
    names = " ".join(seen["processes"])
    assert all(name in names for name in ("raylet", "gcs_server", "ray::ProposerActor", "ray::TrainerActor"))
    assert not [name for name, found in seen["processes"].items() if found]
    assert any("session_" in str(path) for path in seen["files"])
    assert seen["with it"] == set()
    rows = Lineage(tmp_path / "population" / "r").read("candidates")
    assert [row["status"] for row in rows].count("crashed") == 1
    calls = Lineage(tmp_path / "population" / "r").read("calls")
    assert all("You sent Bearer …" in call["response"] for call in calls)
    print(f"{len(seen['files'])} files and {len(seen['processes'])} kinds of process were searched for the canary")


READER = """
import os, sys
for name in ("environ", "mem", "maps"):
    try:
        with open(f"/proc/{sys.argv[1]}/{name}", "rb") as file:
            file.read(1)
        print("read", name)
    except OSError:
        pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's prctl")
@pytest.mark.parametrize("hidden", [True, False])
def test_a_process_that_holds_a_key_cannot_be_read_by_others_of_its_user(hidden):
    program = (
        "from evo.proposer import key\n" + "key.hide_memory()\n" * hidden + "print('ready', flush=True)\ninput()\n"
    )
    plain = (
        ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.getuid() == 0 else []
    )  # root's powers gone
    python = [*plain, sys.executable, "-c"]
    holder = subprocess.Popen([*python, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "ready\n"
        reader = [*python, READER, str(holder.pid)]
        found = subprocess.run(reader, capture_output=True, text=True, check=True).stdout
    finally:
        holder.communicate("\n", timeout=10)
    assert ("read environ" in found) == (not hidden)
    assert ("read maps" in found) == (not hidden)


def test_the_key_is_fetched_once_by_who_knows_the_word():
    with key.handed_over(CANARY) as errand:
        folder = Path(errand.address).parent
        assert folder.stat().st_mode & 0o077 == 0
        assert CANARY not in repr(errand)
        assert errand.word.hex() not in repr(errand)
        with pytest.raises(Exception, match="digest sent was rejected"):
            key.Errand(errand.address, b"another").fetch()
        assert errand.fetch() == CANARY
    assert not folder.exists()
    with pytest.raises(OSError, match="No such file"):
        errand.fetch()


def test_credentials_are_out_of_the_environment_while_others_inherit_it(monkeypatch):
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "MY_MODEL", "RAY_AUTH_TOKEN", "DB_PASSWORD"):
        monkeypatch.setenv(name, CANARY)
    with key.without_secrets(["MY_MODEL"]):
        assert [name for name, value in os.environ.items() if value == CANARY] == ["RAY_AUTH_TOKEN"]
    assert os.environ["OPENAI_API_KEY"] == os.environ["MY_MODEL"] == CANARY


@pytest.mark.parametrize("address", [f"http://me:{CANARY}@127.0.0.1:9/v1", f"http://127.0.0.1:9/v1?key={CANARY}"])
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(monkeypatch, tmp_path, address):
    monkeypatch.setattr(key, "hide_memory", lambda: None)
    with pytest.raises(EvoError, match="contains a user name, password, query or fragment") as refused:
        endpoints.check(Config(model=Model(name="m", base_url=address)), tmp_path)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("values", [{"key_variable": CANARY}, {"extra_body": {"api_key": CANARY}}])
def test_a_key_where_it_would_be_written_down_is_refused_and_not_repeated(values):
    with pytest.raises(EvoError) as refused:
        config.validated({"model": [{"name": "m", **values}]}, "the file")
    assert CANARY not in refused.value.message + refused.value.hint


def test_the_catalogues_own_token_is_long_and_random():
    with CatalogueServer() as one, CatalogueServer() as other:
        assert one.token != other.token
        assert len(one.token) >= 32
