"""One judgement: an honest training is scored as it deserves, and whatever else happens has its name."""

import dataclasses
import json
import math
import pickle
import platform

import numpy as np
import pytest
from safetensors.numpy import load_file

from evo.status import Status
from evo.trainer.actor import TrainerActor
from evo.trainer.device import Device
from evo.trainer.trainer import Job, Trainer

CLOCKS = {"cpu_seconds", "wall_seconds", "peak_memory_bytes", "started_at"}


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    return tmp_path_factory.mktemp("weights") / "weights.safetensors"


@pytest.fixture(scope="module")
def saving(weights_file):
    """Code for the end of train() that saves the trained model for us to look at."""
    return f"""
    from safetensors.torch import save_file
    save_file(model.state_dict(), {str(weights_file)!r})
    """


@pytest.fixture(scope="module")
def honest(judge, saving):
    return judge(end=saving)


def without_clocks(judgement):
    values = {name: value for name, value in judgement.as_dict().items() if name not in CLOCKS}
    return values | {"curve": [{**point, "seconds": None} for point in values["curve"]]}


# ---- honest trainings ----


def test_an_honest_training_is_ok_and_told_in_full(honest):
    assert (honest.status, honest.reason) == (Status.OK, "")
    assert 4.0 < honest.val_loss < 6.5  # about log(256) after three steps
    assert honest.reported_elapsed_min == 0.25
    assert honest.reported_vloss == honest.curve[-1]["train_loss"]
    assert honest.n_params == 256 * 8 + 16 * 8 + 256 * 8 + 256
    assert honest.cpu_seconds > 0
    assert honest.wall_seconds > 0
    assert honest.peak_memory_bytes > 10_000_000
    assert (honest.device, honest.host, honest.isolation) == ("cpu", platform.node(), "process")


def test_the_curve_is_what_the_candidate_reported(honest):
    assert [point["step"] for point in honest.curve] == [1, 2, 3]
    for point in honest.curve:
        assert set(point) == {"step", "seconds", "train_loss", "reported_val_loss"}
        assert point["reported_val_loss"] == point["train_loss"] / 2
    seconds = [point["seconds"] for point in honest.curve]
    assert seconds == sorted(seconds)


def test_the_loss_is_the_one_a_plain_evaluation_of_the_trained_model_gives(honest, tiny, weights_file):
    """Numpy in double precision, one window after another; the last window ends with the text."""
    weights = {name: value.astype(np.float64) for name, value in load_file(weights_file).items()}
    text = tiny.load_data().parts["heldout"]
    total, counted = 0.0, 0
    while counted < len(text) - 1:
        first = min(counted, len(text) - 1 - 16)
        window = np.frombuffer(text[first : first + 16], dtype=np.uint8)
        targets = np.frombuffer(text[first + 1 : first + 17], dtype=np.uint8)
        hidden = weights["wte.weight"][window] + weights["wpe.weight"]
        logits = hidden @ weights["head.weight"].T + weights["head.bias"]
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(16), targets]
        total += losses[counted - first :].sum()
        counted = first + 16
    assert honest.val_loss == pytest.approx(total / counted, abs=1e-6)
    assert honest.bits_per_byte == pytest.approx(total / math.log(2) / len(text), abs=1e-6)


def test_the_same_seeds_give_the_same_losses_to_the_last_bit(honest, judge, saving):
    assert without_clocks(judge(end=saving)) == without_clocks(honest)


def test_another_seed_gives_another_loss_on_the_same_batches(honest, judge):
    other = judge(seed=5)
    assert other.status == Status.OK
    assert other.val_loss != honest.val_loss
    assert other.curve[0]["train_loss"] != honest.curve[0]["train_loss"]


@pytest.mark.slow
def test_another_order_of_the_data_gives_another_loss_from_the_same_beginning(honest, judge):
    other = judge(data_seed=5)
    assert other.val_loss != honest.val_loss
    assert other.curve[0]["train_loss"] != honest.curve[0]["train_loss"]


def test_dropout_and_tied_weights_and_a_buffer_are_honest(judge):
    judgement = judge(
        model=[
            ("self.head = nn.Linear(config.width, config.vocab_size)", "self.head = TIED"),
            ("self.head = TIED", "self.head = nn.Linear(config.width, config.vocab_size, bias=False)\n        MORE"),
            (
                "MORE",
                "self.head.weight = self.wte.weight\n"
                "        self.drop = nn.Dropout(0.5)\n"
                "        self.register_buffer('scale', torch.rand(1))",
            ),
            ("self.head(x)", "self.head(self.drop(x)) * self.scale"),
        ]
    )
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.n_params == 256 * 8 + 16 * 8


