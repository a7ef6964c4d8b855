"""The short run that goes before a full training: it finds what can be found early, and breaks no honest candidate."""

import itertools

import pytest

from evo.status import Status
from evo.trainer import trainer as trainers
from evo.trainer.sandbox import Sandbox


@pytest.fixture(scope="module")
def honest(judge):
    found = judge()
    assert found.status == Status.OK
    return found


def trained(judgement):
    """Whether its full training began."""
    return judgement.cpu_seconds > 0 or judgement.curve != []


# ---- what it finds ----

LOGITS = "        logits = self.head(x)\n"
RETURN = "        return logits, loss\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("logits = logits + 0.1 * logits.mean(dim=1, keepdim=True)", Status.LEAKS_FUTURE),
        ("logits = logits + 0.1 * logits.mean(dim=0, keepdim=True)", Status.NOT_INDEPENDENT),
        pytest.param(
            "logits = logits + (0 if self.training else 8) * F.one_hot(idx.roll(-1, 1), 256)",
            Status.LEAKS_FUTURE,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "logits = logits if self.training else logits + torch.rand_like(logits)",
            Status.NOT_REPEATABLE,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "logits = logits if self.training else logits * float('nan')", Status.NOT_FINITE, marks=pytest.mark.slow
        ),
        pytest.param("logits = logits if self.training else logits[:, -1:]", Status.BAD_SHAPE, marks=pytest.mark.slow),
    ],
)
def test_a_model_that_cheats_is_not_trained_in_full(judge, line, status):
    judgement = judge(model=[(RETURN, f"        {line}\n" + RETURN)])
    assert (judgement.status, judgement.val_loss) == (status, None)
    assert not trained(judgement)


@pytest.mark.slow
def test_a_leak_is_found_without_a_short_run_too(judge):
    judgement = judge(
        model=[(LOGITS, LOGITS + "        logits = logits + 0.1 * logits.mean(dim=1, keepdim=True)\n")],
        batches={"short_run": 0},
    )
    assert (judgement.status, judgement.val_loss) == (Status.LEAKS_FUTURE, None)
    assert trained(judgement)


@pytest.mark.slow
def test_a_leak_that_begins_after_the_short_run_is_found_in_the_full_training(judge):
    """`late` is set in the last step and nowhere else."""
    judgement = judge(
        train=[("        optimizer.step()\n", "        optimizer.step()\n        model.late += step == 2\n")],
        model=[
            ("        self.wte = ", "        self.register_buffer('late', torch.zeros(1))\n        self.wte = "),
            (LOGITS, LOGITS + "        logits = logits + self.late * logits.mean(dim=1, keepdim=True)\n"),
        ],
    )
    assert (judgement.status, judgement.val_loss) == (Status.LEAKS_FUTURE, None)
    assert trained(judgement)


def test_what_breaks_at_once_breaks_in_the_short_run(judge):
    judgement = judge(before="raise ValueError('at once')")
    assert (judgement.status, judgement.reason) == (Status.CRASHED, "ValueError: at once")
    assert not trained(judgement)


def test_a_short_run_leaves_no_trace_in_a_judgement(judge, honest):
    judgement = judge(batches={"short_run": 0})
    assert judgement.status == Status.OK
    assert judgement.val_loss == honest.val_loss
    assert [point["step"] for point in judgement.curve] == [point["step"] for point in honest.curve]


@pytest.mark.slow
@pytest.mark.parametrize("few", [1, 3, 4, 100])
def test_the_length_of_a_short_run_does_not_change_the_loss(judge, honest, few):
    assert judge(batches={"short_run": few}).val_loss == honest.val_loss


# ---- whom it does not break ----

LOOP = "    for step in range(max_iters):\n        x, y = next(batches)\n"
BODY = """\
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        harness.report(step + 1, loss.item(), loss.item() / 2)
"""


def indented(code):
    return "".join(f"    {line}\n" for line in code.splitlines())


def caught(handler):
    """The training loop within a try, with what comes after it."""
    return [(LOOP + BODY, "    try:\n" + indented(LOOP + BODY) + handler)]


