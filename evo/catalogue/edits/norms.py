"""Edits that bound magnitudes: norms of the residual stream, embeddings and weights, and a cap on logits."""

from evo.catalogue.edits.core import MODEL, TRAIN, Edit, above, after, swap
from evo.catalogue.edits.insertion import after_step, on_stream

_RMS = """
class RMSNorm(nn.Module):
    # unit mean square over channels; it has no parameters
    def forward(self, x):
        return F.rms_norm(x, (x.size(-1),))
"""

EDITS = (
    Edit(
        name="rms_norm",
        description="Layer norms become RMS norms without parameters.",
        words=("norm", "rms", "simplic", "scale", "conservation"),
        mark=(MODEL, r"^class RMSNorm\b"),
        ways=(
            (
                above(MODEL, "CausalSelfAttention", _RMS),
                *(
                    swap(MODEL, f"self.{name} = nn.LayerNorm(config.n_embd)", f"self.{name} = RMSNorm()")
                    for name in ("ln_1", "ln_2", "ln_f")
                ),
            ),
        ),
    ),
    Edit(
        name="embedding_norm",
        description="Embeddings are scaled to unit mean square before the first block.",
        words=("norm", "scale", "functional analysis"),
        mark=(MODEL, r"x = F\.rms_norm\(x, \(self\.config\.n_embd,\)\)"),
        ways=((on_stream("x = F.rms_norm(x, (self.config.n_embd,))"),),),
        weight=0.6,
    ),
    Edit(
        name="logit_softcap",
        description="Logits are held between -15 and 15 by a hyperbolic tangent.",
        words=("softcap", "bounded", "norm", "stability", "interpretab", "head"),
        mark=(MODEL, r"15\.0 \* torch\.tanh\(logits"),
        ways=((after(MODEL, r"logits = self\.lm_head\(x\)", 8, "logits = 15.0 * torch.tanh(logits / 15.0)", "GPT"),),),
    ),
    Edit(
        name="weight_norm_clamp",
        description="After each step no row of a block's matrices may be longer than 0.3.",
        words=("weight repair", "conservation", "invariant", "convex", "constraint", "norm"),
        mark=(TRAIN, r"longest_row"),
        ways=(
            (
                after_step(
                    """
                    with torch.no_grad():
                        longest_row = 0.3
                        for p in model.blocks.parameters():
                            if p.dim() == 2:
                                p.mul_((longest_row / p.norm(dim=1, keepdim=True).clamp(min=1e-8)).clamp(max=1.0))
                    """
                ),
            ),
        ),
        weight=0.7,
    ),
)
