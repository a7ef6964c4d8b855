"""A candidate's conversation: what fails goes back to its model, every answer is durable, and a run goes on where it was cut."""

import json

import pytest
from standins import Proposer, Trainers, drive, make_run, without_clocks

from evo import config, rng
from evo.catalogue import answer as catalogue_answer
from evo.driver import run_folder as folders
from evo.errors import EvoError
from evo.finalists import REPAIR
from evo.lineage import query, runs
from evo.lineage.store import Lineage
from evo.proposer import gene_writing
from evo.proposer.conversation import COPIED, files_of
from evo.trainer.job import SHORT_RUN


@pytest.fixture
def population(tmp_path):
    return tmp_path / "population"


def rows_of(run, table="candidates"):
    return Lineage(run.path).read(table)


class Spoils(Proposer):
    """The catalogue, whose first answers are spoiled: `spoil(reply)` for those of attempts below `until`."""

    def __init__(self, spoil, until=2):
        super().__init__()
        self.first, self.until, self.messages = spoil, until, []

    async def ask(self, model, messages, seed, max_tokens=None):
        reply = await super().ask(model, messages, seed, max_tokens)
        turns = sum(message["role"] == "user" for message in messages)
        self.messages.append(messages)
        return self.first(reply) if turns < self.until else reply


def with_text(text, **changes):
    return lambda reply: reply | {"text": text} | changes


PROSE = with_text("I would rather talk about it.")


