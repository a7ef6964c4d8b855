"""Every edit trained in full, once, by the real training job: a curve of its own, and a finite loss."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from evo import inside
from evo.catalogue import EDITS
from evo.evaluator import code_hash

JOB = """
import sys
sys.path.insert(0, ".")
import torch
torch.set_num_threads(1)
import train_job
sys.exit(train_job.main())
"""


@pytest.fixture(scope="module")
def parts(evaluator):
    corpus = evaluator.load_data()
    return {part: corpus.tokens(part, evaluator.spec.data.tokens) for part in ("train", "val")}


def train(files, folder, evaluator, parts):
    """The result and the curve of a whole training in a fresh interpreter."""
    for place in (folder / "data", folder / "out"):
        place.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in Path(inside.__file__).parent.glob("*.py"):
        shutil.copy(path, folder)
    for part, tokens in parts.items():
        tokens.tofile(folder / "data" / f"{part}.bin")
    rows = parts["val"][: 4 * evaluator.block_size]
    rows.tofile(folder / "data" / "probe.bin")
    job = {"device": "cpu", "vocab_size": evaluator.vocab_size, "seed": 0, "data_seed": 1}
    sizes = {"batch_size": evaluator.batch_size, "block_size": evaluator.block_size}
    (folder / "job.json").write_text(json.dumps({**job, **sizes, "files": evaluator.spec.files}), encoding="utf-8")
    threads = {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", JOB], cwd=folder, env={**os.environ, **threads}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    points = [json.loads(line) for line in (folder / "out" / "curve.jsonl").read_text().splitlines()]
    curve = [(point["step"], point["train_loss"], point["val_loss"]) for point in points]
    return json.loads((folder / "out" / "result.json").read_text()), curve


@pytest.fixture(scope="module")
def reference(evaluator, parts, tmp_path_factory):
    return train(evaluator.baseline, tmp_path_factory.mktemp("baseline") / "job", evaluator, parts)


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_a_whole_training_leaves_the_baseline_s_curve(edit, baseline, evaluator, parts, reference, tmp_path):
    files = edit.apply(baseline)
    assert code_hash(files) != code_hash(baseline)
    result, curve = train(files, tmp_path / "job", evaluator, parts)
    given, expected = reference
    assert [step for step, _, _ in curve] == [step for step, _, _ in expected]
    assert numpy.isfinite([losses for _, *losses in curve]).all()
    assert curve != expected
    assert result["reported_vloss"] < 5.6  # better than guessing among 256 bytes
    assert result["batches"]["train"] == given["batches"]["train"]
    assert (tmp_path / "job" / "out" / "weights.safetensors").stat().st_size > 0
