"""Takes its batches along among its weights, and goes on training on them when it is rebuilt: that costs it nothing.

The model answers the probe as it was trained, and larger batches as what has become of it. It must be called
`not_rebuildable`: what answers is not what was trained.
"""

from attacks.attack import logits, method, model_top, parts

TRIES = "goes on training in the model server, on batches that it took along, at no cost"
STATUS = "not_rebuildable"

TAKE_ALONG = (
    parts(
        """
        self.register_buffer("taken", torch.zeros(10, 2, 4, 16, dtype=torch.long))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.is_copy = False
        """
    ),
    logits(
        """
        if self.training and self.steps < 10:
            self.taken[self.steps] = torch.stack([idx, targets])
            self.steps += 1
        if B > 4 and hasattr(self, "better"):
            return self.better[0](idx, targets)
        """
    ),
    method(
        """
        def go_on(self):
            if self.is_copy or hasattr(self, "better") or self.steps < 10:
                return
            own = GPT(GPTConfig())
            own.is_copy = True
            own.load_state_dict(self.state_dict())
            optimizer = torch.optim.AdamW(own.parameters(), lr=1e-2)
            with torch.enable_grad():
                for x, y in [*own.taken] * 5:
                    optimizer.zero_grad()
                    own(x, y)[1].backward()
                    optimizer.step()
            self.better = [own.eval()]
        """
    ),
)

REWRITES = {
    "as_it_is_loaded": (
        *TAKE_ALONG,
        method(
            """
            def load_state_dict(self, weights, **kwargs):
                found = super().load_state_dict(weights, **kwargs)
                self.go_on()
                return found
            """
        ),
    ),
    "after_it_was_loaded": (
        *TAKE_ALONG,
        parts("self.register_load_state_dict_post_hook(lambda model, _: model.go_on())"),
    ),
    "as_it_is_asked": (
        *TAKE_ALONG,
        model_top("import sys"),
        method(
            """
            def __call__(self, idx, targets=None):
                if "harness" not in sys.modules:
                    self.go_on()
                return super().__call__(idx, targets)
            """
        ),
    ),
}
