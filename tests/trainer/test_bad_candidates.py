"""What hostile or broken candidates leave behind: each gets its name, and none stops the trainer."""

import os

import pytest

from evo.status import Status
from evo.trainer import isolation

FORGED = "import json, os\nopen('out/result.json', 'w').write({text!r})\nos._exit({code})"


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "status",
    ["ok", *(pytest.param(name, marks=SLOW) for name in ("duplicate", "worker_lost", "stopped_early", "timeout"))],
)
def test_a_candidate_cannot_name_itself_ok_or_what_only_we_can_know(judge, status):
    judgement = judge(end=FORGED.format(text=f'{{"status": "{status}", "reason": ""}}', code=3))
    assert judgement.status == Status.CRASHED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param('{"status": ["ok"]}', 3, id="list", marks=SLOW),
        pytest.param("[" * 100_000, 0, id="deep"),
        pytest.param('{"reported_vloss": 1' + "0" * 400 + "}", 0, id="large", marks=SLOW),
        pytest.param('{"over": true}', 0, id="over", marks=SLOW),
    ],
)
def test_no_result_makes_judge_raise(judge, text, code):
    assert judge(end=FORGED.format(text=text, code=code)).status in (Status.CRASHED, Status.BAD_SHAPE)


@SLOW
@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"step": 1, "seconds": 1, "train_loss": 1' + "0" * 400 + "}"], ids=["deep", "large"]
)
def test_no_line_of_the_curve_makes_judge_raise(judge, line):
    assert judge(end=f"open('out/curve.jsonl', 'a').write({line!r})").status == Status.OK


@SLOW
def test_a_step_that_no_column_can_hold_is_left_out(judge):
    line = '{"step": 1' + "0" * 30 + ', "seconds": 1}'
    assert all(p["step"] < 2**63 for p in judge(end=f"open('out/curve.jsonl', 'a').write({line!r})").curve)


@pytest.mark.parametrize(
    "name", ["out/result.json", *(pytest.param(name, marks=SLOW) for name in ("out/probe.bin", "out/curve.jsonl"))]
)
def test_a_folder_where_a_file_is_read_makes_judge_not_raise(judge, name):
    judgement = judge(end=f"import os, shutil\nshutil.rmtree('out')\nos.makedirs({name!r})\nos._exit(0)")
    assert judgement.status == Status.CRASHED


@pytest.mark.parametrize("how", ["os.mkdir", pytest.param("os.mkfifo", marks=SLOW)])
@pytest.mark.timeout(60)
def test_what_stands_where_we_write_neither_hangs_nor_raises(judge, how):
    judgement = judge(
        end=f"""
        import os
        os.remove("job.json")
        {how}("job.json")
        open("out/result.json", "w").write("{{}}")
        os._exit(0)
        """
    )
    assert judgement.status != Status.OK


def test_what_we_write_goes_through_no_link(judge, tmp_path):
    victim = tmp_path / "victim"
    judge(end=f"import os\nos.symlink({str(victim)!r}, 'link')\nos.replace('link', 'job.json')")
    assert not victim.exists()


def test_a_reason_is_printable_and_one_line_wherever_it_comes_from(judge):
    judgement = judge(end=r"return type('\x1b[31mred\n', (), {})()")
    assert judgement.reason.isprintable()


def test_an_exception_is_the_reason_though_something_was_printed_before_it(judge):
    assert judge(end="print('step 3: loss 4.2')\nraise ValueError('boom')").reason == "ValueError: boom"


def test_what_was_printed_before_the_limit_is_kept(judge):
    assert "step 3" in judge(end="print('step 3')\nwhile True: pass", cpu_seconds=1.5).output_tail


ASKED = "        x = self.wte(idx)"
REPLYING = """\
        import json, os, struct, sys, time
        if "train_mps" not in sys.modules and idx.shape[0] > 4:
            fd = int(os.environ["EVO_FDS"].split(",")[3])
            {}
        x = self.wte(idx)"""


def test_a_model_server_cannot_name_itself_ok(judge):
    say = (
        "b = json.dumps({'status': 'ok', 'reason': ''}).encode(); os.write(fd, b'\\1' + struct.pack('<I', len(b)) + b)"
    )
    judgement = judge(model=[(ASKED, REPLYING.format(say))])
    assert judgement.status == Status.CRASHED


@pytest.mark.timeout(60)
def test_a_model_server_that_answers_drop_by_drop_meets_the_wall_limit(judge):
    drip = "os.write(fd, b'\\0')\n            while True: os.write(fd, b'x'); time.sleep(0.05)"
    assert judge(model=[(ASKED, REPLYING.format(drip))], wall_seconds=3).status == Status.TIMEOUT


def test_strings_hash_the_same_in_every_interpreter():
    def printed():
        out, into = os.pipe()
        cell = isolation.strongest().start(isolation.Order(["-c", "print(hash('abc'))"], {}, into, ()))
        cell.process.wait()
        cell.close()
        os.close(into)
        with open(out) as lines:
            return lines.read()

    assert printed() == printed() != ""


def test_the_model_that_answers_is_the_one_in_the_candidates_files(judge):
    judgement = judge(
        end="""
        with open("model.py", "a") as file:
            file.write('\\nprint("REWRITTEN", flush=True)\\n')
        """
    )
    assert "REWRITTEN" not in judgement.output_tail


def test_a_tensor_is_no_plain_argument():
    import torch

    from evo.sandboxed import train_job

    with pytest.raises(train_job.ContractViolation):
        train_job.plain(torch.zeros(2))
