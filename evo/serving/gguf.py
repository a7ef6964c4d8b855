"""Reader of the header of a GGUF file. It reads the metadata up to the wanted entry, and no weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from evo.errors import EvoError

MAGIC = b"GGUF"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 24  # bytes of a string, elements of an array
_MOST = 1 << 16  # entries

Value = int | float | bool | str | None


def context_length(path: Path) -> int | None:
    """Return the context length for which a model was trained, in tokens. None if the file does not state it.

    Raises:
        EvoError: The file is not GGUF, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) != MAGIC:
                raise EvoError(
                    f"{path} is not a GGUF file", hint="expected a model as llama.cpp reads it", kind="endpoint"
                )
            found = (value for name, value in _entries(file) if name.endswith(".context_length"))
            length = next(found, None)
    except OSError as error:
        raise EvoError(f"{path} cannot be read: {error.strerror}", kind="endpoint") from None
    except (struct.error, ValueError) as error:
        raise EvoError(f"{path} is damaged: {error}", hint="fetch it again", kind="endpoint") from None
    return length if isinstance(length, int) and length > 0 else None


def _entries(file: IO[bytes]) -> Iterator[tuple[str, Value]]:
    """Yield names and values in file order. The value of an array is None."""
    version, _, count = _unpack(file, "IQQ")
    if version not in (2, 3):
        raise ValueError(f"expected GGUF version 2 or 3, found {version}")
    for _ in range(_within(count, _MOST)):
        name, kind = _text(file), _unpack(file, "I")[0]
        yield name, _value(file, kind)


def _value(file: IO[bytes], kind: int) -> Value:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        of, count = _unpack(file, "IQ")
        for _ in range(_within(count, _LONGEST)) if of in (_STRING, _ARRAY) else ():
            _value(file, of)
        if of in _NUMBERS:
            file.seek(struct.calcsize(_NUMBERS[of]) * _within(count, _LONGEST), 1)
        return None
    if kind not in _NUMBERS:
        raise ValueError(f"expected a type of value from 0 to 12, found {kind}")
    value: Value = _unpack(file, _NUMBERS[kind])[0]
    return value


def _text(file: IO[bytes]) -> str:
    return _read(file, _within(_unpack(file, "Q")[0], _LONGEST)).decode("utf-8", "replace")


def _unpack(file: IO[bytes], form: str) -> tuple[int, ...]:
    return struct.unpack(f"<{form}", _read(file, struct.calcsize(f"<{form}")))


def _read(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends within its header")
    return data


def _within(count: int, most: int) -> int:
    if count > most:
        raise ValueError(f"expected at most {most} of something, found {count}")
    return count
