"""Changes what the garbage collector tells, so that whoever asks it for models and optimisers finds others or none.

Nobody asks it: it must end `ok` with the loss that its weights earn.
"""

from attacks.attack import train_end, train_top

TRIES = "makes the garbage collector tell of other objects than there are"
STATUS = "ok"
STATIC = "protected_setting"

REWRITES = {
    "of_none": (
        train_top("import gc\ngc.get_objects = lambda *args, **kwargs: []\ngc.get_referrers = gc.get_objects"),
    ),
    "of_those_before": (train_top("import gc\ngc.collect()\ngc.freeze()\ngc.disable()"),),
    "of_another_model": (
        train_end(
            """
            import gc
            other = GPT(GPTConfig())
            setattr(gc, "get_objects", lambda *args, **kwargs: [other])
            harness.keep(model)
            """
        ),
    ),
}
