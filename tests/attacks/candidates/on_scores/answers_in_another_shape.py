"""Answers with fewer positions, fewer dimensions or more tokens than it was asked for.

It must be called `bad_shape`.
"""

from attacks.attack import model_replace

TRIES = "gives logits of another shape in eval mode"
STATUS = "bad_shape"


def answering(code):
    return (model_replace("return logits, loss", f"return (logits if self.training else {code}), loss"),)


REWRITES = {
    "the_last_position_alone": answering("logits[:, -1:]"),
    "rows_and_positions_in_one": answering("logits.flatten(0, 1)"),
    "more_tokens_than_there_are": answering("torch.cat([logits, logits], dim=-1)"),
}
