"""Seeds as files: reading, importing, finding."""

from pathlib import Path

import pytest

from evo.persona import PersonaError, Repair, Seed, find_seed, import_seed, load_seeds, read_seed, render

SEEDS = Path(__file__).parents[2] / "seeds"
TEXT = "You are René Descartes, a doubter.\n\nImprove it. Doubt.\n\n**Future:**\n- **Mind:** M√∫sica?\n"
MENDED = TEXT.replace("M√∫sica", "Música")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_bytes(TEXT.encode())
    return path


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return load_seeds(SEEDS)


def test_the_five_seeds_load_in_order_and_need_no_mending(seeds: list[Seed]) -> None:
    slugs = ["galileo_galilei", "isaac_newton", "john_von_neumann", "leonhard_euler", "richard_feynman"]
    assert [seed.slug for seed in seeds] == slugs
    assert all(seed.repairs == () for seed in seeds)
    assert "the Königsberg bridge" in render(find_seed(seeds, "euler").persona)
    assert "Philosophiæ Naturalis" in render(find_seed(seeds, "newton").persona)


def test_an_import_mends_and_writes_under_the_personas_name(source: Path, tmp_path: Path) -> None:
    seed = import_seed(source, tmp_path / "seeds")
    assert (seed.slug, seed.path) == ("rene_descartes", tmp_path / "seeds" / "rene_descartes.txt")
    assert seed.repairs == (Repair(6, "M√∫sica?", "Música?"),)
    assert seed.path.read_bytes() == MENDED.encode()
    assert read_seed(seed.path).repairs == ()
    assert [path.name for path in seed.path.parent.iterdir()] == ["rene_descartes.txt"]
    assert source.read_bytes() == TEXT.encode()


def test_importing_the_same_text_again_changes_nothing(source: Path, tmp_path: Path) -> None:
    first = import_seed(source, tmp_path / "seeds")
    stamp = first.path.stat().st_mtime_ns
    assert import_seed(source, tmp_path / "seeds") == first
    assert first.path.stat().st_mtime_ns == stamp


def test_another_persona_of_that_name_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    kept = import_seed(source, tmp_path / "seeds").path
    source.write_bytes(TEXT.replace("a doubter", "a thinker").encode())
    with pytest.raises(PersonaError, match=r"rene_descartes\.txt already holds another persona"):
        import_seed(source, tmp_path / "seeds")
    assert kept.read_bytes() == MENDED.encode()


def test_a_name_without_latin_letters_takes_the_files_name(source: Path, tmp_path: Path) -> None:
    source.write_bytes("李白，一位诗人。\n\n**Future:**\n- 月\n".encode())
    assert import_seed(source, tmp_path / "seeds").slug == "mine"


def test_line_endings_and_a_missing_final_newline_are_kept(source: Path, tmp_path: Path) -> None:
    source.write_bytes(MENDED.rstrip().replace("\n", "\r\n").encode())
    assert import_seed(source, tmp_path / "seeds").path.read_bytes() == source.read_bytes()


def test_a_byte_order_mark_is_dropped_and_told(source: Path) -> None:
    source.write_bytes(b"\xef\xbb\xbf" + MENDED.encode())
    seed = read_seed(source)
    assert seed.repairs == (Repair(1, "\ufeff", ""),)
    assert seed.persona.name == "René Descartes"


def test_a_file_that_is_not_utf_8_is_refused_with_the_offset(source: Path) -> None:
    source.write_bytes(b"You are Ren\xe9, a doubter.")
    with pytest.raises(PersonaError, match=r"mine\.txt: expected UTF-8, found the byte 0xe9 at offset 11"):
        read_seed(source)


def test_a_file_that_is_no_persona_is_refused_with_its_name_and_line(source: Path) -> None:
    source.write_bytes(b"\n- a list\n")
    with pytest.raises(PersonaError, match=r"mine\.txt: line 2: found '- a list', expected a prose paragraph"):
        read_seed(source)


def test_a_missing_file_or_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(PersonaError, match="No such file"):
        read_seed(tmp_path / "none.txt")
    with pytest.raises(PersonaError, match="folder of personas"):
        load_seeds(tmp_path / "none")


@pytest.mark.parametrize("word", ["leonhard_euler", "euler", "EULER", "Leonhard Euler", "von n"])
def test_a_seed_is_found_by_slug_or_by_a_part_of_its_name(seeds: list[Seed], word: str) -> None:
    assert find_seed(seeds, word).slug in ("leonhard_euler", "john_von_neumann")


def test_an_exact_slug_goes_before_a_longer_one(seeds: list[Seed], tmp_path: Path) -> None:
    longer = Seed("leonhard_euler_ii", tmp_path, seeds[0].persona)
    assert find_seed([longer, *seeds], "leonhard_euler").slug == "leonhard_euler"


def test_a_word_that_fits_no_seed_or_several_lists_the_closest(seeds: list[Seed]) -> None:
    with pytest.raises(PersonaError, match="no persona matches") as missed:
        find_seed(seeds, "eular")
    assert missed.value.hint == "Did you mean leonhard_euler?"
    with pytest.raises(PersonaError, match="matches galileo_galilei, isaac_newton"):
        find_seed(seeds, "a")
    with pytest.raises(PersonaError) as missed:
        find_seed(seeds, "zzzzzz")
    assert "Available: galileo_galilei" in missed.value.hint
