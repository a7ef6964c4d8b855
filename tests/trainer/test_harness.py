"""The harness: the candidate's only way to its data, which it asks of a feed on our side and never holds."""

import importlib.util
import json
import os
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import evo.sandboxed
from evo.evaluator import Batches
from evo.trainer.batch_feed import BatchFeed
from evo.trainer.processes import LimitReached

SOURCE = Path(evo.sandboxed.__file__).parent / "harness.py"
JOB = {"device": "cpu", "vocab_size": 256, "batch_size": 4, "block_size": 16, "seed": 1}
# A token's value tells its place, and its part: train counts from 0, val from 30,000.
TOKENS = {"train": np.arange(2000, dtype=np.uint16), "val": np.arange(30_000, 32_000, dtype=np.uint16)}


class Fed:
    """A feed at one end of two pipes, in a thread, as the sandbox holds it; the harness's ends are `fds`."""

    def __init__(self, feed):
        self.feed, self.refused = feed, None
        self._asked, self._asking = os.pipe()
        self._answered, self._answering = os.pipe()
        self.fds = self._answered, self._asking
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self):
        try:
            while asked := os.read(self._asked, 1):
                view = memoryview(self.feed.answer(asked))
                while view:
                    view = view[os.write(self._answering, view) :]
        except LimitReached as limit:
            self.refused = limit
        finally:
            os.close(self._answering)

    def close(self):
        os.close(self._asking)
        self._thread.join(timeout=10)
        os.close(self._asked)
        os.close(self._answered)


