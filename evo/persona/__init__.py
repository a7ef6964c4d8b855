"""A persona is a prompt's structured form: who speaks, and the genes that variation may move.

Importing this package reads no file and loads nothing heavy; `mend` loads ftfy only when a text holds more than ASCII.
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
