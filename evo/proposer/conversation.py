"""State of a conversation about one candidate: parse answers and compose the next messages. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evo.evaluator import code_hash
from evo.proposer import answer, repair
from evo.proposer.prompt import Form
from evo.proposer.repair import Failure
from evo.status import Status

COPIED = "You answered this before, with the files as they were given: nothing in them was changed."
"""Said, below what was asked, of an answer that was a copy, which itself is not sent back."""


@dataclass
class Conversation:
    """Conversation so far.

    Attributes:
        messages: Messages of the next request.
        base: Files that the prompt asks to improve.
        form: Accepted form of an answer.
    """

    messages: list[dict[str, str]]
    base: Mapping[str, str]
    form: Form = "files"
    _first: list[dict[str, str]] = field(init=False)
    _turns: list[tuple[str, str]] = field(default_factory=list)
    _cut: str = ""
    _files: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        self._first = list(self.messages)

    def hear(self, call: Mapping[str, Any]) -> answer.Answer:
        """Parse an answer. The continuation of a cut answer is parsed together with it."""
        if call["status"] != Status.OK:
            return answer.Answer(Status(call["status"]), call["reason"])
        said, finish = call["response"], call["finish_reason"]
        if self._cut:
            heard = answer.parse_continued(self._cut, said, self.base, finish, self.form)
        else:
            heard = answer.parse(said, self.base, finish, self.form)
        self._files = heard.files
        return heard

    def reply(self, call: Mapping[str, Any], failure: Failure) -> None:
        """Add the report of a failure to the conversation.

        An answer that copies the given files is not sent back, because small models repeat what they read.
        """
        said, about = call["response"] or "", repair.message(failure, self.form)
        self.keep(said, failure.status)
        copied = failure.status == Status.DUPLICATE and self._files and code_hash(self._files) == code_hash(self.base)
        self._turns.append(("", f"{COPIED} {about}") if copied else (said, about))
        self.messages = repair.conversation(self._first, self._turns)

    def keep(self, said: str, status: Status) -> None:
        """Remember a cut answer for its continuation."""
        self._cut = answer.joined(self._cut, said) if status == Status.TRUNCATED else ""


def files_of(calls: Sequence[Mapping[str, Any]], base: Mapping[str, str], form: Form) -> list[dict[str, str] | None]:
    """Return the files in each answer of a conversation, in order, and None for an answer without files."""
    talk, found = Conversation([], base, form), []
    for call in calls:
        heard = talk.hear(call)
        found.append(heard.files)
        talk.keep(call["response"] or "", heard.status)
    return found
