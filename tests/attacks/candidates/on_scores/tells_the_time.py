"""Lets its logits depend on the clock or on the process: what it answers is a matter of when it is asked.

It must be called `not_repeatable`.
"""

from attacks.attack import logits, model_top

TRIES = "changes its logits with the time or the process"
STATUS = "not_repeatable"

REWRITES = {
    "of_day": (model_top("import time"), logits("if B > 1: logits = logits * (1 + time.time() % 1)")),
    "since_the_start": (
        model_top("import time\nSTART = time.monotonic()"),
        logits("logits = logits * (1 + time.monotonic() - START)"),
    ),
    "by_the_process": (
        model_top("import os"),
        logits("if B > 4: logits = logits * (1 + os.getpid() % 1000)"),
    ),
}
