"""The configuration: whose word counts, what is refused, and what is frozen comes back."""

import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evo import config
from evo.config import Budget, Config, Data, Early, Final, Model, Prompt, Selection, Variation, Workers
from evo.errors import EvoError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def toml(tmp_path):
    """A file with this text."""

    def written(text):
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def load(path=None, flags=None, **environ):
    return config.load(path, flags or {}, environ)


# ---- precedence ----

FILE = "population = 3\n[model]\ntemperature = 0.3\n"


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        (
            {"population": 5, "model.temperature": 0.5},
            {"EVO_POPULATION": "4", "EVO_MODEL__TEMPERATURE": "0.4"},
            (5, 0.5),
        ),
        ({}, {"EVO_POPULATION": "4", "EVO_MODEL__TEMPERATURE": "0.4"}, (4, 0.4)),
        ({}, {}, (3, 0.3)),
        ({"population": 5}, {"EVO_MODEL__TEMPERATURE": "0.4"}, (5, 0.4)),
    ],
)
def test_a_flag_beats_the_environment_beats_the_file(toml, flags, environ, expected):
    found = load(toml(FILE), flags, **environ)
    assert (found.population, found.model[0].temperature) == expected


def test_what_nobody_says_is_the_default(toml):
    assert load() == Config()
    found = load(toml(FILE))
    assert found.generations == Config().generations
    assert found.model[0].max_tokens == Model().max_tokens


def test_a_flag_for_one_key_of_a_table_leaves_the_others(toml):
    found = load(toml("[model]\nname = 'm'\nretries = 2\n"), {"model.retries": 3})
    assert (found.model[0].name, found.model[0].retries) == ("m", 3)


def test_the_environment_is_read_where_none_is_given(monkeypatch):
    monkeypatch.setenv("EVO_POPULATION", "6")
    assert config.load(None, {}).population == 6


def test_other_variables_are_not_read():
    assert load(POPULATION="4", evo_population="4", XEVO_POPULATION="4", EVO_DEBUG="1") == Config()


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("EVO_SELECTION__MAX_COST", "inf", "selection.max_cost", math.inf),
        ("EVO_SELECTION__RULE", "nsga2", "selection.rule", "nsga2"),
        ("EVO_MODEL__BASE_URL", "http://localhost:1/v1", "model.base_url", "http://localhost:1/v1"),
        ("EVO_SEEDS", "leonhard_euler, isaac_newton,", "seeds", ("leonhard_euler", "isaac_newton")),
        ("EVO_SEEDS", "", "seeds", ()),
        ("EVO_SEED", "0", "seed", 0),
        ("EVO_DATA__PATH", "texts", "data.path", "texts"),
        ("EVO_EARLY__STOP", "false", "early.stop", False),
        ("EVO_EARLY__CONTROL", "0.25", "early.control", 0.25),
        ("EVO_FINAL__VERDICT_SEEDS", "0", "final.verdict_seeds", 0),
        ("EVO_SELECTION__CLEARLY_WORSE", "0.1", "selection.clearly_worse", 0.1),
    ],
)
def test_values_of_the_environment_become_what_their_keys_hold(name, value, key, expected):
    found = load(**{name: value})
    for part in key.split("."):
        found = getattr(found, part)
        found = found[0] if part == "model" else found
    assert found == expected


# ---- refusals ----


def refusal(path=None, flags=None, **environ):
    with pytest.raises(EvoError) as refused:
        load(path, flags, **environ)
    assert refused.value.kind == "config"
    assert "\n" not in refused.value.message
    return refused.value


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("generation", "generations"),
        ("populaton", "population"),
        ("model.url", "model.base_url"),
        ("model.temprature", "model.temperature"),
        ("selection.maxcost", "selection.max_cost"),
        ("workers.slot", "workers.slots"),
        ("early.stopp", "early.stop"),
        ("final.verdictseeds", "final.verdict_seeds"),
    ],
)
@pytest.mark.parametrize("place", ["file", "environment", "flag"])
def test_an_unknown_key_is_refused_with_the_key_that_was_meant(toml, place, key, meant):
    if place == "file":
        *table, last = key.split(".")
        path = toml((f"[{table[0]}]\n" if table else "") + f"{last} = 1\n")
        error, source = refusal(path), str(path)
    elif place == "environment":
        error, source = refusal(**{"EVO_" + key.replace(".", "__").upper(): "1"}), "the environment"
    else:
        error, source = refusal(flags={key: 1}), "the command line"
    assert error.message == f"{source}: unknown key {key!r}"
    assert error.hint == f"did you mean {meant!r}?"


def test_a_key_like_no_other_is_refused_with_all_there_are(toml):
    error = refusal(toml("zzzzzz = 1\n"))
    for key in ("population", "model.base_url", "data.path"):
        assert key in error.hint


