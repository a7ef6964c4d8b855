"""The grammar's two laws, on the seeds, on generated personas and on heaps of awkward lines."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from evo.persona import Item, Persona, PersonaError, check, parse, render
from evo.persona.markup import FIELD_EMPHASIS, ITEM_EMPHASIS

SEEDS = sorted((Path(__file__).parents[2] / "seeds").glob("*.txt"))
OPENING = "You are Ada Lovelace, a mathematician.\n\nYou improve a model. You are patient.\n\n"

EMPHASIS_SENTENCES = [*ITEM_EMPHASIS.values(), *FIELD_EMPHASIS.values()]
KNOWN = [
    ("breakthroughs", "Breakthrough Connections"),
    ("breakthroughs", "BREAKTHROUGHS"),
    ("topics", "Modern LLM Connections & Novel Techniques"),
    ("topics", "novel techniques"),
    ("directions", "Future AI Progress"),
    ("fields", "Relevant Mathematical Fields for Inspiration"),
    ("fields", "Fields I love"),
]
UNKNOWN = ["Constraints", "House rules", "Was wir lieben", "规则", "Answer (format)"]
PIECES = [
    "Euler", "A*", "x**2", "f(x)", "[sic]", "a: b", "规则", "Ångström", "—", "–", "-", "*", ":", "1.", "#", "`f`", "é",
]  # fmt: skip

words = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(" ".join)
sentences = st.lists(st.sampled_from(EMPHASIS_SENTENCES), max_size=3).map("".join)
text_of_item = st.builds("{}{}".format, words, sentences)
asides = st.lists(st.sampled_from(list(FIELD_EMPHASIS.values())), max_size=3).map("".join)
plain_names = ["algebra", "graph theory", "logic (first, second)", "ζ-functions", "拓扑", "a: b", "1,000 things"]
field_name = st.sampled_from(plain_names) | st.builds("{}{}".format, st.sampled_from(["knots", "rings"]), asides)


@st.composite
def list_lines(draw: st.DrawFn) -> list[str]:
    """The lines of one list: one style of marker, titles or not, continuation lines and blank lines or none."""
    style = draw(st.sampled_from(["{}. ", "{}) ", "- ", "* ", "{}.  "]))
    joint = draw(st.sampled_from([":** ", "**: ", ":**", "** - ", " :** ", ":**\n  "]))
    between = draw(st.sampled_from(["", "\n", "   ", "\n\n"]))
    titled = draw(st.sampled_from(["all", "none", "some"]))
    lines = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        body = draw(text_of_item)
        if titled == "all" or (titled == "some" and draw(st.booleans())):
            body = f"**{draw(words)}{joint}{body if draw(st.booleans()) else ''}"
        more = draw(
            st.sampled_from(["", "", "\n  more of it", "\nlazy", "\n\n   a second paragraph", "\n  - a detail"])
        )
        lines.append(style.format(number) + body + more + between)
    return lines


@st.composite
def section(draw: st.DrawFn) -> str:
    kind, heading = draw(st.sampled_from([*KNOWN, *(("", name) for name in UNKNOWN)]))
    written = draw(st.sampled_from(["**{}:**", "**{}**:", "## {}", "### {}:"])).format(heading)
    after = draw(st.sampled_from(["\n", "\n\n", "  \n"]))
    lead = draw(st.sampled_from(["", "", "Think of:\n", "Consider these.\nAnd these:\n\n"]))
    if kind == "fields" or (not kind and draw(st.booleans())):
        separator = draw(st.sampled_from([", ", ",\n", ", and ", "、"]))
        body = separator.join(draw(st.lists(field_name, min_size=1, max_size=6))) + draw(st.sampled_from([".", ""]))
    else:
        body = "\n".join(draw(list_lines()))
    tail = draw(
        st.sampled_from(["", "", "\n\nSome closing words, and more.", "\n\n```python\n**Breakthrough:**\n1. x\n```"])
    )
    return written + after + lead + body + tail + draw(st.sampled_from(["\n", "\n\n", "\n \n"]))


@st.composite
def persona_text(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["Ada Lovelace", "a careful reviewer who reads twice", "Dr. Wu Jian-Xiong", "李白"]))
    opening = draw(
        st.sampled_from(
            [
                "You are {}, born long ago.\n\nImprove it. Be bold.\n\n",
                "You are {}.\n",
                "# Title\n\nYou are {}\n\nDo it!\n\n",
            ]
        )
    )
    text = opening.format(name) + "".join(draw(st.lists(section(), min_size=1, max_size=6)))
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


AWKWARD = [
    "**Breakthrough:**", "**Future:**", "## Modern topics", "**Fields:**", "**House rules**", "#", "##", "-", "1.",
    "- ", "1. a", "2. **B:** b", "3) c", "- d", "* **E**", "* **E**: e", "- **F** - f", "  - g", "   h", "lazy",
    "a, b, c, d", "a, b (c, d), e.", "and x, and y", "Think:", "```", "```python", "~~~", "- ```", "  ```",
    "1. - ```", "", "", " ", "\t", "**", "****", "*****", "**Bar:** **Give this particular weight.**",
    "- **Give this particular weight.**", "- x  **Give this particular weight.**",
    "- x **Give this particular weight.** **Give this ordinary weight.**",
    "1. x **Give this particular weight.** **Give this its ordinary weight.**",
    "1. **T:** **Give this its ordinary weight.**",
    "a (of particular weight), b (only in passing) (of ordinary weight), c, d", "algebra,", "x\ry", "1. x\u2028y",
    "- \xa0", "- **A :** b", "- **A*:** b", "- **A***: b", "- **:** b", "-\tq", "• r", "---", "+ s",
]  # fmt: skip


@st.composite
def awkward_text(draw: st.DrawFn) -> str:
    lines = draw(st.lists(st.sampled_from(AWKWARD), min_size=1, max_size=14))
    text = "You are Ada, a poet.\n\n**Breakthrough:**\n" + "\n".join(lines)
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@st.composite
def varied(draw: st.DrawFn, persona: Persona, other: Persona) -> Persona:
    """The persona after a reorder, a drop, a swap of items with the other persona, and other emphases."""
    for kind in persona.genes():
        own = persona.section(kind)
        assert own is not None
        pool: list[Item] = [*own.items, *(item for there in other.sections for item in there.items if own.takes(item))]
        picked = draw(st.lists(st.sampled_from(pool), min_size=own.least, max_size=len(own.items) + 2))
        emphasised = [replace(item, emphasis=draw(st.sampled_from([-1, 0, 0, 1, 2]))) for item in picked]
        persona = persona.with_section(own.with_items(emphasised))
    return persona


def parsed(text: str) -> Persona:
    try:
        return parse(text)
    except PersonaError:
        assume(False)
        raise


quick = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(persona_text())
def test_a_text_is_written_back_to_the_letter(text: str) -> None:
    persona = parsed(text)
    assert render(persona) == text
    assert parse(render(persona)) == persona


@quick
@given(awkward_text())
def test_awkward_lines_are_written_back_to_the_letter(text: str) -> None:
    assert render(parsed(text)) == text


@quick
@given(st.text(alphabet=list("*-#`~.:,1a \n\r\té李"), max_size=80))
def test_any_heap_of_characters_is_refused_or_written_back(heap: str) -> None:
    text = "You are Ada.\n\n**Future:**\n- " + heap
    persona = parsed(text)
    assert render(persona) == text
    assert isinstance(check(text), list)


@quick
@given(st.data(), persona_text(), persona_text())
def test_a_varied_persona_parses_back_to_itself(data: st.DataObject, text: str, other: str) -> None:
    child = data.draw(varied(parsed(text), parsed(other)))
    assert parse(render(child)) == child
    grandchild = data.draw(varied(child, parsed(text)))
    assert parse(render(grandchild)) == grandchild


@quick
@given(st.data(), awkward_text(), awkward_text())
def test_a_varied_persona_of_awkward_lines_parses_back_to_itself(data: st.DataObject, text: str, other: str) -> None:
    child = data.draw(varied(parsed(text), parsed(other)))
    assert parse(render(child)) == child


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_is_read_whole_and_written_back(path: Path) -> None:
    text = path.read_bytes().decode()
    persona = parse(text)
    assert render(persona) == text
    assert check(text) == []
    assert [section.kind for section in persona.sections] == [
        "breakthroughs", "topics", "directions", "fields", "fixed", "fixed",
    ]  # fmt: skip
    assert [len(section.items) for section in persona.sections] == [5, 10, 13, 33, 0, 0]
    assert persona.stance.startswith("You are a")
    assert persona.task.startswith("You are tasked with")
    assert persona.genes()["fields"][-1] == "knowledge representation & reasoning"
    assert persona.genes()["topics"][0] == "Mixture of Experts (MoE)"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_children_of_two_seeds_parse_back_to_themselves(data: st.DataObject) -> None:
    one, two = (parse(data.draw(st.sampled_from(SEEDS)).read_bytes().decode()) for _ in range(2))
    child = data.draw(varied(one, two))
    assert parse(render(child)) == child


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ("You are Leonhard Euler, a Swiss mathematician.", "Leonhard Euler"),
        ("You are Ada Lovelace who wrote the first program.", "Ada Lovelace"),
        ("You are Emmy Noether. You like rings.", "Emmy Noether"),
        ("You are Dr. Jane Goodall, a primatologist.", "Dr. Jane Goodall"),
        ("You are John R. R. Tolkien known for long walks.", "John R. R. Tolkien"),
        ("You are the Compiler Guild (at Acme).", "Compiler Guild"),
        ("You are René\nDescartes, a doubter.", "René Descartes"),
        ("Act as a careful reviewer.", "careful reviewer"),
        ("Somos un equipo pequeño, y lento.", "Somos un equipo pequeño"),
        ("你是李白，一位诗人。", "你是李白"),
    ],
)
def test_the_name_is_read_from_the_identity(identity: str, name: str) -> None:
    assert parse(f"{identity}\n\n## Rules\nBe kind.\n").name == name


def test_the_stance_is_the_last_sentence_of_the_task() -> None:
    persona = parse("You are Ada.\n\nImprove it, e.g. by Dr. Wu's way. Be a poet of numbers.  \n\n**Rules:**\nNone.")
    assert (persona.identity, persona.task) == ("You are Ada.\n\n", "Improve it, e.g. by Dr. Wu's way. ")
    assert (persona.stance, persona.gap) == ("Be a poet of numbers.", "  \n\n")


def test_a_task_of_one_sentence_has_no_stance() -> None:
    persona = parse("You are Ada.\n\nImprove it.\n\n**Rules:**\nNone.")
    assert (persona.task, persona.stance) == ("Improve it.", "")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("1. **Engine:** Wrote a program.\n2. **Notes:** Wrote notes.\n", "breakthroughs"),
        ("Think of:\n\n1. **Engine:** Wrote a program.\n", "topics"),
        ("- **Engine:** How?\n- **Notes:** Why?\n", "directions"),
        ("rings, groups, graph theory, logic.\n", "fields"),
        ("- Be bold\n- Be brief\n", "fixed"),
        ("rings, groups, logic.\n", "fixed"),
        ("Derive everything you claim from first principles, check units, never guess, and say so.\n", "fixed"),
        ("```\n1. **Engine:** x\n```\n", "fixed"),
    ],
)
def test_a_section_of_an_unknown_heading_is_told_by_its_form(body: str, kind: str) -> None:
    persona = parse(f"{OPENING}**What moves me:**\n{body}")
    assert [section.kind for section in persona.sections] == [kind]
    assert check(f"{OPENING}**What moves me:**\n{body}") == []


def test_only_the_first_section_that_fits_a_role_is_varied() -> None:
    twice = "**Future:**\nprose\n\n**Future work:**\n- a\n\n**Future plans:**\n- b\n\n**Else:**\n- **c:** d\n"
    persona = parse(OPENING + twice)
    assert [section.kind for section in persona.sections] == ["fixed", "directions", "fixed", "fixed"]
    assert persona.genes() == {"directions": ["a"]}


def test_a_heading_goes_before_form() -> None:
    persona = parse(f"{OPENING}**Mine:**\n- **a:** b\n\n## Future\n1) c\n2) d\n")
    assert [section.kind for section in persona.sections] == ["fixed", "directions"]


def test_nothing_inside_a_code_fence_is_parsed() -> None:
    persona = parse(f"{OPENING}**Rules:**\nSay:\n```python\n**Future:**\n- a\n## b\n```\n**Future:**\n- c\n")
    assert [section.kind for section in persona.sections] == ["fixed", "directions"]


def test_emphasis_is_a_sentence_in_the_rendered_text() -> None:
    persona = parse(f"{OPENING}**Future:**\n- **A:** a\n- **B:**\n- c")
    own = persona.section("directions")
    assert own is not None
    changed = [replace(item, emphasis=emphasis) for item, emphasis in zip(own.items, (1, 2, -1), strict=True)]
    text = render(persona.with_section(own.with_items(changed)))
    assert text.endswith(
        "- **A:** a **Give this particular weight.**\n"
        "- **B:** **Put this before everything else.**\n"
        "- c **Touch on this only in passing.**"
    )


def test_a_text_that_ends_in_an_emphasis_sentence_of_its_own_can_lose_the_outer_one() -> None:
    sentence = ITEM_EMPHASIS[1]
    persona = parse(f"{OPENING}**Future:**\n- a{sentence}{sentence}\n- b\n")
    own = persona.section("directions")
    assert own is not None
    assert (own.items[0].text, own.items[0].emphasis) == (f"a{sentence}", 1)
    plain = persona.with_section(own.with_items([replace(own.items[0], emphasis=0), own.items[1]]))
    assert parse(render(plain)) == plain


def test_a_sentence_that_keeps_a_line_from_being_a_heading_stays_in_the_text() -> None:
    persona = parse(f"{OPENING}**Future:**\n- a\n**Future:**{ITEM_EMPHASIS[1]}\n")
    own = persona.section("directions")
    assert own is not None
    assert (own.items[0].text, own.items[0].emphasis) == (f"a\n**Future:**{ITEM_EMPHASIS[1]}", 0)
    for emphasis in (-1, 0, 1, 2):
        child = persona.with_section(own.with_items([replace(own.items[0], emphasis=emphasis)]))
        assert parse(render(child)) == child


@pytest.mark.parametrize(
    ("text", "line", "found", "expected"),
    [
        ("", 1, "nothing", "prose"),
        ("\n**Future:**\n- a\n", 2, "**Future:**", "prose"),
        ("- You are Ada\n", 1, "- You are Ada", "prose"),
        ("```\ncode\n```\n", 1, "```", "prose"),
        ("You are Ada.\n\nNothing else.\n", 3, "Nothing else.", "heading"),
    ],
)
def test_a_text_without_identity_or_section_is_refused_with_its_line(
    text: str, line: int, found: str, expected: str
) -> None:
    with pytest.raises(PersonaError, match=f"line {line}: ") as refused:
        parse(text)
    assert found in refused.value.message
    assert expected in refused.value.message
    assert refused.value.kind == "persona"
    assert [note.line for note in check(text)] == [line]


@pytest.mark.parametrize(
    ("section", "line", "found"),
    [
        ("**Future:**\nNo list here.\n", 5, "no list"),
        ("**Future:**\n- a\n1. b\n", 7, "1. b"),
        ("**Future:**\n- a\n\nprose\n\n- b\n", 10, "after other text"),
        ("**Future:**\n- a\n-\n", 7, "empty item"),
        ("**Future:**\n- a\n  ```\n  x\n  ```\n", 7, "code fence"),
        ("**Fields:**\nalgebra, f(x, logic\n", 6, "algebra"),
        ("**Fields:**\nalgebra,\nBe bold. Be kind, logic\n", 7, "Be bold"),
        ("**Fields:**\n\n", 5, "no list"),
    ],
)
def test_a_line_that_does_not_fit_makes_its_section_fixed_and_is_noted(section: str, line: int, found: str) -> None:
    persona = parse(OPENING + section)
    assert [part.kind for part in persona.sections] == ["fixed"]
    assert render(persona) == OPENING + section
    (note,) = check(OPENING + section)
    assert note.line == line
    assert found in note.found
    assert str(note).startswith(f"line {line}: found ")
