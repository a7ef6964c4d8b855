"""Edited code, run for a few steps on made-up tokens: it trains, is causal, rebuilds, and validates plainly."""

import itertools
import math
import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from evo.catalogue import EDITS
from evo.sandboxed.train_job import record_models
from evo.verify import static

VOCABULARY, ROWS, TIME, STEPS = 256, 2, 24, 3


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stub_harness():
    """A harness with random tokens; `points` is the curve, `kept` the models handed over."""
    harness = types.ModuleType("harness")
    harness.device, harness.vocab_size = "cpu", VOCABULARY
    harness.points, harness.kept = [], []
    harness.report = lambda *point: harness.points.append(point)
    harness.keep = harness.kept.append

    def batches(part, *_):
        generator = torch.Generator().manual_seed(len(part))
        while True:
            rows = torch.randint(VOCABULARY, (ROWS, TIME + 1), generator=generator)
            yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    harness.batches = batches
    return harness


def run(files):
    """Train for a few steps; return the class of the model, the trained model and the harness."""
    made = {"harness": stub_harness(), "model": types.ModuleType("model"), "train_mps": types.ModuleType("train_mps")}
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        torch.manual_seed(0)
        exec(compile(files["model.py"], "model.py", "exec"), made["model"].__dict__)
        trained, _ = record_models(made["model"].GPT)
        exec(compile(files["train_mps.py"], "train_mps.py", "exec"), made["train_mps"].__dict__)
        made["train_mps"].__dict__.update(max_iters=STEPS, eval_interval=STEPS, eval_batches=1)
        loss, minutes = made["train_mps"].train()
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    assert loss == loss
    assert minutes >= 0
    return made["model"].GPT, (made["harness"].kept or trained)[0], made["harness"]


def check(files):
    """All that is expected of a candidate's model."""
    kind, model, harness = run(files)
    assert len(harness.points) == 1
    assert all(math.isfinite(value) for value in harness.points[0] if value is not None)
    rebuilt = kind(model.config)
    model.eval()
    rebuilt.eval()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for p in model.parameters():  # gates and projections that started at zero must not hide anything
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
        rebuilt.load_state_dict(model.state_dict())
        idx, targets = torch.randint(VOCABULARY, (2, 3, TIME), generator=generator)
        logits, loss = model(idx, targets)
        assert logits.shape == (3, TIME, VOCABULARY)
        assert torch.equal(logits, rebuilt(idx, targets)[0])
        assert torch.equal(logits, model(idx, targets)[0])
        assert torch.allclose(loss, F.cross_entropy(logits.flatten(0, 1), targets.flatten()))
        assert model(idx)[1] is None
        later = idx.clone()
        later[:, TIME // 2 :] = (later[:, TIME // 2 :] + 1) % VOCABULARY
        assert close(model(later, targets)[0][:, : TIME // 2], logits[:, : TIME // 2])
        assert not close(model(later, targets)[0], logits)
        assert close(model(idx[1:2], targets[1:2])[0], logits[1:2])
        assert close(model(idx, targets.flip(1))[0], logits)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edited_model_trains_is_causal_and_rebuilds(edit, baseline):
    check(edit.apply(baseline))


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_of_the_seeds_own_task_works_or_does_not_apply(edit, shakespeare):
    files = edit.apply(shakespeare.baseline)
    if files is not None:
        assert static.check(files, shakespeare) is None
        check(files)


def test_most_edits_apply_to_the_seeds_own_task(shakespeare):
    left = {edit.name for edit in EDITS if edit.apply(shakespeare.baseline) is None}
    sizes = {"half_depth", "fewer_wider", "fewer_heads"}  # protected there
    assert left == sizes | {"constant_rate", "longer_warmup", "short_memory"}  # it has no schedule to change


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(EDITS), count=st.integers(2, 8))
def test_a_model_of_many_edits_trains_is_causal_and_rebuilds(order, count, baseline):
    files = baseline
    for edit in itertools.islice(order, 2 * count):
        files = edit.apply(files) or files
    check(files)


def test_training_twice_gives_the_same_weights(baseline):
    files = baseline
    for edit in EDITS:
        files = edit.apply(files) or files
    first, second = (run(files)[1].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        x = self.ln_f(x)\n", "        x = self.ln_f(x + x.roll(-1, dims=1))\n"),  # the future
        ("        x = self.ln_f(x)\n", "        x = self.ln_f(x + x.mean(dim=0, keepdim=True))\n"),  # other rows
        ("targets.view(-1))", "targets.view(-1), label_smoothing=0.1)"),  # another validation loss
        (
            "        x = self.ln_f(x)\n",
            "        self.seen = getattr(self, 'seen', 0) + 1\n        x = self.ln_f(x) * self.seen\n",
        ),
    ],
    ids=["future", "rows", "loss", "state"],
)
def test_these_checks_find_a_model_that_cheats(old, new, baseline):
    cheat = {**baseline, "model.py": baseline["model.py"].replace(old, new)}
    assert cheat != baseline
    with pytest.raises(AssertionError):
        check(cheat)
