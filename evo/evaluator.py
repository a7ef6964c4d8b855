"""An evaluator: one folder of `evaluators/` with rewritable files, protected settings, data and limits.

A user's own task is such a folder, described by `evaluator.toml`, and never a change in this package.
"""

import ast
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evo import corpus
from evo.errors import EvoError
from evo.verify.settings import Setting


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DataSource(_Table):
    """`[data]`: source of the text and kind of tokens."""

    source: Literal["plays", "shakespeare", "folder"] = "plays"
    path: str | None = None
    """Relative to the evaluator's folder, or absolute."""
    tokens: Literal["bytes", "gpt2"] = "bytes"


class Limits(_Table):
    """`[limits]` of one training and of one model server."""

    cpu_seconds: float = Field(60.0, gt=0)
    """Of the whole process tree; not on MPS and CUDA, where `wall_seconds` counts."""
    baseline_multiple: float = Field(4.0, ge=1.0)
    """A candidate's CPU limit as a multiple of the baseline's recent median, where that is below `cpu_seconds`."""
    wall_seconds: float = Field(600.0, gt=0)
    """For hangs."""
    memory_mb: int = Field(4096, ge=256)
    output_mb: int = Field(16, ge=1)
    """Printed bytes, in MB; the last 16 kB are kept."""
    scratch_mb: int = Field(512, ge=16)
    """Bytes written, in MB."""
    processes: int = Field(32, ge=1)
    """Processes at a time."""
    open_files: int = Field(256, ge=32)


class Batches(_Table):
    """`[batches]`: number of batches that one training must draw. Counted by our process; unlimited if absent."""

    train: int | None = Field(None, ge=1)
    """Exactly so many, and one more that may have been fetched ahead."""
    val: int | None = Field(None, ge=0)
    """At most so many."""
    short_run: int = Field(4, ge=0)
    """Training batches of the short run that goes before the full one; 0 for none."""


class Spec(_Table):
    """Contents of `evaluator.toml`."""

    name: str
    description: str = ""
    files: tuple[str, str] = ("train_mps.py", "model.py")
    """What the model may rewrite: the file that defines train() first, the one that defines GPT second."""
    settings: dict[str, Setting]
    """Settings of the first file that may not change, with their values; `batch_size` and `block_size` are expected."""
    rung_step: int = Field(0, ge=0)
    """Step of the curve at which a clearly losing training is stopped, half-way or later; 0 never stops one."""
    batches: Batches = Batches()
    data: DataSource = DataSource()
    limits: Limits = Limits()


class Evaluator(_Table):
    """Loaded evaluator: specification and baseline files. Plain data that can be sent to a worker."""

    spec: Spec
    folder: Path
    baseline: dict[str, str]
    """File name → text."""

    @property
    def vocab_size(self) -> int:
        """Return the number of tokens in the vocabulary."""
        return corpus.VOCABULARY[self.spec.data.tokens]

    @property
    def batch_size(self) -> int:
        """Return the number of sequences in a batch."""
        return int(self.spec.settings["batch_size"])

    @property
    def block_size(self) -> int:
        """Return the number of tokens in a sequence."""
        return int(self.spec.settings["block_size"])

    def load_data(self) -> corpus.Corpus:
        """Return the text, split into four parts."""
        data = self.spec.data
        return corpus.load(data.source, (self.folder / data.path).resolve() if data.path else None)

    def with_data(self, source: str | None, path: str | None) -> "Evaluator":
        """Return this evaluator with another data source. None keeps its own.

        Args:
            source: Name of the source.
            path: Path of the text, relative to the working directory.

        Raises:
            EvoError: The source takes no path.
        """
        if source is None and path is None:
            return self
        if path is not None and (source or self.spec.data.source) == "plays":
            raise EvoError(
                f"expected no data.path with the data source plays, found {path!r}",
                hint="for a tiny-Shakespeare file add --data shakespeare; for a folder of text files: --data FOLDER",
                kind="usage",
            )
        where = str(Path(path).resolve()) if path else None
        data = DataSource.model_validate(
            {"source": source or self.spec.data.source, "path": where, "tokens": self.spec.data.tokens}
        )
        return self.model_copy(update={"spec": self.spec.model_copy(update={"data": data})})


def load(folder: Path) -> Evaluator:
    """Load the evaluator in `folder`.

    Raises:
        EvoError: `evaluator.toml` or a file is missing, a key is unknown, or the baseline breaks its own settings.
    """
    from evo.verify import static

    path = folder / "evaluator.toml"
    if not path.is_file():
        raise EvoError(f"expected evaluator.toml in {folder}, found none", kind="evaluator")
    try:
        spec = Spec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EvoError(f"{path} is not valid TOML: {error}", kind="evaluator") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise EvoError(f"{path}: {where}: {first['msg']}", kind="evaluator") from None
    missing = [name for name in spec.files if not (folder / name).is_file()]
    missing += [f"settings.{name}" for name in ("batch_size", "block_size") if name not in spec.settings]
    if missing:
        raise EvoError(f"{folder} lacks {', '.join(missing)}", kind="evaluator")
    try:
        baseline = {name: (folder / name).read_text(encoding="utf-8") for name in spec.files}
    except (OSError, UnicodeDecodeError) as error:
        raise EvoError(f"cannot read the baseline of {folder}: {error}", kind="evaluator") from None
    evaluator = Evaluator(spec=spec, folder=folder.resolve(), baseline=baseline)
    failure = static.check(baseline, evaluator)
    if failure:
        raise EvoError(f"the baseline of {folder} fails its own checks: {failure.reason}", kind="evaluator")
    for name in ("batch_size", "block_size"):
        size = spec.settings[name]
        if type(size) is not int or size < 1:
            raise EvoError(
                f"{path}: settings.{name}: expected a whole number above 0, found {size!r}", kind="evaluator"
            )
    return evaluator


def files_hash(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of the files, truncated to 16 hexadecimal digits."""
    return _digest(sorted(files.items()))


def code_hash(files: Mapping[str, str]) -> str:
    """Return a hash of the syntax trees of the files, 16 hexadecimal digits.

    Comments, docstrings, blank lines and layout do not change it. Code that cannot be unparsed (nested too deep, numbers
    too long) is hashed as text.
    """
    from evo.verify import static

    try:
        return _digest(
            [[name, ast.dump(_without_docstrings(static.parse(text)))] for name, text in sorted(files.items())]
        )
    except (RecursionError, ValueError, MemoryError):
        return files_hash(files)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
