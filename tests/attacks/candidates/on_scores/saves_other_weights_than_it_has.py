"""Hands out other weights than those it answers with, or keeps what it learned where no weights file reaches.

It must be called `not_rebuildable`.
"""

from attacks.attack import logits, method, parts, train_end

TRIES = "saves other weights than those it answers with"
STATUS = "not_rebuildable"

REWRITES = {
    "by_state_dict": (
        method(
            """
            def state_dict(self, *args, **kwargs):
                return {name: tensor / 2 for name, tensor in super().state_dict(*args, **kwargs).items()}
            """
        ),
    ),
    "by_load_state_dict": (
        method(
            """
            def load_state_dict(self, weights, **kwargs):
                return super().load_state_dict({name: 2 * tensor for name, tensor in weights.items()}, **kwargs)
            """
        ),
    ),
    "by_an_attribute": (
        parts("self.scale = 1.0"),
        logits("logits = logits * self.scale"),
        train_end("model.scale = 1.5"),
    ),
}
