"""Has more parameters when it is rebuilt than when it was trained.

It must be called `not_rebuildable`, or `not_repeatable` where what grew is drawn anew each time.
"""

from attacks.attack import logits, method, model_replace, model_top, parts

TRIES = "has more parameters in the model server than in its training"
STATUS = ("not_rebuildable", "not_repeatable")

SERVER = model_top("import sys\nIN_TRAINING = 'harness' in sys.modules")

REWRITES = {
    "one_more_table": (
        SERVER,
        parts("if not IN_TRAINING: self.more = nn.Embedding(config.vocab_size, config.width)"),
    ),
    "a_wider_model": (
        SERVER,
        model_replace(
            "        super().__init__()\n        self.wte",
            "        super().__init__()\n        config.width *= 1 if IN_TRAINING else 2\n        self.wte",
        ),
    ),
    "and_loads_what_fits": (
        SERVER,
        parts(
            """
            if not IN_TRAINING:
                self.more = nn.Linear(config.width, config.vocab_size)
                nn.init.eye_(self.more.weight)
                nn.init.zeros_(self.more.bias)
            """
        ),
        logits("if not IN_TRAINING: logits = logits + self.more(x)"),
        method(
            """
            def load_state_dict(self, weights, **kwargs):
                return super().load_state_dict(weights, strict=False)
            """
        ),
    ),
}
