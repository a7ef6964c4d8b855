"""An answer becomes files, or the name of what is wrong with it."""

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evo.proposer.answer import joined, name_block, parse, parse_continued, read_blocks, without_reasoning
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


# ---- blocks without a name ----

CODE = {
    "train_mps.py": "import torch\n\n\ndef get_lr(step):\n    return 1\n\n\ndef train():\n    return 1.0, 2.0\n",
    "model.py": "class Block:\n    pass\n\n\nclass GPT:\n    pass\n",
}


@pytest.mark.parametrize("info", ["python", "py", "Python3", ""])
@pytest.mark.parametrize(
    "body",
    [
        "class GPT:\n    x = 1\n",
        "class Block: x = 1\n\n\nclass Norm: pass\n",
        "class GPT:\n  def (\n",
        "async def GPT(): 1\n",
    ],
)
def test_a_block_without_a_name_is_the_only_file_that_defines_something_of_it(info, body):
    answer = parse(f"Here it is:\n\n```{info}\n{body}```\n", CODE)
    assert answer.files == {**CODE, "model.py": body}


def test_two_blocks_without_names_are_two_files():
    answer = parse("```\ndef train(): pass\n```\n\n```\nclass GPT: pass\n```\n", CODE)
    assert answer.files == {"train_mps.py": "def train(): pass\n", "model.py": "class GPT: pass\n"}


def test_a_block_with_a_name_counts_more_than_what_another_defines():
    answer = parse("```python\nclass GPT: x = 1\n```\n\n```python\nmodel.py\nclass GPT: x = 2\n```\n", CODE)
    assert answer.files == {**CODE, "model.py": "class GPT: x = 2\n"}


def test_a_piece_of_a_file_beside_a_block_with_a_name_explains_and_a_whole_one_is_that_file():
    named = "```python\ntrain_mps.py\ndef train(): pass\n```\n"
    piece, whole = "class GPT: x = 1\n", "class Block: pass\n\n\nclass GPT: x = 1\n"
    assert parse(f"{named}\nIt makes:\n```python\n{piece}```\n", CODE).files["model.py"] == CODE["model.py"]
    assert parse(f"{named}\n```python\n{whole}```\n", CODE).files["model.py"] == whole


@pytest.mark.parametrize(
    "body",
    [
        "class GPT: pass\n\n\ndef train(): pass\n",
        "class Other: pass\n",
        "x = 1\n",
        "if x:\n    class GPT: pass\n",
        "# class GPT: pass\n",
        "def (\n    class GPT: pass\n",
    ],
)
def test_a_block_that_defines_something_of_both_files_or_of_none_stays_without_a_name(body):
    answer = parse(f"```python\n{body}```\n", CODE)
    assert (answer.status, answer.files) == (Status.NO_CODE, None)


@pytest.mark.parametrize("info", ["bash", "diff", "text", "json"])
def test_a_block_in_another_language_is_no_file_whatever_it_holds(info):
    assert parse(f"```{info}\nclass GPT: pass\n```\n", CODE).status == Status.NO_CODE


def test_two_different_blocks_that_may_both_be_a_file_cannot_be_told_apart():
    answer = parse("```python\nclass GPT: x = 1\n```\n\n```python\nclass GPT: x = 2\n```\n", CODE)
    assert (answer.status, answer.reason) == (Status.BAD_ANSWER, "two different blocks for model.py")


def test_the_same_block_without_a_name_twice_is_taken_once():
    answer = parse("```python\nclass GPT: x = 1\n```\n\n```python\nclass GPT: x = 1\n\n```\n", CODE)
    assert answer.status == Status.OK


@pytest.mark.parametrize("info", ["python", "py", ""])
def test_where_there_is_one_file_a_single_block_is_it(info):
    assert parse(f"```{info}\nx = 1\n```\n", {"run.py": "y = 1\n"}).files == {"run.py": "x = 1\n"}


@pytest.mark.parametrize("response", ["```python\nx = 1\n```\n\n```python\nx = 2\n```\n", "```bash\nmake\n```\n"])
def test_where_there_is_one_file_several_blocks_or_one_of_another_language_are_not(response):
    assert parse(response, {"run.py": "y = 1\n"}).status == Status.NO_CODE


