"""Edits of the per-token layers: activations, gated and sparse layers, experts, and rounded weights."""

from evo.catalogue.edits.core import MODEL, Edit, above, choices, indented, marked, swap
from evo.catalogue.edits.insertion import in_gpt, on_loss

_ACTIVATIONS = {
    "gelu": "        x = F.gelu(x)\n",
    "squared_relu": "        x = F.relu(x).square()\n",
    "silu": "        x = F.silu(x)\n",
    "sine": "        x = x + torch.sin(x).square()\n",
    "top_activations": indented(
        8,
        """
        x = F.gelu(x)
        x = x * (x >= x.detach().abs().mean(dim=-1, keepdim=True))  # sorting would cost as much as the whole block
        """,
    ),
}

_PLAIN = """\
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)
"""
_GATED = """\
        hidden = 8 * config.n_embd // 3
        self.c_fc = nn.Linear(config.n_embd, 2 * hidden, bias=False)
        self.c_proj = nn.Linear(hidden, config.n_embd, bias=False)
"""
_SWIGLU = "        gate, x = x.chunk(2, dim=-1)\n        x = F.silu(gate) * x\n"

_EXPERTS = """
class Experts(nn.Module):
    # each token goes to the one expert that its own router score prefers
    def __init__(self, config, n_experts=4):
        super().__init__()
        self.router = nn.Linear(config.n_embd, n_experts, bias=False)
        self.experts = nn.ModuleList([MLP(config) for _ in range(n_experts)])
        self.balance = 0.0

    def forward(self, x):
        tokens = x.reshape(-1, x.size(-1))  # (B * T, C)
        share = F.softmax(self.router(tokens), dim=-1)  # (B * T, experts)
        best, choice = share.max(dim=-1)
        y = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows = (choice == number).nonzero().squeeze(1)
            y = y.index_add(0, rows, expert(tokens[rows]))
        if self.training:  # least when every expert gets the same load
            load = F.one_hot(choice, share.size(-1)).to(share.dtype).mean(dim=0)
            self.balance = share.size(-1) * (load * share.mean(dim=0)).sum()
        gate = 1.0 + best - best.detach()  # of value one, with the router's gradient
        return (gate.unsqueeze(-1) * y).view_as(x)
"""

_ROUNDED = """
class RoundedLinear(nn.Linear):
    # weights rounded to 15 levels a row; the gradient passes straight through
    def forward(self, x):
        step = self.weight.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 7.0
        rounded = torch.round(self.weight.detach() / step) * step
        return F.linear(x, self.weight + (rounded - self.weight.detach()))
"""

_ACTIVATION_WORDS = ("activation", "norms and activation")


def _activation(name: str, description: str, words: tuple[str, ...], weight: float = 1.0) -> Edit:
    return Edit(
        name=name,
        description=description,
        words=(*_ACTIVATION_WORDS, *words),
        mark=marked(MODEL, _ACTIVATIONS[name]),
        ways=choices(MODEL, _ACTIVATIONS, name),
        weight=weight,
    )


EDITS = (
    _activation("squared_relu", "The activation is the square of ReLU.", ("polynomial", "gravitation", "relu"), 1.3),
    _activation("silu", "The activation is SiLU instead of GELU.", ("smooth",), 0.6),
    _activation(
        "sine", "The activation is x + sin² x, which lets a unit be periodic.", ("wave", "fourier", "pendulum"), 0.7
    ),
    _activation(
        "top_activations",
        "Of each token's activations only those above their mean absolute value pass, about the largest fifth.",
        ("sparsity", "sampling", "top-k", "dynamic computational"),
        0.8,
    ),
    Edit(
        name="swiglu",
        description="The MLP is gated: one half of its hidden layer, through SiLU, scales the other.",
        words=(*_ACTIVATION_WORDS, "gate", "swiglu", "gating", "interaction"),
        mark=marked(MODEL, _SWIGLU),
        ways=tuple(
            (swap(MODEL, _PLAIN, _GATED, "MLP"), swap(MODEL, text, _SWIGLU, "MLP")) for text in _ACTIVATIONS.values()
        ),
    ),
    Edit(
        name="mixture_of_experts",
        description="Four experts stand in for each MLP; every token goes to one, and a small term keeps their loads even.",
        words=("mixture of experts", "moe", "expert", "routing", "path", "game theory", "gravitation"),
        mark=(MODEL, r"^class Experts\b"),
        ways=(
            (
                above(MODEL, "Block", _EXPERTS),
                swap(MODEL, "        self.mlp = MLP(config)\n", "        self.mlp = Experts(config)\n", "Block"),
                on_loss(
                    """
                    if self.training and targets is not None:
                        loss = loss + 0.01 * sum(block.mlp.balance for block in self.blocks) / len(self.blocks)
                    """
                ),
            ),
        ),
    ),
    Edit(
        name="rounded_weights",
        description="Weights in the blocks are rounded to 15 levels as they are used; gradients pass straight through.",
        words=("quantization", "quantisation", "precision", "numerical", "information theory", "quantum"),
        mark=(MODEL, r"^class RoundedLinear\b"),
        ways=(
            (
                above(MODEL, "CausalSelfAttention", _ROUNDED),
                in_gpt(
                    """
                    for module in self.blocks.modules():
                        if type(module) is nn.Linear:
                            module.__class__ = RoundedLinear
                    """
                ),
            ),
        ),
        weight=0.7,
    ),
)
