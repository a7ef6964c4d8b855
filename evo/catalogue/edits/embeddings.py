"""Edits of the input to the residual stream, of shortcuts along it, and of the output head."""

from evo.catalogue.edits.core import MODEL, Edit, after, swap
from evo.catalogue.edits.insertion import in_block, in_gpt, on_block_input, on_stream, removed

EDITS = (
    Edit(
        name="bigram_hash",
        description="A hashed embedding of each token with the one before it is added to the stream.",
        words=("tokeniz", "bigram", "structure", "combinator", "number theory", "discrete", "retrieval"),
        mark=(MODEL, r"self\.bigram = nn\.Embedding"),
        ways=(
            (
                in_gpt("self.bigram = nn.Embedding(2048, config.n_embd)"),
                on_stream(
                    """
                    previous = F.pad(idx, (1, 0))[:, :-1]  # (B, T)
                    x = x + self.bigram((previous * 36313 + idx * 27191) % self.bigram.num_embeddings)
                    """
                ),
            ),
        ),
        weight=1.2,
    ),
    Edit(
        name="smear_gate",
        description="Each token may take in a gated share of the embedding of the token before it.",
        words=("smear", "circuit", "feature design", "induction", "neighbour", "tokeniz", "kinematic"),
        mark=(MODEL, r"self\.smear = nn\.Linear"),
        ways=(
            (
                in_gpt("self.smear = nn.Linear(config.n_embd, 1, bias=False)"),
                on_stream("x = x + torch.sigmoid(self.smear(x)) * F.pad(x, (0, 0, 1, 0))[:, :-1]"),
            ),
        ),
    ),
    Edit(
        name="input_shortcut",
        description="Every block sees the embeddings again, mixed in by two learned numbers.",
        words=("superposition", "memory", "shortcut", "path", "residual", "inertia", "graph theory"),
        mark=(MODEL, r"self\.shortcut = nn\.Parameter"),
        ways=(
            (
                in_block("self.shortcut = nn.Parameter(torch.tensor([1.0, 0.0]))"),
                on_stream("embedded = x"),
                on_block_input("x = block.shortcut[0] * x + block.shortcut[1] * embedded"),
            ),
        ),
    ),
    Edit(
        name="unet_skips",
        description="Outputs of the first half of the blocks are added in the second half, mirrored and by learned weights.",
        words=("u-net", "topolog", "circuit", "graph theory", "bridge", "skip", "mirror"),
        mark=(MODEL, r"self\.skips = nn\.Parameter"),
        ways=(
            (
                in_gpt("self.skips = nn.Parameter(torch.full((config.n_layer // 2,), 0.5))"),
                on_stream("passed = []"),
                swap(
                    MODEL,
                    "for block in self.blocks:\n            x",
                    "for depth, block in enumerate(self.blocks):\n            x",
                ),
                on_block_input(
                    """
                    if depth >= len(self.blocks) - len(self.skips):
                        x = x + self.skips[len(passed) - 1] * passed.pop()
                    """
                ),
                after(
                    MODEL,
                    r"x = block\(x",
                    12,
                    """
                    if depth < len(self.skips):
                        passed.append(x)
                    """,
                    "GPT",
                ),
            ),
        ),
    ),
    Edit(
        name="token_dropout",
        description="In training one embedding in twenty is blanked.",
        words=("sampling", "probability", "monte carlo", "dropout", "random", "forgetting"),
        mark=(MODEL, r"torch\.rand_like\(x\[\.\.\., :1\]\)"),
        ways=(
            (
                on_stream(
                    """
                    if self.training:
                        x = x * (torch.rand_like(x[..., :1]) >= 0.05)
                    """
                ),
            ),
        ),
        weight=0.5,
    ),
    Edit(
        name="untied_head",
        description="The output head gets weights of its own instead of the token embedding's.",
        words=("head", "untied", "superposition", "symmetr"),
        mark=(
            MODEL,
            r"self\.lm_head = nn\.Linear\(config\.n_embd, config\.vocab_size, bias=False\)\n(?!.*wte\.weight)",
        ),
        ways=((removed(MODEL, "        self.lm_head.weight = self.wte.weight\n", "GPT"),),),
        weight=0.4,
    ),
)
