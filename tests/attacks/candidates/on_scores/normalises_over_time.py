"""Normalises over time: means and variances of the whole window tell of its later tokens.

It must be called `leaks_future`.
"""

from attacks.attack import hidden

TRIES = "normalises the hidden states with statistics of the whole window"
STATUS = "leaks_future"

REWRITES = {
    "layer_norm": (hidden("x = F.layer_norm(x.transpose(1, 2), (T,)).transpose(1, 2)"),),
    "instance_norm": (hidden("x = F.instance_norm(x.transpose(1, 2)).transpose(1, 2)"),),
    "less_the_mean": (hidden("x = x - x.mean(dim=1, keepdim=True)"),),
}
