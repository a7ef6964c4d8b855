"""Check of a weights file before it is loaded: plain tensors that fill the file without gaps.

Reads the safetensors header (8 bytes of length, JSON, data). Unpickles nothing.
"""

import json
import struct
from typing import Any

_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
_HEADER_BYTES = 4_000_000
_MOST_BYTES = 2**62


class BadWeights(Exception):
    """Raised for a bad weights file. The message is one line."""


def number_types(data: bytes) -> set[str]:
    """Return the number types of the tensors in a weights file, as safetensors names them.

    Raises:
        BadWeights: The file is not a safetensors file, or its tensors do not fill it exactly.
    """
    if len(data) < 8:
        raise BadWeights("no weights were left")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(_HEADER_BYTES, len(data) - 8):
        raise BadWeights(f"expected a safetensors header, found a length of {length} bytes in a file of {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length])
        tensors = [_tensor(value) for name, value in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadWeights("expected a safetensors header, found something else") from None
    reached = 0
    for first, last, expected, _ in sorted(tensors):
        if expected != last - first or first != reached:
            raise BadWeights("the tensors' shapes do not fit their bytes")
        reached = last
    if reached != len(data) - 8 - length:
        raise BadWeights("the tensors do not fill the file")
    return {kind for *_, kind in tensors}


def _tensor(told: dict[str, Any]) -> tuple[int, int, int, str]:
    """Return first byte, end, expected bytes (-1 if beyond any file) and type of a tensor, from its header entry.

    Raises:
        ValueError, TypeError, KeyError: The entry is not that of a tensor.
    """
    first, last = told["data_offsets"]
    numbers = [first, last, *told["shape"]]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("expected whole numbers")
    kind = str(told["dtype"])
    expected = _ITEM_BYTES[kind]
    for n in told["shape"]:
        expected *= n
        if expected > _MOST_BYTES:
            return first, last, -1, kind
    return first, last, expected, kind
