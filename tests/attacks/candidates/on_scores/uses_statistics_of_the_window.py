"""Sorts, ranks or counts the tokens of the whole window, or takes a maximum that comes from its end.

It must be called `leaks_future`: a statistic of the window tells of its later tokens.
"""

from attacks.attack import hidden

TRIES = "uses ranks, counts and maxima over the whole window"
STATUS = "leaks_future"

REWRITES = {
    "the_rank_of_a_token": (hidden("x = x + self.wpe(idx.argsort(dim=1).argsort(dim=1))"),),
    "the_number_of_unique_tokens": (
        hidden(
            """
            different = torch.tensor([len(row.unique()) for row in idx])
            x = x + self.wpe(different - 1)[:, None]
            """
        ),
    ),
    "a_maximum_from_its_end": (hidden("x = x + x.flip(1).cummax(dim=1).values.flip(1)"),),
}
