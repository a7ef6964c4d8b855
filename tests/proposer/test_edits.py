"""Edits are found wherever an answer puts them, and applied where the text they quote stands, or not at all."""

import difflib
import random
import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evo.proposer import edits
from evo.proposer.answer import parse
from evo.proposer.edits import Misfit, apply, read
from evo.status import Status

TRAIN = """\
import torch

learning_rate = 1e-3


def train():
    return 1.0, 2.0
"""
MODEL = """\
import torch.nn as nn


class Block(nn.Module):
    def forward(self, x):
        x = x + self.attn(x)
        x = x + self.mlp(x)
        return x


class GPT(nn.Module):
    def forward(self, x):
        return x
"""
BASE = {"train_mps.py": TRAIN, "model.py": MODEL}
OLD, NEW = "        x = x + self.mlp(x)\n", "        x = x + 0.5 * self.mlp(x)\n"
CHANGED = MODEL.replace(OLD, NEW)


def block(old=OLD, new=NEW):
    return f"<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


def named(old=OLD, new=NEW):
    return "model.py\n" + block(old, new)


def told(response, base=BASE):
    return parse(response, base, form="edits")


def model_of(response):
    """The new text of model.py; train_mps.py must be as it was."""
    answer = told(response)
    assert answer.status == Status.OK, answer.reason
    assert answer.files["train_mps.py"] == TRAIN
    return answer.files["model.py"]


# ---- SEARCH/REPLACE blocks ----


@pytest.mark.parametrize(
    "response",
    [
        block(),
        named(),
        f"**`model.py`**\n\n{block()}",
        f"I halve it in model.py:\n{block()}\nThat is all.\n",
        f"```\nmodel.py\n{block()}```\n",
        f"```python\nmodel.py\n{block()}```\n",
        f"```python\n# model.py\n\n{block()}```\n",
        f"```python model.py\n{block()}```\n",
        f"model.py\n```python\n{block()}```\n",
        f"```diff\nmodel.py\n{block()}```\n",
        f"```diff\n{block()}```\n",
        f"~~~\nmodel.py\n{block()}~~~\n",
        f"1. The change:\n\n   ```python\n{block()}   ```\n",
        f"```python\nmodel.py\n{block()}```",
        f"<think>\nShould it be <<<<<<< SEARCH?\n</think>\nmodel.py\n{block()}",
        block().replace("SEARCH", "SEARCH model.py"),
        block().replace("<<<<<<< SEARCH", "<<<<<<<SEARCH"),
        block().replace(">>>>>>> REPLACE", ">>>>>>>"),
        block().replace("\n", "\r\n"),
    ],
)
def test_a_block_is_found_wherever_it_stands_and_whoever_names_its_file(response):
    assert model_of(response) == CHANGED


def test_blocks_apply_in_order_each_on_what_the_one_before_left():
    first, second = block(), block(NEW, "        x = self.mlp(x)\n")
    assert model_of(f"model.py\n{first}\n{second}") == MODEL.replace(OLD, "        x = self.mlp(x)\n")


def test_blocks_of_two_files_in_one_answer_change_both():
    other = block("learning_rate = 1e-3\n", "learning_rate = 2e-3\n")
    answer = told(f"train_mps.py\n```\n{other}```\n\nmodel.py\n```\n{block()}```\n")
    assert answer.files == {"train_mps.py": TRAIN.replace("1e-3", "2e-3"), "model.py": CHANGED}


def test_a_block_without_a_name_is_for_the_file_that_holds_its_text():
    answer = told(block("learning_rate = 1e-3\n", "learning_rate = 2e-3\n"))
    assert answer.files == {"train_mps.py": TRAIN.replace("1e-3", "2e-3"), "model.py": MODEL}


def test_a_name_above_several_blocks_of_a_fence_counts_for_all_of_them():
    base = {"train_mps.py": MODEL, "model.py": MODEL}
    other = block("class GPT(nn.Module):\n", "class GPT(nn.Module):  # new\n")
    answer = told(f"```\nmodel.py\n{block()}\n{other}```\n", base)
    assert answer.files == {
        "train_mps.py": MODEL,
        "model.py": CHANGED.replace("GPT(nn.Module):", "GPT(nn.Module):  # new"),
    }


def test_a_text_that_stands_in_both_files_is_for_the_file_of_the_block_before():
    base = {"train_mps.py": TRAIN + "y = 1\n", "model.py": MODEL + "y = 1\n"}
    answer = told(named() + block("y = 1\n", "y = 2\n"), base)
    assert answer.files == {"train_mps.py": base["train_mps.py"], "model.py": CHANGED + "y = 2\n"}


