"""Lifts its limits of time, ignores the signals that end it, or hides in another process, and goes on without end.

The limits are kept from outside: it must be called `timeout`.
"""

from attacks.attack import train_end

TRIES = "lifts its limits, ignores signals or hides in a process, and computes without end"
STATUS = "timeout"
LIMITS = {"cpu_seconds": 1.0}
PRINTS = "without end"

REWRITES = {
    "ignoring_signals": (
        train_end(
            """
            import signal
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            print("without end", flush=True)
            while True: pass
            """
        ),
    ),
    "raising_the_kernels": (
        train_end(
            """
            import json, resource
            for which in (resource.RLIMIT_CPU, resource.RLIMIT_DATA):
                try:
                    resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                except ValueError as error:
                    print(error)
            with open("job.json", "w") as file:
                json.dump({"limits": {"cpu_seconds": 1e9}}, file)
            print("without end", flush=True)
            while True: pass
            """
        ),
    ),
    "in_other_processes": (
        train_end(
            """
            import os
            print("without end", flush=True)
            if os.fork() == 0:
                os.setsid()
                while True:
                    if os.fork() == 0:
                        end = time.process_time() + 0.1
                        while time.process_time() < end: pass
                        os._exit(0)
                    os.wait()
            time.sleep(60)
            """
        ),
    ),
}