# ---- ends ----


@pytest.mark.parametrize("response", ["", f"```python\nmodel.py\n{NEW}```\n", "I cannot"])
def test_an_answer_that_a_filter_withheld_is_no_answer(response):
    answer = parse(response, BASE, "content_filter")
    assert (answer.status, answer.files) == (Status.NO_ANSWER, None)
    assert "content_filter" in answer.reason


def test_an_empty_answer_at_the_limit_says_so():
    assert parse("", BASE, "length").status == Status.NO_ANSWER
    assert "output limit" in parse("", BASE, "length").reason


@pytest.mark.parametrize("end", ["```", "```python\n", "```python\n# Empty Python block for model.py\n"])
def test_a_fence_opened_for_nothing_after_all_files_cuts_nothing(end):
    train, model = (f"```python\n# {name}\n{NEW}```\n\n" for name in BASE)
    assert parse(train + model + end, BASE).files == dict.fromkeys(BASE, NEW)
    assert parse(train + model + end, BASE, "length").status == Status.TRUNCATED
    assert parse(train + end, BASE).status == Status.TRUNCATED, "a file may have been meant to come"
    assert parse(f"{train}{model}{end}\nx = 2", BASE).status == Status.TRUNCATED


def test_a_cut_answer_tells_where_it_stopped():
    response = "Words.\n\n```python\nmodel.py\nx = 1\nclass GPT(nn.Mod"
    for reason in ("length", "stop"):
        assert parse(response, BASE, reason).detail.endswith("x = 1\nclass GPT(nn.Mod")


def test_a_cut_answer_with_nothing_but_empty_fences_has_nowhere_to_go_on_from():
    answer = parse("```\n```\n" * 9 + "```", BASE, "length")
    assert (answer.status, answer.detail) == (Status.TRUNCATED, "")


# ---- reasoning ----

DRAFT = "```python\nmodel.py\nx = 0\n```\n"
GIVEN = f"```python\nmodel.py\n{NEW}```\n"


@pytest.mark.parametrize(
    "thought",
    [
        "<think>\nI could write:\n\n" + DRAFT + "\nbut no.\n</think>\n\n",
        "<think>\nI could write:\n```python\nmodel.py\nx = 0\n</think>\n\n",
        "<thinking>\n" + DRAFT + "</thinking>\n",
        "<THINK>hm</THINK>",
        "\n\n  <think>hm</think>\n",
        "<think>\n\n</think>\n\n",
        "<think>a</think>\n<think>\n" + DRAFT + "</think>\n",
        "First.\n\n<think>\n" + DRAFT + "</think>\n",
        "So I think of x = 0.\n</think>\n\n",
        "So I think of x = 0.\n" + DRAFT + "</think>\n",
        "So I think of x = 0.</think>\n",
        "<think>one\n</think>\ntwo\n</think>\n",
    ],
)
def test_what_a_model_thought_before_it_answered_is_no_part_of_the_answer(thought):
    answer = parse(thought + GIVEN, BASE)
    assert answer.files == {**BASE, "model.py": NEW}, answer.reason
    assert "think" not in answer.prose


@pytest.mark.parametrize("finish_reason", ["stop", "length", None])
@pytest.mark.parametrize(
    "response",
    ["<think>\nhm", "<think>", f"<think>\n{GIVEN}", "<think>a</think>\n", "\n<thinking>a\n</thinking>\n<think>b"],
)
def test_nothing_but_reasoning_is_cut_at_the_limit_and_otherwise_no_code(response, finish_reason):
    answer = parse(response, BASE, finish_reason)
    assert answer.status == (Status.TRUNCATED if finish_reason == "length" else Status.NO_CODE)
    assert "reasoning" in answer.reason
    assert answer.detail == ""


@pytest.mark.parametrize("tag", ["<think>", "</think>", "<think>\nx\n</think>", "<thinking>", "  </thinking>  "])
def test_a_file_may_hold_the_words_that_stand_round_reasoning(tag):
    body = f'MARK = """\n{tag}\n"""\n'
    assert parse(f"<think>hm</think>\n```python\nmodel.py\n{body}```\n", BASE).files == {**BASE, "model.py": body}
    assert parse(f"Words.\n\n```python\nmodel.py\n{body}```\n", BASE).files == {**BASE, "model.py": body}


