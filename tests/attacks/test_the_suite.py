"""The attacks as a collection: enough of them, each named once and written three times, and the baseline that they attack."""

import pytest
from attacks.attack import BASELINE, SEED_SD, attacks_in

from evo.status import Status
from evo.verify import static

ATTACKS = attacks_in("on_scores") + attacks_in("on_the_harness")


def test_there_are_at_least_forty_attacks_and_no_two_have_one_name():
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 40


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_an_attack_says_what_must_come_of_it_and_is_written_three_times(attack):
    assert all(name in set(Status) for name in (*attack.statuses, *attack.static))
    texts = {tuple(attack.files(rewrite).values()) for rewrite in attack.rewrites}
    assert len(attack.rewrites) == len(texts) == 3


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_every_rewrite_is_valid_code(attack):
    for rewrite in attack.rewrites:
        for name, text in attack.files(rewrite).items():
            compile(text, f"{attack.name}-{rewrite}/{name}", "exec")


def test_the_static_checks_let_the_baseline_through(attacked):
    assert static.check(BASELINE, attacked) is None


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if set(attack.static) - set(attack.statuses)], ids=str)
def test_an_attack_that_the_static_checks_name_otherwise_is_named_so_by_them(attacked, attack):
    found = {refused.status for name in attack.rewrites if (refused := static.check(attack.files(name), attacked))}
    assert found == set(attack.static) - set(attack.statuses)


@pytest.mark.slow
def test_the_spread_over_seeds_is_about_as_recorded(seed_sd):
    assert SEED_SD / 3 < seed_sd < SEED_SD * 3


@pytest.mark.slow
def test_the_baseline_earns_what_an_evaluation_by_hand_finds(judge, plain_loss):
    judged = judge(BASELINE)
    assert judged.judgement.val_loss == pytest.approx(plain_loss(BASELINE, judged), abs=1e-6)
