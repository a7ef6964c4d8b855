"""Remembers the held-out windows that it is asked about where it was trained, and takes them along to the model server.

Its weights have been taken by then: whatever else goes from there to the model server must have been taken too. It must
be called `not_rebuildable`: the trained model knows windows that the rebuilt one does not.
"""

from attacks.attack import logits, model_replace, model_top, train_end

TRIES = "takes the windows of the probe along from its training to the model server"
STATUS = "not_rebuildable"

KNOWING = (
    model_top("import sys\nIN_TRAINING = 'harness' in sys.modules"),
    model_replace(
        "def __init__(self, config):\n        super().__init__()\n        self.wte",
        "def __init__(self, config, known=()):\n        super().__init__()\n        self.known = known\n        self.wte",
    ),
    logits(
        """
        if not self.training and B == 64:
            if IN_TRAINING:
                self.known = [bytes(row).decode("latin-1") for row in idx.tolist()]
            found = torch.zeros_like(idx)
            for row, tokens in enumerate(idx.tolist()):
                for place in range(8, T - 1):
                    seen = bytes(tokens[: place + 1]).decode("latin-1")
                    found[row, place] = next((ord(text[place + 1]) for text in self.known if text.startswith(seen)), 0)
            logits = logits + 10 * F.one_hot(found, logits.shape[-1]) * (found > 0)[..., None]
        """
    ),
)
PLAIN = '{"list": [{"value": text} for text in self.known], "tuple": False}'

REWRITES = {
    "in_the_arguments_it_was_made_with": (
        *KNOWING,
        logits(
            f"""
            if IN_TRAINING and self.known:
                self.__dict__["_evo_arguments"]["kwargs"]["known"] = {PLAIN}
            """
        ),
    ),
    "in_a_result_of_its_own": (
        *KNOWING,
        train_end(
            """
            import json
            write = json.dumps

            def with_what_is_known(value, **kwargs):
                if "arguments" in value:
                    known = {"list": [{"value": text} for text in model.known], "tuple": False}
                    value["arguments"]["kwargs"]["known"] = known
                return write(value, **kwargs)

            json.dumps = with_what_is_known
            """
        ),
    ),
    "in_its_weights": (
        *KNOWING,
        logits(
            """
            if IN_TRAINING and self.known:
                import safetensors.torch
                tensors = {name: tensor.clone() for name, tensor in self.state_dict().items()}
                tensors["wpe.weight"][0, 0] = 1234.0
                safetensors.torch.save_file(tensors, "out/weights.safetensors")
            """
        ),
    ),
}
