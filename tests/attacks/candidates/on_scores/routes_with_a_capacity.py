"""A mixture of experts with a capacity: whether a token is served depends on which others came with it.

It must be called `not_independent`: in other company, a window gets other logits.
"""

from attacks.attack import hidden, parts

TRIES = "drops tokens where an expert is full, so that other rows decide"
STATUS = "not_independent"

EXPERTS = parts(
    """
    self.gate = nn.Linear(config.width, 2)
    self.experts = nn.ModuleList([nn.Linear(config.width, config.width) for _ in range(2)])
    """
)

REWRITES = {
    "first_come_first_served": (
        EXPERTS,
        hidden(
            """
            flat = x.flatten(0, 1)
            chosen = F.one_hot(self.gate(flat).argmax(-1), 2)
            served = chosen * (chosen.cumsum(0) <= B * T // 4)
            x = x + sum(served[:, i, None] * expert(flat) for i, expert in enumerate(self.experts)).view(B, T, -1)
            """
        ),
    ),
    "the_surest_first": (
        EXPERTS,
        hidden(
            """
            scores = self.gate(x).softmax(-1)  # (B, T, 2)
            floor = scores.topk(B // 2, dim=0).values[-1]  # an expert takes the surer half of the rows
            x = x + sum((scores * (scores >= floor))[..., i, None] * e(x) for i, e in enumerate(self.experts))
            """
        ),
    ),
    "balanced_over_the_batch": (
        EXPERTS,
        hidden(
            """
            scores = self.gate(x).exp()
            scores = scores / scores.sum(0, keepdim=True)  # each expert has one unit of work to give at a position
            x = x + B * sum(scores[..., i, None] * expert(x) for i, expert in enumerate(self.experts))
            """
        ),
    ),
}
