"""Adapts itself to the window that it is asked about, all of it, before it predicts its tokens.

It must be called `leaks_future`, though each window is treated alone.
"""

from attacks.attack import hidden, logits

TRIES = "learns from the whole window before it predicts it"
STATUS = "leaks_future"

REWRITES = {
    "by_a_gradient_step": (
        logits(
            """
            if not self.training:
                with torch.enable_grad():
                    bias = torch.zeros(B, 1, logits.shape[-1], requires_grad=True)
                    own = F.cross_entropy((logits.detach() + bias)[:, :-1].flatten(0, 1), idx[:, 1:].flatten())
                    logits = logits - 100 * B * torch.autograd.grad(own, bias)[0]
            """
        ),
    ),
    "by_fast_weights": (hidden("x = x + x @ (x.transpose(1, 2) @ x) / T"),),
    "by_pairs_of_the_window": (
        logits(
            """
            pairs = (idx[:, :, None] == idx[:, None, :-1]).float()  # which earlier tokens of a pair are like mine
            logits = logits + pairs @ F.one_hot(idx[:, 1:], logits.shape[-1]).float()
            """
        ),
    ),
}
