"""Edits that choose the optimizer. Optimizers are alternatives: each replaces the previous one, including its class."""

from evo.catalogue.edits.core import TRAIN, Edit, choices, indented, marked

_GROUPS = """\
def configure_optimizers(model):
    decay = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    no_decay = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    groups = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": no_decay, "weight_decay": 0.0},
    ]
"""

_LION = indented(
    0,
    """
    class Lion(torch.optim.Optimizer):
        # each weight moves by lr in the direction of its averaged gradient's sign
        def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
            super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                short, long = group["betas"]
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if "average" not in state:
                        state["average"] = torch.zeros_like(p)
                    direction = state["average"].lerp(p.grad, 1.0 - short).sign_()
                    p.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * direction)
                    state["average"].lerp_(p.grad, 1.0 - long)
    """,
)

_MUON = indented(
    0,
    """
    def orthogonalise(matrices):
        # X <- aX + (bA + cA²)X with A = XXᵀ takes every singular value near one. (N, rows, columns), float32
        a, b, c = 3.4445, -4.7750, 2.0315
        tall = matrices.size(1) > matrices.size(2)
        X = matrices.transpose(1, 2) if tall else matrices
        X = X / (X.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
        for _ in range(5):
            A = X @ X.transpose(1, 2)
            X = a * X + (b * A + c * (A @ A)) @ X
        return X.transpose(1, 2) if tall else X


    class Muon(torch.optim.Optimizer):
        # the averaged gradient of a matrix, with all its singular values set to one; matrices of a shape go together
        def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
            super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": 0})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                group["steps"] += 1
                momentum = group["momentum"]
                shapes = {}
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if "average" not in state:
                        state["average"] = torch.zeros_like(p)
                    state["average"].lerp_(p.grad, 1.0 - momentum)
                    shapes.setdefault(p.shape, []).append((p, p.grad.lerp(state["average"], momentum)))
                for (rows, columns), pairs in shapes.items():
                    updates = orthogonalise(torch.stack([update for _, update in pairs]))
                    rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                    for (p, _), update in zip(pairs, updates):
                        p.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(rate * update)


    def configure_optimizers(model):
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        inner = [name.startswith("blocks.") and p.dim() == 2 and "embedding" not in name for name, p in named]
        matrices = [p for (_, p), chosen in zip(named, inner) if chosen]
        others = [p for (_, p), chosen in zip(named, inner) if not chosen]
        groups = [
            {"params": [p for p in others if p.dim() >= 2], "weight_decay": weight_decay},
            {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
        ]
        return [
            Muon(matrices, lr=10.0 * learning_rate, weight_decay=weight_decay),
            torch.optim.AdamW(groups, lr=learning_rate, betas=(beta1, beta2)),
        ]
    """,
)
_WARMED = '            momentum = 0.85 + (group["momentum"] - 0.85) * min(1.0, group["steps"] / 60.0)\n'

_SGD = _GROUPS + indented(
    4,
    """
    for group in groups:
        group["weight_decay"] *= 0.01  # SGD's decay is multiplied by its far larger rate
    return [torch.optim.SGD(groups, lr=100.0 * learning_rate, momentum=0.9, nesterov=True)]
    """,
)

_RULES = {
    "adamw": _GROUPS + "    return [torch.optim.AdamW(groups, lr=learning_rate, betas=(beta1, beta2))]\n",
    "nadam": _GROUPS
    + indented(
        4,
        """
        return [
            torch.optim.NAdam(groups, lr=learning_rate, betas=(beta1, beta2), decoupled_weight_decay=True),
        ]
        """,
    ),
    "sgd_nesterov": _SGD,
    "lion": _LION + "\n\n" + _GROUPS + "    return [Lion(groups, lr=0.5 * learning_rate)]\n",
    "muon": _MUON,
    "muon_momentum_warmup": _MUON.replace('            momentum = group["momentum"]\n', _WARMED),
}

_OPTIMIZER_WORDS = ("optimizer", "optimiser", "optimization theory", "calculus")
_MOMENTUM_WORDS = ("laws of motion", "momentum", "motion", "gravitation", "inertia", "mechanics", "dynamical")


def _rule(name: str, description: str, words: tuple[str, ...], weight: float, origins: tuple[str, ...] = ()) -> Edit:
    mark, ways = marked(TRAIN, _RULES[name]), choices(TRAIN, _RULES, name, origins)
    return Edit(
        name=name, description=description, words=(*_OPTIMIZER_WORDS, *words), mark=mark, ways=ways, weight=weight
    )


EDITS = (
    _rule(
        "muon",
        "Muon moves the blocks' matrices by orthogonalised momentum; AdamW moves the rest.",
        ("muon", "operator theory", "spectral", "linear algebra", "lie group", *_MOMENTUM_WORDS),
        1.4,
        ("adamw", "nadam", "sgd_nesterov", "lion"),
    ),
    _rule(
        "muon_momentum_warmup",
        "Muon's momentum grows from 0.85 to 0.95 over the first 60 steps.",
        ("muon", "kinematic", "falling bodies", *_MOMENTUM_WORDS),
        0.8,
    ),
    _rule("lion", "Lion moves every weight by the sign of its averaged gradient.", ("meta optim", "optics"), 0.5),
    _rule("nadam", "NAdam looks ahead along Adam's momentum.", ("meta optim", *_MOMENTUM_WORDS), 0.9),
    _rule("sgd_nesterov", "Plain gradient steps with Nesterov's momentum.", ("convex", *_MOMENTUM_WORDS), 0.4),
)