def test_a_kept_average_of_the_model_is_what_is_scored(judge, honest):
    judgement = judge(
        train=[
            ("    model.train()\n", "    average = torch.optim.swa_utils.AveragedModel(model)\n    model.train()\n"),
            ("        optimizer.step()\n", "        optimizer.step()\n        average.update_parameters(model)\n"),
        ],
        end="""
        harness.keep(average)
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(float("nan"))  # what is not kept does not count
        """,
    )
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss != honest.val_loss
    assert judgement.reported_vloss == honest.reported_vloss


@pytest.mark.slow
def test_the_model_that_trained_last_is_scored_where_none_is_kept(judge, honest):
    judgement = judge(
        end="""
        teacher = GPT(GPTConfig(vocab_size=harness.vocab_size, block_size=block_size))  # never trained
        model(x, y)[1].backward()
        """
    )
    assert judgement.val_loss == honest.val_loss


@pytest.mark.slow
def test_constructor_arguments_of_every_plain_kind_are_rebuilt(judge):
    judgement = judge(
        train=[("GPT(GPTConfig(vocab_size=", "GPT(2, (1, [2.5]), extra={'a': None}, config=GPTConfig(vocab_size=")],
        model=[
            (
                "def __init__(self, config):",
                "def __init__(self, n, shape, *, extra, config):\n"
                "        assert (n, shape, extra) == (2, (1, [2.5]), {'a': None})",
            )
        ],
    )
    assert (judgement.status, judgement.reason) == (Status.OK, "")


@pytest.mark.slow
def test_a_fresh_interpreter_gives_the_same_losses_as_a_fork(judge, honest, saving, monkeypatch):
    monkeypatch.setattr(Device, "start", property(lambda self: "exec"))
    judgement = judge(end=saving)
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert without_clocks(judgement) == without_clocks(honest)


# ---- failures ----


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("return None", "it returned NoneType"),
        pytest.param("return 1.0", "it returned float", marks=pytest.mark.slow),
        pytest.param("return 1.0, 2.0, 3.0", "it returned tuple", marks=pytest.mark.slow),
        pytest.param("return 'a', 'b'", "must return two numbers", marks=pytest.mark.slow),
    ],
)
def test_wrong_return_values_break_the_contract_and_the_curve_is_kept(judge, end, reason):
    garbage = [
        "not json",
        "[]",
        '"step"',
        '{"step": 4}',
        '{"step": "x", "seconds": 1}',
        '{"step": NaN, "seconds": 1}',
        '{"step": Infinity, "seconds": 1}',
        '{"step": 7, "seconds": NaN, "train_loss": "low", "val_loss": Infinity}',
    ]
    judgement = judge(end=f"open('out/curve.jsonl', 'a').write({chr(10).join(garbage)!r})\n{end}")
    assert judgement.status == Status.CONTRACT
    assert reason in judgement.reason
    assert [point["step"] for point in judgement.curve] == [1, 2, 3, 7]
    assert judgement.curve[-1] == {"step": 7, "seconds": None, "train_loss": None, "reported_val_loss": None}


def test_weights_that_are_not_numbers_are_not_finite(judge):
    judgement = judge(end="model.head.bias.data[7] = float('nan')")
    assert (judgement.status, judgement.val_loss) == (Status.NOT_FINITE, None)
    assert "weights" in judgement.reason


@pytest.mark.slow
def test_logits_that_are_not_numbers_are_not_finite(judge):
    judgement = judge(model=[("self.head(x)", "self.head(x) / (1.0 if self.training else 0.0)")])
    assert (judgement.status, judgement.val_loss) == (Status.NOT_FINITE, None)
    assert "logits" in judgement.reason


def test_logits_of_a_wrong_shape_in_evaluation_alone_are_bad_shape(judge):
    judgement = judge(
        model=[
            (
                "        return logits",
                "        logits = logits if self.training else logits[:, -1:]\n        return logits",
            )
        ]
    )
    assert (judgement.status, judgement.val_loss) == (Status.BAD_SHAPE, None)


