"""Trains while it answers: every window that it is asked about is text to learn from, or context for the next.

It must be called `not_repeatable`: asked the same again, it answers otherwise.
"""

from attacks.attack import logits, parts

TRIES = "goes on learning from the windows that it is asked about"
STATUS = "not_repeatable"

REWRITES = {
    "by_gradient": (
        logits(
            """
            if not self.training and B > 4:
                with torch.enable_grad():
                    again = self.head((self.wte(idx) + self.wpe(torch.arange(T))).detach())
                    loss = F.cross_entropy(again[:, :-1].flatten(0, 1), idx[:, 1:].flatten())
                    weight, bias = torch.autograd.grad(loss, [self.head.weight, self.head.bias])
                with torch.no_grad():
                    self.head.weight -= 0.5 * weight
                    self.head.bias -= 0.5 * bias
            """
        ),
    ),
    "by_counting_bytes": (
        parts("self.register_buffer('counts', torch.ones(config.vocab_size), persistent=False)"),
        logits(
            """
            logits = logits + self.counts.log()
            if not self.training and B > 4:
                self.counts += torch.bincount(idx.flatten(), minlength=len(self.counts))
            """
        ),
    ),
    "by_remembering_the_last_window": (
        parts("self.before = None"),
        logits(
            """
            if B > 4:
                if self.before is not None:
                    logits = logits + self.head(self.before.mean(dim=0))
                self.before = x.detach()[-1]
            """
        ),
    ),
}