def test_an_unknown_table_is_refused(toml):
    assert "unknown key 'modle'" in refusal(toml("[modle]\nname = 'm'\n")).message


def test_a_mistake_in_the_file_is_told_though_a_flag_overrides_it(toml):
    path = toml("population = 1\n")
    assert str(path) in refusal(path, {"population": 8}).message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("population", 1),
        ("population", "many"),
        ("population", 2.5),
        ("generations", 0),
        ("seed", -1),
        ("selection.max_cost", 0.5),
        ("selection.max_cost", math.nan),
        ("selection.rule", "best"),
        ("variation.crossover", 1.5),
        ("early.control", 1.5),
        ("early.window", 1),
        ("early.least", 1),
        ("final.finalists", -1),
        ("final.seeds", 1),
        ("final.verdict_seeds", -1),
        ("selection.clearly_worse", -0.1),
        ("model.temperature", -0.1),
        ("model.max_tokens", 1),
        ("workers.device", "tpu"),
        ("data.source", "web"),
        ("isolation", "none"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_was_found(key, value):
    message = refusal(flags={key: value}).message
    assert message.startswith(f"the command line: {key}: ")
    assert f"found {value}" in message.replace('"', "").replace("NaN", "nan")


def test_a_wrong_value_of_the_environment_is_told_to_come_from_there():
    message = refusal(EVO_MODEL__RETRIES="often").message
    assert message.startswith("the environment: model.retries: ")
    assert 'found "often"' in message


def test_a_file_that_is_no_toml_is_told(toml):
    assert "is not valid TOML" in refusal(toml("population =\n")).message


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    assert "cannot read" in refusal(tmp_path / "none.toml").message
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "cannot read" in refusal(tmp_path / "bytes.toml").message


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValidationError):
        Config().population = 3
    with pytest.raises(ValidationError):
        Config().model[0].name = "m"


# ---- freezing ----

FINITE = st.floats(0, 1e6)
FLOATS = FINITE | st.just(math.inf)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
CONFIGS = st.builds(
    Config,
    evaluator=WORDS,
    seeds=st.lists(WORDS, max_size=3).map(tuple),
    generations=st.integers(1, 10**6),
    population=st.integers(2, 1000),
    lag=st.integers(0, 100),
    seed=st.integers(0, 2**62),
    isolation=st.sampled_from(["auto", "process"]),
    selection=st.builds(
        Selection,
        rule=st.sampled_from(["loss", "nsga2", "score"]),
        max_cost=st.floats(1, 1e6) | st.just(math.inf),
        weight=st.floats(0, 1e6),
        clearly_worse=FLOATS,
    ),
    early=st.builds(
        Early,
        stop=st.booleans(),
        control=st.floats(0, 1),
        window=st.integers(2, 1000),
        least=st.integers(2, 1000),
    ),
    final=st.builds(
        Final,
        finalists=st.integers(0, 100),
        seeds=st.integers(2, 100),
        least=st.integers(0, 10**6),
        verdict_seeds=st.integers(0, 100),
    ),
    variation=st.builds(Variation, crossover=st.floats(0, 1), drop=FLOATS, emphasise=FLOATS),
    model=st.builds(
        Model,
        name=WORDS,
        base_url=st.none() | WORDS,
        temperature=st.floats(0, 2),
        timeout_seconds=st.floats(0.001, 1e6) | st.just(math.inf),
        price_in=st.none() | FINITE,
        extra_body=st.dictionaries(WORDS, st.integers(0, 9) | st.booleans() | WORDS, max_size=2),
        command=st.just(()),
        faults=WORDS,
    )
    | st.just((Model(name="a"), Model(name="a", label="b", weight=0.5), Model(command=("x", "y")))),
    budget=st.builds(Budget, usd=st.none() | st.floats(0.01, 1e6), tokens=st.none() | st.integers(1, 10**9)),
    prompt=st.builds(Prompt, lessons=st.integers(0, 9), second_parent=st.booleans()),
    answer=st.sampled_from(["files", "edits"]),
    repairs=st.integers(0, 9),
    workers=st.builds(Workers, slots=st.integers(0, 64), address=st.none() | WORDS),
    data=st.builds(Data, source=st.sampled_from([None, "plays", "folder"]), path=st.none() | WORDS),
)


@settings(deadline=None)
@given(CONFIGS)
def test_what_is_frozen_comes_back_equal(tmp_path_factory, frozen):
    path = tmp_path_factory.getbasetemp() / "frozen.toml"
    path.write_text(config.freeze(frozen), encoding="utf-8")
    assert config.thaw(path) == frozen


