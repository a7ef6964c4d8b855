"""Answers the same whatever it is asked: logits that do not depend on the window cannot leak, and predict badly.

It must end `ok` with the loss that such logits earn.
"""

from attacks.attack import logits

TRIES = "gives constant logits"
STATUS = "ok"

REWRITES = {
    "zeros": (logits("logits = 0 * logits"),),
    "the_same_everywhere": (logits("logits = logits.detach() * 0 + self.head.bias[:1]"),),
    "sure_of_one_token": (logits("logits = 0 * logits + 3 * F.one_hot(torch.tensor(101), logits.shape[-1])"),),
}
