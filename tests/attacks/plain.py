"""The held-out loss of a trained model by hand: no sandbox, no server, no pipe, and nothing of evo.

It runs in a process of its own (`Plain` starts one for each evaluation), because it imports the candidate's model.py.
"""

import importlib
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load
from torch.nn.functional import cross_entropy


def plain_loss(source, arguments, weights, text, block_size):
    """Mean cross-entropy in nats of text[1:], in float64, each byte predicted once.

    Windows of `block_size` follow each other; what is left at the end is predicted from the last `block_size` bytes.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("model.py").write_text(source, encoding="utf-8")
        sys.path.insert(0, folder)
        model = rebuilt(importlib.import_module("model"), arguments, load(weights))
        os.chdir("/")
    tokens = torch.tensor(list(text))
    n = len(tokens) - 1
    whole = n // block_size * block_size
    total = loss_of(model, tokens[:whole].view(-1, block_size), tokens[1 : whole + 1].view(-1, block_size)).sum()
    if rest := n - whole:
        last = loss_of(model, tokens[n - block_size : n][None], tokens[n - block_size + 1 :][None])
        total += last[0, block_size - rest :].sum()
    return (total / n).item()


def rebuilt(module, arguments, weights):
    """The trained model, in eval mode, in the number type of its weights where they have only one."""
    positional = [value_of(argument, module) for argument in arguments["args"]]
    named = {name: value_of(argument, module) for name, argument in arguments["kwargs"].items()}
    model = module.GPT(*positional, **named)
    types = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(types) == 1:
        model.to(types.pop())
    model.load_state_dict(weights)
    return model.eval()


def value_of(plain, module):
    """An argument of the constructor, from its description in result.json."""
    if "value" in plain:
        return plain["value"]
    if "list" in plain:
        return [value_of(item, module) for item in plain["list"]]
    if "dict" in plain:
        return {name: value_of(item, module) for name, item in plain["dict"].items()}
    return getattr(module, plain["class"])(**{name: value_of(item, module) for name, item in plain["fields"].items()})


def loss_of(model, inputs, targets):
    """Losses in nats, float64, (windows, time); 64 windows at a time."""
    found = []
    for x, y in zip(inputs.split(64), targets.split(64), strict=True):
        with torch.no_grad():
            logits = model(x, torch.zeros_like(x))[0].double()
        found.append(cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape))
    return torch.cat(found)


class Plain:
    """Evaluations by hand, each in a fresh process forked from one that has imported torch and nothing of a candidate's."""

    def __init__(self):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "safetensors.torch", "attacks.plain"])
        self._pool = context.Pool(1, maxtasksperchild=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.terminate()
        self._pool.join()

    def loss(self, *arguments):
        """`plain_loss`, within a minute."""
        return self._pool.apply_async(plain_loss, arguments).get(timeout=60)
