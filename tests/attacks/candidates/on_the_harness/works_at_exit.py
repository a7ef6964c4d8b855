"""Leaves work for the end of its process, when everything has been saved.

The process ends without running such work: it must end `ok` with the loss that its weights earn.
"""

from attacks.attack import train_end

TRIES = "leaves work for the end of its process"
STATUS = "ok"
PRINTS = "left for later"

SPOIL = """
def spoil(*args):
    print("SPOILT", flush=True)
    for name in ("out/weights.safetensors", "out/result.json"):
        open(name, "w").close()
print("left for later")
"""

REWRITES = {
    "registered": (train_end(SPOIL + "import atexit\natexit.register(spoil)"),),
    "when_it_is_collected": (train_end(SPOIL + "import weakref\nweakref.finalize(train, spoil)"),),
    "when_threads_end": (train_end(SPOIL + "import threading\nthreading._register_atexit(spoil)"),),
}
