"""Damaged words are mended; every other word stays as it is."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.persona import Repair, repair

RIGHT = [
    "l’été", "l’école", "«Ça»", "√π", "2√π", "√πr", "a√π", "naïve", "Königsberg", "Philosophiæ", "“Straße”",
    "Ångström", "œuvre", "façade", "Ørsted", "李白", "Чебышёв", "Ελλάδα", "Gödel", "Poincaré", "Erdős", "Łukasiewicz",
    "Møller", "Çetin", "İnönü", "São", "Ñandú", "½", "±", "×", "it’s", "—", "…", "été,", "x≈±3", "ƒ(x)", "°C", "µm",
    "§3", "Þór", "ÀÉÈ", "d’être", "“élan”", "—à", "naïveté", "שלום", "مرحبا", "हिन्दी", "한국어", "日本語", "Dvořák",
    "Škoda", "Việt", "x²≤y", "∑∞", "🙂", "‘quoted’", "„unten“", "€5", "£4",
]  # fmt: skip


@pytest.mark.parametrize(
    ("damaged", "right"),
    [
        ("KÃ¶nigsberg", "Königsberg"),
        ("Philosophi√¶", "Philosophiæ"),
        ("M√∫sica", "Música"),
        ("√âcole", "École"),
        ("(PoincarÃ©),", "(Poincaré),"),
        ("it‚Äôs", "it’s"),
        ("“Philosophi√¶”", "“Philosophiæ”"),
    ],
)
def test_a_damaged_word_is_mended_and_told(damaged: str, right: str) -> None:
    assert repair(f"one\n two {damaged}\tthree\r\n") == (f"one\n two {right}\tthree\r\n", [Repair(2, damaged, right)])


@pytest.mark.parametrize("word", RIGHT)
def test_a_right_word_stays(word: str) -> None:
    assert repair(word) == (word, [])


@given(st.lists(st.sampled_from([*RIGHT, "plain", "'", '"', "  ", "\r\n", "\t", "\u00a0", "\u2028"])).map(" ".join))
def test_a_right_text_stays_to_the_letter(text: str) -> None:
    assert repair(text) == (text, [])


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_is_never_touched(text: str) -> None:
    assert repair(text) == (text, [])


@given(st.text(alphabet="KÃ¶nigsb√erg \n\t\r\f\v’", max_size=40))
def test_white_space_is_never_touched(text: str) -> None:
    assert [c for c in repair(text)[0] if c in " \n\t\r\f\v"] == [c for c in text if c in " \n\t\r\f\v"]


def test_a_mended_text_needs_no_more_mending() -> None:
    text, _ = repair("KÃ¶nigsberg Philosophi√¶ it‚Äôs")
    assert repair(text) == (text, [])


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'scipy', 'pyarrow', 'ftfy'}"
    script = f"import sys, evo.persona; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