STRAIGHT = {
    "a finally that raises where steps are missing": caught(
        "    finally:\n        assert step == max_iters - 1, 'steps are missing'\n"
    ),
    "a finally that returns": caught("    finally:\n        if step < max_iters - 1:\n            return None\n"),
    "a bare except that gives up": caught("    except:\n        raise RuntimeError('it broke')\n"),
    "a bare except that goes on without": caught("    except:\n        return None\n"),
    "a bare except that tries again": [
        (
            "        x, y = next(batches)\n",
            "        try:\n            x, y = next(batches)\n        except:\n            x, y = next(batches)\n",
        )
    ],
    "an exit handler that kills": caught(
        "    finally:\n        if step < max_iters - 1:\n            import os\n            os.kill(os.getpid(), 9)\n"
    ),
    "all batches before the model is made": [
        ('batches = harness.batches("train", batch_size, block_size)\n', "batches = iter(BATCHES)\n"),
        (
            "def train():\n",
            'def train():\n    drawn = harness.batches("train")\n    BATCHES = [next(drawn) for _ in range(max_iters)]\n',
        ),
    ],
    "all batches while its file is imported": [
        ('batches = harness.batches("train", batch_size, block_size)\n', "batches = iter(BATCHES)\n"),
        (
            "def train():\n",
            'DRAWN = harness.batches("train")\nBATCHES = [next(DRAWN) for _ in range(max_iters)]\n\n\ndef train():\n',
        ),
    ],
}
FAST = ("a finally that raises where steps are missing", "all batches before the model is made")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[] if name in FAST else [pytest.mark.slow],
        )
        for name in STRAIGHT
    ],
)
def test_a_training_that_only_the_end_of_a_short_run_breaks_is_judged_by_its_full_one(judge, honest, name):
    judgement = judge(train=STRAIGHT[name], batches={"short_run": 1})
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss == honest.val_loss


THREAD = [
    ("import torch\n", "import queue\nimport threading\n\nimport torch\n"),
    (
        "def train():\n",
        """\
def fetch(into):
    batches = harness.batches("train")
    for _ in range(max_iters):
        into.put(next(batches))


def train():
    into = queue.Queue()
    threading.Thread(target=fetch, args=(into,), daemon=True).start()
""",
    ),
    ("        x, y = next(batches)\n", "        x, y = into.get()\n"),
]


def test_a_training_that_draws_in_a_thread_waits_for_ever_and_is_judged_by_its_full_one(judge, honest, monkeypatch):
    monkeypatch.setattr(trainers, "_SHORT_SECONDS", 0.5)
    judgement = judge(train=THREAD)
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss == honest.val_loss


@pytest.mark.slow
@pytest.mark.parametrize("how", ["while time.process_time() < 1.5: pass", "time.sleep(2)"])
def test_a_short_run_that_takes_too_long_tells_nothing(judge, honest, monkeypatch, how):
    monkeypatch.setattr(trainers, "_SHORT_SECONDS", 0.5)
    judgement = judge(before=f"import time\n{how}")
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss == honest.val_loss


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import os\nos.kill(os.getpid(), 9)", Status.KILLED),
        ("hoard = bytearray(3_000_000_000)", Status.MEMORY),
        ("for n in range(10): open(f'tmp/{n}', 'wb').write(bytes(10_000_000))", Status.WROTE_TOO_MUCH),
    ],
)
def test_what_a_short_run_breaks_by_itself_is_a_finding(judge, code, status):
    judgement = judge(before=code)
    assert (judgement.status, judgement.val_loss) == (status, None)
    assert not trained(judgement)


