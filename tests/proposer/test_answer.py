"""An answer becomes files, or the name of what is wrong with it."""

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evo.proposer.answer import name_block, parse, read_blocks
from evo.status import Status

BASE = {"train_mps.py": "import torch\n", "model.py": "class GPT: pass\n"}
NEW = "import math\n\nx = 1\n"


def model_of(response, **how):
    """The new text of model.py; train_mps.py must be as it was."""
    answer = parse(response, BASE, **how)
    assert answer.status == Status.OK, answer.reason
    assert answer.files is not None
    assert answer.files["train_mps.py"] == BASE["train_mps.py"]
    assert list(answer.files) == list(BASE)
    return answer.files["model.py"]


NAMED_ON_THE_FIRST_LINE = [
    "model.py",
    "# model.py",
    "#model.py",
    "## model.py",
    "# File: model.py",
    "# filename: model.py",
    "file: model.py",
    "// model.py",
    "# `model.py`",
    "**model.py**",
    '"""model.py"""',
    "'model.py'",
    "model.py:",
    "./model.py",
    "# ./model.py",
    "# src/nano/model.py",
    "  model.py  ",
]


@pytest.mark.parametrize("line", NAMED_ON_THE_FIRST_LINE)
def test_a_file_is_named_by_the_first_line_which_is_not_part_of_it(line):
    assert model_of(f"Here:\n\n```python\n{line}\n{NEW}```\n") == NEW


@pytest.mark.parametrize("line", NAMED_ON_THE_FIRST_LINE)
def test_blank_lines_may_stand_before_the_name(line):
    assert model_of(f"```python\n\n\n{line}\n{NEW}```\n") == NEW


@pytest.mark.parametrize(
    "info",
    [
        "python model.py",
        'python title="model.py"',
        "python title='model.py'",
        "python:model.py",
        "python:src/model.py",
        "python {file=model.py}",
        "py filename=model.py linenums",
        "model.py",
    ],
)
def test_a_file_is_named_by_the_info_string_and_keeps_its_whole_block(info):
    assert model_of(f"```{info}\n{NEW}```\n") == NEW


@pytest.mark.parametrize(
    "above",
    [
        "model.py",
        "### model.py",
        "## 2. `model.py`",
        "**model.py**",
        "**`model.py`:**",
        "`model.py`",
        "`./model.py`:",
        "Here is the new `model.py`, with a root-mean-square norm:",
        "2. model.py\n",
        "### model.py\n\n",
    ],
)
def test_a_file_is_named_by_the_line_above_and_keeps_its_whole_block(above):
    assert model_of(f"Some words.\n\n{above}\n```python\n{NEW}```\n") == NEW


def test_the_first_line_counts_more_than_the_line_above():
    assert model_of(f"As train_mps.py stays, here is the other:\n```python\nmodel.py\n{NEW}```\n") == NEW


def test_the_info_string_counts_more_than_the_line_above():
    assert model_of(f"As train_mps.py stays, here is the other:\n```python model.py\n{NEW}```\n") == NEW


@pytest.mark.parametrize(
    "first",
    ["from model import GPT", "import model", "import model.py as m", "x = open('model.py').read()", "my_model.py"],
)
def test_a_first_line_of_code_does_not_name_a_file(first):
    answer = parse(f"Some words.\n\n```python\n{first}\n{NEW}```\n", BASE)
    assert answer.status == Status.NO_CODE


def test_a_line_of_code_that_mentions_a_file_stays_in_the_block_named_otherwise():
    code = f"from model import GPT\n{NEW}"
    answer = parse(f"```python\ntrain_mps.py\n{code}```\n", BASE)
    assert answer.files == {"train_mps.py": code, "model.py": BASE["model.py"]}


@pytest.mark.parametrize("place", ["python my_model.py", "python model.pyc", "python old-model.py", "python model"])
def test_a_longer_or_a_shorter_name_is_another_file(place):
    assert parse(f"```{place}\n{NEW}```\n", BASE).status == Status.NO_CODE


def test_a_line_that_mentions_both_files_names_neither():
    answer = parse(f"I changed model.py and train_mps.py:\n```python\n{NEW}```\n", BASE)
    assert (answer.status, answer.files) == (Status.NO_CODE, None)
    assert "1 code block(s) without a file name" in answer.reason


def test_only_the_last_line_above_a_block_may_name_it():
    assert parse(f"model.py is next.\nLook at this:\n```python\n{NEW}```\n", BASE).status == Status.NO_CODE


def test_the_line_above_belongs_to_the_block_that_follows_it():
    answer = parse(f"model.py\n```python\n{NEW}```\n```python\nprint(1)\n```\n", BASE)
    assert answer.files == {**BASE, "model.py": NEW}


