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
from evo.trainer.batch_feed import BatchFeed
from evo.trainer.device import Device
from evo.trainer.job import EarlyStop
from evo.trainer.scratch import Scratch
from evo.trainer.trainer import Trainer

CLOCKS = {"cpu_seconds", "wall_seconds", "verify_seconds", "peak_memory_bytes", "started_at"}


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
def honest(judge_afresh, saving):
    return judge_afresh(end=saving)


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
    assert honest.verify_seconds > 0
    assert 0 < honest.text_se < 0.1
    assert honest.early_stop_loss == honest.curve[1]["reported_val_loss"]
    assert honest.test_loss is None
    assert (honest.device, honest.host, honest.isolation) == ("cpu", platform.node(), "process")


@pytest.mark.parametrize("seconds", [0.5, 0.0])
def test_the_memory_of_a_training_is_measured(judge, seconds):
    assert judge(end=f"import time\ntime.sleep({seconds})").peak_memory_bytes > 10_000_000


def test_the_curve_is_what_the_candidate_reported(honest):
    assert [point["step"] for point in honest.curve] == [1, 2, 3]
    for point in honest.curve:
        assert set(point) == {"step", "seconds", "train_loss", "reported_val_loss"}
        assert point["reported_val_loss"] == point["train_loss"] / 2
    seconds = [point["seconds"] for point in honest.curve]
    assert seconds == sorted(seconds)


def plain_loss(weights_file, text):
    """Mean loss of the trained model in nats a token: numpy in double precision, one window after another."""
    weights = {name: value.astype(np.float64) for name, value in load_file(weights_file).items()}
    total, counted = 0.0, 0
    while counted < len(text) - 1:
        first = min(counted, len(text) - 1 - 16)  # the last window ends with the text
        window = np.frombuffer(text[first : first + 16], dtype=np.uint8)
        targets = np.frombuffer(text[first + 1 : first + 17], dtype=np.uint8)
        hidden = weights["wte.weight"][window] + weights["wpe.weight"]
        logits = hidden @ weights["head.weight"].T + weights["head.bias"]
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(16), targets]
        total += losses[counted - first :].sum()
        counted = first + 16
    return total / counted


def test_the_loss_is_the_one_a_plain_evaluation_of_the_trained_model_gives(honest, tiny, weights_file):
    text = tiny.load_data().parts["heldout"]
    assert honest.val_loss == pytest.approx(plain_loss(weights_file, text), abs=1e-6)
    assert honest.bits_per_byte == pytest.approx(honest.val_loss / math.log(2) * (len(text) - 1) / len(text), abs=1e-6)


def test_a_verdict_also_gets_the_loss_on_test_and_the_same_on_heldout(judge, honest, tiny, weights_file, saving):
    judgement = judge(end=saving, job={"test": True})
    assert judgement.test_loss == pytest.approx(plain_loss(weights_file, tiny.load_data().parts["test"]), abs=1e-6)
    assert without_clocks(judgement) | {"test_loss": None} == without_clocks(honest)


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
def test_a_fresh_interpreter_gives_the_same_losses_as_a_fork(judge_afresh, honest, saving, monkeypatch):
    monkeypatch.setattr(Device, "start", property(lambda self: "exec"))
    judgement = judge_afresh(end=saving)
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
    ],
)
def test_what_arguments_and_weights_do_not_give_again_is_not_rebuildable(judge, train, model):
    judgement = judge(train=train, model=model)
    assert (judgement.status, judgement.val_loss) == (Status.NOT_REBUILDABLE, None)


