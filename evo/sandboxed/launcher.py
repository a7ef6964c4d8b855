"""First process of a sandbox: imports torch, then starts one job at a time and reports how each ended.

Run as `python launcher.py START THREADS` with four inherited file descriptors, whose numbers are in EVO_FDS: commands in,
status out, requests in, replies out. The last two belong to the job. The model server reads windows and writes logits. The
harness reads batches and writes requests for them. Commands and status are JSON lines:

    {"job": "train", "scratch": DIR, "limits": {...}}   →  {"begin": pid, "cpu_seconds": s} … {"exit": code, "signal": n}
    {"job": "reap"}                                     →  {"reaped": n, "cpu_seconds": s}

START is "fork" (a child of this process, with torch already imported) or "exec" (a fresh interpreter, because a fork on
macOS crashes after the Objective-C frameworks are loaded). In "begin", `cpu_seconds` is the CPU time that the child used
before it read a candidate's file. In "reaped", `cpu_seconds` is the CPU time of all children that have ended since this
process started. The launcher never imports a candidate's file.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36


def prctl(option: int, value: int) -> None:
    """Set a process option on Linux. Do nothing on other systems."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def set_limits(limits: dict[str, int]) -> None:
    """Set kernel resource limits for this process and its descendants. Missing keys set no limit."""
    wanted = {
        resource.RLIMIT_CPU: limits.get("cpu_seconds"),
        resource.RLIMIT_DATA: limits.get("memory_bytes"),
        resource.RLIMIT_FSIZE: limits.get("file_bytes"),
        resource.RLIMIT_NOFILE: limits.get("open_files"),
        resource.RLIMIT_NPROC: limits.get("tasks"),
        resource.RLIMIT_CORE: 0,
    }
    for which, value in wanted.items():
        if value is not None:
            hard = resource.getrlimit(which)[1]
            value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
            resource.setrlimit(which, (value, value))


def send_status(fd: int, **message: object) -> None:
    """Write one line of status to `fd`."""
    os.write(fd, (json.dumps(message) + "\n").encode())


def run_job(job: str, scratch: str, limits: dict[str, int], fds: list[int]) -> NoReturn:
    """Set the limits, report "begin" and run the job. Runs in the child and never returns."""
    commands, status, requests, replies = fds
    code = 1
    try:
        import serve_job  # type: ignore[import-not-found]  # from this folder, imported before the candidate's files
        import train_job  # type: ignore[import-not-found]

        os.chdir(scratch)
        set_limits(limits)
        sys.path.insert(0, scratch)
        send_status(status, begin=os.getpid(), cpu_seconds=time.process_time())
        os.close(commands)
        os.close(status)
        code = train_job.main() if job == "train" else serve_job.main(requests, replies)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        sys.stdout.flush()
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code & 0xFF)


def start(method: str, command: dict[str, Any], fds: list[int]) -> int:
    """Start the job's process and return its pid."""
    if method == "fork":
        pid = os.fork()
        if pid == 0:
            os.setsid()
            prctl(PR_SET_DUMPABLE, 1)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            run_job(command["job"], command["scratch"], command["limits"], fds)
        return pid
    import subprocess

    arguments = [sys.executable, "-s", "-P", "-B", "-u", __file__, "job", sys.argv[2], json.dumps(command)]
    child = subprocess.Popen(arguments, pass_fds=fds, start_new_session=True)
    child.returncode = 0  # `ended` reaps it, not subprocess
    return child.pid


def ended(pid: int) -> tuple[int, int]:
    """Wait for `pid` and return (exit code, signal number). Other children that end meanwhile are reaped too."""
    while True:
        done, status = os.waitpid(-1, 0)
        if done == pid:
            return (0, os.WTERMSIG(status)) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), 0)


def reap(requests: int) -> int:
    """Reap every child that has ended, discard unread data in `requests`, and return the number of children reaped."""
    while select.select([requests], [], [], 0)[0] and os.read(requests, 65536):
        pass
    count = 0
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            count += 1
    except ChildProcessError:
        pass
    return count


def import_torch(threads: int) -> None:
    """Import the packages that every job needs, before the clock of a job starts."""
    import torch

    torch.set_num_threads(threads)
    import safetensors.torch  # noqa: F401
    import torch._dynamo


def main() -> None:
    """Execute commands until the command pipe is closed."""
    method, threads = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    fds = [int(fd) for fd in os.environ["EVO_FDS"].split(",")]
    if method == "job":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        command = json.loads(sys.argv[3])
        import_torch(threads)
        run_job(command["job"], command["scratch"], command["limits"], fds)
    prctl(PR_SET_DUMPABLE, 0)  # keeps processes of the same user from inspecting it or writing to its pipes
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if method == "fork":
        import_torch(threads)
    commands, status = fds[0], fds[1]
    send_status(status, ready=os.getpid())
    with os.fdopen(commands, "r", encoding="utf-8", closefd=False) as lines:
        for line in iter(lines.readline, ""):
            command = json.loads(line)
            if command["job"] == "reap":
                count = reap(fds[2])
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                send_status(status, reaped=count, cpu_seconds=used.ru_utime + used.ru_stime)
            else:
                code, number = ended(start(method, command, fds))
                send_status(status, exit=code, signal=number)


if __name__ == "__main__":
    main()
