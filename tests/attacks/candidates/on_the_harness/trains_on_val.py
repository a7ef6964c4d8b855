"""Trains on the batches of `val`, which are only to be looked at.

It must be called `protected_setting`: few batches of val can be drawn, and those of train must be.
"""

from attacks.attack import train_end, train_replace

TRIES = "trains on the batches of val"
STATUS = "protected_setting"

REWRITES = {
    "alone": (train_replace("x, y = next(train_batches)", "x, y = next(val_batches)"),),
    "by_turns": (
        train_replace("x, y = next(train_batches)", "x, y = next(val_batches if step % 2 else train_batches)"),
    ),
    "afterwards": (
        train_end(
            """
            for x, y in harness.batches("val"):
                optimizer.zero_grad()
                model(x, y)[1].backward()
                optimizer.step()
            """
        ),
    ),
}