def test_a_block_may_delete_and_a_file_left_with_nothing_is_empty():
    assert model_of(named(OLD, "")) == MODEL.replace(OLD, "")
    assert apply(read(named(MODEL, ""), list(BASE)).edits, BASE)["model.py"] == ""


def test_an_empty_search_fills_an_empty_file_and_no_other():
    assert told(named("", NEW), {"model.py": ""}).files == {"model.py": NEW}
    assert told(named(chr(10), NEW), {"model.py": "\n"}).files == {"model.py": NEW}
    answer = told(named("", NEW))
    assert (answer.status, answer.files) == (Status.BAD_ANSWER, None)
    assert "empty SEARCH" in answer.reason


# ---- how a text is matched ----


def test_white_space_at_the_ends_of_lines_does_not_count():
    assert model_of(named(OLD.replace(chr(10), "  " + chr(10)))) == CHANGED


@pytest.mark.parametrize("indent", ["", "    ", "            ", "          "])
def test_a_search_that_is_shifted_as_a_whole_has_its_replacement_shifted_too(indent):
    old = f"{indent}x = x + self.attn(x)\n{indent}x = x + self.mlp(x)\n"
    new = f"{indent}if x.any():\n{indent}    x = x + self.attn(x)\n"
    shifted = "        if x.any():\n            x = x + self.attn(x)\n"
    answer = model_of(named(old, new))
    assert answer == MODEL.replace("        x = x + self.attn(x)\n" + OLD, shifted)


def test_a_replacement_that_cannot_be_shifted_as_its_search_does_not_apply():
    answer = told(named("            x = x + self.mlp(x)\n", "x = 1\n"))
    assert answer.status == Status.BAD_ANSWER


def test_lines_that_are_shifted_unevenly_do_not_match():
    old = "x = x + self.attn(x)\n        x = x + self.mlp(x)\n"
    assert told(named(old, NEW)).status == Status.BAD_ANSWER


def test_an_exact_match_counts_more_than_a_looser_one():
    base = {"model.py": "    x = 1\nx = 1\n"}
    assert told(named("x = 1\n", "x = 2\n"), base).files == {"model.py": "    x = 1\nx = 2\n"}


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ("        x = x - self.mlp(x)\n", "does not occur in the file: 'x = x - self.mlp(x)'"),
        (
            "class Block(nn.Module):\n\n    def forward(self, x):\n",
            "does not occur in the file: 'class Block(nn.Module):'",
        ),
        ("    def forward(self, x):\n", "occurs 2 times: 'def forward(self, x):'"),
    ],
)
def test_a_text_that_stands_nowhere_or_twice_is_refused_and_quoted(old, why):
    answer = told(f"model.py\n{block()}\nmodel.py\n{block(old, NEW)}")
    assert (answer.status, answer.files) == (Status.BAD_ANSWER, None)
    assert why in answer.reason
    assert "model.py" in answer.reason
    assert answer.detail == block(old, NEW).rstrip("\n")


def test_a_text_of_no_file_without_a_name_is_refused_by_its_first_line():
    answer = told(block("\n    nowhere = 1\n", ""))
    assert (answer.status, answer.detail) == (Status.BAD_ANSWER, block("\n    nowhere = 1\n", "").rstrip("\n"))
    assert "its text occurs in no file: 'nowhere = 1'" in answer.reason


def test_a_reason_is_one_printable_line_and_what_is_quoted_is_bounded():
    answer = told(named("\x1b[2J" + "y" * 5000 + "\n", "z\n"))
    assert answer.status == Status.BAD_ANSWER
    assert answer.reason.isprintable()
    assert len(answer.reason) < 200
    assert len(answer.detail) == 2000


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ("model.py\n<<<<<<< SEARCH\nx\n>>>>>>> REPLACE\n", "no ======="),
        (f"model.py\n<<<<<<< SEARCH\nx\n=======\ny\n{block()}", "no closing >>>>>>> REPLACE"),
    ],
)
def test_a_block_without_one_of_its_marks_is_refused(response, why):
    answer = told(response)
    assert answer.status == Status.BAD_ANSWER
    assert why in answer.reason
    assert answer.detail.startswith("<<<<<<< SEARCH\nx\n")


@pytest.mark.parametrize("length", range(1, len(block()) - 11))
def test_an_answer_that_ends_within_a_block_is_truncated(length):
    answer = told(f"model.py\n{block()}\n\nmodel.py\n{block()[:length]}")
    if length >= len("<<<<<<< SEARCH"):
        assert answer.status == Status.TRUNCATED


