"""The catalogue: the built-in, offline, rule-based proposer.

It reads a prompt's persona for words and its code for known places, draws one to three of its edits by fixed rules, and
answers in the form that the prompt asks for. Equal questions get equal answers. `CatalogueServer` puts it behind an
OpenAI-compatible endpoint, so that it goes through the same client, parser and checks as any other proposer.
"""

from evo.catalogue.answers import answer
from evo.catalogue.edits import EDITS
from evo.catalogue.server import CatalogueServer

__all__ = ["EDITS", "CatalogueServer", "answer"]
