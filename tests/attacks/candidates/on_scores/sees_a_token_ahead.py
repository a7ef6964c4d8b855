"""Looks one token ahead, or two: position t is given a token that stands after it.

It must be called `leaks_future`. Two tokens ahead is no target of position t, and a check of the very next token alone
would not find it.
"""

from attacks.attack import hidden, model_replace

TRIES = "gives each position the next token, which is its target, or the one after"
STATUS = "leaks_future"

REWRITES = {
    "by_rolling": (hidden("x = x + self.wte(torch.roll(idx, -1, dims=1))"),),
    "by_a_mask_one_too_wide": (
        model_replace(
            "q, k, v, is_causal=True",
            "q, k, v, attn_mask=torch.ones(x.shape[1], x.shape[1]).tril(diagonal=1).bool()",
        ),
    ),
    "by_gathering_the_one_after": (
        hidden(
            """
            places = (torch.arange(T) + 2).clamp(max=T - 1)
            x = x + self.wte(idx.gather(1, places.expand(B, T)))
            """
        ),
    ),
}
