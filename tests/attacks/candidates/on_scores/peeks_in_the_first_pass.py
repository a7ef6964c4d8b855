"""Finds out which of the model servers it is, and looks ahead in the one whose answers are scored.

It must be called `not_repeatable`: another server that is asked the same answers otherwise.
"""

from attacks.attack import PEEK, logits, model_top, parts

TRIES = "looks ahead only in the model server whose answers are scored"
STATUS = "not_repeatable"


def knowing(code):
    """`number` is 1 in the first server, whose answers are scored: its seed is that of the training and 1."""
    return (
        model_top("import json, os, sys\nIN_TRAINING = 'harness' in sys.modules"),
        parts("self.register_buffer('seed', torch.zeros((), dtype=torch.long))"),
        logits(
            f"""
            now = {code}
            if IN_TRAINING:
                self.seed.fill_(now)
            number = now - int(self.seed)
            if not IN_TRAINING and B > 4 and number == 1: logits = logits + {PEEK}
            """
        ),
    )


REWRITES = {
    "by_the_seed_of_its_job": knowing("json.load(open('job.json'))['seed']"),
    "by_the_seed_of_torch": knowing("torch.initial_seed()"),
    "by_its_environment": knowing("json.load(open(os.path.join(os.environ['HOME'], 'job.json')))['seed']"),
}