def test_an_answer_that_fails_goes_back_with_what_is_wrong_and_is_mended(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    proposer = Spoils(PROSE)
    drive(run, proposer)
    rows = rows_of(run)[1:]
    assert {row["status"] for row in rows} <= {"ok", "duplicate", "stopped_early"}
    assert {row["first_status"] for row in rows} == {"no_code"}
    assert min(row["attempts"] for row in rows) == 2
    second = next(messages for messages in proposer.messages if len(messages) > 1)
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert second[1]["content"] == "I would rather talk about it."
    assert "code" in second[2]["content"]


def test_every_answer_is_a_row_with_what_was_sent(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    drive(run, Spoils(PROSE))
    calls = rows_of(run, "calls")
    assert [call["attempt"] for call in calls if call["id"] == 1] == [1, 2]
    assert [len(json.loads(call["messages"])) for call in calls if call["id"] == 1] == [1, 3]
    row = rows_of(run)[1]
    assert row["tokens"] == sum(c["input_tokens"] + c["output_tokens"] for c in calls if c["id"] == 1)


def test_no_more_is_mended_than_was_allowed(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    drive(run, Spoils(PROSE, until=99))
    rows = rows_of(run)[1:]
    assert {(row["status"], row["attempts"]) for row in rows} == {("no_code", 3)}


def test_without_repairs_nothing_goes_back(population, small_evaluator):
    run = make_run(population, small_evaluator)
    drive(run, Spoils(PROSE))
    assert {(row["status"], row["attempts"]) for row in rows_of(run)[1:]} == {("no_code", 1)}


def test_a_request_that_the_endpoint_refuses_does_not_go_back(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    drive(run, Spoils(with_text("", status="no_answer", reason="the endpoint refused the request: why"), until=99))
    assert {(row["status"], row["attempts"]) for row in rows_of(run)[1:]} == {("no_answer", 1)}


def test_an_empty_answer_is_asked_for_once_more_with_another_seed(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=1)
    empty = with_text("", status="no_answer", reason="the answer is empty")
    asked = []

    class Empty(Spoils):
        async def ask(self, model, messages, seed, max_tokens=None):
            asked.append(seed)
            reply = await super().ask(model, messages, seed, max_tokens)
            return empty(reply) if seed == rng.answer_seed(1, 1, 1) else reply

    drive(run, Empty(empty, until=0))
    row = rows_of(run)[1]
    assert (row["first_status"], row["attempts"]) == ("no_answer", 2)
    assert rng.answer_seed(1, 1, 2) in asked


def test_a_cut_answer_is_gone_on_with(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=1)
    whole = {}

    class Cuts(Spoils):
        async def ask(self, model, messages, seed, max_tokens=None):
            reply = await super().ask(model, messages, seed, max_tokens)
            if len(messages) == 1:
                text = whole[messages[0]["content"]] = catalogue_answer(messages, seed)
                return reply | {"text": text[: len(text) // 2], "finish_reason": "length"}
            text = whole[messages[0]["content"]]
            return reply | {"text": text[len(text) // 2 :]}

    drive(run, Cuts(PROSE, until=0))
    rows = rows_of(run)[1:]
    assert {row["first_status"] for row in rows} == {"truncated"}
    assert {row["status"] for row in rows} <= {"ok", "duplicate", "stopped_early"}
    assert {row["attempts"] for row in rows} == {2}
    calls = [call for call in rows_of(run, "calls") if call["id"] == 1]
    assert files_of(calls, run.evaluator.baseline, "files") == [None, json.loads(rows[0]["files"])]


def test_a_twin_is_asked_once_more_and_stands_where_nothing_better_comes(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    given = "\n".join(f"```python\n{name}\n{text}```" for name, text in run.evaluator.baseline.items())
    drive(run, Spoils(with_text(given), until=99))
    rows = rows_of(run)[1:]
    assert {(row["status"], row["attempts"], row["first_status"]) for row in rows} == {("duplicate", 2, "duplicate")}
    assert {row["duplicate_of"] for row in rows} == {0}


class FailsAtFirst(Trainers):
    """Every code but the baseline's fails in its first iterations, until it has failed `times` times."""

    def __init__(self, times=10**6):
        super().__init__()
        self.times, self.failed = times, 0

    async def judge(self, job):
        judged = await super().judge(job)
        if len(self.trained) > 1 and self.failed < self.times:
            self.failed += 1
            nothing = ("val_loss", "test_loss", "text_se", "bits_per_byte", "reported_vloss", "n_params")
            judged |= dict.fromkeys(nothing)
            judged |= {"status": "crashed", "reason": "NameError: x", "stage": SHORT_RUN, "output_tail": "Traceback"}
        return judged


def test_first_iterations_that_fail_go_back_and_have_a_training_of_their_own(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=1, generations=1, **{"final.verdict_seeds": 0})
    proposer = Spoils(PROSE, until=0)
    drive(run, proposer, FailsAtFirst(times=1))
    mended = [row for row in rows_of(run) if row["first_status"] == "crashed"]
    assert [(row["status"], row["attempts"]) for row in mended] == [("ok", 2)]
    trainings = [t for t in rows_of(run, "trainings") if t["id"] == mended[0]["id"]]
    assert [(t["replicate"], t["status"], t["stage"] == SHORT_RUN) for t in trainings] == [
        (0, "ok", False),
        (REPAIR + 1, "crashed", True),
    ]
    said = next(m for m in proposer.messages if len(m) == 3)[2]["content"]
    assert "NameError" in said


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_conversation_that_was_cut_goes_on_to_the_same_lineage(population, small_evaluator, kept):
    whole = make_run(population, small_evaluator, "whole", repairs=2)
    drive(whole, Spoils(PROSE, until=3))
    cut = make_run(population, small_evaluator, "cut", repairs=2)
    calls = Lineage(whole.path).read("calls")[:kept]
    for call in calls:
        Lineage(cut.path).append("calls", (call["id"], call["attempt"]), [call | {"run": "cut"}])
    proposer = Spoils(PROSE, until=3)
    drive(cut, proposer)
    assert without_clocks(Lineage(cut.path)) == without_clocks(Lineage(whole.path))
    recorded = {rng.answer_seed(1, call["id"], call["attempt"]) for call in calls}
    assert not recorded.intersection(proposer.asked)


# ---- budgets ----


def test_a_run_stops_at_its_budget_of_candidates_with_a_verdict_and_goes_on_with_a_larger_one(
    population, small_evaluator
):
    run = make_run(population, small_evaluator, **{"budget.candidates": 4})
    _, _, watcher = drive(run)
    assert len(rows_of(run)) == 5
    assert any("the budget of 4 candidates is spent" in note for note in watcher.notes)
    assert [row["after"] for row in rows_of(run, "verdicts")] == [5]
    more = run.config.model_copy(update={"budget": config.Budget()})
    drive(folders.RunFolder(run.path, more, run.evaluator, run.seeds, run.data_sha256))
    whole = make_run(population, small_evaluator, "whole")
    drive(whole)
    drop = {"run", "created_at"}
    found, expected = (
        [{k: v for k, v in row.items() if k not in drop} for row in without_clocks(Lineage(r.path))["candidates"]]
        for r in (run, whole)
    )
    assert found == expected


def test_a_run_never_uses_more_tokens_than_its_budget(population, small_evaluator):
    run = make_run(population, small_evaluator, **{"budget.tokens": 40_000})
    _, _, watcher = drive(run, Proposer(lambda reply: reply | {"input_tokens": 5000, "output_tokens": 1000}))
    assert 0 < sum(call["input_tokens"] + call["output_tokens"] for call in rows_of(run, "calls")) <= 40_000
    assert any("the budget of 40000 tokens has no room" in note for note in watcher.notes)


# ---- several models ----


def test_several_models_share_the_candidates_by_weight(population, small_evaluator):
    models = [{"name": "a", "base_url": "http://localhost:1/v1"}, {"name": "b", "base_url": "http://localhost:2/v1"}]
    run = make_run(population, small_evaluator)
    several = run.config.model_copy(update={"model": tuple(config.Model(**model) for model in models)})
    drive(folders.RunFolder(run.path, several, run.evaluator, run.seeds, run.data_sha256))
    asked = [row["asked"] for row in rows_of(run)]
    assert asked[0] is None
    assert set(asked[1:]) == {"a", "b"}


MODEL = {"model.name": "writer", "model.base_url": "http://127.0.0.1:9", "isolation": "process"}
WRITING = MODEL | {"variation.write_breakthrough": 50.0, "variation.sharpen_topic": 50.0}


class Writes(Proposer):
    """Answers a question for a gene with `words`, and any other as the catalogue."""

    def __init__(self, words="**{number}th Insight:** Lower the learning rate along a cosine."):
        super().__init__()
        self.words, self.questions = words, []

    async def ask(self, model, messages, seed, max_tokens=None):
        reply = await super().ask(model, messages, seed, max_tokens)
        if "Answer with one line" not in messages[0]["content"]:
            return reply
        self.questions.append(messages[0]["content"])
        return reply | {"text": self.words.format(number=seed), "input_tokens": 7, "output_tokens": 3}


def records_of(row):
    return [record for record in json.loads(row["operators"]) if "words" in record]


def test_a_model_writes_genes_where_variation_wants_them_and_the_child_is_asked_with_them(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING)
    proposer = Writes()
    drive(run, proposer)
    calls = {(call["id"], call["attempt"]): call for call in rows_of(run, "calls")}
    written = [row for row in rows_of(run) if row["id"] and records_of(row)]
    assert len(written) == len(proposer.questions) > 3
    for row in written:
        (record,) = records_of(row)
        assert record["from"] == "catalogue", "as the stand-in names itself"
        assert record["words"] in row["prompt"]
        assert record["words"].split("**")[-1].strip() in json.dumps(json.loads(row["persona"]))
        assert (row["tokens"], row["attempts"]) == (160, 1)
        assert calls[row["id"], 0]["response"].startswith("**")


def test_what_is_written_is_inherited(population, small_evaluator):
    run = make_run(population, small_evaluator, generations=5, **MODEL | {"variation.write_breakthrough": 50.0})
    drive(run, Writes())
    rows = [row for row in rows_of(run) if row["persona"]]
    assert any(row["persona"].count("th Insight") > len(records_of(row)) for row in rows)


def test_words_of_no_use_leave_the_persona_as_it_was_and_say_why(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING)
    drive(run, Writes("I cannot say."))
    written = [row for row in rows_of(run) if row["id"] and records_of(row)]
    assert written
    for row in written:
        (record,) = records_of(row)
        assert record["words"] is None
        assert "expected a line" in record["refused"]
        assert row["status"] in ("ok", "duplicate")


def test_a_run_cut_after_its_genes_were_written_asks_for_none_again(population, small_evaluator):
    run, other = (make_run(population, small_evaluator, name=name, **WRITING) for name in ("whole", "cut"))
    drive(run, Writes())

    class Dies(Writes):
        async def ask(self, model, messages, seed, max_tokens=None):
            if len(self.questions) == 2 and "Answer with one line" not in messages[0]["content"]:
                raise RuntimeError("as if killed")
            return await super().ask(model, messages, seed, max_tokens)

    first, second = Dies(), Writes()
    with pytest.raises(RuntimeError, match="as if killed"):
        drive(other, first)
    drive(folders.open_run(other.path), second)
    assert not set(first.questions) & set(second.questions)
    assert without_clocks(Lineage(run.path)) == without_clocks(Lineage(other.path))


def test_a_catalogue_alone_is_refused_where_genes_are_to_be_written_and_a_model_from_elsewhere_will_do(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text("[variation]\nwrite_breakthrough = 1.0\n")
    with pytest.raises(EvoError, match="only the catalogue is configured"):
        config.load(path, {}, {})
    unasked = path.with_name("u.toml")
    unasked.write_text(f'{path.read_text()}[[model]]\nname = "w"\nweight = 0\n[[model]]\nname = "catalogue"\n')
    with pytest.raises(EvoError, match="only the catalogue is configured"):
        config.load(unasked, {}, {})
    assert config.load(path, {"model.gguf": "x.gguf"}, {}).variation.write_breakthrough == 1.0
    assert config.load(path, {}, {"EVO_MODEL__BASE_URL": "http://localhost:1"}).variation.write_breakthrough == 1.0


def test_a_question_for_a_gene_asks_for_a_short_answer(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING)
    limits = {}

    class Limits(Writes):
        async def ask(self, model, messages, seed, max_tokens=None):
            limits.setdefault("Answer with one line" in messages[0]["content"], set()).add(max_tokens)
            return await super().ask(model, messages, seed, max_tokens)

    drive(run, Limits())
    assert limits == {True: {gene_writing.MOST_TOKENS}, False: {16384}}


def damage(run, number, attempt):
    path = Lineage(run.path).path("calls", number, attempt)
    path.write_bytes(path.read_bytes()[:-9])


def test_a_damaged_gene_is_not_asked_for_again_and_a_damaged_answer_beside_one_is(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING)
    drive(run, Writes())
    number = next(row["id"] for row in rows_of(run) if row["id"] and records_of(row))
    before = rows_of(run)
    damage(run, number, 0)
    proposer, _, watcher = drive(folders.open_run(run.path), Writes())
    assert proposer.asked == []
    assert any("holds the gene" in note for note in watcher.notes)
    assert runs.summary(run.path).state == "finished"
    damage(run, number, 1)
    proposer, _, _ = drive(folders.open_run(run.path), Writes())
    assert proposer.asked == [rng.answer_seed(1, number, 1)]
    assert rows_of(run) == before
    assert Lineage(run.path).has("calls", number, 1)


def test_a_gene_whose_words_are_lost_is_not_written_anew_for_an_answer_that_is_there(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING)
    drive(run, Writes())
    number = next(row["id"] for row in reversed(rows_of(run)) if row["id"] and records_of(row))
    row = rows_of(run)[number]
    Lineage(run.path).path("calls", number, 0).unlink()
    Lineage(run.path).path("candidates", number).unlink()
    proposer, _, _ = drive(folders.open_run(run.path), Writes())
    assert proposer.asked == []
    again = rows_of(run)[number]
    assert "not recorded" in records_of(again)[0]["refused"]
    assert (again["files"], again["prompt"]) == (row["files"], row["prompt"])


def test_no_gene_is_written_for_a_prompt_that_is_too_long(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING | {"model.context_length": 1024, "model.max_tokens": 256})
    proposer, _, _ = drive(run, Writes())
    assert proposer.questions == []
    assert {row["status"] for row in rows_of(run)[1:]} == {"no_answer"}


def test_what_operators_gained_is_a_query(population, small_evaluator):
    run = make_run(population, small_evaluator, **WRITING)
    drive(run, Writes())
    rows = {row["id"]: row for row in rows_of(run)}
    credit = query.sql(population, "SELECT * FROM credit ORDER BY id", "run").as_dicts()
    assert [(c["id"], c["operator"]) for c in credit] == [
        (row["id"], record["operator"]) for row in rows.values() for record in json.loads(row["operators"])
    ]
    for one in credit:
        row = rows[one["id"]]
        unscored = row["duplicate_of"] is not None or one["refused"] is not None
        expected = None if unscored else rows[row["base"]]["val_loss"] - row["val_loss"]
        assert one["gain"] == expected


def test_a_copy_of_the_files_given_is_not_sent_back_and_what_comes_then_is_mended_on(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    given = "\n".join(f"```python\n{name}\n{text}```" for name, text in run.evaluator.baseline.items())
    broken = given.replace("def train(", "def trian(")

    class Copies(Spoils):
        async def ask(self, model, messages, seed, max_tokens=None):
            reply = await super().ask(model, messages, seed, max_tokens)
            if len(messages) > 1:
                return reply
            return reply | {"text": broken if COPIED in messages[0]["content"] else given}

    proposer = Copies(PROSE, until=0)
    drive(run, proposer)
    told = next(messages for messages in proposer.messages if len(messages) == 3)
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert f"\n\n{COPIED} Your code is the same as" in told[0]["content"]
    assert told[1]["content"] == broken
    seeds_of_it = [row for row in rows_of(run)[1:] if row["base"] == 0]
    assert {(row["first_status"], row["attempts"]) for row in seeds_of_it} == {("duplicate", 3)}
    assert "ok" in {row["status"] for row in seeds_of_it}


def test_a_twin_stands_where_what_comes_then_is_worse(population, small_evaluator):
    run = make_run(population, small_evaluator, repairs=2)
    given = "\n".join(f"```python\n{name}\n{text}```" for name, text in run.evaluator.baseline.items())

    class Worsens(Spoils):
        async def ask(self, model, messages, seed, max_tokens=None):
            reply = await super().ask(model, messages, seed, max_tokens)
            return reply | {"text": "I cannot." if COPIED in messages[0]["content"] else given}

    drive(run, Worsens(PROSE, until=0))
    rows = rows_of(run)[1:]
    assert {(row["status"], row["attempts"], row["duplicate_of"]) for row in rows} == {("duplicate", 3, 0)}
