"""How long `evo run --config demo` takes, and what of it is training. `python -m benchmarks.demo`"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import save
from evo.lineage import query
from evo.lineage.runs import find


def main() -> None:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "evo", "run", "--config", "demo"], check=True)
    seconds = time.perf_counter() - began
    name = find(Path("population"), None).name
    (row,) = query.sql(
        Path("population"),
        "SELECT count(*) AS trainings, sum(cpu_seconds) AS training_cpu_seconds, "
        "median(cpu_seconds) FILTER (id = 0) AS baseline_cpu_seconds FROM trainings",
        name,
    ).as_dicts()
    save("demo", {"wall_seconds": round(seconds, 1), **{key: round(value, 2) for key, value in row.items()}})


if __name__ == "__main__":
    main()
