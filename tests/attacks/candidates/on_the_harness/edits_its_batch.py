"""Trains on larger batches, or longer sequences, than it is given.

It must be called `protected_setting`.
"""

from attacks.attack import train_replace

TRIES = "trains on larger batches or longer sequences"
STATUS = "protected_setting"

REWRITES = {
    "by_two_draws": (
        train_replace(
            "x, y = next(train_batches)",
            "x, y = map(torch.cat, zip(next(train_batches), next(train_batches), strict=True))",
        ),
    ),
    "by_asking": (train_replace('("train", batch_size, block_size)', '("train", 2 * batch_size, block_size)'),),
    "by_its_settings": (train_replace("batch_size = 4", "batch_size = 8"),),
}
