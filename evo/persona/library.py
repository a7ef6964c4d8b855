"""Library of seed personas: a folder with one text file per persona.

This module reads, imports and finds personas. It never changes an existing file.
"""

import difflib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evo.persona.encoding import Repair, repair
from evo.persona.grammar import parse
from evo.persona.model import Persona, PersonaError

_BOM = "\ufeff"


@dataclass(frozen=True)
class Seed:
    """Seed persona with its slug (file name without suffix), its path and the encoding repairs made when it was read."""

    slug: str
    path: Path
    persona: Persona
    repairs: tuple[Repair, ...] = ()


def read_seed(path: Path) -> Seed:
    """Read one persona file. Encoding is repaired in memory, and the file is not changed.

    Raises:
        PersonaError: The file cannot be read, is not UTF-8, or is not a persona.
    """
    return _read(path)[0]


def load_seeds(folder: Path) -> list[Seed]:
    """Read all `*.txt` files of a folder, ordered by slug.

    Raises:
        PersonaError: The folder does not exist, or a file is not a persona.
    """
    if not folder.is_dir():
        raise PersonaError(
            f"expected a folder of personas at {folder}, found none", hint="Create one with `evo init DIR`."
        )
    return [read_seed(path) for path in sorted(folder.glob("*.txt"), key=lambda path: path.stem)]


def import_seed(path: Path, folder: Path) -> Seed:
    """Repair a persona file and write it as UTF-8 to `<slug>.txt` in a folder.

    The slug is made from the name of the persona. The file is written atomically. Importing the same text again changes
    nothing.

    Raises:
        PersonaError: The file cannot be read, is not UTF-8, is not a persona, or cannot be written, or the folder holds another
            persona with the same slug.
    """
    source, text = _read(path)
    slug = _slug(source.persona.name) or _slug(path.stem) or "persona"
    target = folder / f"{slug}.txt"
    content = text.encode()
    if target.exists():
        if target.read_bytes() != content:
            raise PersonaError(
                f"{target} already holds another persona named {slug}",
                hint=f"Rename or remove {target}, or give the new persona another name in its first sentence.",
            )
    else:
        _write(target, content)
    return Seed(slug, target, source.persona, source.repairs)


def find_seed(seeds: Sequence[Seed], word: str) -> Seed:
    """Return the persona with the slug `word`, else the only one whose slug or name contains `word`, ignoring case.

    Raises:
        PersonaError: No persona matches, or several do. If none matches, the hint lists the closest names.
    """
    sought = word.casefold()
    holding = [seed for seed in seeds if sought in seed.slug.casefold() or sought in seed.persona.name.casefold()]
    exact = [seed for seed in seeds if seed.slug == word]
    if len(exact or holding) == 1:
        return (exact or holding)[0]
    if holding:
        raise PersonaError(
            f"expected a name that matches one persona, found {word!r}, which matches {_listed(holding)}"
        )
    names = {name.casefold(): seed for seed in seeds for name in [seed.slug, *seed.slug.split("_"), seed.persona.name]}
    close = {names[name].slug: names[name] for name in difflib.get_close_matches(sought, names, n=3)}
    hint = f"Did you mean {_listed(list(close.values()))}?" if close else f"Available: {_listed(seeds) or 'none'}."
    raise PersonaError(f"no persona matches {word!r}", hint=hint)


def _read(path: Path) -> tuple[Seed, str]:
    """Return the persona and its repaired text."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PersonaError(f"cannot read the persona file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PersonaError(
            f"{path}: expected UTF-8, found the byte 0x{error.object[error.start]:02x} at offset {error.start}",
            hint="Save the file as UTF-8 and import it again.",
        ) from error
    repairs = []
    if text.startswith(_BOM):
        text = text.removeprefix(_BOM)
        repairs.append(Repair(1, _BOM, ""))
    text, words = repair(text)
    try:
        persona = parse(text)
    except PersonaError as error:
        raise PersonaError(f"{path}: {error.message}", hint=error.hint) from error
    return Seed(path.stem, path, persona, (*repairs, *words)), text


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall(r"[a-z0-9]+", plain))


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise PersonaError(f"cannot write {target}: {error.strerror}") from error


def _listed(seeds: Sequence[Seed]) -> str:
    return ", ".join(seed.slug for seed in seeds)