@pytest.mark.parametrize(
    "after", ["</think>\n", "\nI closed the </think> tag.\n", f"</think>\n{DRAFT.replace('model', 'train_mps')}"]
)
def test_a_file_before_a_lone_end_of_reasoning_is_kept_unless_it_comes_again(after):
    answer = parse(GIVEN + after, BASE)
    assert answer.status == Status.OK
    assert answer.files["model.py"] == NEW


def test_a_tag_that_prose_speaks_of_is_no_reasoning():
    answer = parse(f"The `<think>` and `</think>` tags stay.\n\n{GIVEN}", BASE)
    assert answer.files == {**BASE, "model.py": NEW}
    assert "tags stay" in answer.prose


TAGGED = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<thinking>", "\n", "```\n", "```python\n", "model.py\n", "x = 1\n", " ", "~~~"]
    )
).map("".join)


@settings(deadline=None, max_examples=300)
@given(TAGGED, st.sampled_from(["stop", "length", "content_filter"]))
def test_any_tags_and_fences_get_an_answer_or_a_name(response, finish_reason):
    answer = parse(response, BASE, finish_reason)
    assert (answer.files is not None) == (answer.status == Status.OK)
    assert without_reasoning(response).count("x = 1") <= response.count("x = 1")


@settings(deadline=None)
@given(FILE, st.text(st.characters(exclude_characters="<\r\0", exclude_categories=["Cs"]), max_size=60))
def test_reasoning_before_an_answer_changes_nothing_of_it(text, thought):
    fence = fence_for(text)
    response = f"{fence}python\nmodel.py\n{text}{fence}\n"
    assert parse(f"<think>\n{thought}\n</think>\n\n{response}", BASE) == parse(f"\n\n{response}", BASE)


def test_thousands_of_tags_are_read_in_the_time_of_their_length():
    for tags in ("<think>\n</think>\n", "</think>\n", "<think>\n", "x </think>\n```\nx\n```\n"):
        parse(tags * 5000, BASE)


# ---- an answer in two parts ----

LONG = {
    "train_mps.py": "".join(f"a{n} = {n}\n" for n in range(9)),
    "model.py": "class GPT:\n"
    + "".join(f"    b{n} = [{n}, {n}]\n" for n in range(20))
    + "\n    def f(self):\n        return 1\n",
}
WHOLE = (
    "I change both.\n\n"
    + "\n\n".join(f"```python\n{name}\n{text}```" for name, text in LONG.items())
    + "\n\nThat is all.\n"
)
IN_MODEL = WHOLE.index("    b7 = [7, 7]\n")


@settings(deadline=None)
@given(st.integers(1, len(WHOLE) - 1))
def test_an_answer_that_goes_on_exactly_where_it_stopped_is_the_answer(at):
    assert joined(WHOLE[:at], WHOLE[at:]) == WHOLE
    assert parse_continued(WHOLE[:at], WHOLE[at:], BASE).files == LONG


@settings(deadline=None)
@given(st.integers(IN_MODEL, len(WHOLE) - 1), st.integers(12, 200))
def test_what_a_continuation_repeats_stands_once(at, again):
    assume(len(WHOLE[at - again : at].strip()) >= 12)
    assert joined(WHOLE[:at], WHOLE[at - again :]) == WHOLE


@settings(deadline=None)
@given(
    st.integers(IN_MODEL, WHOLE.index("```\n\nThat")), st.sampled_from(["", "Sure, continuing:\n\n", "**Going on**\n"])
)
@pytest.mark.parametrize("name", ["", "model.py\n", "# model.py (continued)\n", "# File: model.py\n"])
def test_a_fence_opened_again_is_not_part_of_the_file(name, at, greeting):
    line = WHOLE[WHOLE.rfind("\n", 0, at) + 1 : at]
    assume(line.strip() or not line)
    assert parse_continued(WHOLE[:at], f"{greeting}```python\n{name}{line}{WHOLE[at:]}", BASE).files == LONG


