"""An evaluator is a folder: loaded whole or refused with what is wrong, and its code hashed by what it does."""

import pickle
import shutil
from pathlib import Path

import pytest

from evo import evaluator as evaluators
from evo.errors import EvoError
from evo.evaluator import Batches, Evaluator, Limits, code_hash, files_hash

ROOT = Path(__file__).resolve().parents[1]

TOML = """\
name = "made-up"
[settings]
batch_size = 4
block_size = 16
"""
TRAIN = "batch_size = 4\nblock_size = 16\n\n\ndef train():\n    return 1.0, 2.0\n"
MODEL = "class GPT:\n    pass\n"


@pytest.fixture
def folder(tmp_path):
    """A folder that loads; tests break it."""
    path = tmp_path / "made-up"
    path.mkdir()
    (path / "evaluator.toml").write_text(TOML, encoding="utf-8")
    (path / "train_mps.py").write_text(TRAIN, encoding="utf-8")
    (path / "model.py").write_text(MODEL, encoding="utf-8")
    return path


def refusal(folder):
    with pytest.raises(EvoError) as refused:
        evaluators.load(folder)
    assert refused.value.kind == "evaluator"
    return refused.value.message


def test_a_folder_is_loaded_with_its_files_and_settings(folder):
    found = evaluators.load(folder)
    assert found.baseline == {"train_mps.py": TRAIN, "model.py": MODEL}
    assert (found.spec.name, found.batch_size, found.block_size, found.vocab_size) == ("made-up", 4, 16, 256)
    assert found.folder == folder.resolve()
    assert found.spec.limits == Limits()


@pytest.mark.parametrize(
    "path", sorted(path.parent for path in (ROOT / "evaluators").glob("*/evaluator.toml")), ids=lambda path: path.name
)
def test_every_evaluator_that_ships_loads_and_is_called_like_its_folder(path):
    found = evaluators.load(path)
    assert found.spec.name == path.name
    assert found.spec.files == ("train_mps.py", "model.py")


def test_the_built_in_evaluator_is_the_one_of_the_design():
    found = evaluators.load(ROOT / "evaluators" / "tiny_gpt")
    assert found.spec.data.source == "plays"
    assert found.vocab_size == 256
    for name, value in found.spec.settings.items():
        assert f"\n{name} = {value}" in found.baseline["train_mps.py"]


@pytest.mark.parametrize(
    "path", sorted(path.parent for path in (ROOT / "evaluators").glob("*/evaluator.toml")), ids=lambda path: path.name
)
def test_every_evaluator_that_ships_counts_the_batches_that_its_settings_ask_for(path):
    spec = evaluators.load(path).spec
    settings, batches = spec.settings, spec.batches
    assert batches.train == settings["max_iters"]
    assert 0 < batches.short_run < batches.train
    looks = -(-settings["max_iters"] // settings["eval_interval"])
    assert batches.val >= looks * settings.get("eval_batches", 1)


@pytest.mark.parametrize(
    "path", sorted(path.parent for path in (ROOT / "evaluators").glob("*/evaluator.toml")), ids=lambda path: path.name
)
def test_every_evaluator_that_ships_has_its_rung_half_way_or_later_at_a_step_that_its_baseline_reports(path):
    spec = evaluators.load(path).spec
    assert spec.rung_step == 0 or spec.settings["max_iters"] / 2 <= spec.rung_step < spec.settings["max_iters"]
    assert spec.rung_step % spec.settings["eval_interval"] == 0


def test_where_nothing_is_said_batches_are_not_limited_and_no_training_is_stopped(folder):
    spec = evaluators.load(folder).spec
    assert spec.batches == Batches(train=None, val=None, short_run=4)
    assert spec.rung_step == 0


def test_batches_and_the_rung_are_what_the_folder_says(folder):
    text = TOML.replace("[settings]", "rung_step = 7\n[settings]") + "[batches]\ntrain = 9\nval = 0\nshort_run = 0\n"
    (folder / "evaluator.toml").write_text(text, encoding="utf-8")
    spec = evaluators.load(folder).spec
    assert spec.batches == Batches(train=9, val=0, short_run=0)
    assert spec.rung_step == 7


def test_files_of_other_names_and_gpt2_tokens(folder):
    text = TOML.replace("[settings]", 'files = ["run.py", "net.py"]\n[settings]')
    (folder / "evaluator.toml").write_text(text + '[data]\ntokens = "gpt2"\n', encoding="utf-8")
    (folder / "train_mps.py").rename(folder / "run.py")
    (folder / "model.py").rename(folder / "net.py")
    found = evaluators.load(folder)
    assert list(found.baseline) == ["run.py", "net.py"]
    assert found.vocab_size == 50304


def test_an_evaluator_can_be_sent_to_a_worker(folder):
    found = evaluators.load(folder)
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_folder_without_a_description_is_refused(tmp_path):
    assert "evaluator.toml" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[settings]", "[settings", "is not valid TOML"),
        ('name = "made-up"', "", "name: Field required"),
        ("[settings]", "unknown = 1\n[settings]", "unknown: Extra inputs"),
        ("[settings]", "[limits]\nseconds = 1\n[settings]", "limits.seconds: Extra inputs"),
        ("[settings]", "[limits]\nmemory_mb = 1\n[settings]", "limits.memory_mb"),
        ("[settings]", "[limits]\ncpu_seconds = 0\n[settings]", "limits.cpu_seconds"),
        ("[settings]", "rung_step = -1\n[settings]", "rung_step: Input should be greater than or equal to 0"),
        ("[settings]", "rung_step = 1.5\n[settings]", "rung_step: Input should be a valid integer"),
        ("[settings]", "[batches]\ntrain = 0\n[settings]", "batches.train: Input should be greater than or equal to 1"),
        ("[settings]", "[batches]\nval = -1\n[settings]", "batches.val: Input should be greater than or equal to 0"),
        ("[settings]", "[batches]\nshort_run = -1\n[settings]", "batches.short_run: Input should be greater"),
        ("[settings]", "[batches]\ntest = 1\n[settings]", "batches.test: Extra inputs"),
        ("[settings]", "[limits]\nbaseline_multiple = 0.5\n[settings]", "limits.baseline_multiple"),
        ("[settings]", '[data]\nsource = "web"\n[settings]', "data.source"),
        ("[settings]", '[data]\ntokens = "words"\n[settings]', "data.tokens"),
        ("[settings]", 'files = ["a.py"]\n[settings]', "files"),
        ("batch_size = 4\n", "", "lacks settings.batch_size"),
        ("block_size = 16\n", "", "lacks settings.block_size"),
        ("batch_size = 4", "batch_size = 8", "fails its own checks: batch_size: expected 8, found 4"),
        ("batch_size = 4", "batch_size = 4.0", "fails its own checks: batch_size: expected 4.0, found 4"),
        ("batch_size = 4", "batch_size = 4\ndepth = 2", "depth: expected 2, found no such setting"),
    ],
)
def test_a_description_that_is_wrong_is_refused_with_its_place(folder, old, new, words):
    assert old in TOML
    (folder / "evaluator.toml").write_text(TOML.replace(old, new), encoding="utf-8")
    assert words in refusal(folder)


