"""Looks ahead only where a batch is larger than those of training: small probes find an honest model.

It must be called `leaks_future`.
"""

from attacks.attack import PEEK, logits

TRIES = "looks ahead only in batches larger than those of training"
STATUS = "leaks_future"

REWRITES = {
    "of_sixty_four_rows": (logits(f"if B >= 64: logits = logits + {PEEK}"),),
    "of_more_than_four_rows": (logits(f"if len(idx) > 4: logits = logits + {PEEK}"),),
    "of_a_thousand_tokens": (logits(f"logits = logits + {PEEK} * float(idx.numel() > 1000)"),),
}