@pytest.mark.parametrize(
    "at", [IN_MODEL, IN_MODEL + 9, WHOLE.index("a5 ="), WHOLE.index("class GPT"), 10, len(WHOLE) - 20]
)
def test_an_answer_written_anew_takes_the_place_of_the_cut_one(at):
    assert parse_continued(WHOLE[:at], f"Here are both files whole:\n\n{WHOLE}", BASE).files == LONG
    assert parse_continued(WHOLE[:at], WHOLE, BASE).files == LONG


def test_a_block_begun_again_takes_the_place_of_the_one_that_was_cut():
    again = f"```python\nmodel.py\n{LONG['model.py']}```\n"
    assert parse_continued(WHOLE[:IN_MODEL], again, BASE).files == LONG
    assert parse_continued(WHOLE[:IN_MODEL], f"Of course!\n{again}", BASE).files == LONG


def test_a_cut_file_that_never_comes_is_not_taken_as_unchanged():
    rest = f"```python\ntrain_mps.py\n{LONG['train_mps.py']}```\n"
    cut = "```python\nmodel.py\nclass GPT:\n    x ="
    answer = parse_continued(cut, rest, BASE)
    assert answer.status != Status.OK or answer.files["model.py"] != BASE["model.py"]
    assert parse_continued(cut, "", BASE).status == Status.TRUNCATED
    assert parse_continued(cut, "I am sorry.", BASE).status == Status.TRUNCATED


def test_a_continuation_that_is_cut_too_is_truncated_and_can_be_joined_again():
    first, second, third = WHOLE[:200], WHOLE[200:400], WHOLE[400:]
    assert parse_continued(first, second, BASE, "length").status == Status.TRUNCATED
    assert parse_continued(joined(first, second), third, BASE).files == LONG


def test_the_limit_met_while_thinking_is_followed_by_an_answer_of_its_own():
    assert parse_continued("<think>\nHm, what", WHOLE, BASE).files == LONG
    assert parse_continued("<think>\nHm, what", f" else?\n</think>\n\n{WHOLE}", BASE).files == LONG


def test_what_a_model_thought_before_it_went_on_is_not_part_of_the_file():
    for thought in ("<think>\nI stopped at b7.\n</think>\n\n", "I stopped at b7.\n</think>\n\n"):
        assert parse_continued(WHOLE[:IN_MODEL], thought + WHOLE[IN_MODEL:], BASE).files == LONG


def test_a_newline_lost_between_two_parts_is_put_back():
    at = WHOLE.index("    def f(self)") - 1
    assert parse_continued(WHOLE[:at], WHOLE[at:].lstrip("\n"), BASE).status == Status.OK
    at = WHOLE.index("```\n\n```python\nmodel.py") + 3
    assert parse_continued(WHOLE[:at], WHOLE[at:].lstrip("\n"), BASE).files == LONG


def test_edits_that_were_cut_go_on_and_a_block_begun_again_stands_once():
    block = "<<<<<<< SEARCH\n    b{0} = [{0}, {0}]\n=======\n    b{0} = {0}\n>>>>>>> REPLACE\n"
    whole = "```\nmodel.py\n" + "".join(block.format(number) for number in range(5)) + "```\n"
    expected = parse(whole, LONG, form="edits").files
    assert "    b4 = 4\n" in expected["model.py"]
    begun = whole.index(block.format(3))
    for at in range(40, len(whole) - 1):
        assert parse_continued(whole[:at], whole[at:], LONG, form="edits").files == expected
    for at in range(begun + 1, begun + len(block) - 8):
        for greeting in ("", "```\nmodel.py\n", "Going on:\n\n```python\nmodel.py\n"):
            assert parse_continued(whole[:at], greeting + whole[begun:], LONG, form="edits").files == expected


@settings(deadline=None)
@given(TAGGED | st.text(max_size=80), TAGGED | st.text(max_size=80), st.sampled_from(["files", "edits"]))
def test_any_two_texts_get_an_answer_or_a_name(cut, rest, form):
    answer = parse_continued(cut, rest, BASE, form=form)
    assert (answer.files is not None) == (answer.status == Status.OK)
    assert bool(answer.reason) == (answer.status != Status.OK)
