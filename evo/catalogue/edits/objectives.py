"""Edits of the training objective. Validation remains plain cross-entropy."""

from evo.catalogue.edits.core import MODEL, Edit, swap
from evo.catalogue.edits.insertion import in_gpt, on_loss

_LOSS = "F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))"
_WORDS = ("objective", "loss function", "alternative objective")

EDITS = (
    Edit(
        name="z_loss",
        description="In training a small term keeps the logarithm of the softmax's sum near zero.",
        words=(*_WORDS, "forgetting", "partition", "statistical", "stability", "precision"),
        mark=(MODEL, r"torch\.logsumexp\(logits"),
        ways=(
            (
                on_loss(
                    """
                    if self.training and targets is not None:
                        loss = loss + 1e-3 * torch.logsumexp(logits, dim=-1).square().mean()
                    """
                ),
            ),
        ),
    ),
    Edit(
        name="label_smoothing",
        description="In training a twentieth of the target's mass is spread over all tokens.",
        words=(*_WORDS, "information theory", "entropy", "smooth", "probability"),
        mark=(MODEL, r"label_smoothing="),
        ways=((swap(MODEL, _LOSS, _LOSS[:-1] + ", label_smoothing=0.05 if self.training else 0.0)", "GPT"),),),
        weight=0.5,
    ),
    Edit(
        name="second_next_token",
        description="In training a second branch also predicts the token after the next, from the same state.",
        words=(*_WORDS, "forgetting", "predict", "future", "projectile", "multi-token", "forecast"),
        mark=(MODEL, r"self\.further = nn\.Linear"),
        ways=(
            (
                in_gpt("self.further = nn.Linear(config.n_embd, config.n_embd, bias=False)"),
                on_loss(
                    """
                    if self.training and targets is not None:
                        further = self.lm_head(self.further(x))[:, :-1]  # (B, T - 1, vocab_size)
                        loss = loss + 0.2 * F.cross_entropy(further.flatten(0, 1), targets[:, 1:].flatten())
                    """
                ),
            ),
        ),
    ),
)
