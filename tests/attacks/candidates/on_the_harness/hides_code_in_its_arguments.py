"""Hands its constructor what is no plain value: code, weights, an object that rebuilds itself.

It must be called `not_rebuildable`: such arguments do not leave the sandbox.
"""

from attacks.attack import model_replace, parts, train_replace, train_top

TRIES = "hands its model code, weights or an object that rebuilds itself as an argument"
STATUS = "not_rebuildable"


def given(code):
    return (
        model_replace(
            "def __init__(self, config):\n        super().__init__()\n        self.wte",
            "def __init__(self, config, extra=None):\n        super().__init__()\n        self.wte",
        ),
        parts("self.extra = extra"),
        train_replace("block_size=block_size)).to", f"block_size=block_size), {code}).to"),
    )


REWRITES = {
    "a_function": given("lambda x: x"),
    "a_tensor": given("torch.zeros(3)"),
    "an_object_that_rebuilds_itself": (
        *given("Rebuilt()"),
        train_top(
            """
            class Rebuilt:
                __slots__ = ()

                def __reduce__(self):
                    return print, ("REBUILT",)
            """
        ),
    ),
}
