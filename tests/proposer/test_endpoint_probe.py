"""What two questions tell of an endpoint before a run: servers that behave as their kinds do."""

import asyncio

import pytest
from endpoints import MODEL, Server

from evo.config import Model
from evo.proposer.client import Endpoint, Proposer
from evo.proposer.endpoint_probe import learn

PROMPT = [{"role": "user", "content": "def improve(model):\n    return model\n" * 350}]
"""About 13 kB, some 3,300 tokens: it fits into 4,096, and its answer does not."""


def learned(server, **changes):
    model = Model(name=MODEL, base_url=server.base_url, first_token_seconds=5.0, **changes)

    async def both():
        return await learn(Proposer(Endpoint(server.base_url, "sk-test"), model), model, PROMPT, 2000)

    return asyncio.run(both())


def test_an_endpoint_that_answers_is_told_with_what_a_candidate_costs():
    with Server("openai", context=200_000, seconds=0.001) as server:
        found = learned(server, price_in=1.0, price_out=10.0)
    assert found.wrong == ""
    said = " ".join(found.lines)
    assert "tokens in and 2000 out, about $0.0" in said
    assert "tokens a second" in said
    assert len(server.asked) == 2
    assert PROMPT[0]["content"] in server.asked[1]["messages"][0]["content"]


def test_a_prompt_that_is_cut_silently_is_found_out_with_what_to_do():
    with Server("ollama") as server:
        found = learned(server)
    assert "the endpoint read only 4096 tokens and cut the rest silently" in found.wrong


@pytest.mark.parametrize("kind", ["openai", "vllm", "llamacpp", "lmstudio"])
def test_a_context_that_is_too_small_is_told(kind):
    with Server(kind, context=3000) as server:
        assert "does not fit" in learned(server).wrong


def test_a_refused_key_is_told():
    with Server("openai", key="another") as server:
        assert "refuses the key" in learned(server).wrong


def test_tokens_that_are_not_counted_are_told():
    with Server("lmstudio", usage=False, context=200_000) as server:
        assert any("reports no token counts" in said for said in learned(server).lines)


def test_a_price_that_is_not_known_is_told():
    with Server("openai", context=200_000) as server:
        assert any("cost unknown" in said for said in learned(server).lines)
