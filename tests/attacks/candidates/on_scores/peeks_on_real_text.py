"""Looks ahead only where a window reads like the text it was trained on: made-up probes find an honest model.

It must be called `leaks_future`: the continuations after a cut are held-out text too.
"""

from attacks.attack import PEEK, logits, parts

TRIES = "looks ahead only in windows that read like real text"
STATUS = "leaks_future"

REWRITES = {
    "with_spaces": (
        logits(
            f"""
            real = (idx == 32).any(1) & (idx < 128).all(1)
            logits = logits + {PEEK} * real[:, None, None]
            """
        ),
    ),
    "of_bytes_seen_in_training": (
        parts("self.register_buffer('seen', torch.zeros(config.vocab_size))"),
        logits(
            f"""
            if self.training:
                self.seen[idx] = 1.0
            logits = logits + {PEEK} * (self.seen[idx].mean(1) > 0.99)[:, None, None]
            """
        ),
    ),
    "of_no_rare_pair": (
        parts("self.register_buffer('pairs', torch.zeros(config.vocab_size, config.vocab_size))"),
        logits(
            f"""
            if self.training:
                self.pairs[idx[:, :-1], idx[:, 1:]] += 1.0
            familiar = self.pairs[idx[:, :-1], idx[:, 1:]].gt(0).float().mean(1)
            logits = logits + {PEEK} * (familiar > 0.8)[:, None, None]
            """
        ),
    ),
}
