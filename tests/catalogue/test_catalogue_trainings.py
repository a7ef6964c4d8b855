"""Every second edit trained in full, once, as a candidate is: it has a curve of its own, is scored, and passes the probes."""

import pytest

from evo.catalogue import EDITS


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS[::2], ids=lambda edit: edit.name)
def test_a_whole_training_of_an_edit_leaves_the_baselines_curve_and_passes(edit, leaves_the_curve):
    leaves_the_curve(edit)