def test_whole_files_may_stand_beside_edits_but_not_for_the_same_file():
    whole = "```python\ntrain_mps.py\ny = 1\n```\n"
    assert told(f"{whole}\nmodel.py\n{block()}").files == {"train_mps.py": "y = 1\n", "model.py": CHANGED}
    answer = told(f"```python\nmodel.py\ny = 1\n```\n\nmodel.py\n{block()}")
    assert (answer.status, answer.reason) == (Status.BAD_ANSWER, "two different blocks for model.py")


def test_a_block_of_code_that_explains_edits_is_passed_over():
    assert model_of(f"It is now:\n```python\nclass Block(nn.Module): ...\n```\n\nmodel.py\n{block()}") == CHANGED


def test_a_block_below_a_line_that_names_the_edited_file_is_passed_over():
    assert model_of(f"In model.py now:\n```python\nx = x + self.mlp(x)\n```\nand then:\n\n{named()}") == CHANGED
    whole = "### train_mps.py\n```python\ny = 1\n```\n"
    assert told(f"{whole}\n### model.py\n{block()}").files == {"train_mps.py": "y = 1\n", "model.py": CHANGED}


def test_whole_files_alone_are_an_answer_where_edits_are_asked_for():
    assert model_of("```python\nmodel.py\ny = 1\n```\n") == "y = 1\n"


@pytest.mark.parametrize(
    "response",
    [
        named(),
        f"```python\nmodel.py\n{block()}```\n",
        "```diff\n--- a/model.py\n+++ b/model.py\n@@ -7 +7 @@\n-        x = x + self.mlp(x)\n+        x = x\n```\n",
    ],
)
def test_edits_where_whole_files_are_asked_for_are_no_code_and_said_to_be_so(response):
    answer = parse(response, BASE)
    assert (answer.status, answer.files) == (Status.NO_CODE, None)
    assert answer.reason == "the answer holds edits, but whole files were requested; expected train_mps.py and model.py"


def test_a_whole_file_beside_edits_that_explain_it_is_taken_where_whole_files_are_asked_for():
    diff = "```diff\n--- a/model.py\n+++ b/model.py\n@@ -7 +7 @@\n-        x = x + self.mlp(x)\n+        x = x\n```\n"
    assert parse(f"{diff}\n```python\nmodel.py\n{CHANGED}```\n", BASE).files == {**BASE, "model.py": CHANGED}


# ---- diffs ----

HUNK = """\
@@ -5,4 +5,4 @@ class Block(nn.Module):
         x = x + self.attn(x)
-        x = x + self.mlp(x)
+        x = x + 0.5 * self.mlp(x)
         return x
"""
HEADER = "--- a/model.py\n+++ b/model.py\n"


@pytest.mark.parametrize(
    "response",
    [
        f"```diff\n{HEADER}{HUNK}```\n",
        f"```diff\ndiff --git a/model.py b/model.py\nindex 1..2 100644\n{HEADER}{HUNK}```\n",
        f"```diff\n--- model.py\t2026-01-01\n+++ model.py\t2026-01-02\n{HUNK}```\n",
        f"```diff\n--- a/src/model.py\n+++ b/src/model.py\n{HUNK}```\n",
        f"```patch\n{HEADER}{HUNK}\n```\n",
        f"```\n{HEADER}{HUNK}```\n",
        f"```python\n{HEADER}{HUNK}```\n",
        f"{HEADER}{HUNK}",
        f"The change:\n\n{HEADER}{HUNK}\nThat is all.\n",
        f"model.py\n```diff\n{HUNK}```\n",
        f"```diff model.py\n{HUNK}```\n",
        f"```diff\nmodel.py\n{HUNK}```\n",
        f"```python\nmodel.py\n{HUNK}```\n",
        f"```diff\n{HUNK}```\n",
        f"```diff\n{HEADER}{HUNK.replace('5,4', '105,2')}```\n",
        f"```diff\n{HEADER}{HUNK.replace('-5,4 +5,4', '... ...')}```\n",
        f"```diff\n{HEADER}{HUNK}\\ No newline at end of file\n```\n",
        "```diff\n-        x = x + self.mlp(x)\n+        x = x + 0.5 * self.mlp(x)\n```\n",
    ],
)
def test_a_diff_is_applied_by_its_context_whatever_its_numbers_and_wherever_its_file_is_named(response):
    assert model_of(response) == CHANGED


def test_a_diff_of_both_files_with_several_hunks_is_applied():
    new = {
        "train_mps.py": TRAIN.replace("1e-3", "2e-3"),
        "model.py": CHANGED.replace("import torch.nn as nn", "from torch import nn").replace("GPT(", "Net("),
    }
    diffs = "".join(
        line
        for name, text in BASE.items()
        for line in difflib.unified_diff(
            text.splitlines(True), new[name].splitlines(True), f"a/{name}", f"b/{name}", n=1
        )
    )
    assert told(f"```diff\n{diffs}```\n").files == new