def test_a_frozen_configuration_says_every_value_that_is_not_none():
    said = tomllib.loads(config.freeze(Config()))
    (said["model"],) = said["model"]
    keys = [f"{name}.{inner}" for name, value in said.items() if isinstance(value, dict) for inner in value]
    keys += [name for name, value in said.items() if not isinstance(value, dict)]
    silent = {"workers.address", "data.source", "data.path"} | {f"budget.{name}" for name in Budget.model_fields}
    silent |= {f"model.{name}" for name, value in Model() if value is None}
    assert set(keys) == set(config.known_keys()) - silent


def test_a_frozen_configuration_is_not_moved_by_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "frozen.toml"
    path.write_text(config.freeze(Config(population=3)), encoding="utf-8")
    monkeypatch.setenv("EVO_POPULATION", "9")
    assert config.thaw(path).population == 3


def test_a_frozen_configuration_that_was_broken_is_told(toml):
    with pytest.raises(EvoError, match="unknown key"):
        config.thaw(toml("populatoin = 3\n"))


# ---- the rest ----


def test_known_keys_are_the_fields_of_every_table():
    keys = config.known_keys()
    assert len(keys) == len(set(keys))
    wanted = ("evaluator", "population", "selection.rule", "variation.drop", "model.key_variable", "data.source")
    for key in (*wanted, "early.least", "final.least", "selection.clearly_worse"):
        assert key in keys
    assert "model" not in keys


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_every_configuration_that_ships_is_valid(path):
    assert isinstance(load(path), Config)


def test_the_lag_is_the_population_unless_it_is_said():
    assert Config(population=5).horizon_lag == 5
    assert Config(population=5, lag=2).horizon_lag == 2


def test_the_demo_wants_a_small_verdict_and_the_rest_as_it_is():
    demo = load(ROOT / "configs" / "demo.toml")
    assert demo.final == Final(verdict_seeds=3)
    assert Config().final.verdict_seeds == 8
    assert demo.early == Early() == Config().early


@pytest.mark.parametrize(
    ("model", "is_catalogue"),
    [
        (Model(), True),
        (Model(name="catalogue", base_url="http://x/v1"), False),
        (Model(name="other"), False),
        (Model(preset="ollama"), False),
        (Model(command=("cat",)), False),
        (Model(gguf="x.gguf"), False),
        (Model(answers_from="last"), False),
    ],
)
def test_the_catalogue_answers_unless_a_model_or_an_address_is_named(model, is_catalogue):
    assert model.is_catalogue is is_catalogue


def test_no_key_of_the_configuration_holds_a_secret():
    text = config.freeze(load(OPENAI_API_KEY="sk-canary", EVO_MODEL__KEY_VARIABLE="OPENAI_API_KEY"))
    assert "sk-canary" not in text
    assert "OPENAI_API_KEY" in text


def test_a_table_named_as_a_value_beside_one_of_its_keys_is_refused():
    with pytest.raises(EvoError):
        config.load(None, {}, {"EVO_MODEL": "llama", "EVO_MODEL__BASE_URL": "http://localhost/v1"})


def test_a_dotted_flag_below_a_plain_value_is_refused(tmp_path):
    (tmp_path / "c.toml").write_text("evaluator = 'x'\n")
    with pytest.raises(EvoError):
        config.load(tmp_path / "c.toml", {"evaluator.name": "y"}, {})


# ---- several models ----

TWO = "[[model]]\nname = 'a'\n[[model]]\nname = 'b'\nweight = 3\n"


def test_a_single_table_and_a_list_of_one_mean_the_same(toml):
    assert load(toml("[model]\nname = 'a'\n")) == load(toml("[[model]]\nname = 'a'\n"))


def test_several_models_come_in_their_order(toml):
    assert [(model.display_name, model.weight) for model in load(toml(TWO)).model] == [("a", 1.0), ("b", 3.0)]


def test_a_flag_that_could_mean_several_models_is_refused(toml):
    assert "expected exactly one [[model]] table" in refusal(toml(TWO), {"model.name": "c"}).message


@pytest.mark.parametrize(
    "text",
    [
        "[[model]]\nname = 'a'\n[[model]]\nname = 'a'\n",
        "[[model]]\nname = 'a'\nweight = 0\n",
        "[[model]]\ncommand = ['x']\ngguf = 'y'\n",
        "[[model]]\npreset = 'unheard-of'\n",
        "model = []\n",
    ],
)
def test_models_that_cannot_be_told_apart_or_asked_are_refused(toml, text):
    refusal(toml(text))


def test_a_label_tells_two_models_of_one_name_apart(toml):
    found = load(toml("[[model]]\nname = 'a'\n[[model]]\nname = 'a'\nlabel = 'other'\n"))
    assert [model.display_name for model in found.model] == ["a", "other"]


def test_what_runs_here_is_free_and_an_endpoint_of_unknown_price_is_not():
    assert Model().is_free
    assert Model(command=("x",)).is_free
    assert not Model(name="m").is_free
    assert not Model(command=("x",), price_out=1.0).is_free
