"""Returns no pair of numbers: words, three values, a tensor of many numbers.

It must be called `contract`.
"""

from attacks.attack import train_replace

TRIES = "returns words, three values or a tensor of many numbers"
STATUS = "contract"


def returning(code):
    return (train_replace("return best_vloss, (time.time() - start) / 60", f"return {code}"),)


REWRITES = {
    "words": returning("'the best', 'the fastest'"),
    "three_values": returning("0.0, 0.0, 0.0"),
    "many_numbers": returning("torch.zeros(2, 3), 0.0"),
}
