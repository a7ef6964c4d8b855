"""What the catalogue reads in a prompt, and what it answers."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from evo import persona as personas
from evo.catalogue import EDITS, answer
from evo.catalogue.answers import COUNTS, NO_FILES, NOTHING
from evo.catalogue.edits.core import MODEL, TRAIN
from evo.catalogue.prompt_reader import read, read_files, weigh
from evo.evaluator import code_hash
from evo.proposer import prompt
from evo.proposer.answer import name_block, parse, read_blocks
from evo.status import Status
from evo.verify import static

NAMES = {edit.name for edit in EDITS}


def names_in(text):
    first = text.splitlines()[0]
    assert re.fullmatch(r"Edits: \w+(, \w+)*", first)
    return first.removeprefix("Edits: ").split(", ")


def with_emphasis(persona, kind, words, emphasis):
    section = persona.section(kind)
    items = tuple(replace(item, emphasis=emphasis) if words in item.title else item for item in section.items)
    assert any(words in item.title for item in items)
    return persona.with_section(replace(section, items=items))


def test_an_answer_is_accepted_by_the_parser_and_by_the_static_checks(messages, baseline, evaluator):
    for seed in range(25):
        text = answer(messages, seed)
        parsed = parse(text, baseline)
        assert parsed.status is Status.OK, parsed.reason
        assert static.check(parsed.files, evaluator) is None
        assert code_hash(parsed.files) != code_hash(baseline)
        assert set(names_in(text)) <= NAMES


def test_an_answer_holds_both_files_and_says_which_is_unchanged(messages, baseline):
    for seed in range(25):
        text = answer(messages, seed)
        bodies = dict(name_block(block, list(baseline)) for block in read_blocks(text)[0])
        assert list(bodies) == [TRAIN, MODEL]
        unchanged = [name for name in baseline if parse(text, baseline).files[name] == baseline[name]]
        assert [name for name, body in bodies.items() if body == "# unchanged\n"] == unchanged
        assert len(unchanged) < 2


def test_an_answer_says_what_each_edit_does(messages):
    says = {edit.name: edit.description for edit in EDITS}
    text = answer(messages, 3)
    assert all(says[name] in text for name in names_in(text))


def test_equal_questions_get_equal_answers_in_every_process(messages):
    code = "import json, sys; from evo.catalogue import answer; print(answer(json.load(sys.stdin), 7), end='')"
    other = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(messages),
        env={"PYTHONHASHSEED": "5", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    assert other == answer(messages, 7)
    assert len({answer(messages, seed) for seed in range(20)}) > 12


def test_an_answer_leaves_the_global_generator_alone(messages):
    random.seed(1)
    state = random.getstate()
    answer(messages, 1)
    assert random.getstate() == state


def test_answers_hold_one_to_three_edits_in_the_shares_they_should(messages):
    counts = Counter(len(names_in(answer(messages, seed))) for seed in range(120))
    assert set(counts) == {1, 2, 3}
    assert all(abs(counts[n] / 120 - share) < 0.15 for n, share in COUNTS.items())


def test_emphasis_shifts_the_draw(euler, baseline):
    def share(emphasis):
        persona = with_emphasis(euler, "topics", "Rotary", emphasis)
        asked = prompt.messages(prompt.parts(persona, baseline, prompt.Outcome(2.5)))
        return sum("rotary" in answer(asked, seed).splitlines()[0] for seed in range(60)) / 60

    assert share(2) > 2 * share(0)
    assert share(2) > 0.5
    assert share(-1) < share(2) / 2


@pytest.mark.parametrize(("topic", "name"), [("Mixture of Experts", "mixture_of_experts"), ("Muon", "muon")])
def test_every_step_of_emphasis_counts(euler, topic, name):
    weights = [
        weigh(personas.render(with_emphasis(euler, "topics", topic, emphasis) if emphasis else euler))[name]
        for emphasis in (-1, 0, 1, 2)
    ]
    assert weights == sorted(weights)
    assert weights[3] > 2.5 * weights[1] > 2.5 * weights[0]


def test_earlier_topics_count_for_more(euler):
    topics = euler.section("topics")
    turned = euler.with_section(topics.with_items(tuple(reversed(topics.items))))
    first, last = weigh(personas.render(euler)), weigh(personas.render(turned))
    assert first["mixture_of_experts"] > last["mixture_of_experts"]


def test_what_a_persona_does_not_name_stays_possible(euler):
    topics = euler.section("topics")
    weights = weigh(personas.render(euler.with_section(topics.with_items(topics.items[:1]))))
    assert set(weights) == NAMES
    assert min(weights.values()) > 0


@pytest.mark.parametrize(
    ("seed", "names"),
    [
        ("leonhard_euler", ["rotary", "partial_rotary"]),
        ("isaac_newton", ["muon", "nadam"]),
        ("galileo_galilei", ["linear_warmdown", "longer_warmup", "pendulum"]),
        ("richard_feynman", ["mixture_of_experts", "weight_average"]),
        ("john_von_neumann", ["narrow_init", "rounded_weights", "fewer_wider"]),
    ],
)
def test_breakthroughs_tie_minds_to_edits(seed, names, seed_texts):
    shares = {}
    for mind, text in seed_texts.items():
        weights = weigh(text)
        shares[mind] = {name: weights[name] / sum(weights.values()) for name in names}
    for name in names:
        mean = sum(share[name] for share in shares.values()) / len(shares)
        assert shares[seed][name] > mean, name


def test_words_outside_a_persona_still_count():
    plain = weigh("Please try Muon on this.")
    assert plain["muon"] > 5 * plain["swiglu"]
    assert set(weigh("")) == NAMES


def test_a_prompt_without_files_is_answered_in_prose(euler):
    text = answer([{"role": "user", "content": personas.render(euler)}], 0)
    assert NO_FILES in text
    assert "```" not in text
    assert answer([], 0) == NO_FILES + "\n"


def test_code_that_no_edit_knows_is_sent_back_unchanged():
    strange = {TRAIN: "def train():\n    return 1.0, 1.0\n", MODEL: "class GPT:\n    pass\n"}
    content = "\n".join(f"```python\n{name}\n{text}```" for name, text in strange.items())
    text = answer([{"role": "user", "content": content}], 0)
    assert NOTHING in text
    assert parse(text, strange).files == strange


def test_the_last_block_of_a_file_wins_and_examples_do_not_count():
    text = (
        "```python\nmodel.py\na = 1\n```\n\n```python\nmodel.py\na = 2\n```\n\n```python\nmodel.py\n# unchanged\n```\n"
    )
    assert read_files(text) == {MODEL: "a = 2\n"}


def test_content_may_come_in_parts(messages):
    content = messages[0]["content"]
    parts = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {}}]
    assert read([{"role": "user", "content": parts}]).files == read(messages).files
    assert read([{"role": "user", "content": None}, {"role": "user"}]).files == {}


def test_edits_go_on_from_code_that_was_already_edited(euler, messages, baseline, evaluator):
    files = baseline
    for generation in range(8):
        asked = prompt.messages(prompt.parts(euler, files, prompt.Outcome(2.5, 2.4, is_baseline=False)))
        parsed = parse(answer(asked, generation), files)
        assert parsed.status is Status.OK
        assert code_hash(parsed.files) != code_hash(files)
        files = parsed.files
    assert static.check(files, evaluator) is None


def test_importing_the_catalogue_stays_light():
    heavy = "('torch', 'ray', 'numpy', 'openai', 'scipy')"
    code = f"import sys, evo.catalogue; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
