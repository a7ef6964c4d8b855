"""Server for a local GGUF model: llama.cpp's OpenAI-compatible server in a child process.

It needs the extra `local` (xllamacpp). The child ends when this process ends, for whatever reason. If the child ends by
itself, for example because the system is out of memory, it is restarted. The token is created here and passed through a pipe,
so no argument, environment variable or file holds it.
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
"""Largest default context in tokens. A larger context takes more memory."""
START_SECONDS = 300.0
"""Time limit for loading a model, in seconds."""
RESTARTS = 3
"""Number of restarts in short order, on the same port, after the server ended by itself."""
_PAUSE_SECONDS = 1.0
"""Delay before the first restart. Each further delay is four times as long."""
_LONG_SECONDS = 600.0
"""After serving for so long, the count of restarts begins anew."""
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_TOLD_LINES = 5
_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
_KEPT_PREFIXES = ("CUDA_", "HIP_", "ROCR_", "GGML_", "VK_", "OMP_", "KMP_")
"""Environment variables for the child: those that locate libraries and devices, and no credentials."""
_SHARING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Makes waiting threads sleep. Spinning threads take the cores from trainings and from the thread they wait for.

A model with 0.5 billion parameters on two busy cores gave 1 to 3 tokens a second with spinning threads, 13 to 33 without.
"""


class LocalModel:
    """A GGUF model that is served while the `with` block runs.

    Its threads share the cores with the trainings. Use fewer threads to slow the trainings down less.

    Args:
        gguf: File of the model. For a split model, the first file.
        port: Port. 0 for any free port.
        context: Tokens of prompt and answer together. None for the length the model was trained for, at most `MOST_CONTEXT`.
        threads: Number of threads. None for one a physical core that this process may use.
        parallel: Number of requests at once. Each has the whole `context`; its memory is allocated at the start.

    Attributes:
        base_url: Address of the endpoint, set once it serves.
        token: Key that clients must send.
        model_id: Name of the model: the file name without its extension.
        context_length: Tokens of prompt and answer together, as the server reports them.
        failure: Empty while the model is served. After too many restarts, the reason of the last end.

    Raises:
        EvoError: The extra is not installed, the file is not GGUF, or the server does not start when the block is entered.
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
        """Stop the server: terminate, then kill. Safe to call twice."""
        self._closed.set()
        with self._changing:
            self._stop()

    def _keep(self) -> None:
        """Restart the server when it ends by itself, after a growing delay, at most `RESTARTS` times in short order."""
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
                    except Exception:  # counts as another end
                        if self._process is not None:
                            self._process.kill()

    def _until_it_ends(self) -> tuple[str, float]:
        """Wait until the process ends or `close` is called. Return the reason and the seconds it served."""
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
        """Start the process and wait until it prints its address."""
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
        """Read the context length from the server, and check that it refuses a wrong token."""
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
        """Return the last lines of the server's log."""
        if self._log is None:
            return "none"
        size = os.fstat(self._log.fileno()).st_size
        told = os.pread(self._log.fileno(), 8192, max(0, size - 8192)).decode("utf-8", "replace").splitlines()
        return " | ".join([" ".join(line.split()) for line in told if line.strip()][-_TOLD_LINES:]) or "none"


def usual_threads() -> int:
    """Return the number of physical cores that this process may use, at least 1."""
    physical = psutil.cpu_count(logical=False) or 1
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else physical
    return max(1, min(physical, allowed))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    package = str(Path(__file__).resolve().parents[2])
    return _SHARING | kept | {"PYTHONPATH": os.pathsep.join(filter(None, [package, kept.get("PYTHONPATH", "")]))}
