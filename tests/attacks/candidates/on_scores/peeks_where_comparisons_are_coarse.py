"""Looks ahead a little where two answers are compared less closely: in 16 bits, and among very large logits.

It must be called `leaks_future`: the loss just before the cut decides too.
"""

from attacks.attack import logits, parts, train_end

TRIES = "looks ahead a little where answers are compared less closely"
STATUS = "leaks_future"

PEEK = "0.1 * F.one_hot(torch.roll(idx, -1, dims=1), logits.shape[-1]).to(logits.dtype)"

REWRITES = {
    "in_sixteen_bits": (logits(f"logits = logits + {PEEK}"), train_end("model.to(torch.bfloat16)")),
    "beside_one_number_of_sixteen_bits": (
        parts("self.register_buffer('unused', torch.zeros(1, dtype=torch.float16))"),
        logits(f"logits = logits + {PEEK}"),
    ),
    "among_large_numbers": (
        parts("self.register_buffer('unused', torch.zeros(1, dtype=torch.float16))"),
        logits(f"logits = logits + {PEEK} + 1e5"),
    ),
}
