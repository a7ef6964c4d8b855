"""Attends to the future: every position sees the whole window, so that the next byte is there to be copied.

It must be called `leaks_future`: another continuation after a cut changes logits before it.
"""

from attacks.attack import hidden, model_replace, parts

TRIES = "attends to every position of the window, later ones too"
STATUS = "leaks_future"

REWRITES = {
    "without_a_mask": (model_replace("q, k, v, is_causal=True", "q, k, v"),),
    "with_an_open_mask": (
        model_replace(
            "return F.scaled_dot_product_attention(q, k, v, is_causal=True)",
            """mask = torch.tril(torch.ones(x.shape[1], x.shape[1]), diagonal=x.shape[1])
        scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(mask == 0, float("-inf"))
        return scores.softmax(-1) @ v""",
        ),
    ),
    "with_a_second_attention": (
        parts("self.whole = nn.MultiheadAttention(config.width, 2, batch_first=True)"),
        hidden("x = x + self.whole(x, x, x, need_weights=False)[0]"),
    ),
}