PROBE = np.arange(24, dtype=np.uint16).reshape(3, 8)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load the harness as a candidate does, from a scratch folder of its own, and the feed behind it.

    Keywords change the job, the feed's seed (`data_seed`), its limits (`batches`) and when it is over (`stop_after`).
    """
    fed = []

    def loaded(data_seed=7, batches=None, stop_after=None, **changes):
        folder = tmp_path / str(len(fed))
        (folder / "out").mkdir(parents=True)
        job = JOB | changes
        (folder / "job.json").write_text(json.dumps(job))
        (folder / "harness.py").write_bytes(SOURCE.read_bytes())
        sizes = job["batch_size"], job["block_size"]
        fed.append(Fed(BatchFeed(TOKENS, *sizes, data_seed, batches or Batches(), lambda: PROBE, stop_after)))
        monkeypatch.setenv("EVO_FDS", ",".join(map(str, (-1, -1, *fed[-1].fds))))
        spec = importlib.util.spec_from_file_location(f"harness_{len(fed)}", folder / "harness.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module, fed[-1]

    yield loaded
    for one in fed:
        one.close()


@pytest.fixture
def harness(load):
    return lambda **changes: load(**changes)[0]


def drawn(batches, count=5):
    return [(x.clone(), y.clone()) for x, y in islice(batches, count)]


def same(first, second):
    return all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))


def test_the_job_says_device_and_vocabulary(harness):
    module = harness(vocab_size=50304)
    assert (module.device, module.vocab_size) == ("cpu", 50304)


@pytest.mark.parametrize(("part", "first"), [("train", 0), ("val", 30_000)])
def test_batches_are_stretches_of_their_part_with_targets_one_token_on(harness, part, first):
    for x, y in drawn(harness().batches(part), 20):
        assert x.shape == y.shape == (4, 16)
        assert x.dtype == y.dtype == torch.int64
        assert torch.equal(y, x + 1)
        assert torch.equal(x.diff(dim=1), torch.ones(4, 15, dtype=torch.int64))
        assert first <= int(x.min())
        assert int(y.max()) < first + 2000


def test_batches_reach_both_ends_of_a_part(harness):
    starts = torch.cat([x[:, 0] for x, _ in drawn(harness().batches("train"), 5000)])
    assert int(starts.min()) == 0
    assert int(starts.max()) == 2000 - 17


def test_equal_data_seeds_give_equal_batches_and_others_give_others(harness):
    assert same(drawn(harness().batches("train")), drawn(harness().batches("train")))
    assert same(drawn(harness(seed=99).batches("train")), drawn(harness().batches("train")))
    assert not same(drawn(harness(data_seed=8).batches("train")), drawn(harness().batches("train")))


def test_what_a_candidate_draws_elsewhere_does_not_move_its_batches(harness):
    expected = drawn(harness().batches("train"))
    module = harness()
    train, val = module.batches("train"), module.batches("val")
    found = []
    for _ in range(5):
        torch.manual_seed(0)
        torch.rand(100)
        next(val)
        found += drawn(train, 1)
    assert same(found, expected)


def test_both_parts_have_an_order_of_their_own(harness):
    module = harness()
    (train, _), (val, _) = drawn(module.batches("train"), 1)[0], drawn(module.batches("val"), 1)[0]
    assert not torch.equal(train, val - 30_000)


def test_batches_are_counted_by_part_and_not_by_the_candidate(load):
    module, fed = load()
    train, val = module.batches("train"), module.batches("val")
    drawn(train, 3)
    drawn(val, 2)
    drawn(module.batches("train"), 1)
    assert fed.feed.drawn == {"train": 4, "val": 2}


def test_a_batch_is_asked_for_when_it_is_drawn_and_not_before(load):
    module, fed = load()
    batches = module.batches("train")
    assert fed.feed.drawn["train"] == 0
    next(batches)
    assert fed.feed.drawn["train"] == 1


def test_a_batch_larger_than_a_pipe_comes_whole(harness):
    x, y = next(harness(batch_size=64, block_size=1024).batches("train"))
    assert x.shape == (64, 1024)
    assert torch.equal(y, x + 1)


def test_batches_that_are_drawn_in_several_threads_are_those_of_one(harness):
    expected = sorted(x[0, 0].item() for x, _ in drawn(harness().batches("train"), 80))
    module, found = harness(), []

    def draw():
        for x, y in drawn(module.batches("train"), 20):
            assert torch.equal(y, x + 1)
            found.append(x[0, 0].item())

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == expected


# ---- the end of a short run, and of the feed ----


def test_a_short_run_ends_where_the_next_training_batch_is_drawn(harness):
    module = harness(stop_after=3)
    train = module.batches("train")
    expected = drawn(harness().batches("train"), 3)
    assert same(drawn(train, 3), expected)
    with pytest.raises(module.ShortRunEnd):
        next(train)


def test_after_its_end_a_short_run_gives_no_batch_of_any_part(harness):
    module = harness(stop_after=1)
    next(module.batches("val"))
    next(module.batches("train"))
    for part in ("train", "val", "train"):
        with pytest.raises(module.ShortRunEnd):
            next(module.batches(part))


def test_the_end_of_a_short_run_is_no_exception_that_a_candidate_may_mean_to_catch(harness):
    over = harness().ShortRunEnd
    assert issubclass(over, BaseException)
    assert not issubclass(over, Exception | SystemExit | KeyboardInterrupt)


def test_a_candidate_that_draws_too_many_gets_none_more(load):
    module, fed = load(batches=Batches(train=2))
    train = module.batches("train")
    drawn(train, 3)
    with pytest.raises(RuntimeError, match="the process that judges this training is gone"):
        next(train)
    assert fed.refused.status == "protected_setting"


def test_without_the_process_that_judges_there_is_no_batch(load):
    module, fed = load()
    os.write(fed.fds[1], b"?")  # what no harness asks
    with pytest.raises(RuntimeError, match="the process that judges this training is gone"):
        next(module.batches("train"))
    assert fed.refused.status == "contract"


def test_a_batch_that_is_written_into_does_not_change_the_data(harness):
    module = harness()
    expected = drawn(harness().batches("train"), 50)
    batches = module.batches("train")
    found = []
    for _ in range(50):
        x, y = next(batches)
        found.append((x.clone(), y.clone()))
        x.zero_()
        y.zero_()
    assert same(found, expected)


def test_the_evaluators_own_sizes_may_be_said(harness):
    module = harness()
    assert same(drawn(module.batches("train", 4, 16)), drawn(harness().batches("train")))
    assert next(module.batches("val", block_size=16))[0].shape == (4, 16)


@pytest.mark.parametrize("part", ["heldout", "test", "", "Train", "../test", None])
def test_another_part_is_refused_at_once(harness, part):
    with pytest.raises(ValueError, match="expected part 'train' or 'val'"):
        harness().batches(part)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"batch_size": 8}, "batch_size: expected 4, found 8"),
        ({"block_size": 32}, "block_size: expected 16, found 32"),
        ({"batch_size": 0}, "batch_size: expected 4"),
        ({"batch_size": 4, "block_size": 15}, "block_size: expected 16"),
    ],
)
def test_other_sizes_are_refused_at_once(harness, sizes, words):
    with pytest.raises(ValueError, match=words):
        harness().batches("train", **sizes)


def test_reports_are_lines_of_the_curve_in_order(harness, tmp_path):
    module = harness()
    module.report(1, 2.5, 2.75)
    module.report(step=torch.tensor(2), train_loss=torch.tensor(2.25))
    module.report(3, val_loss=np.float32(2.0))
    points = [json.loads(line) for line in (tmp_path / "0" / "out" / "curve.jsonl").read_text().splitlines()]
    assert [(p["step"], p["train_loss"], p["val_loss"]) for p in points] == [
        (1, 2.5, 2.75),
        (2, 2.25, None),
        (3, None, 2.0),
    ]
    assert 0 <= points[0]["seconds"] <= points[1]["seconds"] <= points[2]["seconds"]


def test_a_report_that_is_no_number_is_the_candidates_error(harness):
    with pytest.raises(ValueError, match="could not convert"):
        harness().report(1, "low")


def test_the_last_model_that_is_kept_counts(harness):
    module = harness()
    assert module.kept == []
    module.keep("first")
    module.keep("second")
    assert module.kept == ["second"]


def test_the_probe_comes_as_tokens_in_rows(harness):
    rows = harness().ask(b"p", 3, 8)
    assert rows.dtype == torch.int64
    assert torch.equal(rows, torch.from_numpy(PROBE.astype(np.int64)))
