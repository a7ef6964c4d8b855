"""A real search with a local model, killed once and resumed: what its answers came to, and how fast it gave them.

`python -m benchmarks.local_model FILE.gguf [NAME [GENERATIONS POPULATION]]`: in the folder `NAME` of the current one (default:
the model's name), which it makes; where that holds a finished run already, only reads it. The run is killed with SIGKILL when
half of its candidates are in.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import save
from evo.lineage import query

SETTINGS = {"EVO_MODEL__MAX_TOKENS": "3072", "EVO_FINAL__VERDICT_SEEDS": "3"}
RUN = "local"

STATIC = "('no_answer', 'truncated', 'no_code', 'bad_answer', 'syntax_error', 'protected_setting', 'contract')"
UNREAD = "('no_answer', 'truncated', 'no_code', 'bad_answer')"
PROBED = "('leaks_future', 'not_independent', 'not_repeatable', 'not_rebuildable', 'bad_shape')"
SHARES = f"""
WITH baseline AS (SELECT val_loss FROM candidates WHERE id = 0),
     judged AS (SELECT *, {{status}} AS came_to FROM candidates WHERE id > 0)
SELECT count(*) AS candidates,
       count(*) FILTER (came_to NOT IN {UNREAD}) AS parsed,
       count(*) FILTER (came_to NOT IN {STATIC}) AS passed_static_checks,
       count(*) FILTER (came_to = 'duplicate') AS twins,
       count(*) FILTER (came_to IN ('ok', 'stopped_early') OR came_to IN {PROBED}) AS trained,
       count(*) FILTER (came_to IN ('ok', 'stopped_early')) AS verified_or_stopped_early,
       count(*) FILTER (came_to = 'ok') AS verified,
       count(*) FILTER (came_to = 'ok' AND val_loss < (SELECT val_loss FROM baseline)) AS better_than_baseline
FROM judged
"""
OUTCOMES = "SELECT {status} AS status, count(*) AS n FROM candidates WHERE id > 0 GROUP BY 1 ORDER BY n DESC, 1"
SPEED = """
SELECT count(*) AS answers, round(avg(input_tokens)) AS input_tokens, round(avg(output_tokens)) AS output_tokens,
       round(median(latency_s), 1) AS median_seconds, round(sum(output_tokens) / sum(latency_s), 1) AS output_tokens_a_second,
       round(sum(input_tokens + output_tokens) / sum(latency_s), 1) AS tokens_a_second
FROM calls
"""
BEST = """
SELECT id, mind, generation, base, attempts, round(val_loss, 4) AS val_loss, relative_cost, summary,
       round((SELECT val_loss FROM candidates WHERE id = 0), 4) AS baseline
FROM candidates WHERE status = 'ok' AND id > 0 ORDER BY val_loss LIMIT 1
"""
VERDICT = "SELECT id, verdict, seeds, round(difference, 4) AS difference, low, high, p_permutation FROM verdicts"


def main(gguf: str, named: str | None = None, generations: str = "4", population: str = "5") -> None:
    folder = Path(named or Path(gguf).stem).absolute()
    figures: dict[str, Any] = {"model": Path(gguf).name, "settings": SETTINGS}
    if not (folder / "population" / RUN).exists():
        folder.mkdir(parents=True)
        figures |= _search(Path(gguf).absolute(), folder, int(generations), int(population))
    for name, text in (
        ("without mending", SHARES.format(status="first_status")),
        ("with mending", SHARES.format(status="status")),
        ("speed", SPEED),
        ("best", BEST),
        ("verdict", VERDICT),
    ):
        figures[name] = next(iter(_rows(folder, text)), None)
    for name, status in (("first answers", "first_status"), ("last answers", "status")):
        figures[name] = {row["status"]: row["n"] for row in _rows(folder, OUTCOMES.format(status=status))}
    save(f"local_model_{folder.name}", figures)


def _search(gguf: Path, folder: Path, generations: int, population: int) -> dict[str, Any]:
    """Run it, killed with half of its candidates in; then resume it, unattended."""
    began = time.perf_counter()
    size = ["--generations", str(generations), "--population", str(population), "--slots", "1"]
    command = [sys.executable, "-m", "evo", "run", "--name", RUN, "--gguf", str(gguf), *size]
    environment = os.environ | SETTINGS
    half = (5 + generations * population) // 2
    running = subprocess.Popen(command, cwd=folder, env=environment)
    while running.poll() is None and len(_rows(folder, "SELECT id FROM candidates")) < half:
        time.sleep(5)
    killed = len(_rows(folder, "SELECT id FROM candidates"))
    running.send_signal(signal.SIGKILL)
    running.wait()
    subprocess.run([sys.executable, "-m", "evo", "resume", RUN], cwd=folder, env=environment, check=True)
    return {"rows_when_killed": killed, "wall_minutes": round((time.perf_counter() - began) / 60, 1)}


def _rows(folder: Path, text: str) -> list[dict[str, Any]]:
    if not (folder / "population" / RUN).exists():
        return []
    return query.sql(folder / "population", text, RUN).as_dicts()


if __name__ == "__main__":
    main(*sys.argv[1:])