@pytest.mark.parametrize("name", ["train_mps.py", "model.py"])
def test_a_missing_file_is_refused_by_its_name(folder, name):
    (folder / name).unlink()
    assert f"lacks {name}" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("train_mps.py", "def train(:\n", "train_mps.py line 1"),
        ("train_mps.py", TRAIN.replace("train()", "main()"), "does not define train()"),
        ("model.py", "", "does not define GPT"),
    ],
)
def test_a_baseline_that_breaks_its_own_checks_is_refused(folder, name, text, words):
    (folder / name).write_text(text, encoding="utf-8")
    assert words in refusal(folder)


# ---- its data ----


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts"
    path.mkdir()
    for number in range(8):
        (path / f"{number}.txt").write_bytes(b"%d " % number * 8000)
    return path


def test_a_path_of_the_description_is_relative_to_its_folder(folder, texts, monkeypatch, tmp_path):
    shutil.move(texts, folder / "texts")
    (folder / "evaluator.toml").write_text(TOML + '[data]\nsource = "folder"\npath = "texts"\n', encoding="utf-8")
    monkeypatch.chdir("/")
    text = evaluators.load(folder).load_data()
    assert text.origins == ((folder / "texts").resolve(),)


def test_a_path_of_a_run_is_relative_to_the_working_directory(folder, texts, monkeypatch):
    monkeypatch.chdir(texts.parent)
    found = evaluators.load(folder).with_data("folder", "texts")
    monkeypatch.chdir("/")
    assert found.load_data().origins == (texts.resolve(),)
    assert found.spec.settings == evaluators.load(folder).spec.settings
    assert found.spec.data.tokens == "bytes"


def test_an_evaluator_keeps_its_own_text_where_no_other_is_named(folder):
    found = evaluators.load(folder)
    assert found.with_data(None, None) is found


# ---- hashes ----

FILES = {"train_mps.py": TRAIN, "model.py": 'class GPT:\n    """Doc."""\n\n    def f(self, x):\n        return x + 1\n'}


def with_model(old, new):
    assert old in FILES["model.py"]
    return {**FILES, "model.py": FILES["model.py"].replace(old, new)}


def test_a_hash_is_sixteen_hexadecimal_digits_whatever_the_order_of_the_files():
    backwards = dict(reversed(FILES.items()))
    for found in (files_hash, code_hash):
        assert found(FILES) == found(backwards)
        assert len(found(FILES)) == 16
        int(found(FILES), 16)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 2"),
        ("x + 1", "x + 1.0"),
        ("x + 1", "x - 1"),
        ("x + 1", "1 + x"),
        ("def f", "def g"),
        ("(self, x)", "(self, x=1)"),
        ("        return", "        print('a string')\n        return"),
        ("class GPT", "class Gpt"),
        ("    def f", "    @staticmethod\n    def f"),
    ],
)
def test_other_code_has_another_hash(old, new):
    changed = with_model(old, new)
    assert files_hash(changed) != files_hash(FILES)
    assert code_hash(changed) != code_hash(FILES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 1  # more"),
        ("x + 1", "(x + 1)"),
        ("x + 1", "x+1"),
        ('"""Doc."""', '"""Another."""'),
        ('    """Doc."""\n\n', ""),
        ("        return", '        """Doc."""\n        return'),
        ("        return x + 1", "        return (\n            x\n            + 1\n        )"),
    ],
)
def test_the_same_code_written_otherwise_is_another_text_of_the_same_hash(old, new):
    changed = with_model(old, new)
    assert files_hash(changed) != files_hash(FILES)
    assert code_hash(changed) == code_hash(FILES)


def test_a_body_that_is_a_docstring_alone_does_nothing_like_pass():
    one = {"model.py": 'def f():\n    """Doc."""\n'}
    assert code_hash(one) == code_hash({"model.py": "def f():\n    pass\n"})


def test_the_same_text_in_the_other_file_is_other_code():
    assert code_hash({"a.py": "x = 1\n", "b.py": ""}) != code_hash({"a.py": "", "b.py": "x = 1\n"})


def test_an_evaluator_is_plain_data():
    assert set(Evaluator.model_fields) == {"spec", "folder", "baseline"}