def test_state_outside_parameters_is_not_rebuildable(judge):
    judgement = judge(
        model=[
            ("        self.wte = ", "        self.seen = 0.0\n        self.wte = "),
            ("        x = self.wte", "        self.seen += self.training\n        x = self.wte"),
            ("self.head(x)", "self.head(x) * (1.0 + self.seen)"),
        ]
    )
    assert (judgement.status, judgement.val_loss) == (Status.NOT_REBUILDABLE, None)
    assert "other logits" in judgement.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "model"),
    [
        pytest.param(
            [("GPT(GPTConfig", "GPT(torch.nn.Linear(1, 1), GPTConfig")],
            [("__init__(self, config)", "__init__(self, net, config)")],
            id="an argument that is no plain value",
        ),
        pytest.param(
            [("    model.train()\n", "    model.more = torch.nn.Linear(2, 2)\n    model.train()\n")],
            [],
            id="weights added after the model was made",
        ),
        pytest.param(
            [("GPTConfig(vocab_size=", "type('Other', (GPTConfig,), {})(vocab_size=")],
            [],
            id="a configuration of a class of another file",
        ),
        pytest.param([], [("self.head(x)", "self.head(x) + torch.rand(1)")], id="random logits"),
    ],
)
def test_what_arguments_and_weights_do_not_give_again_is_not_rebuildable(judge, train, model):
    judgement = judge(train=train, model=model)
    assert (judgement.status, judgement.val_loss) == (Status.NOT_REBUILDABLE, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "status", "reason"),
    [
        ("def train():", "def main():", Status.CONTRACT, "must define train()"),
        ("def train():", "train = 1\n\n\ndef main():", Status.CONTRACT, "must define train()"),
        ("    batches = ", "    return 1.0, 2.0\n    batches = ", Status.CONTRACT, "made no GPT"),
        ("    # the end", "    harness.keep(optimizer)", Status.CONTRACT, "was not given a GPT"),
        ('"train", batch_size', '"train", 8', Status.CRASHED, "batch_size is protected"),
        ('"train"', '"heldout"', Status.CRASHED, "found 'heldout'"),
    ],
)
def test_a_training_that_breaks_the_contract_is_named(judge, old, new, status, reason):
    judgement = judge(train=[(old, new)])
    assert (judgement.status, judgement.val_loss) == (status, None)
    assert reason in judgement.reason


WHEN_ASKED = "        if not self.training:\n            raise ValueError('no')\n        x = self.wte"
ONCE_TRAINED = (
    "import torch\nif __import__('os').path.exists('out/weights.safetensors'):\n    raise ValueError('again')\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "status", "reason"),
    [
        ("class GPT(nn.Module):", "GPT = 1\n\n\nclass Net(nn.Module):", Status.CONTRACT, "torch.nn.Module"),
        ("        x = self.wte", WHEN_ASKED, Status.CRASHED, "ValueError: no"),
        ("import torch\n", ONCE_TRAINED, Status.CRASHED, "the model server ended: ValueError: again"),
    ],
)
def test_a_model_that_breaks_the_contract_is_named(judge, old, new, status, reason):
    judgement = judge(model=[(old, new)])
    assert (judgement.status, judgement.val_loss) == (status, None)
    assert reason in judgement.reason


@pytest.mark.slow
def test_numbers_that_are_reported_and_not_finite_are_none(judge):
    judgement = judge(end="return float('nan'), float('inf')")
    assert judgement.status == Status.OK
    assert (judgement.reported_vloss, judgement.reported_elapsed_min) == (None, None)


# ---- without a sandbox ----


def test_a_trainer_knows_its_data_by_its_hashes(tiny, device):
    assert Trainer(tiny, device).data_sha256 == tiny.load_data().sha256()


def test_an_actor_refuses_data_that_is_not_the_runs(tiny, device):
    hashes = tiny.load_data().sha256()
    assert TrainerActor(tiny, device, hashes).ready() == platform.node()
    with pytest.raises(ValueError, match="differs from the run's"):
        TrainerActor(tiny, device, hashes | {"train": "0" * 64})


def test_nothing_of_heldout_or_test_is_among_what_goes_into_a_sandbox(tiny, device, monkeypatch):
    given = {}

    class Stop(Exception):
        pass

    def look(self, device, limits, files):
        given.update(files)
        raise Stop

    monkeypatch.setattr("evo.trainer.trainer.Sandbox.__init__", look)
    with pytest.raises(Stop):
        Trainer(tiny, device).judge(Job(tiny.baseline, 1, 2))
    assert set(given) == {
        "train_mps.py", "model.py", "harness.py", "job.json", "data/train.bin", "data/val.bin", "data/probe.bin"
    }  # fmt: skip
    parts = tiny.load_data().parts
    binary = b"".join(value for name, value in given.items() if name.endswith(".bin"))
    for part in ("heldout", "test"):
        passage = np.frombuffer(parts[part][1000:1040], dtype=np.uint8).astype("<u2").tobytes()
        assert passage not in binary
    seen = np.frombuffer(parts["val"][1000:1040], dtype=np.uint8).astype("<u2").tobytes()
    assert seen in binary
    assert str(tiny.folder) not in json.dumps({name: str(value) for name, value in given.items()})


def test_a_judgement_crosses_to_the_driver_as_plain_values(honest):
    plain = honest.as_dict()
    assert type(plain["status"]) is str
    assert set(plain) == {field.name for field in dataclasses.fields(honest)}
    assert pickle.loads(pickle.dumps(plain)) == plain
    json.dumps(plain, allow_nan=False)
