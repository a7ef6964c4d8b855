"""Model server: rebuilds a trained model and returns logits for windows of tokens. It never sees a target.

A request is 8 bytes (rows and columns, little-endian uint32) followed by rows x columns uint16 tokens. The first byte of a
reply is 0 or 1. After 0 follow float32 logits (rows, columns, vocab_size). After 1 follow a length (uint32) and a JSON
object {"status", "reason"}.
"""

import importlib
import json
import os
import pathlib
import struct
from typing import Any

import numpy
import torch
from safetensors.torch import load_file


class Refused(Exception):
    """Failure of the model to answer, with a status and a reason."""


def value_of(plain: dict[str, Any], module: Any) -> Any:
    """Return the constructor argument that `train_job.plain` converted to `plain`."""
    if "value" in plain:
        return plain["value"]
    if "list" in plain:
        items = [value_of(item, module) for item in plain["list"]]
        return tuple(items) if plain["tuple"] else items
    if "dict" in plain:
        return {key: value_of(item, module) for key, item in plain["dict"].items()}
    fields = {key: value_of(item, module) for key, item in plain["fields"].items()}
    kind = getattr(module, plain["class"], None)
    if kind is None:
        raise Refused("not_rebuildable", f"model.py has no class {plain['class']}, an argument of GPT()")
    try:
        return kind(**fields)
    except TypeError:
        made = kind.__new__(kind)
        made.__dict__.update(fields)
        return made


def rebuild(job: dict[str, Any]) -> Any:
    """Rebuild the model from the candidate's model file, the constructor's arguments and the weights.

    The returned model is in eval mode on the job's device.

    Raises:
        Refused: "not_rebuildable" if an argument's class is missing or the weights do not fit the model.
    """
    module = importlib.import_module(pathlib.Path(job["files"][1]).stem)
    given = job["arguments"]
    args = [value_of(arg, module) for arg in given["args"]]
    kwargs = {key: value_of(arg, module) for key, arg in given["kwargs"].items()}
    model = module.GPT(*args, **kwargs)
    weights = load_file("out/weights.safetensors")
    take_number_types(model, weights)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise Refused("not_rebuildable", " ".join(str(error).split())[:300]) from None
    return model.to(job["device"]).eval()


def take_number_types(model: Any, weights: dict[str, Any]) -> None:
    """Convert `model` to the floating-point types of its trained weights, tensor by tensor if the types are mixed."""
    kinds = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(kinds) == 1:
        model.to(kinds.pop())
        return
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in weights and tensor.is_floating_point():
            tensor.data = tensor.data.to(weights[name].dtype)


def answer(model: Any, windows: Any, job: dict[str, Any]) -> bytes:
    """Return the logits of `windows` (int64, rows x columns) as float32 bytes.

    Raises:
        Refused: "bad_shape" if the model does not return logits of the expected shape.
    """
    idx = torch.from_numpy(windows).to(job["device"])
    with torch.no_grad():
        output = model(idx, torch.zeros_like(idx))
    if not isinstance(output, tuple) or len(output) != 2 or not isinstance(output[0], torch.Tensor):
        raise Refused("bad_shape", f"forward must return (logits, loss), it returned {type(output).__name__}")
    expected = (*windows.shape, job["vocab_size"])
    if tuple(output[0].shape) != expected:
        raise Refused("bad_shape", f"expected logits of shape {expected}, found {tuple(output[0].shape)}")
    return output[0].detach().to("cpu", torch.float32).contiguous().numpy().tobytes()


def send(fd: int, data: bytes) -> None:
    """Write all of `data` to `fd`."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, count: int) -> bytes:
    """Return exactly `count` bytes, or b"" at end of file."""
    data = b""
    while len(data) < count:
        piece = os.read(fd, count - len(data))
        if not piece:
            return b""
        data += piece
    return data


def main(requests: int, replies: int) -> int:
    """Answer requests until end of file and return the exit code: 0, or 3 after a refusal."""
    job = json.loads(pathlib.Path("job.json").read_text(encoding="utf-8"))
    torch.manual_seed(job["seed"])
    try:
        model = rebuild(job)
        while header := receive(requests, 8):
            rows, columns = struct.unpack("<II", header)
            tokens = numpy.frombuffer(receive(requests, 2 * rows * columns), dtype="<u2")
            send(replies, b"\0" + answer(model, tokens.astype(numpy.int64).reshape(rows, columns), job))
    except Refused as refused:
        status, reason = refused.args
        body = json.dumps({"status": status, "reason": reason}).encode()
        send(replies, b"\1" + struct.pack("<I", len(body)) + body)
        return 3
    return 0
