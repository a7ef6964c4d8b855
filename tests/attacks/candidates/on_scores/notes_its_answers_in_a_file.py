"""Looks ahead once, notes in a file what it saw, and gives the same answer where only the beginning is the same.

It must be called `leaks_future`: what a model server wrote is gone when a fresh one is asked with other continuations.
"""

from attacks.attack import PEEK_WITH_NOTES, logits, model_top

TRIES = "notes in its folder what it saw ahead, to answer the same when it is asked again"
STATUS = "leaks_future"


def noting(path):
    return model_top(f"import os, pathlib, pickle\nNOTES = pathlib.Path({path})"), logits(PEEK_WITH_NOTES)


REWRITES = {
    "in_its_folder": noting("'notes.bin'"),
    "among_the_results": noting("os.environ['HOME'], 'out', 'weights.notes'"),
    "among_temporary_files": noting("os.environ['TMPDIR'], 'notes'"),
}
