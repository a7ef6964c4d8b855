"""Probe of an endpoint before a run: one short request, and one as long as a prompt with its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evo.config import Model
from evo.proposer.client import Proposer, price
from evo.proposer.prompt import BYTES_PER_TOKEN, byte_count, tokens
from evo.proposer.reply import Reply
from evo.status import Status

_TASK = "Write the numbers from 1 to 40 in words, one a line, and nothing else."
_PIECES, _PIECE = 12, 300
"""Of the prompt in the small question, from all over it, in characters: they tell how many tokens its text has."""
_ANSWER_TOKENS = 128
"""Of both answers: enough to see how fast they come."""
_READ = 0.9
"""Of the tokens that a text should have by its sample; where a server counts fewer, it did not read all."""


@dataclass(frozen=True)
class Learned:
    """Result of a probe.

    Attributes:
        wrong: Why the endpoint is unusable, or an empty string.
        lines: Lines for the user.
    """

    wrong: str
    lines: tuple[str, ...]


async def learn(proposer: Proposer, model: Model, messages: Sequence[Mapping[str, str]], answer: int) -> Learned:
    """Send two requests to an endpoint and return what they show.

    Args:
        proposer: Client of the endpoint.
        model: Its settings.
        messages: Prompt as a run sends it. Only a few tokens of the answer are awaited.
        answer: Usual length of an answer in tokens.
    """
    prompt = "\n".join(message["content"] for message in messages)
    filled = prompt + "\n" + (prompt * answer)[: BYTES_PER_TOKEN * answer]
    sample = _asked("\n".join(filled[len(filled) * n // _PIECES :][:_PIECE] for n in range(_PIECES)))
    small = await proposer.ask(sample, 1, _ANSWER_TOKENS)
    if failed := small.refused or small.outage:
        return Learned(failed, ())
    whole = await proposer.ask(_asked(filled), 1, _ANSWER_TOKENS)
    if failed := whole.refused or whole.outage:
        return Learned(f"a short request succeeds, but a request as long as a prompt fails: {failed}", ())
    what = f"a prompt of {byte_count(prompt)} bytes with an answer of {answer} tokens"
    if whole.status != Status.OK and "context" in whole.reason:
        return Learned(f"{what} does not fit: {whole.reason}", ())
    if None not in (small.input_tokens, whole.input_tokens):
        rate = small.input_tokens / byte_count(sample[0]["content"])  # type: ignore[operator]
        if whole.input_tokens < _READ * rate * byte_count(filled):  # type: ignore[operator]
            cut = f"{what} does not fit: the endpoint read only {whole.input_tokens} tokens and cut the rest silently"
            return Learned(cut + (f"; {model.server_preset.advice}" if model.server_preset.advice else ""), ())
        asked = round(rate * byte_count(prompt))
    else:
        asked = tokens(prompt)
    return Learned("", tuple(_says(model, small, whole, asked, answer)))


def _asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{text}\n\n{_TASK}"}]


def _says(model: Model, small: Reply, whole: Reply, asked: int, answer: int) -> list[str]:
    said = []
    if small.model and small.model != model.name:
        said.append(f"it answers as {small.model}")
    if small.reasoning or whole.reasoning:
        said.append("it reasons before it answers")
    if whole.input_tokens is None:
        said.append("it reports no token counts, so evo uses upper estimates")
    usd = price(model, asked, answer)
    cost = (
        "cost unknown: price_in and price_out are not set"
        if usd is None
        else "free"
        if usd == 0
        else f"about ${usd:.4f}"
    )
    said.append(f"a candidate: about {asked} tokens in and {answer} out, {cost}{_seconds(small, whole, answer)}")
    return said


def _seconds(small: Reply, whole: Reply, answer: int) -> str:
    came = small.output_tokens or tokens(small.text)
    seconds = small.latency_s - small.first_token_s
    if came < 8 or seconds <= 0:
        return ""
    all_of_it = whole.first_token_s + answer * seconds / came
    return (
        f", about {all_of_it:.0f} s ({came / seconds:.0f} tokens a second, the first after {whole.first_token_s:.1f} s)"
    )
