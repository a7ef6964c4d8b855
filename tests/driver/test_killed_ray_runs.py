"""kill -9 of the whole process tree of a real run, Ray and sandboxes included, at many moments; then resumed."""

from collections import Counter

import pytest
from killing import run_killing
from standins import make_run, without_clocks

from evo import draws
from evo.catalogue import CatalogueServer, server
from evo.lineage.store import Lineage

MOMENTS = [
    ("before aside", 1),
    ("before aside", 4),
    ("before aside", 9),
    ("before fsync", 1),
    ("before fsync", 6),
    ("before fsync", 15),
    ("before rename", 1),
    ("before rename", 5),
    ("before rename", 11),
    ("after rename", 1),
    ("after rename", 3),
    ("after rename", 6),
    ("after rename", 12),
    ("before ask", 1),
    ("before ask", 3),
    ("after ask", 1),
    ("after ask", 3),
    ("before judge", 2),
    ("after judge", 1),
    ("after judge", 4),
    ("after rename final trainings", 1),
    ("after judge verdict", 1),
    ("before rename verdict trainings", 3),
    ("before aside verdicts", 1),
    ("after rename verdicts", 1),
]
SMALL = {"generations": 1, "population": 2, "seeds": "isaac_newton", "isolation": "process", "model.name": "catalogue"}
SMALL |= {"final.least": 4, "final.finalists": 1, "final.seeds": 2, "final.verdict_seeds": 2}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def endpoint():
    """A real catalogue outside the process trees that are killed, and how often each seed was asked for."""
    asked = Counter()
    composing = server.compose

    def counted(messages, seed):
        asked[seed] += 1
        return composing(messages, seed)

    patch = pytest.MonkeyPatch()
    patch.setattr(server, "compose", counted)
    with CatalogueServer() as running:
        patch.setenv("OPENAI_API_KEY", running.token)
        yield running.base_url, asked
    patch.undo()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_evaluator, endpoint):
    folder = tmp_path_factory.mktemp("whole")
    run = make_run(folder, small_evaluator, **SMALL, **{"model.base_url": endpoint[0]})
    done = run_killing(run.path, folder / "none", "none", 1, "ray")
    assert done.returncode == 0, done.stderr
    return without_clocks(Lineage(run.path))


@pytest.mark.parametrize(("moment", "nth"), MOMENTS)
def test_a_killed_run_resumes_to_the_lineage_of_one_that_was_not(
    tmp_path, small_evaluator, endpoint, whole, moment, nth
):
    base_url, asked = endpoint
    asked.clear()
    run = make_run(tmp_path, small_evaluator, **SMALL, **{"model.base_url": base_url})
    killed = run_killing(run.path, tmp_path / "hit", moment, nth, "ray")
    assert killed.returncode == -9, killed.stderr
    assert (tmp_path / "hit").read_text().startswith(moment)
    kept = Lineage(run.path)
    durable = [draws.derived(1, row["id"], "answer") % 2**31 for row in kept.read("calls")]
    trained = {(row["id"], row["replicate"]): row for row in kept.read("trainings")}
    done = run_killing(run.path, tmp_path / "none", "none", 1, "ray")
    assert done.returncode == 0, done.stderr
    assert without_clocks(Lineage(run.path)) == whole
    assert {seed: asked[seed] for seed in durable} == dict.fromkeys(durable, 1)
    after = {(row["id"], row["replicate"]): row for row in kept.read("trainings")}
    assert all(after[key] == row for key, row in trained.items())
