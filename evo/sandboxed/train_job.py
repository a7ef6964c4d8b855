"""Training job: runs a candidate's `train()` and saves the trained model as plain tensors.

The job writes three files to `out/` in its scratch folder:

- `result.json`: the values that the candidate reported and the constructor's arguments, or a named failure.
- `weights.safetensors`: the trained weights.
- `probe.bin`: logits of the trained model on windows that the job receives once its weights are saved.

This module decides which model is the result. It does not score the model.
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


class ContractViolation(Exception):
    """Violation of the contract by a candidate that ran, with a status and a reason."""


def plain(value: Any) -> dict[str, Any]:
    """Convert a constructor argument to JSON. A configuration object becomes its class name and fields.

    Raises:
        ContractViolation: "not_rebuildable" if `value` is neither a plain value nor an object of plain fields.
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
        raise ContractViolation(
            "not_rebuildable", f"an argument of GPT() is a {type(value).__name__}, not a plain value"
        )
    return {"class": type(value).__name__, "fields": {key: plain(item) for key, item in fields.items()}}


def record_models(gpt: Any) -> tuple[list[Any], list[int]]:
    """Patch class `gpt` so that each instance records its constructor's arguments.

    Returns:
        Two lists that are updated during the training. The first holds the GPT that was last trained or created. The second
        holds one number per GPT created.
    """
    trained: list[Any] = []
    made: list[int] = []
    init, call = gpt.__init__, gpt.__call__

    def remembering_init(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = {"args": [plain(arg) for arg in args], "kwargs": {key: plain(arg) for key, arg in kwargs.items()}}
        init(self, *args, **kwargs)
        if type(self) is gpt:
            self.__dict__["_evo_arguments"] = arguments
            trained[:] = [self]
            made.append(len(made))

    def remembering_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.training and torch.is_grad_enabled() and type(self) is gpt:
            trained[:] = [self]
        return call(self, *args, **kwargs)

    gpt.__init__, gpt.__call__ = remembering_init, remembering_call
    return trained, made


def unwrap(model: Any, gpt: Any) -> Any:
    """Return the GPT inside compiled, averaged or parallel wrappers.

    Raises:
        ContractViolation: "contract" if there is none.
    """
    for _ in range(8):
        if isinstance(model, gpt):
            return model
        model = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
    raise ContractViolation("contract", "harness.keep() was not given a GPT of model.py")


def reported_pair(value: Any) -> tuple[float, float]:
    """Return `best_vloss, elapsed_min` as two floats.

    Raises:
        ContractViolation: "contract" if `value` is not a pair of numbers.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ContractViolation(
            "contract", f"train() must return best_vloss, elapsed_min; it returned {type(value).__name__}"
        )
    try:
        return float(value[0]), float(value[1])
    except (TypeError, ValueError):
        raise ContractViolation("contract", "train() must return two numbers, best_vloss, elapsed_min") from None


def probe_logits(model: Any, job: dict[str, Any], harness: Any) -> bytes:
    """Request the probe windows and return the trained model's logits on them, float32 (rows, time, vocab) as bytes."""
    idx = harness.ask(b"p", job["probe_rows"], job["block_size"])
    model.eval()
    with torch.no_grad():
        logits, _ = model(idx, torch.zeros_like(idx))
    data: bytes = logits.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return data


def seed_everything(seed: int) -> list[str]:
    """Seed all global random generators. Return a list that records later calls by the candidate to a seeding function."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    noted: list[str] = []
    for module, name in (
        *((random, "seed"), (numpy.random, "seed"), (torch, "manual_seed"), (torch, "seed")),
        *(
            (torch.random, "manual_seed"),
            (torch.random, "seed"),
            (torch.cuda, "manual_seed"),
            (torch.mps, "manual_seed"),
        ),
    ):
        setattr(module, name, noting(getattr(module, name), f"{module.__name__}.{name}", noted))
    return noted


def noting(seed: Any, name: str, noted: list[str]) -> Any:
    """Wrap a seeding function to record calls from code outside the installed libraries."""
    libraries = (sys.prefix, sys.base_prefix, sys.exec_prefix)

    def seeding(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        if not caller.f_code.co_filename.startswith((*libraries, "<frozen")):
            noted.append(f"{name} on line {caller.f_lineno} of {pathlib.Path(caller.f_code.co_filename).name}")
        return seed(*args, **kwargs)

    return seeding


def train(job: dict[str, Any]) -> None:
    """Train, save the weights and the result, and answer the probe.

    Raises:
        ContractViolation: if the candidate violates the contract.
    """
    noted = seed_everything(job["seed"])
    train_file, model_file = (pathlib.Path(name).stem for name in job["files"])
    import harness  # type: ignore[import-not-found]  # copied next to the candidate's files

    trained: list[Any] = []
    made: list[int] = []
    gpt: Any = None
    try:
        gpt = getattr(importlib.import_module(model_file), "GPT", None)
        if not isinstance(gpt, type) or not issubclass(gpt, torch.nn.Module):
            raise ContractViolation("contract", f"{model_file}.py must define GPT, a torch.nn.Module")
        trained, made = record_models(gpt)
        train_module = importlib.import_module(train_file)
        if not callable(getattr(train_module, "train", None)):
            raise ContractViolation("contract", f"{train_file}.py must define train()")
        vloss, minutes = reported_pair(train_module.train())
    except harness.ShortRunEnd:
        if not trained:
            return write_result({"certain": False})  # batches drawn before a model exists: inconclusive
        vloss = minutes = math.nan
    except harness.ProtectedSetting as changed:
        raise ContractViolation("protected_setting", str(changed)) from None
    if torch.initial_seed() != job["seed"]:
        noted.append("another seed of torch's default generator")
    if noted:
        raise ContractViolation("protected_setting", f"seed: expected the harness's alone, found {noted[0]}")
    if not (harness.kept or trained):
        raise ContractViolation("contract", f"train() made no GPT of {model_file}.py")
    result = unwrap(harness.kept[0] if harness.kept else trained[0], gpt)
    if "_evo_arguments" not in result.__dict__:
        raise ContractViolation(
            "contract", f"the result is a {type(result).__name__}; expected a GPT itself, no class derived from it"
        )
    tensors = {name: t.detach().to("cpu").clone().contiguous() for name, t in result.state_dict().items()}
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        raise ContractViolation("not_finite", "the trained weights are not finite")
    save_file(tensors, "out/weights.safetensors")
    write_result(
        {
            "reported_vloss": vloss if math.isfinite(vloss) else None,
            "reported_elapsed_min": minutes if math.isfinite(minutes) else None,
            "arguments": result.__dict__["_evo_arguments"],
            "certain": bool(harness.kept) or len(made) == 1,  # whether a short run shows which model is the result
            "n_params": sum(p.numel() for p in result.parameters()),
        }
    )
    pathlib.Path("out/probe.bin").write_bytes(probe_logits(result, job, harness))


def write_result(result: dict[str, Any]) -> None:
    """Write result.json. The trainer reads it, like the weights, when the probe is requested and ignores later changes."""
    pathlib.Path("out/result.json").write_text(json.dumps(result), encoding="utf-8")


def main() -> int:
    """Run the training job and return the exit code.

    The code is 0 after a training and 3 after a contract violation, which result.json names. The caller prints any other
    exception.
    """
    job = json.loads(pathlib.Path("job.json").read_text(encoding="utf-8"))
    sys.argv = [job["files"][0]]
    try:
        train(job)
    except ContractViolation as unfit:
        status, reason = unfit.args
        write_result({"status": status, "reason": reason})
        return 3
    return 0
