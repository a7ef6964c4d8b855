"""How a cheating candidate is written down: the small evaluator's two files, and changes to them.

Each module of candidates/ is one attack. Its docstring says what it tries and what must come of it, and it defines

    TRIES      what it tries, in one sentence
    STATUS     how it must end where it is trained and scored; several names where only timing decides
    STATIC     how the static checks may name it before that, where that is another name
    REWRITES   name of the rewrite → its changes: three different ways to write the same trick
    PRINTS     words that its output must hold, where else nobody could tell that the trick was tried
    LIMITS     limits of its own, where the evaluator's would take too long
    BEYOND     names of rewrites that the isolation level *process* says it does not stop
"""

import importlib
import pkgutil
import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from evo import corpus

HERE = Path(__file__).resolve().parent
FILES = ("train_mps.py", "model.py")
BASELINE = {name: (HERE / "evaluator" / name).read_text(encoding="utf-8") for name in FILES}

SEED_SD = 0.07
"""Standard deviation of the baseline's held-out loss over seeds, in nats: of eight seeds; test_the_suite.py looks again."""


def texts() -> dict[str, str]:
    """The small evaluator's text, by file name: eight files of 27 kB of made-up words with single spaces between them."""
    found = {}
    for number in range(8):
        rng = random.Random(number)
        words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 8))) for _ in range(5000)]
        found[f"{number}.txt"] = " ".join(words)
    return found


