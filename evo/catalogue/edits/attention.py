"""Edits of attention: keys and values, heads, gates, and mixers that replace attention."""

from evo.catalogue.edits.core import MODEL, Edit, above, before, swap
from evo.catalogue.edits.insertion import SIZED, in_attention, in_gpt, on_heads, on_stream, pass_to_attention, size

_QKV = "        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)\n"
_SPLIT = "        q, k, v = self.c_attn(x).split(C, dim=2)\n"
_KEYS = "k = k.view(B, T, self.n_head, self.head_dim).transpose(1, 2)"
_VALUES = "v = v.view(B, T, self.n_head, self.head_dim).transpose(1, 2)"

_CONVOLUTION = """
class CausalConvolution(nn.Module):
    # a gated convolution over the last `width` tokens, one filter a channel
    def __init__(self, config, width=8):
        super().__init__()
        self.c_in = nn.Linear(config.n_embd, 2 * config.n_embd, bias=False)
        self.taps = nn.Parameter(torch.full((width, config.n_embd), 1.0 / width))
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, **_):
        T = x.size(1)
        gate, x = self.c_in(x).chunk(2, dim=-1)
        y = self.taps[0] * x
        for back in range(1, min(T, self.taps.size(0))):
            y = y + self.taps[back] * F.pad(x, (0, 0, back, 0))[:, :T]
        return self.c_proj(F.silu(gate) * y)
"""

_AVERAGE = """
class GatedAverage(nn.Module):
    # state s[t] = decay * s[t - 1] + (1 - decay) * v[t], one learned decay a head, written as one product over time
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_in = nn.Linear(config.n_embd, 2 * config.n_embd, bias=False)
        self.rate = nn.Parameter(torch.linspace(0.0, 3.0, config.n_head))
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, **_):
        B, T, C = x.shape
        gate, v = self.c_in(x).chunk(2, dim=-1)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)  # (B, H, T, D)
        time = torch.arange(T, device=x.device, dtype=torch.float32)
        age = (time[:, None] - time).clamp(min=0.0)  # (T, T)
        decay = torch.sigmoid(self.rate)[:, None, None]  # (H, 1, 1)
        weights = torch.tril((1.0 - decay) * torch.exp(torch.log(decay) * age))  # (H, T, T)
        y = (weights @ v).transpose(1, 2).reshape(B, T, C)
        return self.c_proj(F.silu(gate) * y)
"""

_MIXED = (MODEL, r"block\.attn = \w+\(config\)")
"""Mark of code in which every other layer already uses another mixer instead of attention."""


def _mixer(name: str) -> str:
    return f"for block in self.blocks[::2]:\n    block.attn = {name}(config)"


