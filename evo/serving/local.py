"""A model file served on this machine: llama.cpp's own OpenAI-compatible server, in a process of its own.

It comes from the extra `local` (xllamacpp). Its process ends with ours, however ours ends, and is started again where it ends
by itself: a system short of memory takes the largest first. The token is made here and told to it through a pipe, so it stands
in no argument, no environment and no file.
"""

import contextlib
import http.client
import importlib.util
import json
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

import psutil

from evo.errors import EvoError
from evo.serving.gguf import context_length

MOST_CONTEXT = 16_384
"""Tokens of context where none is asked for: a model that was trained for more would take memory for it."""
START_SECONDS = 300.0
"""In which a model must be loaded."""
RESTARTS = 3
"""Times in short order that it is started again, on its port, where it ended unasked."""
_PAUSE_SECONDS = 1.0
"""Before the first of them; four times as long before each next."""
_LONG_SECONDS = 600.0
"""After so many of serving, what ended is not counted with what ended before."""
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_TOLD_LINES = 5
_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
_KEPT_PREFIXES = ("CUDA_", "HIP_", "ROCR_", "GGML_", "VK_", "OMP_", "KMP_")
"""What the process gets of the environment: what finds libraries and devices, and no credential."""
_SHARING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait for each other sleep. Where trainings want the same cores, threads that spin keep them from the one that is
waited for: a model of 0.5 billion parameters on two busy cores then gave 1 to 3 tokens a second, and so gives 13 to 33.
"""


class LocalModel:
    """A GGUF model that is served while the `with` block runs.

    Its threads compute beside the trainings, on the same cores: give fewer where those should not be slowed down.

    Args:
        gguf: the model's file; of one that is split, the first.
        port: 0 for any free one.
        context: tokens of prompt and answer together; None for what the model was trained for, at most `MOST_CONTEXT`.
        threads: None for one a physical core that this process may use.
        parallel: requests at once; each has the whole `context`, and memory for it is taken at the start.

    Attributes:
        base_url: of the endpoint, once it is served.
        token: the key that it wants.
        model_id: the model's name, its file's without the ending.
        context_length: tokens of prompt and answer together, as the server says.
        failure: empty while it serves; after it ended unasked too often, what it said last.

    Raises:
        EvoError: the extra is not installed, the file is not GGUF, or (when the block begins) the server did not start.
    """

    def __init__(
        self,
        gguf: Path,
        port: int = 0,
        context: int | None = None,
        threads: int | None = None,
        parallel: int = 1,
    ) -> None:
        trained = context_length(gguf)
        self.model_id, self.token, self.base_url = gguf.stem, secrets.token_urlsafe(24), ""
        self.context_length = context or min(trained or MOST_CONTEXT, MOST_CONTEXT)
        if importlib.util.find_spec("xllamacpp") is None:
            raise EvoError(
                "a local model needs llama.cpp, which is not installed",
                hint="pip install 'evo-search[local]'",
                kind="endpoint",
            )
        self._asked: dict[str, Any] = {
            "model": str(gguf.absolute()),
            "name": self.model_id,
            "port": port,
            "context": self.context_length,
            "threads": threads or usual_threads(),
            "parallel": parallel,
            "token": self.token,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._closed, self._changing = threading.Event(), threading.Lock()
        self.failure = ""

    def __enter__(self) -> Self:
        try:
            self._start()
            self._check()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._keep, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop it: asked first, then killed; closing twice does nothing more."""
        self._closed.set()
        with self._changing:
            self._stop()

    def _keep(self) -> None:
        """Start it again whenever it ends unasked, after a growing pause; not when it did so `RESTARTS` times in short order."""
        ended = 0
        while not self._closed.is_set():
            why, served = self._until_it_ends()
            ended = 1 if served > _LONG_SECONDS else ended + 1
            if ended > RESTARTS:
                self.failure = why
                return
            if self._closed.wait(_PAUSE_SECONDS * 4 ** (ended - 1)):
                return
            with self._changing:
                if not self._closed.is_set():
                    self._stop()
                    try:
                        self._start()
                    except Exception:  # it counts as one that ended
                        if self._process is not None:
                            self._process.kill()

    def _until_it_ends(self) -> tuple[str, float]:
        """Wait until the process has ended, or we are closed: why it did, and how many seconds it served."""
        process, began = self._process, time.monotonic()
        while process is not None and process.poll() is None and not self._closed.wait(_LOOK_SECONDS):
            pass
        status = "none" if process is None else process.returncode
        with self._changing:
            said = "" if self._closed.is_set() else self._said_last()
        return f"it ended with status {status}: {said}", time.monotonic() - began

    def _stop(self) -> None:
        process, log, self._process, self._log = self._process, self._log, None, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        if log is not None:
            log.close()

    def _start(self) -> None:
        """Start the process and wait for the address at which it serves."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        command = [sys.executable, "-P", "-m", "evo.serving.local_child"]
        process = subprocess.Popen(command, env=_environment(), start_new_session=True, **streams)
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(self._asked).encode() + b"\n")
            process.stdin.flush()
        until = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while not waiting.select(max(0.0, min(_LOOK_SECONDS, until - time.monotonic()))):
                if time.monotonic() >= until or self._closed.is_set():
                    raise self._did_not_start(f"not ready after {START_SECONDS:g} seconds")
        address = process.stdout.readline().decode().strip()
        if not address:
            process.wait()
            raise self._did_not_start(f"it ended with status {process.returncode}")
        self.base_url, self._asked["port"] = f"{address}/v1", urlsplit(address).port

    def _check(self) -> None:
        """Ask it what it serves, with the token and without."""
        told = self._get("/props", self.token)
        settings = told.get("default_generation_settings", {})
        self.context_length = int(settings.get("n_ctx") or self.context_length)
        if "error" not in self._get("/v1/models", "another"):
            raise self._did_not_start("it answers without its token")

    def _get(self, path: str, token: str) -> dict[str, Any]:
        where = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            value = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._did_not_start(f"{type(error).__name__} when it was asked for {path}") from None
        finally:
            connection.close()
        return value if isinstance(value, dict) else {}

    def _did_not_start(self, why: str) -> EvoError:
        return EvoError(
            f"{self._asked['model']} could not be served: {why}",
            hint=f"llama.cpp's last words: {self._said_last()}",
            kind="endpoint",
        )

    def _said_last(self) -> str:
        """The last lines of its log."""
        if self._log is None:
            return "none"
        size = os.fstat(self._log.fileno()).st_size
        told = os.pread(self._log.fileno(), 8192, max(0, size - 8192)).decode("utf-8", "replace").splitlines()
        return " | ".join([" ".join(line.split()) for line in told if line.strip()][-_TOLD_LINES:]) or "none"


def usual_threads() -> int:
    """One a physical core, of those that this process may use; at least one."""
    physical = psutil.cpu_count(logical=False) or 1
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else physical
    return max(1, min(physical, allowed))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    package = str(Path(__file__).resolve().parents[2])
    return _SHARING | kept | {"PYTHONPATH": os.pathsep.join(filter(None, [package, kept.get("PYTHONPATH", "")]))}
