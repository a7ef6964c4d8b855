"""Answers that cannot be read, and parameters that an endpoint refuses to several questions at once."""

import asyncio
import threading

import pytest

from evo.proposer.answer import parse
from evo.status import Status

MESSAGES = [{"role": "user", "content": "improve it"}]
KEY = "sk-canary-0123456789"


def completion(**changes):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}} | changes
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>sign in</html>",
        b"",
        b'{"choices": [',
        b"null",
        b"[]",
        completion(message=None),
        completion(message={"role": "assistant", "content": [{"type": "text", "text": "hello"}]}),
    ],
    ids=["html", "nothing", "half", "null", "list", "no message", "content in parts"],
)
def test_an_answer_that_is_no_completion_is_named_and_never_raised(ask, body):
    reply, _ = ask((200, body))
    assert reply.status == Status.NO_ANSWER or reply.text == "hello"


def refuse_three_at_once(name, words):
    barrier = threading.Barrier(3)

    def answer(body):
        if name in body:
            barrier.wait(timeout=5)
            return 400, {"error": {"message": words, "param": name}}
        return 200, completion()

    return answer


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("seed", "Unsupported parameter: 'seed'"),
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
    ],
)
def test_a_parameter_refused_to_several_questions_at_once_fails_none_of_them(serve, proposer, loop, name, words):
    server = serve(refuse_three_at_once(name, words))
    asker = proposer(server.base_url, max_tokens=512)

    async def all_of_them():
        return await asyncio.gather(*(asker.ask(MESSAGES, seed) for seed in range(3)))

    assert [str(reply.status) for reply in loop.run(all_of_them())] == ["ok"] * 3
    if name == "max_tokens":
        assert all(sent["max_completion_tokens"] == 512 for sent in server.asked if "max_tokens" not in sent)


@pytest.mark.parametrize("words", ["Unrecognized request argument supplied: seed", "Unknown field `seed`"])
def test_a_parameter_named_without_quotes_is_left_out_too(ask, words):
    reply, _ = ask(lambda body: (400, {"error": {"message": words}}) if "seed" in body else (200, completion()))
    assert reply.status == Status.OK


def test_a_parameter_that_only_param_or_detail_names_is_left_out(ask):
    detail = {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}
    reply, _ = ask(lambda body: (422, detail) if "seed" in body else (200, completion()))
    assert reply.status == Status.OK


def test_a_key_that_the_endpoint_says_back_is_not_kept(ask):
    reply, _ = ask((401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}))
    assert KEY not in repr(reply)


BASE = {"train_mps.py": "t\n", "model.py": "m\n"}


@pytest.mark.parametrize(
    "response", ["```python\nmodel.py\nx = 1\n```\t\nbye\n", "1.\t```python\n\tmodel.py\n\tx = 1\n\t```\n"]
)
def test_a_closing_fence_with_a_tab_is_one(response):
    assert parse(response, BASE).files == {**BASE, "model.py": "x = 1\n"}


def test_a_shell_block_below_a_mention_of_a_file_is_not_that_file():
    response = "```python\nmodel.py\nx = 1\n```\nRun `train_mps.py` with:\n```bash\npython train_mps.py\n```\n"
    assert parse(response, BASE).files == {**BASE, "model.py": "x = 1\n"}
