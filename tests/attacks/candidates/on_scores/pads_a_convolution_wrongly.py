"""Pads a convolution over time on both sides, or on the wrong one, so that it reads later tokens.

It must be called `leaks_future`.
"""

from attacks.attack import hidden, parts

TRIES = "convolves over time with padding that lets later tokens in"
STATUS = "leaks_future"

REWRITES = {
    "on_both_sides": (
        parts("self.conv = nn.Conv1d(config.width, config.width, 3, padding=1)"),
        hidden("x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)"),
    ),
    "on_the_right": (
        parts("self.conv = nn.Conv1d(config.width, config.width, 3)"),
        hidden("x = x + self.conv(F.pad(x.transpose(1, 2), (0, 2))).transpose(1, 2)"),
    ),
    "cut_at_the_wrong_end": (
        parts("self.conv = nn.Conv1d(config.width, config.width, 3, padding=2)"),
        hidden("x = x + self.conv(x.transpose(1, 2))[..., 2:].transpose(1, 2)"),
    ),
}
