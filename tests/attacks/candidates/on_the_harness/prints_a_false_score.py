"""Prints and writes scores that are not its own.

Nobody reads them: it must end `ok` with the loss that its weights earn.
"""

from attacks.attack import train_end

TRIES = "prints a false score, or writes one into its curve"
STATUS = "ok"
PRINTS = "0.0123"

REWRITES = {
    "in_words": (train_end("print('val_loss: 0.0123')"),),
    "as_a_result_line": (train_end("""print('{"status": "ok", "val_loss": 0.0123, "bits_per_byte": 0.0123}')"""),),
    "in_its_curve": (
        train_end("for step in range(11, 99): harness.report(step, 0.0, 0.0123)\nprint('reported 0.0123')"),
    ),
}
