"""A run's recorded answers, given again."""

import json
import subprocess
import sys

import openai
import pytest

from evo import rng
from evo.errors import EvoError
from evo.lineage import schema
from evo.lineage.store import DamagedFile, Lineage
from evo.serving.replay import ReplayServer

SEED = 7
ONE, OTHER = ([{"role": "user", "content": text}] for text in ("Improve this: é.", "Improve that."))
SOMETHING = [{"role": "user", "content": "Something else."}]
MENDING = [*ONE, {"role": "assistant", "content": "first"}, {"role": "user", "content": "It does not run."}]


def call(number, attempt, messages, response, **others):
    row = dict.fromkeys(column.name for column in schema.TABLES["calls"])
    row |= {"id": number, "attempt": attempt, "messages": json.dumps(messages, ensure_ascii=False)}
    row |= {"response": response, "status": "ok", "finish_reason": "stop", "model": "gpt-x"}
    row |= {"input_tokens": 10, "output_tokens": 20}
    return row | others


def recorded(folder, *calls):
    """The folder of a run that holds these calls."""
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(f"seed = {SEED}\n", encoding="utf-8")
    lineage = Lineage(folder)
    for row in calls:
        lineage.append("calls", (row["id"], row["attempt"]), [row | {"run": folder.name}])
    return folder


@pytest.fixture
def run(tmp_path):
    calls = (
        call(1, 1, ONE, "first"),
        call(1, 2, MENDING, "mended", finish_reason="length"),
        call(2, 1, ONE, "second"),
        call(3, 1, OTHER, None, status="no_answer", finish_reason="", input_tokens=None, output_tokens=None),
        call(10, 1, SOMETHING, "tenth", output_tokens=None, finish_reason="", reasoning="Let me think."),
    )
    return recorded(tmp_path / "r", *calls)


def ask(server, messages, seed=0, **options):
    with openai.OpenAI(base_url=server.base_url, api_key=server.token, max_retries=0) as client:
        completion = client.chat.completions.create(model="any", messages=messages, seed=seed, **options)
        return list(completion) if options.get("stream") else completion


def said(server, messages, seed=0):
    return ask(server, messages, seed).choices[0].message.content


def test_a_prompt_gets_its_answer_with_all_that_was_recorded_of_it(run):
    with ReplayServer(run) as server:
        completion = ask(server, MENDING)
        assert completion.choices[0].message.content == "mended"
        assert completion.choices[0].finish_reason == "length"
        assert completion.model == "gpt-x"
        usage = completion.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 20, 30)


def test_a_stream_gives_the_same(run):
    with ReplayServer(run) as server:
        chunks = ask(server, MENDING, stream=True, stream_options={"include_usage": True})
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "mended"
    assert chunks[-1].usage.total_tokens == 30
    assert chunks[-2].choices[0].finish_reason == "length"


def test_a_call_that_failed_is_an_empty_answer_whose_tokens_nobody_knows(run):
    with ReplayServer(run) as server:
        completion = ask(server, OTHER)
    assert completion.choices[0].message.content == ""
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is None


def test_a_call_that_was_refused_is_refused_again_and_an_empty_one_is_empty(tmp_path):
    refused = call(1, 1, ONE, None, status="no_answer", reason="the prompt does not fit the model's context")
    empty = call(
        2, 1, OTHER, None, status="no_answer", reason="the answer is empty: its whole length went into reasoning"
    )
    run = recorded(tmp_path / "r", refused, empty | {"finish_reason": "length", "reasoning": "Hmm."})
    with ReplayServer(run) as server:
        with pytest.raises(openai.BadRequestError, match="the prompt does not fit the model's context"):
            ask(server, ONE)
        choice = ask(server, OTHER).choices[0]
    assert (choice.message.content, choice.finish_reason, choice.message.reasoning_content) == ("", "length", "Hmm.")


def test_of_several_answers_to_one_prompt_the_one_that_was_asked_with_the_seed_comes(run):
    for order in ((1, 2), (2, 1)):
        with ReplayServer(run) as server:
            given = {number: said(server, ONE, rng.answer_seed(SEED, number, 1)) for number in order}
        assert given == {1: "first", 2: "second"}


def test_with_other_seeds_they_come_in_turn_and_the_same_request_always_gets_the_same(run):
    with ReplayServer(run) as server:
        assert [said(server, ONE, seed) for seed in (5, 6, 5, 6, 5)] == ["first", "second", "first", "second", "first"]
        assert [said(server, ONE, seed) for seed in (7, 8)] == ["first", "second"]
        assert said(server, MENDING, 5) == "mended"


def test_a_prompt_that_is_worded_otherwise_today_is_known_by_its_seed(run):
    changed = [{"role": "user", "content": "Improve this, please."}]
    with ReplayServer(run) as server:
        assert said(server, changed, rng.answer_seed(SEED, 2, 1)) == "second"
        assert said(server, changed, rng.answer_seed(SEED, 1, 2)) == "mended"
        assert said(server, changed, rng.answer_seed(SEED, 10, 1)) == "tenth"


def test_a_prompt_that_is_not_known_at_all_is_refused(run):
    with ReplayServer(run) as server:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match="run r holds no answer to this prompt"):
                ask(server, [{"role": "user", "content": "Nothing like it."}], 1, stream=stream)


def test_messages_are_the_same_whatever_the_order_of_their_keys(run):
    with ReplayServer(run) as server:
        assert said(server, [dict(reversed(list(message.items()))) for message in MENDING]) == "mended"


def test_what_is_known_of_the_tokens_is_told(run):
    with ReplayServer(run) as server:
        completion = ask(server, SOMETHING)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, None)
    assert completion.choices[0].finish_reason == "stop"


def test_what_was_thought_is_told_apart_again(run):
    with ReplayServer(run) as server:
        message = ask(server, SOMETHING).choices[0].message
        chunks = ask(server, SOMETHING, stream=True)
    assert (message.content, message.reasoning_content) == ("tenth", "Let me think.")
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == "Let me think."
    assert "".join(delta.content or "" for delta in deltas) == "tenth"


def test_nothing_is_written(run):
    def files():
        return {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    before = files()
    with ReplayServer(run) as server:
        said(server, ONE)
    assert files() == before


def test_a_folder_that_is_no_run_or_holds_no_answer_is_refused(tmp_path):
    with pytest.raises(EvoError, match=r"the frozen configuration of .* cannot be read"):
        ReplayServer(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(EvoError, match="run empty holds no recorded answers"):
        ReplayServer(recorded(tmp_path / "empty"))


def test_a_damaged_record_is_named(run):
    (run / "lineage" / "calls" / "000002-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedFile, match=r"000002-1\.parquet is damaged"):
        ReplayServer(run)


def test_the_seeds_of_answers_never_change():
    assert rng.answer_seed(1, 0, 1) == rng.derived(1, 0, "answer") % 2**31 == 5964134182204 % 2**31
    assert rng.answer_seed(1, 5, 2) == rng.derived(1, 5, "answer 2") % 2**31
    seeds = [rng.answer_seed(1, number, attempt) for number in range(200) for attempt in (1, 2, 3)]
    assert len(set(seeds)) == len(seeds)


def test_importing_the_servers_stays_light():
    code = (
        "import sys, evo.serving.replay, evo.serving.command, evo.serving.local\n"
        "print([m for m in ('torch', 'ray', 'numpy', 'openai', 'scipy', 'pyarrow', 'xllamacpp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
