"""Returns a loss that is not its own: zero, infinity, no number, a tensor.

It is recorded as reported, where it is a number, and counts for nothing: it must end `ok` with the loss that its
weights earn.
"""

from attacks.attack import train_replace

TRIES = "returns zero, minus infinity, no number or a tensor as its loss"
STATUS = "ok"


def returning(code):
    return (train_replace("return best_vloss, (time.time() - start) / 60", f"return {code}"),)


REWRITES = {
    "zero": returning("0.0, 0.0"),
    "infinity_and_no_number": returning("-float('inf'), float('nan')"),
    "a_tensor": returning("torch.tensor([0.01], requires_grad=True), torch.tensor(0)"),
}
