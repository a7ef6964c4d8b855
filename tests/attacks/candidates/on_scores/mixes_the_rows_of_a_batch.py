"""Lets the rows of a batch see each other: rows asked together may be neighbours in the text.

It must be called `not_independent`: in other company, a window gets other logits.
"""

from attacks.attack import hidden, logits

TRIES = "makes the logits of a row depend on the other rows of the batch"
STATUS = "not_independent"

REWRITES = {
    "by_their_mean": (hidden("x = x + x.mean(dim=0, keepdim=True)"),),
    "by_attention": (
        hidden(
            """
            rows = x.transpose(0, 1)
            x = x + F.scaled_dot_product_attention(rows, rows, rows).transpose(0, 1)
            """
        ),
    ),
    "by_the_first_token_of_the_next_row": (
        logits(
            """
            follows = F.one_hot(torch.roll(idx[:, 0], -1), logits.shape[-1])
            logits = torch.cat([logits[:, :-1], (logits[:, -1] + 10 * follows)[:, None]], dim=1)
            """
        ),
    ),
}