@pytest.mark.parametrize("dice", ["torch.rand(1)", "__import__('random').random()", "__import__('time').time() % 1"])
@pytest.mark.slow
def test_a_model_that_throws_dice_is_not_repeatable(judge, dice):
    judgement = judge(model=[("self.head(x)", f"self.head(x) + {dice} * torch.eye(256)[0]")])
    assert (judgement.status, judgement.val_loss) == (Status.NOT_REPEATABLE, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "status", "reason"),
    [
        ("def train():", "def main():", Status.CONTRACT, "must define train()"),
        ("def train():", "train = 1\n\n\ndef main():", Status.CONTRACT, "must define train()"),
        ("    batches = ", "    return 1.0, 2.0\n    batches = ", Status.CONTRACT, "made no GPT"),
        ("    # the end", "    harness.keep(optimizer)", Status.CONTRACT, "was not given a GPT"),
        ('"train", batch_size', '"train", 8', Status.PROTECTED_SETTING, "batch_size: expected 4, found 8"),
        ('"train"', '"heldout"', Status.CRASHED, "found 'heldout'"),
    ],
)
def test_a_training_that_breaks_the_contract_is_named(judge, old, new, status, reason):
    judgement = judge(train=[(old, new)])
    assert (judgement.status, judgement.val_loss) == (status, None)
    assert reason in judgement.reason


