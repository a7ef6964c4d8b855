"""What mending is worth: the same search of the catalogue at its worst, without and with it. `python -m benchmarks.mending`

Two runs on `tiny_gpt`, one seed, answers spoiled as often; the share of candidates whose code was trained and scored.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import save
from evo.lineage import query

FAULTS = "truncated=0.12,prose=0.12,syntax=0.12,protected=0.12,empty=0.12"
FIGURES = """
SELECT count(*) AS candidates, count(*) FILTER (first_status IN ('ok', 'stopped_early')) AS trained_at_first,
       count(*) FILTER (status IN ('ok', 'stopped_early')) AS trained, sum(attempts) AS answers, sum(tokens) AS tokens
FROM candidates WHERE id > 0
"""


def main() -> None:
    figures: dict[str, Any] = {"faults": FAULTS}
    with tempfile.TemporaryDirectory() as folder:
        for repairs in (0, 2):
            settings = {"EVO_REPAIRS": repairs, "EVO_MODEL__FAULTS": FAULTS, "EVO_FINAL__VERDICT_SEEDS": 0}
            command = [sys.executable, "-m", "evo", "run", "--generations", "1", "--name", f"repairs{repairs}"]
            env = os.environ | {name: str(value) for name, value in settings.items()}
            subprocess.run(command, cwd=folder, env=env, check=True)
            (row,) = query.sql(Path(folder) / "population", FIGURES, f"repairs{repairs}").as_dicts()
            figures[f"repairs = {repairs}"] = row | {"share_trained": round(row["trained"] / row["candidates"], 3)}
    save("mending", figures)


if __name__ == "__main__":
    main()
