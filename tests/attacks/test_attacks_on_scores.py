"""Models that would score better than they predict: by looking ahead, aside or back, or by answering otherwise when asked."""

import pytest
from attacks.attack import cases


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "rewrite"), cases("on_scores"))
def test_a_cheating_model_gets_its_name_or_the_loss_it_earns(comes_to_nothing, attack, rewrite):
    comes_to_nothing(attack, rewrite)
