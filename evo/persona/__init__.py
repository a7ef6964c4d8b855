"""Personas: structured prompts, each with a role for the model and the genes that variation changes.

Importing this package reads no files. `mend` imports ftfy only for text with non-ASCII characters.
"""

from evo.persona.encoding import Repair, repair
from evo.persona.grammar import Note, check, parse, render
from evo.persona.library import Seed, find_seed, import_seed, load_seeds, read_seed
from evo.persona.model import VARIED, Item, Kind, Persona, PersonaError, Section, from_json, to_json

__all__ = [
    "VARIED",
    "Item",
    "Kind",
    "Note",
    "Persona",
    "PersonaError",
    "Repair",
    "Section",
    "Seed",
    "check",
    "find_seed",
    "from_json",
    "import_seed",
    "load_seeds",
    "parse",
    "read_seed",
    "render",
    "repair",
    "to_json",
]