@pytest.mark.parametrize(
    "block",
    [
        "```python\n```",
        "```python\n\n\n```",
        "```python\nmodel.py\n```",
        "```python\nmodel.py\n\n   \n```",
        "```python\nmodel.py\n# unchanged\n```",
        "```python\nmodel.py\n# unchanged\n\n    # really\n```",
        "model.py\n```python\n```",
        "```python model.py\n```",
    ],
)
def test_an_empty_or_comment_only_block_leaves_the_file_unchanged(block):
    answer = parse(f"```python\ntrain_mps.py\n{NEW}```\n\n{block}\n", BASE)
    assert answer.files == {"train_mps.py": NEW, "model.py": BASE["model.py"]}


def test_a_file_without_a_block_is_unchanged():
    assert parse(f"```python\ntrain_mps.py\n{NEW}```\n", BASE).files == {**BASE, "train_mps.py": NEW}


def test_both_files_unchanged_is_still_an_answer():
    answer = parse("```python\ntrain_mps.py\n```\n\n```python\nmodel.py\n```\n", BASE)
    assert (answer.status, answer.files) == (Status.OK, BASE)


def test_both_files_are_read_in_any_order():
    answer = parse(f"```python\nmodel.py\n{NEW}```\n\n```python\ntrain_mps.py\ny = 2\n```\n", BASE)
    assert answer.files == {"train_mps.py": "y = 2\n", "model.py": NEW}


@pytest.mark.parametrize("response", ["", "   \n\t\n"])
def test_an_empty_response_is_no_answer(response):
    assert parse(response, BASE).status == Status.NO_ANSWER


@pytest.mark.parametrize(
    "response",
    [
        "I would rather not.",
        "Use `model.py` with `x = 1`, then call train().",
        "    model.py\n    x = 1\n",  # indented code is not a fence
        "Inline ```model.py x = 1``` code.",
        "def train():\n    return 1, 2\n",
        "```\n```\n\n" * 50,
    ],
)
def test_prose_with_code_words_and_no_named_block_is_no_code(response):
    answer = parse(response, BASE)
    assert (answer.status, answer.files) == (Status.NO_CODE, None)
    assert "expected train_mps.py and model.py" in answer.reason


def test_an_unnamed_block_with_code_is_no_code_and_counted():
    answer = parse(f"```python\n{NEW}```\n\n```python\n{NEW}```\n", BASE)
    assert answer.status == Status.NO_CODE
    assert answer.reason.startswith("2 code block(s)")


def test_an_unnamed_block_beside_a_named_one_is_passed_over():
    assert model_of(f"```bash\nmake run\n```\n\n```python\nmodel.py\n{NEW}```\n") == NEW


def test_two_different_blocks_for_a_file_are_a_bad_answer():
    answer = parse(f"```python\nmodel.py\n{NEW}```\n\n```python\nmodel.py\n{NEW}y = 2\n```\n", BASE)
    assert (answer.status, answer.files) == (Status.BAD_ANSWER, None)
    assert "model.py" in answer.reason


def test_the_same_block_twice_is_taken_once():
    assert model_of(f"```python\nmodel.py\n{NEW}```\n\n```python\nmodel.py\n{NEW}```\n") == NEW


def test_the_same_block_twice_named_in_two_ways_is_taken_once():
    assert model_of(f"```python model.py\n{NEW}```\n\n```python\n# model.py\n{NEW}```\n") == NEW


def test_an_answer_that_met_the_output_limit_is_truncated_even_if_its_blocks_are_closed():
    answer = parse(f"Words.\n\n```python\nmodel.py\n{NEW}```\n\nAnd", BASE, "length")
    assert (answer.status, answer.files) == (Status.TRUNCATED, None)
    assert answer.prose.startswith("Words.")


@pytest.mark.parametrize(
    "response",
    [
        "```python\nmodel.py\nx = 1\n",
        "```python\nmodel.py\nx = 1",
        "````python\nmodel.py\nx = 1\n```\n",
        "~~~python\nmodel.py\nx = 1\n```\n",
        "```python\nmodel.py\nx = 1\n~~~\n",
        "```python\nmodel.py\nx = 1\n``` python\n",
        "```python\ntrain_mps.py\ny = 2\n```\n\n```python\nmodel.py\nx",
        "```python",
        "```",
        "> ```python\n> model.py\n> x = 1\n\nwords",
    ],
)
def test_a_fence_that_is_never_closed_is_a_truncated_answer(response):
    assert parse(response, BASE).status == Status.TRUNCATED


@pytest.mark.parametrize("reason", ["stop", None, "", "eos", "tool_calls"])
def test_other_ends_are_not_truncation(reason):
    assert model_of(f"```python\nmodel.py\n{NEW}```\n", finish_reason=reason) == NEW


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("```python", "```"),
        ("~~~python", "~~~"),
        ("~~~~~python", "~~~~~"),
        ("`````python", "`````"),
        ("```python", "``````"),
        ("```  python  ", "```  "),
        ("   ```python", "   ```"),
        ("```", "```"),
        ("```py", "```"),
        ("```Python3", "```"),
    ],
)
def test_every_form_of_fence_is_read(opening, closing):
    assert model_of(f"{opening}\nmodel.py\nx = 1\n{closing}\n") == "x = 1\n"


