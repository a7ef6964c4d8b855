"""How long `evo run --config demo` takes, what of it is training and what verification, and its verdict.

`python -m benchmarks.demo [RUN]`: with the name of a run that is done, only reads it (its wall time is then not known).
"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import save
from evo.lineage import query
from evo.lineage.runs import find

TRAININGS = """
SELECT count(*) AS trainings, sum(cpu_seconds) AS training_cpu_seconds, sum(verify_seconds) AS verify_seconds,
       median(verify_seconds / (wall_seconds + verify_seconds)) FILTER (verify_seconds > 0 AND test_loss IS NULL)
           AS verify_share, median(cpu_seconds) FILTER (id = 0) AS baseline_cpu_seconds,
       stddev_samp(val_loss) FILTER (id = 0) AS baseline_sd, count(*) FILTER (id = 0) AS baseline_trainings
FROM trainings
"""
VERDICT = (
    "SELECT id, verdict, seeds, difference, low, high, p_welch, p_permutation, details FROM verdicts ORDER BY look"
)
STOPPED = "SELECT count(*) AS stopped_early FROM candidates WHERE status = 'stopped_early'"


def main(named: str | None = None) -> None:
    figures = {}
    if named is None:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "evo", "run", "--config", "demo"], check=True)
        figures["wall_seconds"] = round(time.perf_counter() - began, 1)
    name = find(Path("population"), named).name
    for text in (TRAININGS, STOPPED, VERDICT):
        (row,) = query.sql(Path("population"), text, name).as_dicts()
        figures |= {
            key: round(value, 4) if isinstance(value, float) and key[0] != "p" else value for key, value in row.items()
        }
    save("demo", figures)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
