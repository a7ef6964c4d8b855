"""The two jobs inside a sandbox, by their functions: what they take for a result and how they build it again."""

import random
import types
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.sandboxed import serve_job, train_job


@dataclass
class Config:
    width: int = 8
    names: list = field(default_factory=list)
    inner: object = None


@dataclass(frozen=True)
class Frozen:
    width: int = 8


class Bare:
    """A configuration object of the old kind: attributes and no dataclass."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __eq__(self, other):
        return type(other) is Bare and vars(other) == vars(self)

    def __repr__(self):
        return f"Bare({vars(self)})"

    __hash__ = None


class Demanding:
    """One whose constructor does not take its own attributes."""

    def __init__(self, path):
        self.width = len(path)


MODULE = types.SimpleNamespace(Config=Config, Frozen=Frozen, Bare=Bare, Demanding=Demanding)

SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.builds(Config, width=inner, names=st.lists(inner, max_size=2), inner=inner)
        | st.builds(Frozen, width=inner)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2).map(lambda fields: Bare(**fields))
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_plain_arguments_come_back_equal_and_of_the_same_type(value):
    found = serve_job.value_of(train_job.plain(value), MODULE)
    assert found == value
    assert repr(found) == repr(value)  # 1, 1.0 and True are equal and are not the same


def test_an_object_whose_constructor_takes_something_else_is_built_from_its_attributes():
    found = serve_job.value_of(train_job.plain(Demanding("four")), MODULE)
    assert (type(found), found.width) == (Demanding, 4)


@pytest.mark.parametrize(
    "value",
    [torch.nn.Linear(1, 1), np.zeros(2), {1: "a"}, {1, 2}, b"bytes", 1j, object(), [torch.float32]],
    ids=["module", "array", "int keys", "set", "bytes", "complex", "object", "list of types"],
)
def test_what_is_not_plain_is_not_rebuildable(value):
    with pytest.raises(train_job.ContractViolation) as unfit:
        train_job.plain(value)
    assert unfit.value.args[0] == "not_rebuildable"


def test_an_object_of_a_class_that_the_model_does_not_have_is_not_rebuildable():
    class Other(Config):
        pass

    with pytest.raises(serve_job.Refused) as refused:
        serve_job.value_of(train_job.plain([Other()]), MODULE)
    assert refused.value.args[0] == "not_rebuildable"
    assert "Other" in refused.value.args[1]


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        ((1.5, 2), (1.5, 2.0)),
        ([1, 2], (1.0, 2.0)),
        ((torch.tensor(1.5), np.float32(2)), (1.5, 2.0)),
        (("1", True), (1, 1)),
    ],
)
def test_two_numbers_are_a_report(value, pair):
    assert train_job.reported_pair(value) == pair


@pytest.mark.parametrize(
    "value",
    [None, 1.0, (), (1.0,), (1.0, 2.0, 3.0), {"a": 1.0, "b": 2.0}, "ab", ("a", 1), (None, 1), (torch.zeros(2), 1)],
    ids=str,
)
def test_anything_else_breaks_the_contract(value):
    with pytest.raises(train_job.ContractViolation) as unfit:
        train_job.reported_pair(value)
    status, reason = unfit.value.args
    assert status == "contract"
    assert "best_vloss, elapsed_min" in reason


# ---- seeds of its own ----


def calling(name, seed, *args):
    """Call `seed` from a file of this name, on its second line."""
    exec(compile("\nfound = seed(*args)\n", name, "exec"), names := {"seed": seed, "args": args})
    return names["found"]


def test_a_seed_that_a_candidates_file_sets_is_noted_with_its_line_and_still_set():
    noted = []
    seeding = train_job.noting(lambda value: value + 1, "torch.manual_seed", noted)
    assert calling("/tmp/evo-host-1-x/train_mps.py", seeding, 3) == 4
    assert calling("<string>", seeding, 3) == 4
    assert noted == ["torch.manual_seed on line 2 of train_mps.py", "torch.manual_seed on line 2 of <string>"]


@pytest.mark.parametrize("library", [random, np.random.mtrand, torch.random], ids=lambda module: module.__name__)
def test_a_seed_that_an_installed_library_sets_is_its_own_affair(library):
    noted = []
    calling(library.__file__, train_job.noting(lambda: None, "torch.manual_seed", noted))
    assert noted == []


def test_everything_is_seeded_and_the_seeds_of_a_candidate_are_noted(monkeypatch):
    for module, name in ((random, "seed"), (np.random, "seed"), *((torch, n) for n in ("manual_seed", "seed"))):
        monkeypatch.setattr(module, name, getattr(module, name))
    for module in (torch.random, torch.cuda, torch.mps):
        for name in ("manual_seed", "seed"):
            monkeypatch.setattr(module, name, getattr(module, name))

    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()

    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        noted = train_job.seed_everything(2**40)
        first = drawn()
        assert noted == []
        noted = train_job.seed_everything(2**40)
        assert drawn() == first
        torch.manual_seed(1)
        np.random.seed(1)
        assert [said.split(" on line ")[0] for said in noted] == ["torch.manual_seed", "numpy.random.seed"]
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


# ---- the number types of a rebuilt model ----

KINDS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_model_that_was_trained_in_one_number_type_is_rebuilt_in_it(kind):
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    weights = {name: value.to(kind) if value.is_floating_point() else value for name, value in net.state_dict().items()}
    serve_job.take_number_types(net, weights)
    net.load_state_dict(weights)
    assert {name: value.dtype for name, value in net.state_dict().items()} == {
        name: value.dtype for name, value in weights.items()
    }
    assert net[1].num_batches_tracked.dtype == torch.int64


@settings(deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=4, max_size=4))
def test_a_model_of_mixed_number_types_is_rebuilt_tensor_by_tensor(kinds):
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))
    torch.manual_seed(0)
    weights = {
        name: torch.rand(value.shape).to(kind)
        for (name, value), kind in zip(net.state_dict().items(), kinds, strict=True)
    }
    serve_job.take_number_types(net, weights)
    net.load_state_dict(weights)
    for name, value in net.state_dict().items():
        assert value.dtype == weights[name].dtype
        assert torch.equal(value, weights[name])


# ---- which model is the result ----


class Net(torch.nn.Module):
    """Stands for a candidate's GPT."""

    def __init__(self, width=1, *, depth=2):
        super().__init__()
        self.linear = torch.nn.Linear(width, depth)

    def forward(self, x):
        return self.linear(x)


