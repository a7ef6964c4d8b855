"""The curve that a candidate writes, and the step at which a training is stopped early: by its curve alone."""

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evo.status import Status
from evo.trainer import curve
from evo.trainer.curve import EarlyStopWatch, loss_at
from evo.trainer.failure import SandboxFailure
from evo.trainer.job import EarlyStop
from evo.trainer.processes import LimitReached

RUNG = EarlyStop(step=10, loss=2.0, of=7)


class Scratch:
    """Scratch folders of which nothing is known but a curve."""

    def __init__(self, text=""):
        self.text = text

    def read(self, name, limit):
        assert name == "out/curve.jsonl"
        return self.text.encode()[:limit]


def line(step, val=None, train=None, seconds=0.5):
    return json.dumps({"step": step, "seconds": seconds, "train_loss": train, "val_loss": val}) + "\n"


def points_of(*lines):
    return curve.read(Scratch("".join(lines)))


# ---- what is a point ----


def test_points_are_read_as_they_were_written():
    assert points_of(line(1, 2.5, 2.75), line(2)) == [
        {"step": 1, "seconds": 0.5, "train_loss": 2.75, "reported_val_loss": 2.5},
        {"step": 2, "seconds": 0.5, "train_loss": None, "reported_val_loss": None},
    ]


def test_no_file_is_no_curve():
    assert points_of() == []


@pytest.mark.parametrize(
    "garbage",
    [
        "not json",
        "[]",
        '"step"',
        "null",
        "7",
        "[" * 100_000,
        '{"step": 4}',
        '{"seconds": 4}',
        '{"step": "x", "seconds": 1}',
        '{"step": null, "seconds": 1}',
        '{"step": NaN, "seconds": 1}',
        '{"step": Infinity, "seconds": 1}',
        '{"step": 1' + "0" * 30 + ', "seconds": 1}',
        '{"step": -1' + "0" * 30 + ', "seconds": 1}',
        '{"step": 1' + "0" * 5000 + ', "seconds": 1}',
        "\x00\ufffd",
    ],
    ids=lambda text: text[:30],
)
def test_a_line_that_is_no_point_is_left_out_and_the_others_are_kept(garbage):
    found = points_of(line(1), garbage + "\n", line(2))
    assert [point["step"] for point in found] == [1, 2]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '"low"', "null", "[1]", "1" + "0" * 400])
def test_a_number_that_is_none_is_none(value):
    text = f'{{"step": 7, "seconds": {value}, "train_loss": {value}, "val_loss": {value}}}\n'
    assert points_of(text) == [{"step": 7, "seconds": None, "train_loss": None, "reported_val_loss": None}]


def test_a_curve_without_end_is_cut():
    assert len(points_of(line(1) * 20_000)) == 10_000


LINES = st.lists(st.text(max_size=30) | st.builds(line, st.integers(-5, 20), st.floats() | st.none()), max_size=10)


@settings(deadline=None)
@given(st.binary(max_size=200) | LINES.map(lambda lines: "\n".join(lines).encode()))
def test_whatever_is_written_each_point_holds_what_a_column_can_hold(data):
    class Raw:
        def read(self, name, limit):
            return data[:limit]

    for point in curve.read(Raw()):
        assert set(point) == {"step", "seconds", "train_loss", "reported_val_loss"}
        assert type(point["step"]) is int
        assert abs(point["step"]) < 2**62
        for name in ("seconds", "train_loss", "reported_val_loss"):
            assert point[name] is None or math.isfinite(point[name])


def test_the_loss_at_a_step_is_the_first_validation_loss_reported_there():
    points = points_of(line(1, 3.0), line(10), line(10, 2.5), line(10, 1.0), line(20, 2.0))
    assert loss_at(points, 10) == 2.5
    assert loss_at(points, 5) is None
    assert loss_at([], 10) is None


def test_step_nought_is_no_rung():
    assert loss_at(points_of(line(0, 3.0)), 0) is None


# ---- who is stopped ----


def watched(text, early_stop=RUNG, looks=()):
    """What becomes of a training that ended with this curve, of which someone saw the first so many lines: (stopped, curve)."""
    scratch = Scratch()
    watch, lines = EarlyStopWatch(scratch, early_stop), text.splitlines(keepends=True)
    try:
        for seen in sorted(looks):
            scratch.text = "".join(lines[:seen])
            watch()
        scratch.text = text
        watch.ended()
    except (LimitReached, SandboxFailure) as stopped:
        return stopped, watch.curve()
    return None, watch.curve()


LOSING = line(5, 2.9) + line(10, 2.1) + line(15, 1.0)
GOING_ON = line(5, 2.9) + line(10, 2.0) + line(15, 9.0)


def test_a_training_above_the_rung_is_stopped_and_its_curve_kept_up_to_there():
    stopped, kept = watched(LOSING)
    assert stopped.status == Status.STOPPED_EARLY
    assert stopped.reason == "reported 2.1000 at step 10, above 2.0000, the median of 7 earlier candidates there"
    assert [point["step"] for point in kept] == [5, 10]


def test_a_training_at_or_below_the_rung_goes_on_whatever_comes_later():
    stopped, kept = watched(GOING_ON)
    assert stopped is None
    assert [point["step"] for point in kept] == [5, 10, 15]


def test_a_training_that_reports_nothing_at_the_rung_goes_on():
    assert watched(line(5, 9.0) + line(15, 9.0))[0] is None


def test_without_a_rung_nothing_is_stopped_and_all_is_kept():
    stopped, kept = watched(LOSING, early_stop=None)
    assert stopped is None
    assert len(kept) == 3


CURVES = st.lists(st.builds(line, st.integers(0, 20), st.none() | st.floats(0, 4)), max_size=12).map("".join)
LOOKS = st.lists(st.integers(0, 12), max_size=5)


@settings(deadline=None)
@example(LOSING, [2])
@example(LOSING, [3])
@example(GOING_ON, [2])
@given(CURVES, LOOKS)
def test_who_is_stopped_depends_on_the_curve_and_not_on_when_it_was_looked_at(text, looks):
    stopped, kept = watched(text, looks=looks)
    expected, expected_kept = watched(text)
    assert (stopped and stopped.reason) == (expected and expected.reason)
    assert kept == expected_kept
    if stopped:
        assert kept[-1]["step"] == RUNG.step


def test_a_training_that_reports_nothing_at_the_rung_keeps_all_of_its_curve():
    assert [point["step"] for point in watched(line(5, 9.0) + line(15, 9.0))[1]] == [5, 15]


def test_a_training_that_passes_its_rung_and_then_crashes_keeps_its_curve_whoever_looked():
    """`ended` is not called then."""
    scratch = Scratch(GOING_ON)
    looked, nobody = EarlyStopWatch(scratch, RUNG), EarlyStopWatch(scratch, RUNG)
    looked()
    assert nobody.curve() == looked.curve()