UNFINISHED = {
    # Weights of another form while it trains, and the plain ones at its end.
    "parametrised until its end": {
        "train": [
            (
                "    optimizer = ",
                "    from torch.nn.utils import parametrize\n"
                "    from torch.nn.utils.parametrizations import weight_norm\n"
                "    weight_norm(model.head)\n"
                "    optimizer = ",
            ),
            ("    # the end\n", "    parametrize.remove_parametrizations(model.head, 'weight')\n    # the end\n"),
        ]
    },
    # Another GPT trains last in each step; which is the result is said at the end.
    "kept at its end": {
        "train": [
            (
                "        optimizer.step()\n",
                "        optimizer.step()\n        teacher(x, y)\n",
            ),
            (
                "    optimizer = ",
                "    teacher = GPT(GPTConfig(vocab_size=256, block_size=block_size, ahead=True))\n    optimizer = ",
            ),
            ("    # the end\n", "    harness.keep(model)\n    # the end\n"),
        ],
        "model": [
            ("    width: int = 8\n", "    width: int = 8\n    ahead: bool = False\n"),
            ("        self.wte = ", "        self.ahead = config.ahead\n        self.wte = "),
            (LOGITS, LOGITS + "        logits = logits + logits.mean(1, keepdim=True) if self.ahead else logits\n"),
        ],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNFINISHED)
def test_a_training_that_has_its_result_only_at_its_end_is_judged_by_it(judge, name):
    assert judge(**UNFINISHED[name], batches={"short_run": 0}).status == Status.OK
    judgement = judge(**UNFINISHED[name])
    assert (judgement.status, judgement.reason) == (Status.OK, "")


# ---- between the jobs of a sandbox ----

LEAVING = """\
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOUND = sorted(os.path.relpath(os.path.join(top, name), HERE) for top, _, names in os.walk(HERE) for name in names)
print("found", *FOUND, file=sys.stderr, flush=True)


def leave():
    for name in ("left", "out/left", "tmp/left", "data/left", ".left", "deep/er/left"):
        os.makedirs(os.path.dirname(os.path.join(HERE, name)), exist_ok=True)
        open(os.path.join(HERE, name), "a").write("x")
    open(os.path.join(HERE, "model.py"), "a").write("\\nraise ValueError('rewritten')\\n")


"""


def test_what_one_job_leaves_behind_the_next_cannot_read(judge, honest):
    """Neither a full training what its short run wrote, nor the second pass what the first did."""
    judgement = judge(
        model=[
            ("from dataclasses import dataclass\n", LEAVING + "from dataclasses import dataclass\n"),
            ("        x = self.wte", "        leave()\n        x = self.wte"),
        ]
    )
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss == honest.val_loss
    trains = "found harness.py job.json model.py train_mps.py"
    serves = "found job.json model.py out/weights.safetensors train_mps.py"
    assert judgement.output_tail.splitlines() == [trains, serves, serves] * 2


DAEMON = """\
import os
import socket
import subprocess
import sys

NAME = "\\0evo-" + os.path.basename(os.path.dirname(os.path.abspath(__file__)))
KEEPER = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind('\\\\0' + sys.argv[1]); s.listen(); time.sleep(600)"
ask = socket.socket(socket.AF_UNIX)
if ask.connect_ex(NAME) == 0:
    raise ValueError("somebody keeps what an earlier job said")
subprocess.Popen([sys.executable, "-c", KEEPER, NAME[1:]], start_new_session=True, env={})
while ask.connect_ex(NAME):
    pass


"""


@pytest.mark.slow
def test_what_one_job_leaves_running_the_next_cannot_ask(judge, honest):
    judgement = judge(model=[("from dataclasses import dataclass\n", DAEMON + "from dataclasses import dataclass\n")])
    assert (judgement.status, judgement.reason) == (Status.OK, "")
    assert judgement.val_loss == honest.val_loss


@pytest.mark.slow
def test_each_job_may_print_as_much_as_a_training(judge):
    code = "for line in range(6): os.write(1, b'x' * 999_999 + b'\\n')\n"
    judgement = judge(
        model=[("from dataclasses import dataclass\n", f"import os\n{code}from dataclasses import dataclass\n")]
    )
    assert judgement.status == Status.OK


def test_every_job_starts_in_an_emptied_scratch_folder(judge, monkeypatch):
    done = []
    for name in ("clear", "train", "serve"):
        original = getattr(Sandbox, name)

        def noting(self, *args, name=name, original=original):
            done.append(name)
            return original(self, *args)

        monkeypatch.setattr(Sandbox, name, noting)
    assert judge(job={"test": True}).status == Status.OK
    jobs = [name for name in done if name != "clear"]
    assert jobs == ["train", "serve", "serve", "train", "serve", "serve", "serve"]
    assert all(before == "clear" for before, name in itertools.pairwise(done) if name != "clear")
