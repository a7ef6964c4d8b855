"""The catalogue: the built-in, offline, rule-based proposer.

It matches the words of the prompt's persona and known anchors in the code, draws one to three edits by fixed rules, and
answers in the form that the prompt asks for. Equal prompts get equal answers. `CatalogueServer` serves the catalogue through
an OpenAI-compatible endpoint, so it passes the same client, parser and checks as any other proposer.
"""

from evo.catalogue.answers import answer
from evo.catalogue.edits import EDITS
from evo.catalogue.server import CatalogueServer

__all__ = ["EDITS", "CatalogueServer", "answer"]
