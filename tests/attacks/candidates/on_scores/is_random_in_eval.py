"""Rolls dice in eval mode: one answer of several is better by luck.

It must be called `not_repeatable`: the same question gets another answer.
"""

from attacks.attack import logits, model_top

TRIES = "adds noise to its logits in eval mode"
STATUS = "not_repeatable"

REWRITES = {
    "dropout_left_on": (logits("logits = F.dropout(logits, 0.2, training=True)"),),
    "noise": (logits("if not self.training: logits = logits + torch.randn_like(logits)"),),
    "the_systems_dice": (
        model_top("import os"),
        logits("if not self.training: logits = logits * (1 + os.urandom(1)[0] / 256)"),
    ),
}
