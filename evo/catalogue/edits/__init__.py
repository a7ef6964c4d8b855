"""Edits of the catalogue, by theme. Each edit is a source transformation that applies completely or not at all."""

import hashlib

from evo.catalogue.edits import (
    attention,
    averaging,
    blocks,
    embeddings,
    initialisation,
    mlp,
    norms,
    objectives,
    optimizers,
    positions,
    schedules,
)
from evo.catalogue.edits.core import FILES, MODEL, TRAIN, Change, Edit

EDITS: tuple[Edit, ...] = (
    *positions.EDITS,
    *attention.EDITS,
    *mlp.EDITS,
    *norms.EDITS,
    *embeddings.EDITS,
    *blocks.EDITS,
    *initialisation.EDITS,
    *objectives.EDITS,
    *optimizers.EDITS,
    *averaging.EDITS,
    *schedules.EDITS,
)
"""All edits, in a fixed order."""

VERSION = hashlib.sha256(repr(EDITS).encode()).hexdigest()[:12]
"""Hash of all fields of all edits."""

__all__ = ["EDITS", "FILES", "MODEL", "TRAIN", "VERSION", "Change", "Edit"]
