"""The training job: runs a candidate's `train()` and leaves the trained model behind as plain tensors.

Writes into `out/` of its scratch folder: `result.json` (what the candidate reported, the constructor's arguments, or a
failure with its name), `weights.safetensors`, and `probe.bin` (logits of the trained model on `data/probe.bin`).
It owns how the result is found and never what it is worth.
"""

import dataclasses
import importlib
import json
import math
import pathlib
import random
import sys
from typing import Any

import numpy
import torch
from safetensors.torch import save_file


class Unfit(Exception):
    """A candidate that ran but does not keep the contract: (status, reason)."""


def plain(value: Any) -> dict[str, Any]:
    """A constructor argument as JSON; a configuration object becomes its class's name and fields.

    Raises:
        Unfit: "not_rebuildable" for what is neither a plain value nor an object of plain fields.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if isinstance(value, (list, tuple)):
        return {"list": [plain(item) for item in value], "tuple": isinstance(value, tuple)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: plain(item) for key, item in value.items()}}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "__dict__") and not callable(value) and not isinstance(value, torch.Tensor):
        fields = dict(vars(value))
    else:
        raise Unfit("not_rebuildable", f"an argument of GPT() is a {type(value).__name__}, not a plain value")
    return {"class": type(value).__name__, "fields": {key: plain(item) for key, item in fields.items()}}


def watch(gpt: Any) -> list[Any]:
    """Make every GPT remember its constructor's arguments, and return the list in which the last trained one is kept."""
    trained: list[Any] = []
    init, call = gpt.__init__, gpt.__call__

    def remembering_init(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = {"args": [plain(arg) for arg in args], "kwargs": {key: plain(arg) for key, arg in kwargs.items()}}
        init(self, *args, **kwargs)
        if type(self) is gpt:
            self.__dict__["_evo_arguments"] = arguments
            trained[:] = [self]

    def remembering_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.training and torch.is_grad_enabled() and type(self) is gpt:
            trained[:] = [self]
        return call(self, *args, **kwargs)

    gpt.__init__, gpt.__call__ = remembering_init, remembering_call
    return trained


def unwrap(model: Any, gpt: Any) -> Any:
    """The GPT inside compiled, averaged or parallel wrappers."""
    for _ in range(8):
        if isinstance(model, gpt):
            return model
        model = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
    raise Unfit("contract", "harness.keep() was not given a GPT of model.py")


def reported_pair(value: Any) -> tuple[float, float]:
    """`best_vloss, elapsed_min` as two floats."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Unfit("contract", f"train() must return best_vloss, elapsed_min; it returned {type(value).__name__}")
    try:
        return float(value[0]), float(value[1])
    except (TypeError, ValueError):
        raise Unfit("contract", "train() must return two numbers, best_vloss, elapsed_min") from None


def probe_logits(model: Any, job: dict[str, Any]) -> bytes:
    """Logits of the trained model on the probe windows: float32 (rows, time, vocab), as bytes."""
    windows = numpy.fromfile("data/probe.bin", dtype=numpy.uint16).astype(numpy.int64).reshape(-1, job["block_size"])
    idx = torch.from_numpy(windows).to(job["device"])
    model.eval()
    with torch.no_grad():
        logits, _ = model(idx, torch.zeros_like(idx))
    data: bytes = logits.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return data


def seed_everything(seed: int) -> None:
    """Every global generator that a candidate may draw from."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train and save; return what goes into result.json."""
    seed_everything(job["seed"])
    train_file, model_file = (pathlib.Path(name).stem for name in job["files"])
    import harness  # type: ignore[import-not-found]  # it lies beside the candidate's files

    gpt = getattr(importlib.import_module(model_file), "GPT", None)
    if not isinstance(gpt, type) or not issubclass(gpt, torch.nn.Module):
        raise Unfit("contract", f"{model_file}.py must define GPT, a torch.nn.Module")
    trained = watch(gpt)
    train_module = importlib.import_module(train_file)
    if not callable(getattr(train_module, "train", None)):
        raise Unfit("contract", f"{train_file}.py must define train()")
    vloss, minutes = reported_pair(train_module.train())
    if not (harness.kept or trained):
        raise Unfit("contract", f"train() made no GPT of {model_file}.py")
    result = unwrap(harness.kept[0] if harness.kept else trained[0], gpt)
    tensors = {name: t.detach().to("cpu").clone().contiguous() for name, t in result.state_dict().items()}
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        raise Unfit("not_finite", "the trained weights are not finite")
    save_file(tensors, "out/weights.safetensors")
    pathlib.Path("out/probe.bin").write_bytes(probe_logits(result, job))
    return {
        "reported_vloss": vloss if math.isfinite(vloss) else None,
        "reported_elapsed_min": minutes if math.isfinite(minutes) else None,
        "arguments": result.__dict__["_evo_arguments"],
        "n_params": sum(p.numel() for p in result.parameters()),
        "batches": dict(harness.drawn),
    }


def main() -> int:
    """Return the exit code: 0 trained, 3 unfit (named in result.json); an exception is the caller's to print."""
    job = json.loads(pathlib.Path("job.json").read_text(encoding="utf-8"))
    sys.argv = [job["files"][0]]
    code = 0
    try:
        result = train(job)
    except Unfit as unfit:
        status, reason = unfit.args
        result, code = {"status": status, "reason": reason}, 3
    pathlib.Path("out/result.json").write_text(json.dumps(result), encoding="utf-8")
    return code