def test_a_longer_fence_may_hold_a_shorter_one():
    body = 'doc = """\n```python\nx\n```\n"""\n'
    assert model_of(f"````python\nmodel.py\n{body}````\n") == body


def test_a_tilde_fence_may_hold_backticks():
    body = 'doc = """\n```\n"""\n'
    assert model_of(f"~~~python\nmodel.py\n{body}~~~\n") == body


def test_a_last_line_without_a_newline_closes_the_fence():
    assert model_of(f"```python\nmodel.py\n{NEW}```") == NEW


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_ends_of_lines_become_newlines(newline):
    assert model_of(f"Words.\n\n```python\nmodel.py\n{NEW}```\n".replace("\n", newline)) == NEW


@pytest.mark.parametrize(
    "response",
    [
        "- the model:\n\n  ```python\n  model.py\n  if x:\n      y = 1\n  ```\n\n- the end\n",
        "1. `model.py`\n   ```python\n   if x:\n       y = 1\n   ```\n",
        "> ```python\n> model.py\n> if x:\n>     y = 1\n> ```\n",
        "- a\n  - b\n\n    ~~~python\n    model.py\n    if x:\n        y = 1\n    ~~~\n",
    ],
)
def test_a_block_in_a_list_item_or_a_quotation_is_read_without_its_indentation(response):
    assert model_of(response) == "if x:\n    y = 1\n"


def test_the_prose_is_what_stands_outside_the_blocks():
    answer = parse(f"First.\n\n```python\nmodel.py\n{NEW}```\n\nLast.\n", BASE)
    assert answer.prose.split() == ["First.", "Last."]
    assert "math" not in answer.prose


def test_name_block_takes_away_the_naming_line_alone():
    (block,), _ = read_blocks("```python\nmodel.py\n\nmodel.py\n```\n")
    assert name_block(block, list(BASE)) == ("model.py", "\nmodel.py\n")


def test_files_of_other_names_are_read_too():
    answer = parse("```python\nrun.py\nx = 1\n```\n", {"run.py": "", "net.py": "n\n"})
    assert answer.files == {"run.py": "x = 1\n", "net.py": "n\n"}


# ---- round trip ----

# No NUL and no surrogate (Markdown replaces them), no CR (Markdown makes it a newline).
LINE = st.text(
    st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]) | st.sampled_from("`~#>-* \t"), max_size=20
)
FILE = st.lists(LINE | st.sampled_from(["x = 1", "    y = 2", "```", "````python", "~~~", "model.py"]), max_size=8).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)
PROSE = st.lists(
    st.sampled_from(
        [
            "I changed the norm.",
            "",
            "## Changes",
            "- one\n- two",
            "`model.py` and `train_mps.py` both change.",
            "See train_mps.py.",
            "def train(): pass",
            "| a | b |\n|---|---|",
            "> quoted",
            "***",
            "1. first\n\n   second paragraph of it",
            "$x^2$ and \\(y\\)",
            "<b>bold</b>",
        ]
    ),
    max_size=4,
).map("\n\n".join)


def fence_for(text):
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))


def is_unchanged(text):
    return all(not line.strip() or line.strip().startswith("#") for line in text.splitlines())


@settings(deadline=None)
@given(train=FILE, model=FILE, proses=st.tuples(PROSE, PROSE, PROSE))
@example(train="\n\nx\n", model="x\n\n\n", proses=("", "", ""))
@example(
    train="    indented\n", model="```\nx\n```\n", proses=("1. first\n\n   second paragraph of it", "", "> quoted")
)
def test_two_files_in_the_format_of_the_seeds_come_back_exactly(train, model, proses):
    before, between, after = proses
    texts = {"train_mps.py": train, "model.py": model}
    blocks = [f"{fence_for(text)}python\n{name}\n{text}{fence_for(text)}" for name, text in texts.items()]
    response = f"{before}\n\n{blocks[0]}\n\n{between}\n\n{blocks[1]}\n\n{after}\n"
    answer = parse(response, BASE)
    assert answer.status == Status.OK, answer.reason
    assert answer.files == {name: BASE[name] if is_unchanged(text) else text for name, text in texts.items()}


@settings(deadline=None)
@given(text=FILE, cut=st.integers(min_value=0))
def test_an_answer_cut_inside_its_block_never_gives_half_a_file(text, cut):
    assume(not is_unchanged(text))
    fence = fence_for(text)
    opening, body = f"{fence}python\nmodel.py\n", text
    response = (opening + body)[: len(opening) + cut % (len(body) + 1)]
    assert parse(response, BASE).status == Status.TRUNCATED


@settings(deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["```", "~~~", "python", "model.py", "\n", " ", "x", "> ", "- "])).map("".join)
)
def test_any_text_gets_an_answer_with_files_or_a_name_for_what_is_wrong(response):
    answer = parse(response, BASE)
    assert (answer.files is not None) == (answer.status == Status.OK)
    assert bool(answer.reason) == (answer.status != Status.OK)
    assert answer.files is None or list(answer.files) == list(BASE)
