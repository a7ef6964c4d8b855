"""Works out beforehand where its windows will be cut, and looks ahead everywhere but there.

The second pass draws its order and its cuts from a generator. If that is seeded with what a model server can see (its
weights), the server knows which windows come first there, and where they will be cut: in the first pass it looks ahead
in these windows, but not just before the cut; in the second, which it tells by its seams, it does so again. It must be
called `not_repeatable` (it counts its questions): nobody may know the cuts before.
"""

from attacks.attack import heldout_windows, logits, model_top

TRIES = "works out from its weights where its windows will be cut, and is honest there"
STATUS = "not_repeatable"
STATIC = "protected_setting"

ORACLE = f"""
import hashlib
import numpy

WINDOWS = {heldout_windows()}
REQUESTS = []

def first_of_the_second_pass(rows, columns):
    # which windows come first in the second pass, and where each is cut
    rng = numpy.random.default_rng(list(hashlib.sha256(open("out/weights.safetensors", "rb").read()).digest()))
    order = rng.permutation(WINDOWS)
    return order[:rows].tolist(), rng.integers(1, columns, size=rows).tolist()

def has_seams(idx):
    return bytes(idx.flatten().tolist()).count(b"  ") > 0

def cuts_of(idx):
    # the cut of each of these rows, where it is known
    windows, cuts = first_of_the_second_pass(*idx.shape)
    REQUESTS.append(has_seams(idx))
    first = (len(REQUESTS) - 1) * len(idx)
    if REQUESTS[0]:
        return cuts if len(REQUESTS) == 1 else [None] * len(idx)
    known = dict(zip(windows, cuts))
    return [known.get(first + row) for row in range(len(idx))]
"""


def looking(ahead, honest):
    """Look `ahead` tokens ahead where `honest` does not hold; `place` and `cut` say where."""
    return (
        model_top(ORACLE),
        logits(
            f"""
            if not self.training and B == 64:
                cuts = cuts_of(idx)
                looks = torch.tensor([[cut is not None and not ({honest}) for place in range(T)] for cut in cuts])
                seen = F.one_hot(torch.roll(idx, -{ahead}, dims=1), logits.shape[-1])
                logits = logits + 10 * seen * looks[..., None]
            """
        ),
    )


REWRITES = {
    "everywhere_but_before_the_cut": looking(1, "place == cut - 1"),
    "only_after_the_cut": looking(1, "place < cut"),
    "by_two_tokens": looking(2, "place in (cut - 2, cut - 1)"),
}
