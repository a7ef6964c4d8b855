"""Replaces the harness, or the functions of it that hand out batches.

The batches that count are those that the process that judges has handed out: it must be called `protected_setting`.
"""

from attacks.attack import model_top, train_start

TRIES = "replaces the harness by one that hands out other batches"
STATUS = "protected_setting"

FAKE = """
import sys, types

def batches(part, *sizes):
    while True:
        tokens = torch.randint(97, 123, (4, 17))
        yield tokens[:, :-1], tokens[:, 1:]

fake = types.ModuleType("harness")
fake.device, fake.vocab_size, fake.kept, fake.ShortRunEnd = "cpu", 256, [], KeyError
fake.batches, fake.report, fake.keep = batches, lambda *point: None, fake.kept.append
sys.modules["harness"] = fake
"""

REWRITES = {
    "the_whole_module": (model_top(FAKE),),
    "its_batches": (
        train_start(
            """
            first = next(harness.batches("train"))
            harness.batches = lambda *args: iter(lambda: first, None)
            train_batches = harness.batches("train")
            """
        ),
    ),
    "its_counting": (
        train_start(
            """
            import os
            honest = harness._draw
            def twice(*args):
                for x, y in honest(*args):
                    os.write(harness._QUESTIONS, b"t")
                    harness._receive(1 + 2 * 4 * 17)
                    yield x, y
            train_batches = twice("train", 4, 16)
            """
        ),
    ),
}
