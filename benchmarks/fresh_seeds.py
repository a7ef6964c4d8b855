"""Is a run's leader better, trained again? `python -m benchmarks.fresh_seeds [RUN]`

Trains the leader of a finished run, and the baseline, on three fresh seeds each (that no candidate of the search was
trained on), and compares the difference of the means with the baseline's seed-to-seed standard deviation, which is taken
from eight further trainings of the baseline.
"""

import json
import statistics
import sys
from pathlib import Path

from benchmarks.machine import save
from evo import draws, report
from evo.driver.folder import open_run
from evo.lineage.runs import find
from evo.lineage.store import Lineage
from evo.trainer import device
from evo.trainer.trainer import Job, Trainer

FRESH = range(1001, 1004)
FLOOR = range(2001, 2009)


def main() -> None:
    run = open_run(find(Path("population"), sys.argv[1] if len(sys.argv) > 1 else None))
    rows = Lineage(run.path).read("candidates")
    leader = report.standing(rows, run.config.selection).leader
    if leader is None:
        sys.exit(f"run {run.name} has no leader")
    trainer = Trainer(run.evaluator, device.find("auto", slots=1))

    def losses(files: dict[str, str], replicates: range) -> list[float]:
        found = []
        for replicate in replicates:
            seed, data_seed = draws.replicate_seeds(run.config.seed, replicate)
            judged = trainer.judge(Job(files, seed, data_seed))
            if judged.val_loss is None:
                sys.exit(f"a training failed: {judged.status}, {judged.reason}")
            found.append(judged.val_loss)
        return found

    best = losses(json.loads(leader["files"]), FRESH)
    baseline = losses(run.evaluator.baseline, FRESH)
    floor = losses(run.evaluator.baseline, FLOOR)
    gain, sd = statistics.mean(baseline) - statistics.mean(best), statistics.stdev(floor)
    save(
        "fresh_seeds",
        {
            "run": {
                "generations": run.config.generations,
                "population": run.config.population,
                "seed": run.config.seed,
            },
            "leader": {"id": leader["id"], "search_time_loss": leader["val_loss"], "cost": leader["cost"]},
            "leader_losses": best,
            "baseline_losses": baseline,
            "baseline_sd_of_8": sd,
            "gain": gain,
            "gain_over_sd": gain / sd,
            "search_time_gain": rows[0]["val_loss"] - leader["val_loss"],
        },
    )


if __name__ == "__main__":
    main()