EDITS = (
    Edit(
        name="qk_norm",
        description="Queries and keys are scaled to unit mean square before they meet, so that attention logits stay bounded.",
        words=("query", "norm", "attention", "stability", "geometry", "angle"),
        mark=(MODEL, r"q, k = F\.rms_norm\(q,"),
        ways=((on_heads("q, k = F.rms_norm(q, (self.head_dim,)), F.rms_norm(k, (self.head_dim,))"),),),
    ),
    Edit(
        name="single_kv_head",
        description="All query heads share a single head of keys and values.",
        words=("latent attention", "grouped", "efficien", "flashattention", "memory", "multihead"),
        mark=(MODEL, r"\.expand\(B, self\.n_head, T, self\.head_dim\)"),
        ways=(
            (
                swap(MODEL, _QKV, _QKV.replace("3 * config.n_embd", "config.n_embd + 2 * self.head_dim")),
                swap(MODEL, _SPLIT, _SPLIT.replace("split(C,", "split((C, self.head_dim, self.head_dim),")),
                swap(MODEL, _KEYS, "k = k.unsqueeze(1).expand(B, self.n_head, T, self.head_dim)"),
                swap(MODEL, _VALUES, "v = v.unsqueeze(1).expand(B, self.n_head, T, self.head_dim)"),
            ),
        ),
    ),
    Edit(
        name="latent_kv",
        description="Keys and values are expanded from a shared latent vector of a quarter of the width.",
        words=("latent attention", "mla", "low-rank", "compress", "latent", "information theory"),
        mark=(MODEL, r"self\.c_latent = "),
        ways=(
            (
                swap(
                    MODEL,
                    _QKV,
                    "        self.c_query = nn.Linear(config.n_embd, config.n_embd, bias=False)\n"
                    "        self.c_latent = nn.Linear(config.n_embd, config.n_embd // 4, bias=False)\n"
                    "        self.c_expand = nn.Linear(config.n_embd // 4, 2 * config.n_embd, bias=False)\n",
                ),
                swap(
                    MODEL,
                    _SPLIT,
                    "        q = self.c_query(x)\n        k, v = self.c_expand(self.c_latent(x)).split(C, dim=2)\n",
                ),
            ),
        ),
    ),
    Edit(
        name="fewer_heads",
        description="Half as many attention heads, each twice as wide.",
        words=("multihead", "heads", "architecture search", "simplic"),
        mark=(MODEL, r"n_head: int = \d+ // 2$"),
        unless=SIZED,
        ways=((size("n_head", r"\1 // 2"),),),
        weight=0.8,
    ),
    Edit(
        name="attention_gate",
        description="Each head's output is scaled by a gate that reads the token it is for.",
        words=("gate", "sparsity", "interpretab", "circuit", "heads", "attention", "optics"),
        mark=(MODEL, r"self\.c_gate = "),
        ways=(
            (
                in_attention("self.c_gate = nn.Linear(config.n_embd, config.n_head, bias=False)"),
                before(
                    MODEL,
                    r"y = y\.transpose\(1, 2\)",
                    8,
                    "y = 2.0 * torch.sigmoid(self.c_gate(x)).transpose(1, 2).unsqueeze(-1) * y",
                    "CausalSelfAttention",
                ),
            ),
        ),
    ),
    Edit(
        name="value_residual",
        description="Every layer mixes the first layer's values into its own, by a learned share.",
        words=("value", "superposition", "memory", "residual", "path", "conservation"),
        mark=(MODEL, r"self\.share = nn\.Parameter"),
        ways=(
            (
                *pass_to_attention("earliest"),
                in_attention("self.share = nn.Parameter(torch.tensor(0.5))"),
                on_heads(
                    """
                    if earliest:
                        v = self.share * v + (1.0 - self.share) * earliest[0]
                    else:
                        earliest.append(v)
                    """
                ),
                on_stream("earliest = []  # the values of the first layer that attends"),
            ),
        ),
    ),
    Edit(
        name="value_embeddings",
        description="Every other layer adds a second embedding of the token itself to its values.",
        words=("value", "memory module", "superposition", "memory", "knowledge"),
        mark=(MODEL, r"self\.value_embedding = None"),
        ways=(
            (
                *pass_to_attention("idx"),
                in_attention("self.value_embedding = None"),
                in_gpt(
                    """
                    for block in self.blocks[1::2]:
                        block.attn.value_embedding = nn.Embedding(config.vocab_size, config.n_embd)
                    """
                ),
                on_heads(
                    """
                    if self.value_embedding is not None:
                        v = v + self.value_embedding(idx).view(B, T, self.n_head, self.head_dim).transpose(1, 2)
                    """
                ),
            ),
        ),
    ),
    Edit(
        name="causal_convolution",
        description="Every other layer mixes the last eight tokens by a gated convolution instead of attention.",
        words=("state space", "convolution", "local", "efficien", "signal", "differential equation", "kinematic"),
        mark=(MODEL, r"^class CausalConvolution\b"),
        unless=_MIXED,
        ways=((above(MODEL, "Block", _CONVOLUTION), in_gpt(_mixer("CausalConvolution"))),),
    ),
    Edit(
        name="gated_average",
        description="Every other layer carries a decaying average of the past instead of attention.",
        words=("state space", "state transition", "recurren", "dynamical", "decay", "differential equation", "motion"),
        mark=(MODEL, r"^class GatedAverage\b"),
        unless=_MIXED,
        ways=((above(MODEL, "Block", _AVERAGE), in_gpt(_mixer("GatedAverage"))),),
    ),
)
