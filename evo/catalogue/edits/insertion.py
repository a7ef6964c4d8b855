"""Places in `model.py` and `train_mps.py` where edits insert or change code, one function per place.

Insertions keep their anchor.
"""

from evo.catalogue.edits.core import MODEL, TRAIN, Change, after, before, inserted, swap

LOOP = r"for (?:depth, )?block in (?:enumerate\(self\.blocks\)|self\.blocks):"
"""Line of the loop over blocks in `GPT.forward`, as written by the baseline or by the edit `unet_skips`."""
STEP = r"for optimizer in optimizers:\n            optimizer\.step\(\)\n"


def in_attention(code: str) -> Change:
    """Insert code at the end of the attention constructor, where `config` is available."""
    return after(MODEL, r"self\.c_proj = nn\.Linear", 8, code, "CausalSelfAttention")


def on_heads(code: str) -> Change:
    """Insert code before attention is computed, where q, k and v of shape (B, H, T, D) are available."""
    return before(MODEL, r"y = F\.scaled_dot_product_attention\(", 8, code, "CausalSelfAttention")


def in_block(code: str) -> Change:
    """Insert code in the block constructor."""
    return after(MODEL, r"self\.ln_2 = ", 8, code, "Block")


def in_gpt(code: str) -> Change:
    """Insert code in the GPT constructor, after the baseline's modules are built and before weights are initialised."""
    return before(MODEL, r"self\.apply\(self\._init_weights\)", 8, code, "GPT")


def on_stream(code: str) -> Change:
    """Insert code before the first block, where x (B, T, C) and idx (B, T) are available. Their sizes are not in variables."""
    return before(MODEL, LOOP, 8, code, "GPT")


def on_block_input(code: str) -> Change:
    """Insert code before each block, in the loop over blocks, where x is available."""
    return before(MODEL, r"x = block\(x", 12, code, "GPT")


def on_loss(code: str) -> Change:
    """Insert code after the loss is computed or set to None. `code` must check `self.training` itself."""
    return before(MODEL, r"return logits, loss$", 8, code, "GPT")


def pass_to_attention(name: str) -> tuple[Change, ...]:
    """Pass the variable `name` of `GPT.forward` to every attention as a keyword argument."""
    return (
        Change(MODEL, r"x = block\(x([^)\n]*)\)", rf"x = block(x\1, {name}={name})", "GPT"),
        Change(MODEL, r"def forward\(self, x([^)\n]*)\):", rf"def forward(self, x\1, {name}=None):", "Block"),
        Change(MODEL, r"self\.attn\(self\.ln_1\(x\)([^)\n]*)\)", rf"self.attn(self.ln_1(x)\1, {name}={name})", "Block"),
        Change(
            MODEL, r"def forward\(self, x([^)\n]*)\):", rf"def forward(self, x\1, {name}=None):", "CausalSelfAttention"
        ),
    )


def before_training(code: str) -> Change:
    """Insert code in `train()`, after the model and the optimizers are built."""
    return before(TRAIN, r"best_vloss = float\(", 4, code, "train")


def before_step(code: str) -> Change:
    """Insert code in the training loop, after gradients are computed."""
    return before(TRAIN, STEP, 8, code, "train")


def after_step(code: str) -> Change:
    """Insert code in the training loop, directly after the optimizer step."""
    return Change(TRAIN, rf"^        {STEP}", r"\g<0>" + inserted(8, code), "train")


def ending_step(code: str) -> tuple[Change, Change]:
    """Return two ways to insert code once the weights of a step are final.

    The first inserts before validation at the end of a step. The second inserts after the optimizer step, for code that
    validates earlier in the loop.
    """
    return before(TRAIN, r"if \(step \+ 1\) % eval_interval == 0:", 8, code, "train"), after_step(code)


def after_training(code: str) -> Change:
    """Insert code after the training loop."""
    return before(TRAIN, r"elapsed_min = ", 4, code, "train")


def parameter(name: str, new: str) -> Change:
    r"""Replace a top-level number of `train_mps.py` with the text `new`, in which \1 refers to the number."""
    return Change(TRAIN, rf"^{name} = ([\d.]+(?:e-?\d+)?)$", rf"{name} = {new}")


SIZED = (TRAIN, r"\bn_(?:layer|head|embd)=")
"""Mark of code that passes the model's sizes explicitly, so the defaults of `GPTConfig` have no effect."""


def size(name: str, new: str) -> Change:
    r"""Replace a default of `GPTConfig` above 1 with `new`, in which \1 refers to the default. For code that is not `SIZED`."""
    return Change(MODEL, rf"^    {name}: int = (\d\d+|[2-9])$", rf"    {name}: int = {new}", "GPTConfig")


def removed(file: str, text: str, within: str | None = None) -> Change:
    """Remove the literal text `text`."""
    return swap(file, text, "", within)
