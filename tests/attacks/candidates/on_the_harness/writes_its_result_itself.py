"""Writes the file in which the training job says how it went, and ends its process before the job can.

Without a trained model there is nothing to score: it must be called `crashed`, or `bad_shape` for the logits that are
missing.
"""

from attacks.attack import train_end

TRIES = "writes result.json itself and ends its process"
STATUS = ("crashed", "bad_shape")
PRINTS = "wrote it"


def writing(code):
    return f"""
import json, os
with open("out/result.json", "w") as file:
    json.dump({{"status": "ok", "val_loss": 0.0, "reported_vloss": 0.0, "reported_elapsed_min": 0.0}}, file)
print("wrote it", flush=True)
os._exit({code})
"""


REWRITES = {
    "as_if_all_went_well": (train_end(writing(0)),),
    "as_a_failure_called_ok": (train_end(writing(3)),),
    "and_leaves_without_a_word": (train_end("print('wrote it')\nraise SystemExit(0)"),),
}
