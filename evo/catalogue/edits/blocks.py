"""Edits of blocks: depth and width, parallel branches, gates on branches, and dropout."""

from evo.catalogue.edits.core import MODEL, Change, Edit, swap
from evo.catalogue.edits.insertion import SIZED, in_block, on_stream, size

EDITS = (
    Edit(
        name="half_depth",
        description="Half as many blocks.",
        words=("efficien", "architecture search", "simplic", "growing", "depth", "pruning"),
        mark=(MODEL, r"n_layer: int = \d+ // 2$"),
        unless=SIZED,
        ways=((size("n_layer", r"\1 // 2"),),),
    ),
    Edit(
        name="fewer_wider",
        description="Half as many blocks, each half as wide again.",
        words=("architecture search", "growing", "width", "architecture", "random matrix"),
        mark=(MODEL, r"n_embd: int = \d+ \* 3 // 2$"),
        unless=SIZED,
        ways=(
            (size("n_layer", r"\1 // 2"), size("n_embd", r"\1 * 3 // 2")),
            # The depth is already halved, so only widen.
            (Change(MODEL, r"n_layer: int = \d+ // 2$", r"\g<0>", "GPTConfig"), size("n_embd", r"\1 * 3 // 2")),
        ),
        weight=0.8,
    ),
    Edit(
        name="parallel_branches",
        description="Attention and MLP of a block read the same stream and are added together.",
        words=("flashattention", "efficien", "parallel", "von neumann architecture", "path", "superposition"),
        mark=(MODEL, r"^        x = x \+ .*self\.attn\(.* \+ .*self\.mlp\("),
        ways=(
            (
                Change(
                    MODEL,
                    r"^        x = x \+ (.*self\.attn\(.*)\n        x = x \+ (.*self\.mlp\(.*)\n",
                    r"        x = x + \1 + \2\n",
                    "Block",
                ),
            ),
        ),
        weight=0.8,
    ),
    Edit(
        name="residual_gates",
        description="Each branch of a block enters by a gate that starts at zero, so that the network grows as it learns.",
        words=("growing", "evolving", "gate", "rezero", "residual", "infinitesimal", "inertia"),
        mark=(MODEL, r"self\.gates = nn\.Parameter"),
        ways=(
            (
                in_block("self.gates = nn.Parameter(torch.zeros(2))"),
                swap(MODEL, "+ self.attn(", "+ self.gates[0] * self.attn(", "Block"),
                swap(MODEL, "+ self.mlp(", "+ self.gates[1] * self.mlp(", "Block"),
            ),
        ),
    ),
    Edit(
        name="dropout",
        description="In training a tenth of the embeddings' channels and of the attention's output is dropped.",
        words=("dropout", "probability", "statistical", "monte carlo", "regulari", "forgetting"),
        mark=(MODEL, r"F\.dropout\(self\.c_proj\(y\)"),
        ways=(
            (
                on_stream("x = F.dropout(x, p=0.1, training=self.training)"),
                swap(
                    MODEL,
                    "return self.c_proj(y)\n",
                    "return F.dropout(self.c_proj(y), p=0.1, training=self.training)\n",
                    "CausalSelfAttention",
                ),
            ),
        ),
        weight=0.4,
    ),
)
