"""The harness: the candidate's only way to its data, paired across candidates and counted."""

import importlib.util
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import evo.inside

SOURCE = Path(evo.inside.__file__).parent / "harness.py"
JOB = {"device": "cpu", "vocab_size": 256, "batch_size": 4, "block_size": 16, "seed": 1, "data_seed": 7}


@pytest.fixture
def harness(tmp_path):
    """Load the harness as a candidate does, from a scratch folder of its own; keywords change the job."""
    count = 0

    def load(**changes):
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        for name in ("data", "out"):
            (folder / name).mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps(JOB | changes))
        (folder / "harness.py").write_bytes(SOURCE.read_bytes())
        # A token's value tells its place, and its part: train counts from 0, val from 30,000.
        for part, first in (("train", 0), ("val", 30_000)):
            np.arange(first, first + 2000).astype("<u2").tofile(folder / "data" / f"{part}.bin")
        spec = importlib.util.spec_from_file_location(f"harness_{count}", folder / "harness.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


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


def test_batches_are_counted_by_part(harness):
    module = harness()
    train, val = module.batches("train"), module.batches("val")
    drawn(train, 3)
    drawn(val, 2)
    drawn(module.batches("train"), 1)
    assert module.drawn == {"train": 4, "val": 2}


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
        ({"batch_size": 8}, "batch_size is protected: expected 4, found 8"),
        ({"block_size": 32}, "block_size is protected: expected 16, found 32"),
        ({"batch_size": 0}, "batch_size is protected"),
        ({"batch_size": 4, "block_size": 15}, "block_size is protected"),
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
    points = [json.loads(line) for line in (tmp_path / "1" / "out" / "curve.jsonl").read_text().splitlines()]
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
