"""Edits of the learning rate, its schedule and Adam's betas. Schedules depend on the iteration, never on time."""

from evo.catalogue.edits.core import TRAIN, Change, Edit, Way, above, choices, inserted, marked
from evo.catalogue.edits.insertion import parameter

_CURVES = {
    "baseline": "    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)\n",
    "linear_warmdown": "    return learning_rate * max(0.02, min(1.0, 2.0 * (1.0 - ratio)))\n",
    "constant_rate": "    return learning_rate\n",
    "cosine_to_zero": "    return 0.5 * (1.0 + math.cos(math.pi * ratio)) * learning_rate\n",
    "straight_decay": "    return learning_rate * (1.0 - 0.98 * ratio)\n",
    "inverse_root": "    return learning_rate / math.sqrt(1.0 + 24.0 * ratio)\n",
    "pendulum": "    return learning_rate * (0.55 + 0.45 * math.cos(5.0 * math.pi * ratio))\n",
}
_WORDS = ("schedule", "meta optim", "experiment", "scientific method", "learning rate", "kinematic", "falling bodies")


_APPLIED = """
for optimizer in optimizers:
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * get_lr(step) / learning_rate
"""


def _anew(curve: str) -> Way:
    """Return the way to add a schedule to code that has none and validates at the start of the training loop."""
    return (
        Change(TRAIN, r"^import time$", "import math\nimport time"),
        above(TRAIN, "configure_optimizers", f"def get_lr(step):\n    ratio = step / max_iters\n{curve}"),
        Change(
            TRAIN,
            r"^    for step in range\(max_iters\):\n(?=        if step % eval_interval == 0:)",
            r"\g<0>" + inserted(8, _APPLIED),
            "train",
        ),
    )


def _curve(name: str, description: str, words: tuple[str, ...], weight: float = 1.0) -> Edit:
    ways = choices(TRAIN, _CURVES, name)
    if name != "constant_rate":
        ways += (_anew(_CURVES[name]),)
    return Edit(
        name=name,
        description=description,
        words=(*_WORDS, *words),
        mark=marked(TRAIN, _CURVES[name]),
        ways=ways,
        weight=weight,
    )


def _rate(name: str, description: str, factor: str, weight: float) -> Edit:
    """Return an edit that multiplies or divides the base learning rate. A new factor replaces the previous one."""
    return Edit(
        name=name,
        description=description,
        words=("learning rate", "meta optim", "optimizer", "experiment", "acceleration", "optimization theory"),
        mark=(TRAIN, rf"^learning_rate = \S+ {factor.replace('*', '[*]')}$"),
        ways=(
            (Change(TRAIN, r"^learning_rate = ([\d.]+(?:e-?\d+)?)(?: [*/] \d)?$", rf"learning_rate = \1 {factor}"),),
        ),
        weight=weight,
    )


EDITS = (
    _rate("triple_rate", "The learning rate is three times as large.", "* 3", 1.1),
    _rate("double_rate", "The learning rate is twice as large.", "* 2", 1.0),
    _rate("third_rate", "The learning rate is a third of what it was.", "/ 3", 0.5),
    _curve(
        "linear_warmdown",
        "The learning rate stays up for the first half and falls in a straight line in the second.",
        ("cooling", "anneal", "piecewise"),
        1.2,
    ),
    _curve("constant_rate", "After its warm-up the learning rate stays where it is.", ("inertia", "uniform"), 0.5),
    _curve(
        "cosine_to_zero", "The cosine of the learning rate goes all the way to zero.", ("cosine", "trigonometric"), 0.9
    ),
    _curve("straight_decay", "The learning rate falls in a straight line to a fiftieth.", ("projectile",), 0.9),
    _curve(
        "inverse_root", "The learning rate falls with the inverse square root of time.", ("series", "stochastic"), 0.6
    ),
    _curve(
        "pendulum", "The learning rate swings down, up and down again.", ("pendulum", "oscillat", "cyclic", "wave"), 0.5
    ),
    Edit(
        name="longer_warmup",
        description="The learning rate warms up three times as long.",
        words=("warm", "experiment", "gradual", "falling bodies", "acceleration", "growing"),
        mark=(TRAIN, r"^warmup_iters = \d+ \* 3$"),
        ways=((parameter("warmup_iters", r"\1 * 3"),),),
        weight=0.7,
    ),
    Edit(
        name="short_memory",
        description="Adam forgets its squared gradients five times as fast.",
        words=("memory", "forgetting", "adam", "optimizer", "statistic"),
        mark=(TRAIN, r"^beta1, beta2 = 0\.9, 0\.95$"),
        ways=((Change(TRAIN, r"^beta1, beta2 = 0\.9, 0\.99$", "beta1, beta2 = 0.9, 0.95"),),),
        weight=0.7,
    ),
)
