"""Behaves otherwise in eval mode than in training: honest while it learns, looking ahead when it is judged.

It must be called `leaks_future`.
"""

from attacks.attack import PEEK, logits, method

TRIES = "looks ahead in eval mode only"
STATUS = "leaks_future"

REWRITES = {
    "when_not_training": (logits(f"if not self.training: logits = logits + {PEEK}"),),
    "without_gradients": (logits(f"if not torch.is_grad_enabled(): logits = logits + {PEEK}"),),
    "by_its_own_eval": (
        method(
            """
            looking = False

            def eval(self):
                self.looking = True
                return super().eval()

            def train(self, mode=True):
                self.looking = self.looking and not mode
                return super().train(mode)
            """
        ),
        logits(f"if self.looking: logits = logits + {PEEK}"),
    ),
}
