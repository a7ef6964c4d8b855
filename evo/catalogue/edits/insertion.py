"""The places of `model.py` and `train_mps.py` at which edits put code, one function each; anchors stay in place."""

from evo.catalogue.edits.core import MODEL, TRAIN, Change, after, before, inserted, swap

LOOP = r"for (?:depth, )?block in (?:enumerate\(self\.blocks\)|self\.blocks):"
"""The line over the blocks in `GPT.forward`, as the baseline or as U-net skips write it."""
STEP = r"for optimizer in optimizers:\n            optimizer\.step\(\)\n"


def in_attention(code: str) -> Change:
    """At the end of the attention's constructor; `config` is at hand."""
    return after(MODEL, r"self\.c_proj = nn\.Linear", 8, code, "CausalSelfAttention")


def on_heads(code: str) -> Change:
    """Before attention is computed; q, k, v of shape (B, H, T, D) are at hand."""
    return before(MODEL, r"y = F\.scaled_dot_product_attention\(", 8, code, "CausalSelfAttention")


def in_block(code: str) -> Change:
    """In the block's constructor."""
    return after(MODEL, r"self\.ln_2 = ", 8, code, "Block")


def in_gpt(code: str) -> Change:
    """In the constructor of GPT, when all the baseline's modules stand and before weights are drawn."""
    return before(MODEL, r"self\.apply\(self\._init_weights\)", 8, code, "GPT")


def on_stream(code: str) -> Change:
    """On the residual stream x (B, T, C), and on idx (B, T), before the first block; sizes have no names there."""
    return before(MODEL, LOOP, 8, code, "GPT")


def on_block_input(code: str) -> Change:
    """On x before each block, in the loop over them."""
    return before(MODEL, r"x = block\(x", 12, code, "GPT")


def on_loss(code: str) -> Change:
    """After the loss is known, or None; `code` minds `self.training` by itself."""
    return before(MODEL, r"return logits, loss$", 8, code, "GPT")


def pass_to_attention(name: str) -> tuple[Change, ...]:
    """The variable `name` of `GPT.forward` becomes a keyword argument of every attention."""
    return (
        Change(MODEL, r"x = block\(x([^)\n]*)\)", rf"x = block(x\1, {name}={name})", "GPT"),
        Change(MODEL, r"def forward\(self, x([^)\n]*)\):", rf"def forward(self, x\1, {name}=None):", "Block"),
        Change(MODEL, r"self\.attn\(self\.ln_1\(x\)([^)\n]*)\)", rf"self.attn(self.ln_1(x)\1, {name}={name})", "Block"),
        Change(
            MODEL, r"def forward\(self, x([^)\n]*)\):", rf"def forward(self, x\1, {name}=None):", "CausalSelfAttention"
        ),
    )


def before_training(code: str) -> Change:
    """In `train()`, when model and optimisers are made."""
    return before(TRAIN, r"best_vloss = float\(", 4, code, "train")


def before_step(code: str) -> Change:
    """In the loop, when gradients are ready."""
    return before(TRAIN, STEP, 8, code, "train")


def after_step(code: str) -> Change:
    """In the loop, straight after the optimisers moved the weights."""
    return Change(TRAIN, rf"^        {STEP}", r"\g<0>" + inserted(8, code), "train")


def ending_step(code: str) -> tuple[Change, Change]:
    """In the loop, when weights are final for this step: before validation looks at them, or where it looked before."""
    return before(TRAIN, r"if \(step \+ 1\) % eval_interval == 0:", 8, code, "train"), after_step(code)


def after_training(code: str) -> Change:
    """When the loop is over."""
    return before(TRAIN, r"elapsed_min = ", 4, code, "train")


def parameter(name: str, new: str) -> Change:
    r"""A top-level number of `train_mps.py`: `new` is its new text, in which \1 stands for the number."""
    return Change(TRAIN, rf"^{name} = ([\d.]+(?:e-?\d+)?)$", rf"{name} = {new}")


SIZED = (TRAIN, r"\bn_(?:layer|head|embd)=")
"""Code that gives the model's sizes itself: the defaults of `GPTConfig` mean nothing there."""


def size(name: str, new: str) -> Change:
    r"""The same for a default of `GPTConfig` above 1; for code that is not `SIZED`."""
    return Change(MODEL, rf"^    {name}: int = (\d\d+|[2-9])$", rf"    {name}: int = {new}", "GPTConfig")


def removed(file: str, text: str, within: str | None = None) -> Change:
    """The literal `text` is taken out."""
    return swap(file, text, "", within)
