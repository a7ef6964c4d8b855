"""Asking within rates and budgets, again where that helps, and patiently. The proposer here says what a test tells it to."""

import asyncio
import itertools

import pytest

from evo import config
from evo.config import Config, Model
from evo.driver import dispatch as module
from evo.driver.budget import Budget, BudgetSpent, counted
from evo.driver.dispatch import Dispatcher, Rate
from evo.errors import EvoError
from evo.proposer.prompt import most_tokens
from evo.proposer.reply import Reply
from evo.status import Status

MESSAGES = [{"role": "user", "content": "improve it"}]
GOOD = Reply(
    Status.OK, text="hello", finish_reason="stop", model="served", input_tokens=10, output_tokens=5, worked=True
).as_dict()
BUSY = GOOD | {
    "status": "no_answer",
    "outage": "http://x: 503",
    "input_tokens": None,
    "output_tokens": None,
    "text": "",
}
TURNED_AWAY = BUSY | {"worked": False}


class Says:
    """Gives these replies in turn, the last one for ever; notes what was asked, and how many at a time."""

    def __init__(self, *replies, seconds=0.0):
        self.replies, self.seconds = list(replies), seconds
        self.asked, self.flying, self.peak = [], 0, 0

    async def ask(self, model, messages, seed, max_tokens=None):
        self.asked.append((model, seed, max_tokens))
        self.flying += 1
        self.peak = max(self.peak, self.flying)
        await asyncio.sleep(self.seconds)
        self.flying -= 1
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.fixture
def quick(monkeypatch):
    """Waits between tries that a test need not wait for."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(module, "_LONGEST_WAIT", 0.002)


def made(proposer, notes=None, budget=None, patience=60.0, calls=(), **model):
    settings = Config(model=(Model(name="m", **model),), patience_minutes=patience, budget=budget or config.Budget())
    kept = Budget(settings.budget, calls)
    said = notes.append if notes is not None else lambda _: None
    return Dispatcher(settings, proposer, kept, "r", said), kept


def ask(asking, count=1):
    async def all_of_them():
        return await asyncio.gather(*(asking.ask("m", MESSAGES, seed) for seed in range(count)))

    return asyncio.run(all_of_them())


def test_an_answer_comes_with_what_it_took():
    asking, _ = made(Says(GOOD), price_in=1.0, price_out=2.0)
    (reply,) = ask(asking)
    assert (reply["text"], reply["requests"], reply["lost_tokens"], reply["lost_usd"]) == ("hello", 1, 0, 0.0)
    assert reply["cost_usd"] == pytest.approx(20e-6)


def test_an_outage_is_asked_again_with_the_same_seed(quick):
    says = Says(BUSY, TURNED_AWAY, GOOD)
    asking, _ = made(says)
    (reply,) = ask(asking)
    assert (reply["text"], reply["requests"]) == ("hello", 3)
    assert len(set(says.asked)) == 1


def test_what_may_have_been_billed_without_an_answer_is_counted_at_its_most(quick):
    asking, budget = made(Says(BUSY, TURNED_AWAY, GOOD), price_in=1.0, price_out=1.0, max_tokens=1000)
    (reply,) = ask(asking)
    most = most_tokens(MESSAGES) + 1000
    assert reply["lost_tokens"] == most
    assert reply["lost_usd"] == pytest.approx(most / 1e6)
    assert budget.spent.tokens == most + 15


def test_no_more_are_in_flight_than_the_model_takes():
    says = Says(GOOD, seconds=0.01)
    asking, _ = made(says, concurrency=3)
    assert len(ask(asking, 12)) == 12
    assert says.peak == 3


def test_an_endpoint_that_stays_down_is_said_once_and_when_it_is_back(quick):
    notes = []
    asking, _ = made(Says(*[TURNED_AWAY] * 6, GOOD), notes, retries=2)
    ask(asking)
    assert len(notes) == 2
    assert "m is down: http://x: 503" in notes[0]
    assert "answers again" in notes[1]


def test_patience_at_its_end_ends_the_search_with_how_to_resume(quick):
    asking, _ = made(Says(TURNED_AWAY), retries=1, patience=0.0)
    with pytest.raises(EvoError, match="no answer from http://x: 503") as ended:
        ask(asking)
    assert ended.value.hint == "continue with `evo resume r`"


def test_a_refused_key_ends_the_search_at_once():
    says = Says(GOOD | {"status": "no_answer", "text": "", "refused": "http://x refuses the key"})
    asking, _ = made(says)
    with pytest.raises(EvoError, match="refuses the key"):
        ask(asking)
    assert len(says.asked) == 1


def test_a_request_that_keeps_failing_while_others_are_answered_is_given_up(quick):
    class OneFails(Says):
        async def ask(self, model, messages, seed, max_tokens=None):
            reply = await super().ask(model, messages, seed, max_tokens)
            return BUSY if seed == 0 else reply

    notes = []
    asking, _ = made(OneFails(GOOD, seconds=0.002), notes, retries=3, concurrency=2)
    first, *others = ask(asking, 20)
    assert first["status"] == "no_answer"
    assert "while others succeed" in first["reason"]
    assert first["lost_tokens"] > 0
    assert {reply["status"] for reply in others} == {"ok"}
    assert notes == []


def test_an_endpoint_that_refuses_whatever_it_is_asked_ends_the_search():
    refused = GOOD | {"status": "no_answer", "text": "", "reason": "unknown field", "rejected": True}
    asking, _ = made(Says(refused), concurrency=1)
    with pytest.raises(EvoError, match=r"refused each of 3 requests: unknown field"):
        ask(asking, 5)


def test_a_request_that_is_refused_among_answers_is_its_own_fault():
    refused = GOOD | {"status": "no_answer", "text": "", "reason": "flagged", "rejected": True}
    asking, _ = made(Says(GOOD, *[refused] * 5, GOOD), concurrency=1)
    assert [reply["status"] for reply in ask(asking, 7)] == ["ok", *["no_answer"] * 5, "ok"]


def test_an_answer_whose_tokens_nobody_counted_costs_what_it_can_at_most():
    asking, budget = made(Says(GOOD | {"output_tokens": None}), price_in=1.0, price_out=1.0)
    (reply,) = ask(asking)
    assert reply["cost_usd"] is None
    assert reply["lost_usd"] == pytest.approx(budget.spent.usd)
    assert reply["lost_usd"] > 0


def test_an_answer_has_no_more_room_than_the_context_leaves():
    says = Says(GOOD)
    asking, _ = made(says, context_length=2048, max_tokens=4096)
    ask(asking)
    ((_, _, most),) = says.asked
    assert 1900 < most < 2048
    assert not asking.fits("m", [{"role": "user", "content": "x" * 9000}])


# ---- budgets ----


def test_a_budget_of_tokens_is_never_exceeded_whatever_is_in_flight():
    most = most_tokens(MESSAGES) + 256
    billed = []

    class Bills(Says):
        async def ask(self, *asked):
            reply = await super().ask(*asked)
            billed.append(most)
            return reply | {"input_tokens": most_tokens(MESSAGES), "output_tokens": 256}

    says = Bills(GOOD, seconds=0.001)
    asking, budget = made(says, budget=config.Budget(tokens=10 * most + 7), max_tokens=256)

    async def until_spent():
        return await asyncio.gather(*(asking.ask("m", MESSAGES, n) for n in range(30)), return_exceptions=True)

    outcomes = asyncio.run(until_spent())
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, BudgetSpent) for outcome in outcomes) == 20
    assert sum(billed) == budget.spent.tokens <= 10 * most + 7


def test_room_that_an_answer_leaves_is_used_by_the_next():
    asking, budget = made(Says(GOOD), budget=config.Budget(tokens=2000), max_tokens=1500)
    assert len(ask(asking, 20)) == 20
    assert budget.spent.tokens == 300


def test_a_budget_of_money_counts_prices():
    asking, budget = made(Says(GOOD), budget=config.Budget(usd=0.001), price_in=1.0, price_out=1.0, max_tokens=800)
    ask(asking, 3)
    assert budget.spent.usd == pytest.approx(45e-6)
    with pytest.raises(BudgetSpent, match=r"\$0\.001 has no room"):
        ask(made(Says(GOOD), budget=config.Budget(usd=0.001), price_in=1.0, price_out=1.0, max_tokens=1000)[0])


def call(number=1, **changes):
    row = {"id": number, "input_tokens": 10, "output_tokens": 5, "lost_tokens": 2, "lost_usd": 0.25, "cost_usd": 0.5}
    row |= {"messages": '[{"role": "user", "content": "abc"}]', "response": "four", "reasoning": "x"}
    return row | changes


def test_what_was_spent_is_read_from_the_lineage():
    budget = Budget(config.Budget(candidates=2), [call(1), call(1), call(2)])
    assert (budget.spent.tokens, budget.spent.usd) == (51, 2.25)
    budget.admit(2)
    with pytest.raises(BudgetSpent, match="2 candidates"):
        budget.admit(3)


def test_tokens_that_nobody_counted_are_counted_from_above():
    assert counted(call(output_tokens=None)) == most_tokens([{"role": "user", "content": "abc"}]) + 5


def test_a_budget_of_hours_admits_nothing_new_after_them():
    budget = Budget(config.Budget(hours=1e-9), [call(1)])
    budget.admit(1)
    with pytest.raises(BudgetSpent, match="hours is over"):
        budget.admit(2)


# ---- rates ----


class Clock:
    """Time that passes only while somebody waits for it."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(module.asyncio, "sleep", self.sleep)

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("requests", "tokens", "each"), [(5, None, 1), (None, 50, 10), (7, 50, 10), (0.5, None, 1)])
def test_no_minute_has_more_than_the_rate(monkeypatch, requests, tokens, each):
    clock = Clock(monkeypatch)
    rate, sent = Rate(requests, tokens, clock), []

    async def send():
        for _ in range(40):
            await rate.wait(each)
            sent.append(clock.now)

    asyncio.run(send())
    allowed = min(max(1, int(limit)) for limit in (requests, tokens and tokens // each) if limit is not None)
    for first, after in zip(sent, sent[allowed:], strict=False):
        assert after - first >= 60.0
    if requests == 0.5:
        assert all(b - a >= 120.0 for a, b in itertools.pairwise(sent))


def test_a_request_larger_than_the_rate_is_sent_alone(monkeypatch):
    clock = Clock(monkeypatch)
    rate = Rate(None, 10, clock)
    asyncio.run(rate.wait(25))
    assert clock.now == 0.0
    asyncio.run(rate.wait(1))
    assert clock.now >= 60.0
