"""OpenAI-compatible endpoint for a command that reads the prompt on standard input and prints the answer.

A coding agent or a script thus takes the same path as every model. The command belongs to the user and is trusted: it runs
without a sandbox, in the folder in which evo was started. It gets no terminal and no token, and from the environment only
`KEPT` and the variables that the user names.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from evo.errors import EvoError
from evo.serving.guard import Guard
from evo.serving.http import ChatServer
from evo.serving.wire import Answer, Question, Refusal, content

KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR")
"""Environment variables that every command gets, if they are set."""
MAX_OUTPUT_BYTES = 4_000_000
KEEP_ALIVE_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_TAIL_BYTES = 8192  # of standard error
_HIDDEN = 8  # values of named variables with at least so many characters are masked in output


class CommandServer(ChatServer):
    """Server that runs the command once a request. It serves from construction until `close`; also a context manager.

    With exit status 0 the whole standard output is the answer, even if it is empty. Tokens are not counted. The command and
    its descendants are killed if it exceeds its time, prints too much or the client hangs up; its process group is also
    killed if this process is killed. While `concurrency` commands run, further requests wait. Their time starts when their
    command starts.

    | failure | HTTP status |
    |---|---|
    | another exit status, or a signal; the message has the last line of standard error | 502 |
    | out of time, or more output than `MAX_OUTPUT_BYTES`: a retry would fail again | 422 |

    Args:
        command: Program and arguments, run without a shell.
        timeout_seconds: Time limit of one run.
        environment: Names of variables that the command gets besides `KEPT`, with their current values.
        concurrency: Number of runs at once.
        port: Port. 0 for any free port.
        token: Key that clients must send. None for a random one.
        model_id: Name of the model.

    Raises:
        EvoError: The command does not exist.
        OSError: The port is taken.
    """

    def __init__(
        self,
        command: Sequence[str],
        timeout_seconds: float,
        environment: Sequence[str] = (),
        concurrency: int = 1,
        port: int = 0,
        token: str | None = None,
        model_id: str = "command",
    ) -> None:
        self._command = _Command(command, timeout_seconds, environment, concurrency, model_id)
        try:
            super().__init__(self._command, port, token, KEEP_ALIVE_SECONDS)
        except BaseException:
            self._command.stop()
            raise

    def close(self) -> None:
        """Kill the running commands, stop serving and wait until every run has ended. Safe to call twice."""
        self._command.stop()
        super().close()


class _Command:
    """Responder that runs the command once a question."""

    def __init__(
        self, command: Sequence[str], timeout_seconds: float, names: Sequence[str], concurrency: int, model_id: str
    ) -> None:
        self.model_id = self.fingerprint = model_id
        named = {name: os.environ[name] for name in names if name in os.environ}
        self._env = {name: os.environ[name] for name in KEPT if name in os.environ} | named
        self._hidden = sorted((value for value in named.values() if len(value) >= _HIDDEN), key=len, reverse=True)
        self._arguments = [_found(command, self._env), *command[1:]]
        self._seconds = timeout_seconds
        self._concurrency = concurrency
        self._room = threading.BoundedSemaphore(concurrency)
        self._stopped = threading.Event()
        self._guard = Guard()

    def answer(self, question: Question) -> Answer:
        """Return the output of the command for a question."""
        while not self._room.acquire(timeout=_LOOK_SECONDS):
            self._refuse_if_unwanted(question)
        try:
            self._refuse_if_unwanted(question)
            with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
                asked.write(conversation(question.messages).encode("utf-8", "replace"))
                asked.seek(0)
                self._run(question, asked, said, told)
                return Answer(self._shown(_tail(said, MAX_OUTPUT_BYTES)))
        finally:
            self._room.release()

    def stop(self) -> None:
        """Kill every run, start no other, and return when the last run has ended."""
        self._stopped.set()
        for _ in range(self._concurrency):
            self._room.acquire()
        for _ in range(self._concurrency):
            self._room.release()
        self._guard.close()

    def _run(self, question: Question, asked: IO[bytes], said: IO[bytes], told: IO[bytes]) -> None:
        """Run the command until it ends.

        Raises:
            Refusal: The command failed.
        """
        streams: dict[str, Any] = {"stdin": asked, "stdout": said, "stderr": told}
        with subprocess.Popen(self._arguments, env=self._env, start_new_session=True, **streams) as process:
            self._guard.began(process.pid)
            try:
                self._watch(process, question, said)
            finally:
                _end(process)
                self._guard.ended(process.pid)
        if process.returncode:
            last = next(
                (line for line in reversed(self._shown(_tail(told, _TAIL_BYTES)).splitlines()) if line.strip()), ""
            )
            how = f"exit status {process.returncode}" if process.returncode > 0 else _signal(-process.returncode)
            words = "".join(c for c in last.strip() if c.isprintable())[:300]
            raise Refusal(
                502, f"the command ended with {how}: {words or 'nothing on standard error'}", "command_failed"
            )

    def _watch(self, process: "subprocess.Popen[bytes]", question: Question, said: IO[bytes]) -> None:
        """Wait until the command ends. Raise `Refusal` if it exceeds a limit."""
        until = time.monotonic() + self._seconds
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
            if os.fstat(said.fileno()).st_size > MAX_OUTPUT_BYTES:
                told = f"the command printed more than {MAX_OUTPUT_BYTES} bytes"
                raise Refusal(422, told, "command_output_too_large")
            if process.returncode is not None:
                return
            self._refuse_if_unwanted(question)
            if time.monotonic() > until:
                told = f"the command was over its limit of {self._seconds:g} seconds"
                raise Refusal(422, told, "command_timeout")

    def _refuse_if_unwanted(self, question: Question) -> None:
        if self._stopped.is_set() or question.gone.is_set():
            raise Refusal(503, "nobody waits for the answer any more", "stopped")

    def _shown(self, data: bytes) -> str:
        """Return the decoded output with the values of the named variables masked, because most are keys."""
        text = data.decode("utf-8", "replace")
        for value in self._hidden:
            text = text.replace(value, "…")
        return text


def conversation(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the input for a command: a single user message verbatim, else each turn below a line with its role."""
    if len(messages) == 1 and messages[0].get("role") == "user":
        return content(messages[0])
    return (
        "\n\n".join(f"{str(message.get('role')).capitalize()}:\n\n{content(message).strip()}" for message in messages)
        + "\n"
    )


def _found(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Return the path of the program.

    Raises:
        EvoError: The program does not exist.
    """
    if not command or not (path := shutil.which(command[0], path=env.get("PATH"))):
        name = repr(command[0]) if command else "an empty list"
        raise EvoError(
            f"expected a command that can be run, found {name}",
            hint="give a program on PATH, or its path; it is run without a shell, so each argument is one string",
            kind="endpoint",
        )
    return str(Path(path).absolute())


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process group of a run and, while the command lives, descendants that left the group."""
    below: list[psutil.Process] = []
    if process.returncode is None:
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in below:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


def _tail(file: IO[bytes], most: int) -> bytes:
    file.seek(max(0, os.fstat(file.fileno()).st_size - most))
    return file.read()


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
