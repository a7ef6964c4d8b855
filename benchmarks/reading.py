"""CPU seconds of the commands that only read: medians of five, on the latest run. `python -m benchmarks.reading`"""

import resource
import statistics
import subprocess
import sys

from benchmarks.machine import save

COMMANDS = {
    "evo --help": ["--help"],
    "evo runs": ["runs"],
    "evo show": ["show"],
    "evo sql": ["sql", "SELECT count(*) FROM candidates"],
    "evo personas": ["personas"],
}


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    evo = [sys.executable, "-m", "evo"]
    figures = {name: statistics.median(cpu_seconds([*evo, *rest]) for _ in range(5)) for name, rest in COMMANDS.items()}
    figures["python -c pass"] = statistics.median(cpu_seconds([sys.executable, "-c", "pass"]) for _ in range(5))
    save("reading", {name: round(seconds, 3) for name, seconds in figures.items()})


if __name__ == "__main__":
    main()
