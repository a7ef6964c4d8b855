"""Personas: structured prompts that say who is asked, with the genes that variation may move.

Importing this package reads no file. `mend` loads ftfy only for a text with non-ASCII characters.
"""

from evo.persona.encoding import Mend, mend
from evo.persona.grammar import Note, check, parse, render
from evo.persona.library import Seed, find_seed, import_seed, load_seeds, read_seed
from evo.persona.model import VARIED, Item, Kind, Persona, PersonaError, Section, from_json, to_json

__all__ = [
    "VARIED",
    "Item",
    "Kind",
    "Mend",
    "Note",
    "Persona",
    "PersonaError",
    "Section",
    "Seed",
    "check",
    "find_seed",
    "from_json",
    "import_seed",
    "load_seeds",
    "mend",
    "parse",
    "read_seed",
    "render",
    "to_json",
]