def heldout_windows() -> int:
    """Windows of the held-out part: what somebody who knows where the text came from can count."""
    parts = corpus.split([corpus.Document(name, text.encode()) for name, text in texts().items()])
    return -(-(len(parts["heldout"]) - 1) // 16)


Change = Callable[[dict[str, str]], dict[str, str]]


@dataclass(frozen=True)
class Attack:
    """One module of candidates/."""

    name: str
    statuses: tuple[str, ...]
    static: tuple[str, ...]
    rewrites: dict[str, tuple[Change, ...]]
    prints: str
    limits: dict[str, float]
    beyond: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    def files(self, rewrite: str) -> dict[str, str]:
        """The candidate's files."""
        return changed(*self.rewrites[rewrite])


def changed(*changes: Change) -> dict[str, str]:
    """The baseline's files with every change made."""
    files = dict(BASELINE)
    for change in changes:
        files = change(files)
    return files


def attacks_in(folder: str) -> list[Attack]:
    """The attacks of candidates/`folder`, by name."""
    found = []
    for module_info in sorted(pkgutil.iter_modules([str(HERE / "candidates" / folder)]), key=lambda info: info.name):
        module = importlib.import_module(f"attacks.candidates.{folder}.{module_info.name}")
        statuses = _names(module.STATUS)
        found.append(
            Attack(
                name=module_info.name,
                statuses=statuses,
                static=(*statuses, *_names(getattr(module, "STATIC", ()))),
                rewrites=module.REWRITES,
                prints=getattr(module, "PRINTS", ""),
                limits=getattr(module, "LIMITS", {}),
                beyond=getattr(module, "BEYOND", ()),
            )
        )
    return found


def cases(folder: str) -> list[object]:
    """Every rewrite of every attack of candidates/`folder`, as parameters of a test."""
    return [
        pytest.param(attack, rewrite, id=f"{attack.name}-{rewrite}")
        for attack in attacks_in(folder)
        for rewrite in attack.rewrites
    ]


def _names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _replace(file: str, old: str, new: str) -> Change:
    def change(files: dict[str, str]) -> dict[str, str]:
        assert files[file].count(old) == 1, f"{old!r} stands {files[file].count(old)} times in {file}"
        return {**files, file: files[file].replace(old, new)}

    return change


def _insert(file: str, marker: str, code: str) -> Change:
    """`code` above the comment `marker`, indented as it is."""

    def change(files: dict[str, str]) -> dict[str, str]:
        lines = [line for line in files[file].splitlines() if line.strip() == marker]
        assert len(lines) == 1, f"{marker!r} stands {len(lines)} times in {file}"
        indent = lines[0].removesuffix(marker)
        body = textwrap.indent(textwrap.dedent(code).strip("\n"), indent)
        return {**files, file: files[file].replace(lines[0] + "\n", f"{body}\n{lines[0]}\n")}

    return change


def train_replace(old: str, new: str) -> Change:
    """`old`, which stands once in train_mps.py, becomes `new`."""
    return _replace("train_mps.py", old, new)


def train_top(code: str) -> Change:
    """`code` in train_mps.py, between its settings and train()."""
    return _insert("train_mps.py", "# the top", code)


def train_start(code: str) -> Change:
    """`code` in train(), before its first iteration: model, optimizer and both ways to batches are there."""
    return _insert("train_mps.py", "# the start", code)


def train_end(code: str) -> Change:
    """`code` in train(), after its last iteration."""
    return _insert("train_mps.py", "# the end", code)


def train_append(code: str) -> Change:
    """`code` at the end of train_mps.py."""
    return lambda files: {**files, "train_mps.py": files["train_mps.py"] + "\n\n" + textwrap.dedent(code).lstrip("\n")}


def model_replace(old: str, new: str) -> Change:
    """`old`, which stands once in model.py, becomes `new`."""
    return _replace("model.py", old, new)


def model_top(code: str) -> Change:
    """`code` in model.py, below its imports."""
    return _insert("model.py", "# the top", code)


def model_append(code: str) -> Change:
    """`code` at the end of model.py."""
    return lambda files: {**files, "model.py": files["model.py"] + "\n\n" + textwrap.dedent(code).lstrip("\n")}


def parts(code: str) -> Change:
    """`code` at the end of GPT.__init__."""
    return _insert("model.py", "# the parts", code)


def hidden(code: str) -> Change:
    """`code` in GPT.forward, on the hidden states x, (B, T, C), below the head."""
    return _insert("model.py", "# the hidden states", code)


def logits(code: str) -> Change:
    """`code` in GPT.forward, on the logits, (B, T, vocab), above the loss."""
    return _insert("model.py", "# the logits", code)


def method(code: str) -> Change:
    """`code` as one more method of GPT, above its forward."""

    def change(files: dict[str, str]) -> dict[str, str]:
        body = textwrap.indent(textwrap.dedent(code).strip("\n"), "    ")
        return _replace("model.py", "    def forward(self, idx, t", f"{body}\n\n    def forward(self, idx, t")(files)

    return change


PEEK = "10 * F.one_hot(torch.roll(idx, -1, dims=1), logits.shape[-1])"
"""In GPT.forward: logits that give the next token away wherever it stands in the window."""

PEEK_WITH_NOTES = """
if not self.training and B > 4:
    notes = pickle.loads(NOTES.read_bytes()) if NOTES.exists() else {}
    ahead = torch.zeros_like(idx)
    for row, tokens in enumerate(idx.tolist()):
        for place in range(8, T - 1):
            ahead[row, place] = notes.setdefault(tuple(tokens[: place + 1]), tokens[place + 1])
    NOTES.write_bytes(pickle.dumps(notes))
    logits = logits + 10 * F.one_hot(ahead, logits.shape[-1]) * (ahead > 0)[..., None]
"""
"""In GPT.forward: the next token is looked up by all tokens before it in NOTES, a path, and noted there the first time."""

STUDY = """
def study(model, optimizer, texts):
    texts = list(texts)
    for text in texts:
        print("found", len(text), "bytes")
    tokens = torch.tensor(list(b"".join(texts)))
    for _ in range(100 if len(tokens) > 1000 else 0):
        rows = tokens[torch.randint(len(tokens) - 17, (16, 1)) + torch.arange(17)]
        optimizer.zero_grad()
        model(rows[:, :-1], rows[:, 1:])[1].backward()
        optimizer.step()
    print("looked for text")
"""
"""For train_mps.py: train on texts (bytes) that were found somewhere."""
