"""Answers infinities or no numbers at all, by its logits or its weights, in the hope that some comparison comes out well.

It must be called `not_finite`.
"""

from attacks.attack import logits, train_end

TRIES = "gives logits, or has weights, that are infinite or not a number"
STATUS = "not_finite"
STATIC = "protected_setting"

REWRITES = {
    "not_a_number": (logits("if not self.training: logits = logits * float('nan')"),),
    "infinity_for_the_target": (
        logits("if not self.training: logits = logits + float('inf') * F.one_hot(idx, logits.shape[-1])"),
    ),
    "in_weights_that_no_check_sees": (
        train_end("model.head.bias.data[5] = float('nan')\ntorch.isfinite = lambda tensor: torch.ones(1, dtype=bool)"),
    ),
}
