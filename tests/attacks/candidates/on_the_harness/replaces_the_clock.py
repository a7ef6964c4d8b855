"""Replaces the clock, to have taken no time.

What it reports counts for nothing, and its cost is measured from outside: it must end `ok` with the loss that its
weights earn.
"""

from attacks.attack import model_top, train_start, train_top

TRIES = "replaces the clock by one that stands still"
STATUS = "ok"
STATIC = "protected_setting"

REWRITES = {
    "of_the_day": (train_top("time.time = lambda: 0.0"),),
    "of_the_harness": (train_start("harness.time.perf_counter = lambda: -1e9\nsetattr(harness, '_START', 0)"),),
    "all_of_them": (
        model_top(
            """
            import time
            for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time"):
                setattr(time, name, lambda: 1.0)
            """
        ),
    ),
}