@pytest.fixture
def watched():
    """A class like Net of its own, and the list in which the last trained one is kept."""
    net = type("GPT", (Net,), {})
    return net, train_job.record_models(net)[0]


def test_the_model_that_was_made_last_is_the_result_while_none_has_trained(watched):
    net, trained = watched
    net(1)
    last = net(2, depth=3)
    assert trained == [last]
    assert last.__dict__["_evo_arguments"] == {"args": [{"value": 2}], "kwargs": {"depth": {"value": 3}}}


def test_the_model_that_trained_last_is_the_result(watched):
    net, trained = watched
    first, second = net(1), net(1)
    first(torch.zeros(1))
    second.eval()
    second(torch.zeros(1))
    with torch.no_grad():
        second.train()(torch.zeros(1))
    assert trained == [first]
    second(torch.zeros(1))
    assert trained == [second]


def test_a_derived_class_is_no_result(watched):
    net, trained = watched
    student = net(1)
    teacher = type("Teacher", (net,), {})(1)
    teacher(torch.zeros(1))
    assert trained == [student]


def test_watching_does_not_change_what_a_model_computes_or_saves(watched):
    net, _ = watched
    torch.manual_seed(0)
    model = net(2)
    torch.manual_seed(0)
    plain = Net(2)
    assert list(model.state_dict()) == list(plain.state_dict())
    x = torch.ones(3, 2)
    assert torch.equal(model(x), plain(x))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        torch.optim.swa_utils.AveragedModel,
        lambda net: types.SimpleNamespace(_orig_mod=net),
        lambda net: types.SimpleNamespace(_orig_mod=types.SimpleNamespace(module=net)),
    ],
    ids=["itself", "averaged", "compiled", "compiled and parallel"],
)
def test_the_model_inside_its_wrappers_is_found(wrap):
    assert isinstance(train_job.unwrap(wrap(Net()), Net), Net)


@pytest.mark.parametrize("given", [None, torch.nn.Linear(1, 1), "model", {}], ids=str)
def test_what_holds_no_model_breaks_the_contract(given):
    with pytest.raises(train_job.ContractViolation) as unfit:
        train_job.unwrap(given, Net)
    assert unfit.value.args[0] == "contract"


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (lambda idx: torch.zeros(*idx.shape, 9), "it returned Tensor"),
        (lambda idx: (torch.zeros(*idx.shape, 9),), "it returned tuple"),
        (lambda idx: (None, None), "it returned tuple"),
        (lambda idx: (torch.zeros(*idx.shape, 8), None), "found (2, 3, 8)"),
        (lambda idx: (torch.zeros(idx.shape[0], 1, 9), None), "found (2, 1, 9)"),
        (lambda idx: (torch.zeros(6, 9), None), "found (6, 9)"),
    ],
)
def test_an_answer_of_another_shape_is_refused(output, found):
    windows = np.zeros((2, 3), dtype=np.int64)
    with pytest.raises(serve_job.Refused) as refused:
        serve_job.answer(lambda idx, targets: output(idx), windows, {"device": "cpu", "vocab_size": 9})
    assert refused.value.args[0] == "bad_shape"
    assert found in refused.value.args[1]


def test_a_model_is_asked_without_a_target():
    seen = []

    def model(idx, targets):
        seen.append((idx.tolist(), targets.tolist()))
        return torch.zeros(*idx.shape, 9, dtype=torch.float64), None

    windows = np.array([[1, 2, 3], [4, 5, 6]])
    data = serve_job.answer(model, windows, {"device": "cpu", "vocab_size": 9})
    assert seen == [([[1, 2, 3], [4, 5, 6]], [[0, 0, 0], [0, 0, 0]])]
    assert data == bytes(4 * 2 * 3 * 9)
