"""The prompt: a persona's text, the files it is asked to improve, and what happened to them. Pure text, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from evo import persona as personas

FILES_HEADING = "**The files as they stand:**"
"""The line after which the prompt holds the files; before it stands the persona's text alone."""
RESULT_HEADING = "**What happened to them:**"


@dataclass(frozen=True)
class Outcome:
    """What a prompt tells of the files it holds. It holds no clock, so that equal searches send equal prompts.

    Losses are held-out losses in nats a token; `cost` is None where the search does not look at the clock.
    """

    baseline_loss: float
    loss: float | None = None
    cost: float | None = None
    is_baseline: bool = True


def messages(persona: personas.Persona, files: Mapping[str, str], outcome: Outcome) -> list[dict[str, str]]:
    """The chat messages of one request: a single user message, since not every server knows a system role."""
    return [{"role": "user", "content": text(persona, files, outcome)}]


def text(persona: personas.Persona, files: Mapping[str, str], outcome: Outcome) -> str:
    """The whole prompt. Its stable part, the persona and the contract, stands first."""
    blocks = "\n\n".join(
        f"{_fence(body)}python\n{name}\n{body.rstrip()}\n{_fence(body)}" for name, body in files.items()
    )
    return (
        f"{personas.render(persona).rstrip()}\n\n{FILES_HEADING}\n\n{blocks}\n\n"
        f"{RESULT_HEADING}\n{_told(outcome)}\n\n"
        "Answer with the changed files whole, each in its own Python code block whose first line is the file's name.\n"
    )


def _told(outcome: Outcome) -> str:
    if outcome.is_baseline:
        return (
            f"These are the baseline's files. Trained, their held-out loss is {outcome.baseline_loss:.4f} nats a token."
        )
    if outcome.loss is None:
        raise ValueError("expected a loss for files that are not the baseline's")
    difference = outcome.loss - outcome.baseline_loss
    word = "lower" if difference < 0 else "higher"
    told = (
        f"They were already changed. Trained, their held-out loss is {outcome.loss:.4f} nats a token, "
        f"{abs(difference):.4f} {word} than the baseline's {outcome.baseline_loss:.4f}."
    )
    return (
        told
        if outcome.cost is None
        else f"{told} Training them costs {outcome.cost:.2f} times what the baseline costs."
    )


def _fence(body: str) -> str:
    """A fence longer than any run of backticks in `body`."""
    longest = run = 0
    for character in body:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return "`" * max(3, longest + 1)
