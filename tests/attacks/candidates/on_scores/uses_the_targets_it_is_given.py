"""Uses the targets that forward() is given, or a cache keyed on them, to give each of them away.

The model server holds no target and passes zeros: it must end `ok` with the (bad) loss that its weights earn on those.
"""

from attacks.attack import logits, model_top, parts

TRIES = "adds the targets that forward() is given to its logits"
STATUS = "ok"

REWRITES = {
    "at_the_logits": (logits("if targets is not None: logits = logits + 10 * F.one_hot(targets, logits.shape[-1])"),),
    "as_far_as_it_learns_to_trust_them": (
        parts("self.trust = nn.Parameter(torch.ones(()))"),
        logits("if targets is not None: logits = logits + self.trust.exp() * F.one_hot(targets, logits.shape[-1])"),
    ),
    "through_a_cache": (
        model_top("CACHE = {}"),
        logits(
            """
            if targets is not None:
                rows = []
                for row in targets:
                    if self.training:
                        CACHE[tuple(row.tolist())] = 10 * F.one_hot(row, logits.shape[-1])
                    rows.append(CACHE.get(tuple(row.tolist()), torch.zeros(T, logits.shape[-1])))
                logits = logits + torch.stack(rows)
            """
        ),
    ),
}
