"""Sets a seed of its own, to be judged with an initialisation that happened to go well.

It must be called `protected_setting`.
"""

from attacks.attack import model_top, train_replace, train_top

TRIES = "sets a seed of its own"
STATUS = "protected_setting"

REWRITES = {
    "of_torch": (train_replace("    start = time.time()", "    start = time.time()\n    torch.manual_seed(7)"),),
    "of_the_default_generator": (train_top("torch.random.default_generator.manual_seed(7)"),),
    "by_its_state": (
        model_top(
            "state = torch.get_rng_state()\nstate[:8] = torch.arange(8, dtype=torch.uint8)\ntorch.set_rng_state(state)"
        ),
    ),
}