WHEN_ASKED = "        if not self.training:\n            raise ValueError('no')\n        x = self.wte"
ONCE_TRAINED = (  # the weights lie there when the model is rebuilt
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


# ---- what a training draws ----


def test_one_batch_may_be_fetched_ahead(judge, honest):
    assert judge(end="next(batches)").val_loss == honest.val_loss


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (
            "for _ in range(2): next(batches)",
            "batches of train: expected 3 drawn in a training, found more than 4 asked for",
        ),
        pytest.param(
            "for _ in range(3): next(harness.batches('val'))",
            "batches of val: expected at most 2 drawn in a training, found more than 2 asked for",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_training_that_draws_too_much_changed_a_setting(judge, end, reason):
    judgement = judge(end=end)
    assert (judgement.status, judgement.reason) == (Status.PROTECTED_SETTING, reason)
    assert judgement.val_loss is None


def test_a_training_that_draws_too_little_changed_a_setting(judge):
    judgement = judge(train=[("range(max_iters)", "range(max_iters - 1)")])
    assert (judgement.status, judgement.val_loss) == (Status.PROTECTED_SETTING, None)
    assert judgement.reason == "batches of train: expected 3 drawn in a training, found 2 drawn"


@pytest.mark.slow
def test_where_no_number_is_said_a_training_draws_what_it_likes(judge):
    judgement = judge(end="for _ in range(50): next(batches)", batches={"train": None, "val": None})
    assert judgement.status == Status.OK


@pytest.mark.slow
def test_batches_that_are_asked_for_and_not_taken_break_that_candidate_alone(judge, honest):
    """More than a pipe holds, in both directions: they come in the place of the probe, and are dropped after it."""
    end = "import os\nos.write(int(os.environ['EVO_FDS'].split(',')[3]), b'v' * 60_000)"
    assert judge(end=end, batches={"val": None}).status in (Status.CRASHED, Status.NOT_REBUILDABLE)
    assert judge().val_loss == honest.val_loss


@pytest.mark.slow
def test_what_asks_for_nothing_breaks_the_contract(judge):
    judgement = judge(end="import os\nos.write(int(os.environ['EVO_FDS'].split(',')[3]), b'?')\nnext(batches)")
    assert (judgement.status, judgement.reason) == (Status.CONTRACT, "wrote into the pipe of the harness")


@pytest.mark.parametrize(
    ("where", "code", "reason"),
    [
        ("before", "torch.manual_seed(3)", "torch.manual_seed on line 12 of train_mps.py"),
        pytest.param("end", "torch.seed()", "torch.seed on line 24 of train_mps.py", marks=pytest.mark.slow),
        pytest.param(
            "before",
            "import random\nrandom.seed(3)",
            "random.seed on line 13 of train_mps.py",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "before",
            "import numpy\nnumpy.random.seed(3)",
            "numpy.random.seed on line 13 of train_mps.py",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_seed_of_its_own_is_a_changed_setting_and_told_with_its_line(judge, where, code, reason):
    judgement = judge(**{where: code})
    assert (judgement.status, judgement.val_loss) == (Status.PROTECTED_SETTING, None)
    assert judgement.reason == f"seed: expected the harness's alone, found {reason}"


def test_generators_of_its_own_and_what_libraries_seed_are_a_candidates_affair(judge):
    judgement = judge(
        before="""
        import random
        import numpy
        torch.Generator().manual_seed(3)
        numpy.random.default_rng(3)
        random.Random(3)
        with torch.random.fork_rng():
            torch.rand(1)
        torch.utils.data.random_split([1, 2], [1, 1], torch.Generator().manual_seed(3))
        torch.utils.checkpoint.checkpoint(torch.relu, torch.ones(1, requires_grad=True), use_reentrant=False)
        """
    )
    assert (judgement.status, judgement.reason) == (Status.OK, "")


# ---- weights ----


@pytest.mark.parametrize("kind", ["torch.bfloat16", pytest.param("torch.float16", marks=pytest.mark.slow)])
def test_a_model_that_ends_in_16_bits_is_scored_as_it_is(judge, honest, kind):
    judgement = judge(end=f"model.to({kind})")
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss != honest.val_loss
    assert judgement.val_loss == pytest.approx(honest.val_loss, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [
        "model.to(torch.float64)",
        "model.head.to(torch.bfloat16)\nmodel.wte.to(torch.bfloat16)\nmodel.wpe.to(torch.bfloat16)",
        "for p in model.parameters(): p.data = p.data.to(torch.bfloat16)",
    ],
)
def test_a_model_that_ends_in_other_number_types_is_scored(judge, honest, end):
    judgement = judge(end=end)
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss == pytest.approx(honest.val_loss, abs=0.01)


SAVING = "import sys\nsys.modules['train_job'].save_file = lambda tensors, path: {}"


@pytest.mark.parametrize(
    "instead",
    [
        "open(path, 'wb').write(__import__('pickle').dumps(print))",
        pytest.param("torch.save(tensors, path)", marks=pytest.mark.slow),
        pytest.param("open(path, 'wb').write(b'')", marks=pytest.mark.slow),
        pytest.param("None", marks=pytest.mark.slow),
        pytest.param("__import__('os').mkdir(path)", marks=pytest.mark.slow),
        pytest.param("__import__('os').symlink('/etc/passwd', path)", marks=pytest.mark.slow),
        pytest.param("open(path, 'wb').write(b'\\xff' * 8 + b'{' * 1000)", marks=pytest.mark.slow),
        pytest.param(
            "__import__('safetensors.torch').torch.save_file({'a': torch.zeros(3)}, path)", marks=pytest.mark.slow
        ),
    ],
)
def test_weights_that_are_something_else_are_not_rebuildable(judge, instead):
    judgement = judge(end=SAVING.format(instead))
    assert (judgement.status, judgement.val_loss) == (Status.NOT_REBUILDABLE, None)


# ---- the early-stopping step ----

ABOVE = {"early_stop": EarlyStop(step=2, loss=0.5, of=9)}
UNKNOWN = ("val_loss", "test_loss", "text_se", "bits_per_byte", "reported_vloss", "reported_elapsed_min", "n_params")


def test_a_losing_training_is_stopped_at_its_rung_whether_it_goes_on_or_has_ended(judge, honest):
    """It reports all of its three steps at once, and is looked at when it has."""
    goes_on, has_ended = judge(end="import time\ntime.sleep(600)", job=ABOVE), judge(job=ABOVE)
    for judgement in (goes_on, has_ended):
        assert judgement.status == Status.STOPPED_EARLY
        assert judgement.reason == (
            f"reported {judgement.early_stop_loss:.4f} at step 2, above 0.5000, the median of 9 earlier candidates there"
        )
        assert [getattr(judgement, name) for name in UNKNOWN] == [None] * len(UNKNOWN)
        assert [point["step"] for point in judgement.curve] == [1, 2]
        assert judgement.early_stop_loss == honest.early_stop_loss
        assert judgement.wall_seconds > 0
        assert judgement.verify_seconds == 0
    assert without_clocks(goes_on) == without_clocks(has_ended)


def test_a_training_below_its_rung_is_judged_as_without_one(judge, honest, saving):
    judgement = judge(end=saving, job={"early_stop": EarlyStop(step=2, loss=honest.early_stop_loss, of=9)})
    assert without_clocks(judgement) == without_clocks(honest)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["raise ValueError", "import sys\nsys.exit(1)", "next(batches)\nnext(batches)"])
def test_how_a_losing_training_ends_does_not_depend_on_who_looked_in_time(judge, monkeypatch, end):
    seen = judge(end=f"import time\ntime.sleep(600)\n{end}", job=ABOVE)
    monkeypatch.setattr("evo.trainer.sandbox._LOOK_SECONDS", 60.0)
    unseen = judge(end=end, job=ABOVE)
    assert seen.status == unseen.status == Status.STOPPED_EARLY


def test_a_job_may_have_fewer_cpu_seconds_than_its_evaluator(judge):
    judgement = judge(end="while True: pass", job={"cpu_seconds": 1.25})
    assert (judgement.status, judgement.reason) == (Status.TIMEOUT, "over the limit of 1.25 CPU seconds")


@pytest.mark.slow
def test_a_job_may_not_have_more_cpu_seconds_than_its_evaluator(judge):
    judgement = judge(end="while True: pass", job={"cpu_seconds": 100.0}, cpu_seconds=1.25)
    assert (judgement.status, judgement.reason) == (Status.TIMEOUT, "over the limit of 1.25 CPU seconds")


# ---- without a sandbox ----


def test_a_trainer_knows_its_data_by_its_hashes(tiny, device):
    assert Trainer(tiny, device).data_sha256 == tiny.load_data().sha256()


def test_an_actor_refuses_data_that_is_not_the_runs(tiny, device):
    hashes = tiny.load_data().sha256()
    assert TrainerActor(tiny, device, hashes, "process").ready() == platform.node()
    with pytest.raises(ValueError, match="differs from the run's"):
        TrainerActor(tiny, device, hashes | {"train": "0" * 64}, "process")


def test_nothing_of_heldout_or_test_is_among_what_a_training_is_given_before_its_weights_are_taken(
    judge, tiny, monkeypatch
):
    """Then, like the model server, it gets windows to answer: one request of them, and none of `test`."""
    written, fed, probes = {}, [], []
    write, answer = Scratch.write, BatchFeed.answer

    def writing(self, name, content):
        written.setdefault(name, []).append(content if isinstance(content, bytes) else content.encode())
        write(self, name, content)

    def answering(self, request):
        answered = answer(self, request)
        (probes if request == b"p" else fed).append(answered)
        return answered

    monkeypatch.setattr(Scratch, "write", writing)
    monkeypatch.setattr(BatchFeed, "answer", answering)
    assert judge().status == Status.OK
    assert set(written) == {"train_mps.py", "model.py", "harness.py", "job.json", "out/weights.safetensors"}
    parts = {
        name: np.frombuffer(text, dtype=np.uint8).astype("<u2").tobytes()
        for name, text in tiny.load_data().parts.items()
    }
    for batch in fed:
        if len(batch) > 1:
            assert batch[1:][: 2 * 17] in parts["train"]
    assert len(fed) == 2 + 1 + 3  # a short run with its end, and the training
    for probe, part in zip(probes, ("val", "heldout"), strict=True):
        assert len(probe) == 1 + 2 * 64 * 16
        assert all(probe[1 + at : 1 + at + 2 * 16] in parts[part] for at in range(0, 2 * 64 * 16, 2 * 16))
    given = b"".join(b"".join(contents) for contents in written.values()) + b"".join(fed)
    for part in ("heldout", "test"):
        passages = [parts[part][first : first + 60] for first in range(0, len(parts[part]) - 60, 60)]
        assert not any(passage in given for passage in passages)
    assert str(tiny.folder).encode() not in given


def test_a_judgement_crosses_to_the_driver_as_plain_values(honest):
    plain = honest.as_dict()
    assert type(plain["status"]) is str
    assert set(plain) == {field.name for field in dataclasses.fields(honest)}
    assert pickle.loads(pickle.dumps(plain)) == plain
    json.dumps(plain, allow_nan=False)
