"""Leaves forward() as it was, and changes what goes in or comes out of it with hooks.

It must be called `leaks_future`.
"""

from attacks.attack import model_append, model_top, parts

TRIES = "looks ahead in hooks, while forward() reads as an honest one"
STATUS = "leaks_future"

HOOK = model_top(
    """
    def look(module, given, output):
        if isinstance(module, GPT):
            logits, loss = output
            return logits + 10 * F.one_hot(torch.roll(given[0], -1, dims=1), logits.shape[-1]), loss
    """
)

REWRITES = {
    "after_forward": (HOOK, parts("self.register_forward_hook(look)")),
    "after_every_forward": (HOOK, model_append("nn.modules.module.register_module_forward_hook(look)")),
    "before_attention": (
        parts("self.attention.register_forward_pre_hook(lambda _, given: given[0] + given[0].roll(-1, 1))"),
    ),
}
