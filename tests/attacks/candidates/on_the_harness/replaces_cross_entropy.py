"""Replaces the functions with which a loss is computed by some that find a smaller one.

The scorer computes its loss in a process of its own: it must end `ok` with the loss that its weights earn.
"""

from attacks.attack import model_top, train_top

TRIES = "replaces torch's loss by a smaller one"
STATUS = "ok"
STATIC = "protected_setting"

REWRITES = {
    "in_the_training": (
        train_top(
            """
            honest = torch.nn.functional.cross_entropy
            torch.nn.functional.cross_entropy = lambda *args, **kwargs: honest(*args, **kwargs) * 1e-3
            """
        ),
    ),
    "in_the_model": (
        model_top("cross_entropy = F.cross_entropy\nF.cross_entropy = lambda a, b: cross_entropy(5 * a, b)"),
    ),
    "by_its_parts": (
        model_top("honest = torch.log_softmax\nsetattr(torch, 'log_softmax', lambda *a, **k: honest(*a, **k) / 99)"),
    ),
}
