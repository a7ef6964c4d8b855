"""Training code that would change what is measured: its claims, its batches, its settings, its files, its clock."""

import pytest
from attacks.attack import cases


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "rewrite"), cases("on_the_harness"))
def test_a_cheating_training_gets_its_name_or_the_loss_it_earns(comes_to_nothing, attack, rewrite):
    comes_to_nothing(attack, rewrite)
