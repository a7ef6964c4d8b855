"""The faults that the catalogue shows when told to."""

import time
from collections import Counter

import openai
import pytest

from evo.catalogue import CatalogueServer, answer
from evo.catalogue.answers import compose
from evo.catalogue.faults import KINDS, Faults, parse, spoil
from evo.errors import EvoError
from evo.proposer.answer import parse as parse_answer
from evo.status import Status
from evo.verify import static


def ask(server, messages, seed=0, retries=0):
    with openai.OpenAI(base_url=server.base_url, api_key=server.token, max_retries=retries) as client:
        return client.chat.completions.create(model="catalogue", messages=messages, seed=seed)


def test_a_specification_is_read():
    faults = parse(" truncated=0.1, 429=0.05,slow=0.2,slow_seconds=3 ")
    assert faults == Faults({"truncated": 0.1, "429": 0.05, "slow": 0.2}, 3.0)
    assert parse("") == Faults()


@pytest.mark.parametrize(
    "spec", ["sleepy=0.1", "prose", "prose=much", "prose=-0.1", "prose=1.1", "prose=nan", "prose=0.6,empty=0.6"]
)
def test_a_specification_that_cannot_be_meant_is_refused(spec):
    with pytest.raises(EvoError) as caught:
        parse(spec)
    assert caught.value.kind == "config"


def test_an_unknown_fault_is_told_the_known_ones():
    with pytest.raises(EvoError, match="'sleepy'") as caught:
        CatalogueServer(faults="sleepy=1")
    assert all(kind in caught.value.message for kind in KINDS)


def test_faults_come_as_often_as_told_and_the_same_for_the_same_request():
    faults = parse("prose=0.2,syntax=0.1,reset=0.3")
    drawn = [faults.draw(f"request {n}") for n in range(2000)]
    assert drawn == [faults.draw(f"request {n}") for n in range(2000)]
    counts = Counter(drawn)
    for kind, share in (("prose", 0.2), ("syntax", 0.1), ("reset", 0.3), (None, 0.4)):
        assert abs(counts[kind] / 2000 - share) < 0.04
    assert set(counts) == {"prose", "syntax", "reset", None}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("truncated", Status.TRUNCATED),
        ("prose", Status.NO_CODE),
        ("empty", Status.NO_ANSWER),
        ("syntax", Status.SYNTAX_ERROR),
        ("protected", Status.PROTECTED_SETTING),
    ],
)
def test_a_spoilt_answer_is_named_by_the_checks(kind, status, messages, baseline, evaluator):
    with CatalogueServer(faults=f"{kind}=1") as server:
        for seed in range(4):
            choice = ask(server, messages, seed).choices[0]
            assert choice.finish_reason == ("length" if kind == "truncated" else "stop")
            parsed = parse_answer(choice.message.content, baseline, choice.finish_reason)
            if parsed.status is Status.OK:
                failure = static.check(parsed.files, evaluator)
                assert failure.status is status
            else:
                assert parsed.status is status


def test_an_answer_without_files_can_be_spoilt_too():
    reply = compose([{"role": "user", "content": "hello"}], 0)
    assert all(isinstance(spoil(kind, reply)[0], str) for kind in (None, *KINDS))


def test_too_many_requests_says_when_to_come_back_and_a_retry_succeeds(messages):
    with CatalogueServer(faults="429=1") as server:
        with pytest.raises(openai.RateLimitError) as caught:
            ask(server, messages)
        assert caught.value.response.headers["retry-after"] == "0"
        assert caught.value.code == "rate_limit_exceeded"
        assert ask(server, messages).choices[0].message.content == answer(messages, 0)
        assert ask(server, messages, seed=1, retries=2).choices[0].message.content == answer(messages, 1)
        assert server.requests == 4


def test_a_failing_server_and_a_reset_connection_are_mended_by_a_retry(messages):
    for kind, error in (("500", openai.InternalServerError), ("reset", openai.APIConnectionError)):
        with CatalogueServer(faults=f"{kind}=1") as server:
            with pytest.raises(error):
                ask(server, messages)
            assert ask(server, messages, retries=2).choices[0].message.content == answer(messages, 0)
            assert ask(server, messages, seed=1, retries=2).choices[0].message.content == answer(messages, 1)


def test_a_slow_answer_comes_late_and_whole(messages):
    with CatalogueServer(faults="slow=1,slow_seconds=0.4") as server:
        began = time.perf_counter()
        assert ask(server, messages).choices[0].message.content == answer(messages, 0)
        assert time.perf_counter() - began >= 0.4
