"""The values: layout of changed sections, and JSON."""

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from evo.persona import Item, Kind, PersonaError, Section, from_json, parse, render, to_json

SEEDS = sorted((Path(__file__).parents[2] / "seeds").glob("*.txt"))
OPENING = "You are Ada.\n\nImprove it. Be bold.\n\n"


def section(kind: Kind, text: str) -> Section:
    found = parse(OPENING + text).section(kind)
    assert found is not None
    return found


def written(part: Section, text: str) -> str:
    """The section's own lines, once it stands in the persona of that text."""
    return render(parse(OPENING + text).with_section(part)).removeprefix(OPENING)


def test_numbers_are_given_anew_in_the_style_found() -> None:
    text = "**Breakthroughs:**\n1) **A:** a\n2) **B:** b\n3) **C:** c\n"
    own = section("breakthroughs", text)
    assert written(own.with_items(reversed(own.items)), text) == (
        "**Breakthroughs:**\n1) **C:** c\n2) **B:** b\n3) **A:** a\n"
    )


def test_gaps_stay_in_their_places() -> None:
    text = "**Future:**\n- a\n\n- b\n\n- c\n- d"
    own = section("directions", text)
    assert written(own.with_items([own.items[3], own.items[0]]), text) == "**Future:**\n- d\n\n- a"
    assert written(own.with_items([own.items[3]]), text) == "**Future:**\n- d"


def test_a_single_item_can_become_two() -> None:
    text = "**Future:**\r\n- a\r\n\r\n**Fields:**\r\nrings."
    assert written(section("directions", text).with_items([Item("", "a"), Item("", "b\nc")]), text) == (
        "**Future:**\r\n- a\r\n- b\r\nc\r\n\r\n**Fields:**\r\nrings."
    )
    assert written(section("fields", text).with_items([Item("", "knots"), Item("", "rings")]), text).endswith(
        "**Fields:**\r\nknots, rings."
    )


def test_an_item_from_elsewhere_takes_the_layout_of_its_new_section() -> None:
    here = "**Future:**\n* **A**: a\n* **B**: b\n"
    there = "**Modern topics:**\n\n1. **C:** c\n\n2. **D:**\n"
    own, other = section("directions", here), section("topics", there)
    assert (
        written(own.with_items([*other.items, own.items[0]]), here) == "**Future:**\n* **C**: c\n* **D**:\n* **A**: a\n"
    )


def test_a_title_that_its_new_joint_would_cut_keeps_its_own() -> None:
    own = section("directions", "**Future:**\n- **A**: a\n")
    awkward = section("directions", "**Future:**\n- **A*:** a\n").items[0]
    text = "**Future:**\n- **A**: a\n"
    child = parse(OPENING + text).with_section(own.with_items([awkward]))
    assert parse(render(child)) == child
    assert child.genes() == {"directions": ["A*"]}


def test_no_text_is_put_on_a_line_of_its_own_where_it_would_begin_an_item() -> None:
    text = "**Future:**\n- **A:**\na\n- **B:**\nb\n"
    dash = section("directions", "**Future:**\n- **C:** - c\n").items[0]
    child = parse(OPENING + text).with_section(section("directions", text).with_items([dash]))
    assert parse(render(child)) == child
    assert render(child).endswith("\n- **C:** - c\n")


def test_a_section_keeps_at_least_one_gene() -> None:
    with pytest.raises(ValueError, match=r"at least 1 item\(s\) in directions, found 0"):
        section("directions", "**Future:**\n- a\n").with_items([])


def test_a_list_told_by_its_form_keeps_that_form() -> None:
    names = section("fields", "**Loves:**\na, b, c, d\n")
    with pytest.raises(ValueError, match="at least 4"):
        names.with_items(names.items[:3])
    assert not names.takes(Item("", "one two three four five"))
    titled = section("directions", "**Loves:**\n- **A:** a\n")
    assert not titled.takes(Item("", "untitled"))
    with pytest.raises(ValueError, match="untitled"):
        titled.with_items([Item("", "untitled")])


@pytest.mark.parametrize("text", ["", " a", "a\n- b", "a\n## b", "a\n```", "a\n\nb", "```"])
def test_a_text_that_would_be_read_as_something_else_is_refused(text: str) -> None:
    own = section("directions", "**Future:**\n- a\n")
    assert not own.takes(Item("", text))
    with pytest.raises(ValueError, match="can be written"):
        own.with_items([Item("", text)])


def test_a_sentence_is_no_field() -> None:
    own = section("fields", "**Fields:**\nrings, knots\n")
    assert own.takes(Item("", "graph theory"))
    assert not own.takes(Item("A", "a"))
    assert not own.takes(Item("", "rings, knots"))


def test_a_fixed_section_is_never_varied() -> None:
    persona = parse(OPENING + "**Rules:**\nNone.\n")
    assert persona.section("fixed") is None
    with pytest.raises(ValueError, match="fixed"):
        persona.sections[0].with_items([Item("", "a")])
    assert not persona.sections[0].takes(Item("", "a"))
    with pytest.raises(ValueError, match="found 'fixed'"):
        persona.with_section(persona.sections[0])


def test_values_are_frozen_and_checked() -> None:
    item = Item("A", "a")
    with pytest.raises(FrozenInstanceError):
        item.text = "b"  # type: ignore[misc]
    with pytest.raises(ValueError, match="-1, 0, 1 or 2"):
        replace(item, emphasis=3)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_persona_survives_json(path: Path) -> None:
    persona = parse(path.read_bytes().decode())
    assert from_json(to_json(persona)) == persona
    assert "\n" not in to_json(persona)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"sections": 3}', '{"sections": [{"kind": "other"}]}', '{"name": "A", "sections": []}']
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(PersonaError, match="expected the JSON of a persona"):
        from_json(text)


def test_json_is_plain() -> None:
    persona = parse(OPENING + "**Future:**\n- **Ä:** a\n")
    assert json.loads(to_json(persona))["sections"][0]["items"][0]["title"] == "Ä"
