"""The edits that the catalogue knows, by theme; each is a source transformation that applies whole or not at all."""

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
"""Every edit, in a fixed order."""

VERSION = hashlib.sha256(repr(EDITS).encode()).hexdigest()[:12]
"""A hash of all that the edits are and say."""

__all__ = ["EDITS", "FILES", "MODEL", "TRAIN", "VERSION", "Change", "Edit"]
