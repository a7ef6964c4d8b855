"""Two hundred answers of an endpoint with trouble at three requests of ten: a real server, the real client, no Ray."""

import asyncio
import json

import pytest
from endpoints import MODEL, Server

from evo import config
from evo.config import Config, Model
from evo.driver import dispatch as module
from evo.driver.budget import Budget, BudgetSpent
from evo.driver.dispatch import Dispatcher
from evo.proposer.client import Endpoint, Proposer

COUNT = 200
MESSAGES = [{"role": "user", "content": "improve it"}]
QUICK = {"connect_seconds": 5.0, "first_token_seconds": 1.0, "stall_seconds": 0.3, "timeout_seconds": 5.0}


class Direct:
    """The client in this process, where a run has it in an actor."""

    def __init__(self, settings, base_url):
        self.proposer, self.replies = Proposer(Endpoint(base_url, "sk-test"), settings), []

    async def ask(self, model, messages, seed, max_tokens=None):
        reply = await self.proposer.ask(messages, seed, max_tokens)
        self.replies.append((seed, reply))
        return reply.as_dict()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(module, "_LONGEST_WAIT", 0.1)


def two_hundred(server, **budget):
    """Ask for two hundred answers, eight at a time; return the outcomes, the client and the budget."""
    settings = Model(name=MODEL, base_url=server.base_url, max_tokens=2000, retries=10, **QUICK)
    whole = Config(model=(settings,), budget=config.Budget(**budget), patience_minutes=1.0)
    direct, kept = Direct(settings, server.base_url), Budget(whole.budget, ())
    asking = Dispatcher(whole, direct, kept, "r", lambda _: None)

    async def all_of_them():
        asked = (asking.ask(MODEL, MESSAGES, seed) for seed in range(COUNT))
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 40)

    return asyncio.run(all_of_them()), direct, kept


def test_two_hundred_answers_are_obtained_whatever_goes_wrong_and_none_is_paid_for_twice(quick):
    with Server("openai", slow_seconds=0.02) as server:
        server.faults(rate=0.3, seed=5, retry_after=0.01)
        outcomes, direct, kept = two_hundred(server)
    assert [outcome for outcome in outcomes if not isinstance(outcome, dict)] == []
    assert {outcome["outage"] for outcome in outcomes} == {""}
    met = {fault for fault in server.met if fault}
    assert len(met) >= 20, met
    assert 0.2 < sum(bool(fault) for fault in server.met) / len(server.met) < 0.4
    answered = [seed for seed, reply in direct.replies if not reply.outage]
    assert sorted(answered) == list(range(COUNT)), "an answer that was there was asked for again"
    assert server.peak <= 8
    assert sum(outcome["requests"] for outcome in outcomes) == len(direct.replies)
    assert kept.spent.tokens >= sum(asked + said for asked, said in server.billed), (
        "something was billed and not counted"
    )


def test_a_budget_is_not_exceeded_by_a_token_among_faults(quick):
    most = 60_000
    with Server("openai", slow_seconds=0.02) as server:
        server.faults(rate=0.3, seed=6, retry_after=0.01)
        outcomes, _, kept = two_hundred(server, tokens=most)
    spent = [outcome for outcome in outcomes if isinstance(outcome, BudgetSpent)]
    assert len(spent) > COUNT / 4
    assert [o for o in outcomes if not isinstance(o, dict | BudgetSpent)] == []
    assert 0 < sum(asked + said for asked, said in server.billed) <= kept.spent.tokens <= most


def test_an_endpoint_that_goes_and_comes_back_is_waited_for(quick):
    notes = []
    with Server("openai") as server:
        settings = Model(name=MODEL, base_url=server.base_url, retries=1, **QUICK)
        whole = Config(model=(settings,), patience_minutes=1.0)
        asking = Dispatcher(whole, Direct(settings, server.base_url), Budget(whole.budget, ()), "r", notes.append)

        async def down_and_up():
            server.down("503")
            answer = asyncio.ensure_future(asking.ask(MODEL, MESSAGES, 1))
            while not notes:
                await asyncio.sleep(0.01)
            server.up()
            return await answer

        reply = asyncio.run(down_and_up())
    assert reply["status"] == "ok"
    assert "is down" in notes[0]
    assert "answers again" in notes[-1]
    assert json.dumps(reply)
