"""Static checks: what may not be changed cannot be, and what may be is let through."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import evaluator as evaluators
from evo.evaluator import Evaluator, Spec
from evo.status import Status
from evo.verify import static

ROOT = Path(__file__).resolve().parents[2]

TRAIN = '''\
"""Train."""
import torch
from model import GPT

batch_size = 16  # sequences
block_size = 64
dropout = 0.0
tied = True
task = "bytes"

learning_rate = 1e-3


def train():
    for step in range(batch_size):
        learning = learning_rate * step
    return learning, 0.1
'''
MODEL = """\
import torch


class GPT(torch.nn.Module):
    pass
"""
SETTINGS = {"batch_size": 16, "block_size": 64, "dropout": 0.0, "tied": True, "task": "bytes"}
EVALUATOR = Evaluator(
    spec=Spec(name="made-up", settings=SETTINGS),
    folder=Path("/nowhere"),
    baseline={"train_mps.py": TRAIN, "model.py": MODEL},
)


def checked(*changes, model=MODEL, add=""):
    """What the check says of TRAIN with each (old, new) replaced and `add` at its end."""
    train = TRAIN
    for old, new in changes:
        assert old in train
        train = train.replace(old, new)
    return static.check({"train_mps.py": train + add, "model.py": model}, EVALUATOR)


def test_the_baseline_passes():
    assert checked() is None


def assert_protected(failure, name):
    assert failure is not None
    assert failure.status == Status.PROTECTED_SETTING
    assert failure.reason.startswith(f"{name}: expected {SETTINGS[name]!r}")
    assert "\n" not in failure.reason


@pytest.mark.parametrize(
    "value",
    ["8", "-16", "16.0", "'16'", "True", "None", "(16,)", "[16]", "{16}", "16j", "b'16'", "...", "15 + 1", "4 * 4"],
)
def test_another_value_or_type_is_refused(value):
    assert_protected(checked(("batch_size = 16", f"batch_size = {value}")), "batch_size")


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("tied", "True", "1"),
        ("tied", "True", "1.0"),
        ("tied", "True", "False"),
        ("dropout", "0.0", "0"),
        ("dropout", "0.0", "False"),
        ("dropout", "0.0", "1e-12"),
        ("task", '"bytes"', 'b"bytes"'),
        ("task", '"bytes"', '"Bytes"'),
    ],
)
def test_an_equal_looking_value_of_another_type_is_refused(name, was, now):
    assert_protected(checked((f"{name} = {was}", f"{name} = {now}")), name)


def test_true_does_not_pass_for_one():
    spec = Spec(name="made-up", settings={"batch_size": 1, "block_size": 64})
    evaluator = EVALUATOR.model_copy(update={"spec": spec})
    files = {"train_mps.py": TRAIN.replace("batch_size = 16", "batch_size = True"), "model.py": MODEL}
    failure = static.check(files, evaluator)
    assert failure is not None
    assert failure.reason == "batch_size: expected 1, found True on line 5"


@pytest.mark.parametrize(
    "value", ["int(16)", "8 if torch else 16", "16 or 8", "abs(-16)", "len('x' * 16)", "f'{16}'", "(b := 16)", "x"]
)
def test_a_computed_value_is_refused_and_quoted(value):
    failure = checked(("batch_size = 16", f"batch_size = {value}"))
    assert_protected(failure, "batch_size")
    assert "found" in failure.reason


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_gone_is_refused(name):
    lines = [line for line in TRAIN.splitlines() if not line.startswith(f"{name} =")]
    train = "\n".join(lines).replace(f"range({name})", "range(3)")
    failure = static.check({"train_mps.py": train, "model.py": MODEL}, EVALUATOR)
    assert_protected(failure, name)
    assert "no such setting in train_mps.py" in failure.reason


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_commented_out_is_refused(name):
    assert_protected(checked((f"{name} =", f"# {name} =")), name)


REBINDINGS = {
    "the same value again": "batch_size = 16",
    "another value": "batch_size = 32",
    "inside an if": "if torch:\n    batch_size = 32",
    "augmented": "batch_size *= 2",
    "annotated": "batch_size: int = 32",
    "walrus": "print(batch_size := 32)",
    "walrus in a comprehension": "x = [batch_size := 3 for _ in range(2)]",
    "loop target": "for batch_size in range(32): pass",
    "loop target in a tuple": "for i, (batch_size, j) in []: pass",
    "async loop target": "async def f():\n    async for batch_size in x: pass",
    "comprehension target": "x = [batch_size for batch_size in range(3)]",
    "tuple": "batch_size, x = 32, 1",
    "starred": "x, *batch_size = 1, 2",
    "chain": "x = batch_size = 32",
    "list": "[batch_size] = [32]",
    "global in a function": "def f():\n    global batch_size",
    "global and set": "def f():\n    global batch_size\n    batch_size = 32",
    "nonlocal": "def f():\n    batch_size = 1\n    def g():\n        nonlocal batch_size",
    "import": "import batch_size",
    "dotted import": "import batch_size.of.mine",
    "import as": "import os as batch_size",
    "from import": "from harness import batch_size",
    "from import as": "from harness import device as batch_size",
    "function": "def batch_size(): pass",
    "async function": "async def batch_size(): pass",
    "class": "class batch_size: pass",
    "class attribute": "class C:\n    batch_size = 32",
    "argument": "def f(batch_size): pass",
    "keyword argument": "def f(*, batch_size=32): pass",
    "positional-only argument": "def f(batch_size, /): pass",
    "star argument": "def f(*batch_size): pass",
    "double star argument": "def f(**batch_size): pass",
    "lambda argument": "f = lambda batch_size: 1",
    "delete": "del batch_size",
    "with as": "with open('x') as batch_size: pass",
    "with as a tuple": "with open('x') as (batch_size, y): pass",
    "local variable": "def f():\n    batch_size = 32",
}


@pytest.mark.parametrize("code", REBINDINGS.values(), ids=REBINDINGS)
def test_a_setting_bound_anywhere_again_is_refused(code):
    failure = checked(add=f"\n{code}\n")
    assert_protected(failure, "batch_size")
    assert "set once" in failure.reason
    assert "lines 5, " in failure.reason


@pytest.mark.parametrize("code", [*REBINDINGS.values(), "x: int = 3"], ids=[*REBINDINGS, "of another name"])
def test_a_binding_alone_does_not_stand_for_the_setting(code):
    code = code.replace("batch_size", "block_size").replace("x: int", "block_size: int")
    assert_protected(checked(("block_size = 64\n", ""), add=f"\n{code}\n"), "block_size")


@pytest.mark.parametrize("header", ["if True:", "try:", "with open('x'):", "class Settings:", "def settings():"])
def test_a_setting_that_is_not_at_the_top_level_is_refused(header):
    tail = "\nfinally:\n    pass" if header == "try:" else ""
    failure = checked(("block_size = 64", f"{header}\n    block_size = 64{tail}"))
    assert_protected(failure, "block_size")


def test_two_settings_in_one_assignment_are_refused():
    assert_protected(checked(("block_size = 64", "block_size = x = 64")), "block_size")


def test_every_setting_is_looked_at():
    for name, value in SETTINGS.items():
        other = not value if isinstance(value, bool) else value * 2 or 1.0
        spelled = f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        assert_protected(checked((spelled, f"{name} = {other!r}")), name)


TOLERATED = {
    "another comment": [("# sequences", "# sequences in a batch")],
    "no comment": [("  # sequences", "")],
    "spaces": [("batch_size = 16", "batch_size=16")],
    "parentheses": [("batch_size = 16", "batch_size = (16)")],
    "hexadecimal": [("batch_size = 16", "batch_size = 0x10")],
    "single quotes": [('"bytes"', "'bytes'")],
    "a semicolon": [("batch_size = 16  # sequences\nblock_size = 64", "batch_size = 16; block_size = 64")],
    "moved down": [("batch_size = 16  # sequences\n", ""), ("learning_rate = 1e-3", "batch_size = 16")],
    "another learning rate": [("1e-3", "3e-4")],
    "another loop": [("for step in range(batch_size):", "while True:\n        step = batch_size")],
    "as a keyword": [("learning_rate * step", "dict(batch_size=batch_size)['batch_size']")],
    "as an attribute": [("learning = learning_rate * step", "train.batch_size = 3; learning = 1")],
    "a name that holds it": [("learning_rate", "my_batch_size")],
    "train as a value": [
        ("def train():", "def run():"),
        ("    return learning, 0.1", "    return learning, 0.1\n\n\ntrain = run"),
    ],
    "a decorated train": [("def train():", "@torch.compiler.disable\ndef train():")],
}


@pytest.mark.parametrize("changes", TOLERATED.values(), ids=TOLERATED)
def test_an_edit_that_changes_no_setting_passes(changes):
    assert checked(*changes) is None


def test_a_settings_name_in_the_other_file_is_free():
    model = "batch_size = 3\n" + MODEL + "    def forward(self, block_size): pass\n"
    assert checked(model=model) is None


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("train_mps.py", "x = 1\ndef train(:\n", 2),
        ("model.py", "class GPT:\n    def f(self):\n  x\n", 3),
        ("model.py", "class GPT:\n\n\n    x = (1,\n", 4),
        ("model.py", "```python\nclass GPT: pass\n", 1),
    ],
)
def test_a_syntax_error_is_told_with_its_file_and_line(file, text, line):
    failure = static.check({**EVALUATOR.baseline, file: text}, EVALUATOR)
    assert failure is not None
    assert failure.status == Status.SYNTAX_ERROR
    assert failure.reason.startswith(f"{file} line {line}: ")


@pytest.mark.parametrize(
    "text",
    ["x = 1\0", "\0", "x = '\ud800'", "(" * 5000, "x = " + "-" * 100_000 + "1", "x = 1" + "0" * 5000],
    ids=["null byte", "only a null byte", "surrogate", "brackets", "signs", "digits"],
)
def test_text_that_cannot_be_parsed_at_all_is_a_syntax_error(text):
    failure = static.check({**EVALUATOR.baseline, "model.py": text}, EVALUATOR)
    assert failure is not None
    assert failure.status == Status.SYNTAX_ERROR
    assert failure.reason.startswith("model.py")
    assert "\n" not in failure.reason


def test_a_strange_escape_in_a_string_is_no_failure_and_no_warning(recwarn):
    assert checked(add='\nx = "\\d"\n') is None
    assert not recwarn.list


@pytest.mark.parametrize(
    "train", [TRAIN.replace("def train", "def main"), TRAIN.replace("def train", "class C:\n  def train")]
)
def test_a_missing_train_breaks_the_contract(train):
    failure = static.check({**EVALUATOR.baseline, "train_mps.py": train}, EVALUATOR)
    assert failure == static.Failure(Status.CONTRACT, "train_mps.py does not define train()")


@pytest.mark.parametrize(
    "model", ["", "class Gpt: pass\n", "def f():\n    class GPT: pass\n", "x = GPT\n", "x.GPT = 1\n"]
)
def test_a_missing_model_breaks_the_contract(model):
    assert checked(model=model) == static.Failure(Status.CONTRACT, "model.py does not define GPT")


@pytest.mark.parametrize(
    "model", ["GPT = 1\n", "from other import Net as GPT\n", "class GPT: pass\n", "GPT: type = int\n"]
)
def test_a_model_may_be_bound_in_any_way_at_the_top_level(model):
    assert checked(model=model) is None


def test_the_first_thing_wrong_is_told_syntax_before_contract_before_settings():
    broken = TRAIN.replace("batch_size = 16", "batch_size = 8").replace("def train", "def main")
    assert static.check({"train_mps.py": broken, "model.py": "x ="}, EVALUATOR).status == Status.SYNTAX_ERROR
    assert static.check({"train_mps.py": broken, "model.py": MODEL}, EVALUATOR).status == Status.CONTRACT


def test_nothing_of_a_file_is_run(tmp_path):
    mark = tmp_path / "ran"
    assert checked(add=f"\nopen({str(mark)!r}, 'w')\n", model=MODEL + f"\nopen({str(mark)!r}, 'w')\n") is None
    assert not mark.exists()


# ---- code that differs in comments, blank lines and docstrings alone ----

PROGRAMS = [EVALUATOR.baseline, evaluators.load(ROOT / "evaluators" / "tiny_gpt").baseline]
WORDS = st.text(st.characters(exclude_characters="\n\r\0\\\"'\f", exclude_categories=["Cs"]), max_size=20)


def open_lines(text):
    """Numbers of the lines (from 0) before which a line may be put and after which a comment may stand."""
    inside = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            inside |= set(range(node.lineno, node.end_lineno or 0))
    ends = {n for n in range(len(text.splitlines())) if n + 1 not in inside}
    begins = {n for n in range(len(text.splitlines())) if n not in inside}
    return begins, ends


def documented(draw, text):
    """`text` with every docstring replaced or, where there is none, one put in or not."""
    lines = text.splitlines()
    changes = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) or not node.body:
            continue
        first = node.body[0]
        at = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", []))]) - 1
        has = ast.get_docstring(node, clean=False) is not None
        if has or draw(st.booleans()):
            new = " " * first.col_offset + f'"""{draw(WORDS)}\n{draw(WORDS)} """'
            changes.append((at, first.end_lineno if has else at, new))
    for begin, end, new in sorted(changes, reverse=True):
        lines[begin:end] = [new]
    return "\n".join(lines) + "\n"


@st.composite
def same_code(draw):
    """A program, and the same program with other comments, blank lines and docstrings."""
    program = draw(st.sampled_from(PROGRAMS))
    changed = {}
    for name, text in program.items():
        if draw(st.booleans()):
            text = documented(draw, text)
        begins, ends = open_lines(text)
        lines = text.splitlines()
        for number in sorted(draw(st.sets(st.sampled_from(sorted(begins)), max_size=6)), reverse=True):
            if number in ends and draw(st.booleans()):
                lines[number] += f"  # {draw(WORDS)}"
            lines.insert(number, draw(st.sampled_from(["", "    ", "# ", "        # batch_size = 8 "])))
        changed[name] = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n# the end"]))
    return program, changed


@settings(deadline=None)
@given(same_code())
def test_comments_blank_lines_and_docstrings_change_neither_hash_nor_verdict(pair):
    program, changed = pair
    evaluator = EVALUATOR if program is PROGRAMS[0] else evaluators.load(ROOT / "evaluators" / "tiny_gpt")
    assert evaluators.code_hash(changed) == evaluators.code_hash(program)
    assert static.check(changed, evaluator) is None
