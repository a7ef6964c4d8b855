import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import persona, rng
from evo.config import Variation
from evo.variation import FEWEST, Variator

numbers = st.integers(0, 10**6)


def genes(who):
    return {(kind, label) for kind, labels in who.genes().items() for label in labels}


def emphases(who):
    return {(s.kind, i.label): i.emphasis for s in who.sections for i in s.items}


def mutated(seeds, number, steps):
    variator = Variator(Variation(mutations=3), seeds)
    who, records = seeds[number % len(seeds)], []
    for step in range(steps):
        who, more = variator.mutate(who, rng.generator(number, step, "test"))
        records += more
    return who, records


@given(numbers, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_mutated_persona_is_a_persona_of_the_grammar(seeds, number, steps):
    who, _ = mutated(seeds, number, steps)
    assert persona.parse(persona.render(who)) == who
    assert persona.from_json(persona.to_json(who)) == who


@given(numbers)
@settings(max_examples=80, deadline=None)
def test_the_records_tell_every_difference_between_a_child_and_its_parent(seeds, number):
    parent = seeds[number % len(seeds)]
    child, records = mutated(seeds, number, 1)
    told_out, told_in, told_emphasis = Counter(), Counter(), set()
    for record in records:
        for key, told in (("out", told_out), ("in", told_in)):
            value = record.get(key, [])
            told.update([value] if isinstance(value, str) else value)
        if "gene" in record:
            told_emphasis.add((record["section"], record["gene"]))
    assert {label for _, label in genes(parent) - genes(child)} <= set(told_out)
    assert {label for _, label in genes(child) - genes(parent)} <= set(told_in)
    before, after = emphases(parent), emphases(child)
    assert {gene for gene in before.keys() & after.keys() if before[gene] != after[gene]} <= told_emphasis
    assert records
    json.dumps(records)


@given(numbers)
@settings(max_examples=40, deadline=None)
def test_the_same_draw_gives_the_same_child_whatever_the_global_generator_does(seeds, number):
    first = mutated(seeds, number, 2)
    random.seed(number)
    random.random()
    state = random.getstate()
    assert mutated(seeds, number, 2) == first
    assert random.getstate() == state


@given(numbers)
@settings(max_examples=40, deadline=None)
def test_long_narrowing_and_dropping_leave_genes(seeds, number):
    only = Variation(
        swap_breakthrough=0, emphasise=0, deemphasise=0, drop=1, narrow_fields=1, widen_fields=0, mutations=8
    )
    variator, who = Variator(only, seeds), seeds[number % len(seeds)]
    for step in range(12):
        who, _ = variator.mutate(who, rng.generator(number, step, "test"))
    for kind, fewest in FEWEST.items():
        assert len(who.section(kind).items) >= fewest


@given(numbers)
@settings(max_examples=60, deadline=None)
def test_a_cross_takes_each_section_whole_from_one_of_two(seeds, number):
    first, second = seeds[number % 5], seeds[(number + 1 + number // 5 % 4) % 5]
    variator = Variator(Variation(), seeds)
    child, record = variator.cross(first, second, 42, rng.generator(number, 0, "cross"))
    assert child.name == first.name
    assert record["with"] == 42
    assert record["from"] == second.name
    for kind, labels in child.genes().items():
        expected = second if kind in record["taken"] else first
        assert labels == expected.genes()[kind]
    assert child.stance == (second.stance if "stance" in record["taken"] else first.stance)
    assert persona.parse(persona.render(child)) == child


def test_emphasis_is_seen_in_order_and_in_wording(seeds):
    only = Variation(
        swap_breakthrough=0, emphasise=1, deemphasise=0, drop=0, narrow_fields=0, widen_fields=0, mutations=1
    )
    child, (record,) = Variator(only, seeds).mutate(seeds[0], rng.generator(1, 1, "test"))
    section = child.section(record["section"])
    assert section.items[0].label == record["gene"]
    before, after = persona.render(seeds[0]), persona.render(child)
    line = next(line for line in after.splitlines() if record["gene"] in line)
    assert line not in before
    assert len(after) > len(before)


def test_deemphasis_moves_a_gene_down_and_says_so(seeds):
    only = Variation(
        swap_breakthrough=0, emphasise=0, deemphasise=1, drop=0, narrow_fields=0, widen_fields=0, mutations=1
    )
    child, (record,) = Variator(only, seeds).mutate(seeds[0], rng.generator(2, 1, "test"))
    assert record["operator"] == "deemphasise"
    assert child.section(record["section"]).items[-1].label == record["gene"]
    assert child.section(record["section"]).items[-1].emphasis == -1


def test_a_swapped_breakthrough_comes_from_the_mind_it_is_said_to_come_from(seeds):
    only = Variation(
        swap_breakthrough=1, emphasise=0, deemphasise=0, drop=0, narrow_fields=0, widen_fields=0, mutations=1
    )
    for number in range(20):
        child, (record,) = Variator(only, seeds).mutate(seeds[1], rng.generator(number, 1, "test"))
        donor = next(s for s in seeds if s.name == record["from"])
        assert record["in"] in donor.genes()["breakthroughs"]
        assert record["in"] in child.genes()["breakthroughs"]
        assert record["out"] not in child.genes()["breakthroughs"]


@pytest.mark.parametrize(
    "operator", ["swap_breakthrough", "emphasise", "deemphasise", "drop", "narrow_fields", "widen_fields"]
)
def test_an_operator_of_weight_zero_is_never_drawn(seeds, operator):
    variator = Variator(Variation(**{operator: 0}), seeds)
    for number in range(40):
        _, records = variator.mutate(seeds[0], rng.generator(number, 0, "test"))
        assert operator not in {record["operator"] for record in records}


def test_a_persona_without_varied_sections_is_left_as_it_is():
    plain = persona.parse("You are a reviewer.\n\n**House rules:**\nBe brief.\n")
    child, records = Variator(Variation(), [plain]).mutate(plain, rng.generator(1, 1, "test"))
    assert (child, records) == (plain, [])


@given(numbers)
@settings(max_examples=40, deadline=None)
def test_operators_that_are_off_draw_nothing_and_those_whose_genes_are_written_change_nothing_yet(seeds, number):
    who, fresh = seeds[number % len(seeds)], lambda: rng.generator(number, 0, "test")
    assert Variation().write_breakthrough == Variation().sharpen_topic == 0
    off = dict.fromkeys(["swap_breakthrough", "emphasise", "deemphasise", "drop", "narrow_fields", "widen_fields"], 0.0)
    wanting = Variation(**off, write_breakthrough=1.0, sharpen_topic=1.0, mutations=4)
    child, records = Variator(wanting, seeds).mutate(who, fresh())
    assert child == who
    assert len(records) == 1
    assert records[0]["words"] is None
