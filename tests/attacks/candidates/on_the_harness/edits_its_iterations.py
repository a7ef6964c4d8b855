"""Takes more iterations than it is given, or fewer.

It must be called `protected_setting`: the batches are drawn, and counted, by the process that judges.
"""

from attacks.attack import train_replace, train_start

TRIES = "trains for more iterations than it is given, or for fewer"
STATUS = "protected_setting"

REWRITES = {
    "by_a_longer_loop": (train_replace("for step in range(max_iters)", "for step in range(3 * max_iters)"),),
    "by_its_globals": (train_start("globals()['max_' + 'iters'] = 20"),),
    "by_seeing_some_again": (
        train_start("import itertools\ntrain_batches = itertools.cycle([next(train_batches) for _ in range(5)])"),
    ),
}
