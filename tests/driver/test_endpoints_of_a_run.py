"""Which endpoints a run asks: refused before anything is spent, frozen with their addresses, served where they are ours."""

import asyncio
import sys
from types import SimpleNamespace

import pytest
from endpoints import MODEL, Server
from standins import drive, make_run

from evo import config, persona
from evo.config import Config, Model
from evo.driver import endpoints, forecast
from evo.errors import EvoError
from evo.proposer.client import Proposer
from evo.workspace import seeds_folder


def refusal(tmp_path, model, **budget):
    with pytest.raises(EvoError) as refused:
        endpoints.check(Config(model=(model,), budget=config.Budget(**budget)), tmp_path)
    return refused.value


def test_a_money_budget_without_prices_is_refused(tmp_path):
    error = refusal(tmp_path, Model(name="m", base_url="http://localhost:1/v1"), usd=1.0)
    assert error.kind == "config"
    assert "price_in" in error.hint


def test_a_money_budget_for_what_costs_nothing_is_not(tmp_path):
    endpoints.check(Config(budget=config.Budget(usd=1.0)), tmp_path)


def test_what_cannot_be_asked_is_refused(tmp_path):
    with Server("openai") as server:
        address = server.base_url
    assert "cannot be reached" in refusal(tmp_path, Model(base_url=address)).message
    assert "expected a GGUF file at" in refusal(tmp_path, Model(gguf=str(tmp_path / "none.gguf"))).message
    assert "was not found" in refusal(tmp_path, Model(command=("no-such-program",))).message
    assert "no run has the name" in refusal(tmp_path, Model(answers_from="none")).message


def test_an_address_without_a_scheme_is_refused_with_an_example(tmp_path):
    refused = refusal(tmp_path, Model(name="m", base_url="localhost:8000/v1"))
    assert refused.message == "expected a base_url that begins with http:// or https://, found 'localhost:8000/v1'"
    assert "http://localhost:8000/v1" in refused.hint


def test_a_preset_without_a_model_is_refused(tmp_path):
    refused = refusal(tmp_path, Model(preset="ollama"))
    assert refused.message == "expected the name of a model with preset ollama, found none"
    assert "--model NAME" in refused.hint


def test_an_address_is_frozen_with_the_run(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:7/v1")
    assert endpoints.frozen(Model(name="m")).base_url == "http://localhost:7/v1"
    assert endpoints.frozen(Model(name="m", preset="ollama")).base_url == "http://localhost:11434/v1"
    assert endpoints.frozen(Model()) == Model()


def test_a_frozen_model_with_a_preset_thaws(tmp_path):
    path = tmp_path / "config.toml"
    frozen = Config(model=(endpoints.frozen(Model(name="m", preset="ollama")),))
    path.write_text(config.freeze(frozen), encoding="utf-8")
    assert config.thaw(path) == frozen


def test_every_model_is_served_and_answers(tmp_path, small_evaluator, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    drive(make_run(tmp_path / "population", small_evaluator, "night"))
    echo = (sys.executable, "-c", "import sys; print(sys.stdin.read()[::-1])")
    with Server("openai") as server:
        models = [
            Model(),
            Model(name=MODEL, base_url=server.base_url),
            Model(command=echo, timeout_seconds=20),
            Model(answers_from="night"),
        ]
        with endpoints.served(models, tmp_path / "population") as served:
            assert [model.display_name for model, _ in served.asked] == [model.display_name for model in models]
            replies = asyncio.run(ask_all(served.asked))
    assert [bool(reply.text) for reply in replies[:3]] == [True] * 3
    assert replies[2].text.strip() == "ti evorpmi"
    assert "holds no answer to this prompt" in replies[3].reason


def test_a_local_model_that_is_gone_for_good_ends_the_search_with_its_last_words():
    here, gone = (SimpleNamespace(model_id=name, failure="") for name in ("here", "gone"))

    async def watched():
        watching = asyncio.ensure_future(endpoints.Served([], [here, gone]).watch())
        await asyncio.sleep(0)
        assert not watching.done()
        gone.failure = "it ended with status -9: out of memory"
        await watching

    with pytest.raises(EvoError, match="the server of gone stopped: it ended with status -9: out of memory"):
        asyncio.run(watched())


async def ask_all(asked):
    messages = [{"role": "user", "content": "improve it"}]
    return [await Proposer(where, model).ask(messages, 1) for model, where in asked]


def dearest(line):
    return float(line.split("at most about $")[1].split()[0])


def test_what_a_run_would_spend_is_told_by_model(tmp_path, small_evaluator):
    run = make_run(tmp_path / "population", small_evaluator)
    models = (Model(name="dear", price_in=1.0, price_out=10.0), Model(name="unknown", weight=3.0), Model())
    config_ = run.config.model_copy(update={"model": models, "budget": config.Budget(usd=2.0)})
    seeds = persona.load_seeds(seeds_folder())[:2]
    first, *lines, last = forecast.lines(config_, run.evaluator, seeds)
    assert first.startswith("8 candidates and the baseline")
    assert [line.split(":")[0] for line in lines] == ["dear", "unknown", "catalogue"]
    assert "at most about $" in lines[0]
    mended = forecast.lines(config_.model_copy(update={"repairs": 2}), run.evaluator, seeds)
    assert dearest(mended[1]) > 3 * dearest(lines[0]), "each turn that is mended asks all that was said before again"
    assert "cost unknown" in lines[1]
    assert "free" in lines[2]
    assert last == "budget: usd 2"
    writing = config_.model_copy(update={"variation": config.Variation(sharpen_topic=1.0)})
    assert "one more short answer" in forecast.lines(writing, run.evaluator, seeds)[-2]