def test_a_context_line_that_lost_its_space_still_matches():
    hunk = "@@\nclass GPT(nn.Module):\n+    y = 1\n     def forward(self, x):\n"
    expected = MODEL.replace("class GPT(nn.Module):\n", "class GPT(nn.Module):\n    y = 1\n")
    assert model_of(f"```diff\n{HEADER}{hunk}```\n") == expected


def test_a_blank_line_of_context_may_be_empty():
    hunk = "@@\n import torch.nn as nn\n\n\n class Block(nn.Module):\n+    y = 1\n     def forward(self, x):\n"
    expected = MODEL.replace("class Block(nn.Module):\n", "class Block(nn.Module):\n    y = 1\n")
    assert model_of(f"```diff\n{HEADER}{hunk}```\n") == expected


def test_a_line_number_tells_equal_places_apart_and_nothing_else():
    hunk = "@@ -{} @@\n     def forward(self, x):\n+        y = 1\n"
    head = "class GPT(nn.Module):\n    def forward(self, x):\n"
    expected = MODEL.replace(head, f"{head}        y = 1\n")
    assert model_of(f"```diff\n{HEADER}{hunk.format('12,2 +12,3')}```\n") == expected
    assert told(f"```diff\n{HEADER}{hunk.format('11,2 +11,3')}```\n").status == Status.BAD_ANSWER


def test_a_line_number_counts_in_the_file_as_it_was_given():
    added = "@@ -1,1 +1,3 @@\n import torch.nn as nn\n+a = 1\n+b = 2\n"
    hunk = "@@ -12,1 +14,2 @@\n     def forward(self, x):\n+        y = 1\n"
    answer = model_of(f"```diff\n{HEADER}{added}{hunk}```\n")
    assert answer.endswith("class GPT(nn.Module):\n    def forward(self, x):\n        y = 1\n        return x\n")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("--- a/other.py\n+++ b/other.py\n", "an edit names the file 'other.py'; expected train_mps.py or model.py"),
        ("--- /dev/null\n+++ b/norm.py\n", "an edit names the file 'norm.py'"),
    ],
)
def test_a_diff_of_another_file_is_refused(header, why):
    answer = told(f"```diff\n{header}{HUNK}```\n")
    assert answer.status == Status.BAD_ANSWER
    assert why in answer.reason


def test_a_diff_that_adds_without_any_context_is_refused():
    answer = told(f"```diff\n{HEADER}@@ -5,0 +6 @@\n+y = 1\n```\n")
    assert (answer.status, answer.detail) == (Status.BAD_ANSWER, "@@ -5,0 +6 @@\n+y = 1")


def test_a_diff_whose_fence_is_not_closed_is_truncated():
    assert told(f"```diff\n{HEADER}{HUNK}").status == Status.TRUNCATED


def test_a_diff_of_a_file_that_holds_fences_ends_where_its_own_does():
    base = {"model.py": 'doc = """\n```\nx\n```\n"""\ny = 1\n'}
    response = '```diff\n--- a/model.py\n+++ b/model.py\n@@ -3,4 +3,4 @@\n x\n ```\n """\n-y = 1\n+y = 2\n```\n'
    assert told(response, base).files == {"model.py": base["model.py"].replace("y = 1", "y = 2")}


# ---- properties ----

LINE = st.sampled_from(
    ["x = 1", "    y = 2", "", "def f():", "    return x", "  ", "+ 1", "- 1", "@a", "```", "# model.py", " x"]
)
TEXT = st.lists(LINE | st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=6), max_size=12).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


def is_plain(text):
    """No line of it is a mark of a block."""
    return not any(re.match(r"\s*([<>]{5,}|={5,})", line) for line in text.split("\n"))


def blocks_between(old, new):
    """SEARCH/REPLACE blocks from one text to the other, made by difflib, each with as many lines round it as make it unique."""
    found, now, goal = [], old.split("\n")[:-1], new.split("\n")[:-1]
    while now != goal:
        tags = [code for code in difflib.SequenceMatcher(None, now, goal, False).get_opcodes() if code[0] != "equal"]
        _, start, end, new_start, new_end = tags[0]
        for around in range(len(now) + 1):
            before = min(around, start)
            after = min(around, len(now) - end)
            search = now[start - before : end + after]
            replacement = now[start - before : start] + goal[new_start:new_end] + now[end : end + after]
            places = [i for i in range(len(now)) if now[i : i + len(search)] == search]
            if (search and len(places) == 1) or not now:
                break
        found.append(block("".join(f"{x}\n" for x in search), "".join(f"{x}\n" for x in replacement)))
        now[start - before : end + after] = replacement
    return found


