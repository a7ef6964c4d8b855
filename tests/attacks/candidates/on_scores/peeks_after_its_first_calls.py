"""Is honest for its first calls, when a probe is to be expected, and looks ahead from then on.

It must be called `not_repeatable`: an honest answer stands against one that looked ahead.
"""

from attacks.attack import PEEK, logits, model_top, parts

TRIES = "looks ahead only after a number of calls"
STATUS = "not_repeatable"

REWRITES = {
    "counted_in_the_model": (
        parts("self.calls = 0"),
        logits(
            f"""
            self.calls = 0 if self.training else self.calls + 1
            if self.calls > 5: logits = logits + {PEEK}
            """
        ),
    ),
    "counted_in_the_module": (
        model_top("CALLS = []"),
        logits(
            f"""
            CALLS.append(B)
            if not self.training and len(CALLS) > 20: logits = logits + {PEEK}
            """
        ),
    ),
    "counted_in_rows": (
        parts("self.rows = 0"),
        logits(
            f"""
            self.rows += B
            if self.rows > 200 and not self.training: logits = logits + {PEEK}
            """
        ),
    ),
}
