"""Edits as transformations of text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.catalogue import EDITS
from evo.catalogue.edits.core import MODEL, TRAIN, Change, Edit, above, after, before, swap
from evo.evaluator import code_hash
from evo.verify import static

EACH = pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)


def test_there_are_many_edits_and_their_names_are_their_own():
    assert len(EDITS) >= 28
    assert len({edit.name for edit in EDITS}) == len(EDITS)


@EACH
def test_an_edit_is_well_described(edit):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", edit.name)
    assert edit.description[0].isupper()
    assert edit.description.endswith(".")
    assert edit.words
    assert all(word == word.lower() for word in edit.words)
    assert edit.weight > 0


@EACH
def test_an_edit_changes_the_syntax_tree_of_the_baseline_and_passes_static_checks(edit, baseline, evaluator):
    assert not edit.present(baseline)
    edited = edit.apply(baseline)
    assert edited is not None
    assert code_hash(edited) != code_hash(baseline)
    assert static.check(edited, evaluator) is None
    assert list(edited) == list(baseline)


@EACH
def test_an_edit_is_made_once(edit, baseline):
    edited = edit.apply(baseline)
    assert edit.present(edited)
    assert edit.apply(edited) is None


@EACH
def test_an_edit_leaves_code_alone_that_it_does_not_know(edit, baseline):
    other = {TRAIN: "def train():\n    return 1.0, 1.0\n", MODEL: "class GPT:\n    pass\n"}
    assert edit.apply(other) is None
    assert edit.apply({}) is None
    assert not edit.present(other)
    assert edit.apply({name: 2 * text for name, text in baseline.items()}) is None


@EACH
def test_edited_code_reads_no_clock_and_stays_float32(edit, baseline):
    added = set("\n".join(edit.apply(baseline).values()).splitlines()) - set("\n".join(baseline.values()).splitlines())
    assert not [line for line in added if re.search(r"time\.|float64|double\(|enable_gqa|\.cuda|\.item\(", line)]


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(EDITS), count=st.integers(2, 12))
def test_edits_in_any_order_give_code_that_passes_static_checks(order, count, baseline, evaluator):
    files, made = baseline, []
    for edit in order[: 2 * count]:
        edited = edit.apply(files)
        if edited is None or len(made) == count:
            continue
        assert code_hash(edited) != code_hash(files)
        assert edit.present(edited)
        assert edit.apply(edited) is None
        files = edited
        made.append(edit.name)
    assert static.check(files, evaluator) is None, made


def test_alternatives_take_each_other_s_place(baseline):
    by_name = {edit.name: edit for edit in EDITS}
    for first, second in (("squared_relu", "swiglu"), ("lion", "muon"), ("muon_momentum_warmup", "nadam")):
        files = by_name[second].apply(by_name[first].apply(baseline))
        assert by_name[second].present(files)
        assert not by_name[first].present(files)
        assert code_hash(files) == code_hash(by_name[second].apply(baseline))
    files = by_name["third_rate"].apply(by_name["triple_rate"].apply(baseline))
    assert "learning_rate = 2e-3 / 3\n" in files[TRAIN]
    assert by_name["gated_average"].apply(by_name["causal_convolution"].apply(baseline)) is None


def test_a_change_needs_exactly_one_match():
    change = swap(MODEL, "a", "b")
    assert change.apply("xax") == "xbx"
    assert change.apply("xx") is None
    assert change.apply("aa") is None


def test_a_change_within_a_definition_looks_nowhere_else():
    text = "x = 1\n\n\nclass A:\n    x = 1\n\n    y = 2\n\n\nclass B:\n    x = 1\n"
    assert swap(MODEL, "x = 1", "x = 3", "A").apply(text) == text.replace("A:\n    x = 1", "A:\n    x = 3")
    assert swap(MODEL, "x = 1", "x = 3", "C").apply(text) is None


def test_insertions_keep_their_anchor_and_their_backslashes():
    text = "def f():\n    return 1\n"
    assert before(MODEL, "return 1", 4, r"s = '\1'").apply(text) == "def f():\n    s = '\\1'\n    return 1\n"
    assert after(MODEL, "return 1", 4, r"s = '\1'").apply(text) == "def f():\n    return 1\n    s = '\\1'\n"
    assert above(MODEL, "f", "def g():\n    pass").apply(text) == "def g():\n    pass\n\n\n" + text


def test_an_edit_that_would_break_the_syntax_does_not_apply():
    edit = Edit("broken", "Breaks.", ("x",), (MODEL, "absent"), ((Change(MODEL, "x = 1", "x = (", None),),))
    assert edit.apply({MODEL: "x = 1\n"}) is None
