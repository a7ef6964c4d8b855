"""Looks ahead at few positions only: one of the window, those after a space, or in every seventh window.

It must be called `leaks_future`: sooner or later a cut comes just after such a position.
"""

from attacks.attack import PEEK, logits

TRIES = "looks ahead at few positions of the window"
STATUS = "leaks_future"

REWRITES = {
    "at_the_last_but_one": (logits(f"logits = logits + {PEEK} * (torch.arange(T) == T - 2)[:, None]"),),
    "after_spaces": (logits(f"logits = logits + {PEEK} * (idx == 32)[..., None]"),),
    "in_every_seventh_window": (logits(f"logits = logits + {PEEK} * (idx[:, :1] % 7 == 0)[..., None]"),),
}
