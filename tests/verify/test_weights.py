"""The look at a weights file: plain dense tensors are told by their types, whatever else has one name and no traceback."""

import io
import json
import math
import pickle
import struct

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from evo.verify.weights import BadWeights, number_types

NAMES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
}

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)
NAMED = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__")


@st.composite
def states(draw, shapes=SHAPES):
    """A state_dict: tensors of every kind and shape, as `train_job` would save them."""
    kinds = draw(st.dictionaries(NAMED, st.tuples(st.sampled_from(list(NAMES)), shapes), max_size=5))
    return {name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in kinds.items()}


def types_of(state):
    return {NAMES[tensor.dtype] for tensor in state.values()}


def file_of(header, data=b""):
    """A weights file with this header (bytes, or what is written as JSON)."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(shape, first, last, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


VALID = save({"a": torch.ones(3, 2), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.zeros((), dtype=torch.int64)})


def test_the_file_that_the_others_here_are_made_from_is_good():
    assert number_types(VALID) == {"F32", "BF16", "I64"}


# ---- what a training leaves ----


@settings(deadline=None)
@given(states())
def test_whatever_safetensors_writes_is_told_by_its_types(state):
    assert number_types(save(state)) == types_of(state)


def test_what_else_safetensors_writes_into_the_header_is_no_tensor():
    assert number_types(save({"a": torch.zeros(2)}, {"format": "pt", "a": "b"})) == {"F32"}


def test_a_tensor_that_holds_nothing_is_a_tensor():
    assert number_types(save({"a": torch.zeros(0, 3), "b": torch.zeros(2)})) == {"F32"}


def test_several_tensors_that_hold_nothing_are_tensors():
    state = {"a": torch.zeros(0, 3), "b": torch.zeros(3, 0), "c": torch.zeros(2), "d": torch.zeros(0)}
    assert number_types(save(state)) == {"F32"}


def test_a_file_without_tensors_has_no_types():
    assert number_types(save({})) == set()


# ---- what is something else ----


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_file_too_short_for_a_header_is_said_to_be_missing(length):
    with pytest.raises(BadWeights, match="no weights were left"):
        number_types(bytes(length))


def test_a_truncated_file_is_bad():
    for length in range(8, len(VALID)):
        with pytest.raises(BadWeights):
            number_types(VALID[:length])


@pytest.mark.parametrize("more", [b"\0", b" ", bytes(8), VALID, bytes(100_000)], ids=len)
def test_a_padded_file_is_bad(more):
    with pytest.raises(BadWeights, match="do not fill the file"):
        number_types(VALID + more)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": tensor([2], 0, 8), "b": tensor([2], 0, 8)},
        {"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)},
        {"a": tensor([3], 0, 12), "b": tensor([1], 4, 8)},
        {"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)},
        {"a": tensor([2], 4, 12)},
        {"a": tensor([1], -4, 0), "b": tensor([3], 0, 12)},
        {"a": tensor([3], 12, 0)},
        {"a": tensor([2], 0, 12)},
        {"a": tensor([4], 0, 12)},
        {"a": tensor([3], 0, 12, "F64")},
        {"a": tensor([3], 0, 12, "F33")},
        {"a": tensor([3], 0, 12, None)},
        {"a": tensor([3], 0, 12, ["F32"])},
        {"a": tensor([-3, -1], 0, 12)},
        {"a": tensor([1.5, 2], 0, 12)},
        {"a": tensor(["3"], 0, 12)},
        {"a": tensor(3, 0, 12)},
        {"a": tensor(None, 0, 12)},
        {"a": {"shape": [3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F32", "data_offsets": [0, 12]}},
    ],
    ids=str,
)
def test_tensors_that_lie_over_each_other_or_apart_or_do_not_fit_their_shapes_are_bad(tensors):
    with pytest.raises(BadWeights):
        number_types(file_of(tensors, bytes(12)))


@pytest.mark.parametrize("shape", [[10**12], [10**6, 10**6], [10**4] * 3, [2**62, 2**62], [2**32, 2**32], [10**400]])
def test_a_small_file_of_a_million_million_numbers_is_bad(shape):
    """`torch.load` of such a pickle gives a tensor of 10^12 elements that all are one."""
    with pytest.raises(BadWeights):
        number_types(file_of({"a": tensor(shape, 0, 4)}, bytes(4)))
    with pytest.raises(BadWeights):
        number_types(file_of({"a": tensor(shape, 0, math.prod(shape) * 4)}, bytes(4)))


@pytest.mark.parametrize("length", [len(VALID), 4_000_001, 2**31, 2**32, 2**63, 2**64 - 1])
def test_a_header_longer_than_its_file_is_bad(length):
    with pytest.raises(BadWeights, match=f"found a length of {length} bytes"):
        number_types(struct.pack("<Q", length) + VALID[8:])


def test_a_huge_header_is_not_read_though_it_is_there():
    with pytest.raises(BadWeights, match="found a length of 5000000 bytes"):
        number_types(file_of(b" " * 5_000_000))


def pickled():
    into = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, into)
    return into.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps({"a": 1}),
        pickle.dumps({"a": 1}, protocol=0),
        pickled(),
        b"PK\3\4" + bytes(100),
        b"not weights at all",
        file_of(pickle.dumps({"a": 1})),
        file_of(b"\xff\xfe" * 20),
        file_of(b""),
        file_of(b"{"),
        file_of([]),
        file_of(["a"]),
        file_of("a"),
        file_of(1),
        file_of(None),
        file_of({"a": 1}),
        file_of({"a": "text"}),
        file_of({"a": [1]}),
        file_of({"a": {"dtype": "F32", "shape": []}}),
        file_of({"a": tensor([], "a", 4)}, bytes(4)),
        file_of({"a": tensor([], None, 4)}, bytes(4)),
        file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": 4}}, bytes(4)),
        file_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[NaN,4]}}', bytes(4)),
        file_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,' + b"4" * 5000 + b"]}}", bytes(4)),
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_weights_file_is_bad(data):
    with pytest.raises(BadWeights):
        number_types(data)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [900, 1100, 100_000, 600_000])
def test_json_of_any_depth_is_bad(opening, depth):
    with pytest.raises(BadWeights):
        number_types(file_of(opening.encode() * depth))
    with pytest.raises(BadWeights):
        number_types(file_of(b"[" * depth + b"]" * depth))


@pytest.mark.parametrize("key", ["dtype", "shape"])
def test_a_field_of_any_depth_is_bad(key):
    for depth in (10, *range(900, 1000)):
        deep = b"[" * depth + b"]" * depth
        values = {"dtype": b'"F32"', "shape": b"[1]", "data_offsets": b"[0,4]", key: deep}
        inside = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in values.items())
        with pytest.raises(BadWeights):
            number_types(file_of(b'{"a":{' + inside + b"}}", bytes(4)))


@pytest.mark.parametrize(
    "offsets", [b"[]", b"[0]", b"[0,4,4]", b"[0,1e999]", b"[0,Infinity]", b'["0","4"]', b"[0.5,4.5]", b'{"0":1,"4":1}']
)
def test_offsets_that_are_not_two_whole_numbers_are_bad(offsets):
    with pytest.raises(BadWeights):
        number_types(file_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":%s}}' % offsets, bytes(4)))


@pytest.mark.parametrize(
    "shape", [b",".join([b"9" * 4000] * 900), b",".join([b"9"] * 1_500_000)], ids=["large numbers", "many numbers"]
)
@pytest.mark.timeout(60)  # the whole product of the many numbers takes minutes
def test_a_shape_of_huge_or_many_numbers_is_refused_without_computing_its_size(shape):
    with pytest.raises(BadWeights):
        number_types(file_of(b'{"a":{"dtype":"F32","shape":[' + shape + b'],"data_offsets":[0,4]}}', bytes(4)))


# ---- never another exception ----


def types_or_bad(data):
    """The types, or None where the file is bad; whatever else is raised fails the test."""
    try:
        return number_types(data)
    except BadWeights as bad:
        reason = str(bad)
    assert "\n" not in reason
    assert len(reason) < 200
    return None


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_raise_another_exception(data):
    types_or_bad(data)


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=20))
def test_random_bytes_behind_a_fitting_length_never_raise_another_exception(header, data):
    types_or_bad(file_of(header, data))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("F32"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "F33"]) | ANYTHING,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | ANYTHING,
        "data_offsets": st.lists(st.integers(-1, 12), max_size=3) | ANYTHING,
    },
)


@settings(deadline=None, max_examples=300)
@example({"a": {"data_offsets": [0]}}, b"")
@given(st.dictionaries(NAMED, FIELDS | ANYTHING, max_size=3) | ANYTHING, st.binary(max_size=20))
def test_no_json_raises_another_exception(header, data):
    types_or_bad(file_of(header, data))


@st.composite
def mutated(draw):
    """VALID with a few stretches written over, taken out or put in; the header's length may be mended."""
    data = bytearray(VALID)
    for _ in range(draw(st.integers(1, 4))):
        place, count = draw(st.integers(0, len(data))), draw(st.integers(0, 6))
        data[place : place + count] = draw(
            st.binary(max_size=6) | st.sampled_from([b"9", b",", b".", b"-", b"[", b"e"])
        )
    if draw(st.booleans()) and len(data) > 8:
        end = bytes(data).rfind(b"}") + 1
        data[:8] = struct.pack("<Q", max(0, end - 8))
    return bytes(data)


@settings(deadline=None, max_examples=500)
@example(VALID.replace(b"[0,8]", b"[0.8]"))
@given(mutated())
def test_no_mutation_of_a_good_file_raises_another_exception(data):
    types_or_bad(data)


@settings(deadline=None)
@given(st.integers(8 + struct.unpack("<Q", VALID[:8])[0], len(VALID) - 1), st.integers(0, 255))
def test_the_numbers_themselves_may_be_any(place, byte):
    data = bytearray(VALID)
    data[place] = byte
    assert number_types(bytes(data)) == {"F32", "BF16", "I64"}