@settings(deadline=None)
@given(TEXT, TEXT)
@example("x = 1\nx = 1\n", "x = 1\nx = 1\nx = 1\n")
@example("", "x = 1\n")
@example("\n\n", "\n")
def test_the_blocks_between_two_texts_lead_from_one_to_the_other(old, new):
    assume(is_plain(old) and is_plain(new))
    found = read("\n".join(f"model.py\n{one}" for one in blocks_between(old, new)), ["model.py"])
    assert not found.is_cut
    assert apply(found.edits, {"model.py": old, "train_mps.py": "t"}) == {"model.py": new, "train_mps.py": "t"}


def distinct(text):
    """The same with every line told apart, as those of most files are."""
    return "".join(f"{line}  # {number}\n" for number, line in enumerate(text.split("\n")[:-1]))


@settings(deadline=None)
@given(TEXT, st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_diff_with_wrong_numbers_leads_from_one_text_to_the_other(text, context, rng):
    old = distinct(text)
    lines = old.splitlines(True)
    new = "".join(line for line in lines if rng.random() < 0.7) + f"# end {rng.random()}\n"
    assume(lines)
    diff = "".join(difflib.unified_diff(lines, new.splitlines(True), "a/model.py", "b/model.py", n=context))
    wrong = re.sub(
        r"^@@ .*", lambda _: f"@@ -{rng.randrange(999)},3 +{rng.randrange(999)},9 @@", diff, flags=re.MULTILINE
    )
    answer = told(f"`````diff\n{wrong}`````\n", {"model.py": old, "train_mps.py": "t\n"})
    assert answer.status == Status.OK, answer.reason
    assert answer.files == {"model.py": new, "train_mps.py": "t\n"}


@settings(deadline=None)
@given(TEXT, TEXT)
def test_an_edit_whose_text_stands_nowhere_changes_no_file(old, new):
    assume(is_plain(old) and is_plain(new))
    answer = told(named("never = 0\n" + old, new), {"model.py": old})
    assert (answer.status, answer.files) == (Status.BAD_ANSWER, None)


PIECES = st.lists(
    st.sampled_from(
        [
            *("<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", "```\n", "```python\n", "```diff\n", "model.py\n"),
            *("--- a/model.py\n", "+++ b/model.py\n", "@@ -1,2 +3,4 @@\n", "@@\n", "+x\n", "-x = 1\n", " y\n", "\n"),
            *("diff --git a b\n", "<think>\n", "</think>\n", "x = 1", "\r", "> ", "- ", "\\ No newline\n", OLD, NEW),
        ]
    )
).map("".join)


@settings(deadline=None, max_examples=300)
@given(PIECES | st.text(max_size=200), st.sampled_from(["files", "edits"]), st.sampled_from(["stop", "length", None]))
def test_any_text_gets_an_answer_with_files_or_a_name_for_what_is_wrong(response, form, finish_reason):
    answer = parse(response, BASE, finish_reason, form)
    assert (answer.files is not None) == (answer.status == Status.OK)
    assert bool(answer.reason) == (answer.status != Status.OK)
    assert answer.files is None or list(answer.files) == list(BASE)


@settings(deadline=None, max_examples=300)
@given(PIECES, st.dictionaries(st.sampled_from(["model.py", "train_mps.py"]), TEXT))
def test_edits_of_any_text_apply_or_are_misfits(response, files):
    found = read(response, list(files))
    try:
        changed = apply(found.edits, files)
    except Misfit as found_wrong:
        misfit, changed = found_wrong, None
    else:
        misfit = None
    if changed is None:
        assert misfit.reason.isprintable()
        assert len(misfit.quoted) <= 2000
    else:
        assert list(changed) == list(files)
        assert found.edits or changed == files


def test_many_edits_of_a_long_file_are_applied_in_seconds():
    rng = random.Random(1)
    lines = [f"x{number} = {rng.random()}" for number in range(3000)]
    response = "".join(block(f"{lines[n]}\n", f"y{n} = 1\n") for n in range(0, 3000, 10))
    changed = apply(read(response, list(BASE)).edits, {"model.py": "\n".join(lines), "train_mps.py": ""})
    assert changed["model.py"].count("y") == 300


def test_marks_without_end_are_read_in_the_time_of_their_length():
    assert len(edits.read("<<<<<<< SEARCH\n" * 20000, []).edits) == 19999
