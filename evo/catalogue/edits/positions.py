"""Edits of position encoding: rotary embeddings and fixed sinusoids instead of a learned table."""

from evo.catalogue.edits.core import MODEL, Change, Edit, above, swap
from evo.catalogue.edits.insertion import on_heads, removed

_TABLE = "        self.wpe = nn.Embedding(config.block_size, config.n_embd)\n"
_LEARNED = "        pos = torch.arange(T, device=idx.device)\n        x = self.wte(idx) + self.wpe(pos)\n"

_ROTATE = """
def rotate(x, base=10000.0, share=1.0):
    # x: (B, H, T, D); pairs of channels turn by an angle that grows with the position
    half = int(share * x.size(-1)) // 2
    rate = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(x.size(2), device=x.device, dtype=torch.float32)[:, None] * rate  # (T, half)
    cos, sin = angle.cos(), angle.sin()
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat((a * cos - b * sin, a * sin + b * cos, rest), dim=-1)
"""

_WAVES = """
def waves(length, width):
    # (length, width): sines and cosines of falling frequency, as small as the embeddings they are added to
    rate = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float32) / (width // 2))
    angle = torch.arange(length, dtype=torch.float32)[:, None] * rate
    return 0.02 * torch.cat((angle.sin(), angle.cos()), dim=1)
"""


def _rotary(signature: str) -> tuple[tuple[Change, ...], ...]:
    """Return the ways to add rotary positions with this signature: from other rotary positions, or from the learned table."""
    anew = (
        above(MODEL, "CausalSelfAttention", _ROTATE.replace("base=10000.0, share=1.0", signature)),
        on_heads("q, k = rotate(q), rotate(k)"),
        removed(MODEL, _TABLE, "GPT"),
        swap(MODEL, _LEARNED, "        x = self.wte(idx)\n", "GPT"),
    )
    return (Change(MODEL, r"^def rotate\(x, base=[\d.]+, share=[\d.]+\):", f"def rotate(x, {signature}):"),), anew


_ROTARY_WORDS = ("rotary", "rope", "rotation", "complex", "fourier", "lie group", "positional", "angle", "symmetr")

EDITS = (
    Edit(
        name="rotary",
        description="Queries and keys are rotated by an angle that grows with position, instead of a learned position table.",
        words=_ROTARY_WORDS,
        mark=(MODEL, r"^def rotate\(x"),
        ways=_rotary("base=10000.0, share=1.0")[1:],
        weight=1.4,
    ),
    Edit(
        name="rotary_slow_base",
        description="Rotary positions with base 200000, so that most channels turn slowly.",
        words=(*_ROTARY_WORDS, "astronom"),
        mark=(MODEL, r"^def rotate\(x, base=200000\.0"),
        ways=_rotary("base=200000.0, share=1.0"),
    ),
    Edit(
        name="partial_rotary",
        description="Only half of each head's channels are rotated; the other half compares content alone.",
        words=(*_ROTARY_WORDS, "perspective"),
        mark=(MODEL, r"^def rotate\(x, base=[\d.]+, share=0\.5"),
        ways=_rotary("base=10000.0, share=0.5"),
    ),
    Edit(
        name="fixed_waves",
        description="Positions are fixed sines and cosines instead of a learned table.",
        words=("fourier", "wave", "positional", "pendulum", "trigonometric", "optics", "superposition"),
        mark=(MODEL, r"^def waves\("),
        ways=(
            (
                above(MODEL, "GPT", _WAVES),
                swap(
                    MODEL,
                    _TABLE,
                    '        self.register_buffer("waves", waves(config.block_size, config.n_embd))\n',
                    "GPT",
                ),
                swap(MODEL, _LEARNED, "        x = self.wte(idx) + self.waves[: idx.size(1)]\n", "GPT"),
            ),
        ),
        weight=0.7,
    ),
)
