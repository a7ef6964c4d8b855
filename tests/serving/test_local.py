"""A model file served by llama.cpp: what is refused at once, and a real model of 135 million parameters."""

import contextlib
import importlib.util
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import openai
import psutil
import pytest

from evo.errors import EvoError
from evo.serving import local
from evo.serving.gguf import context_length
from evo.serving.local import MOST_CONTEXT, LocalModel, usual_threads

ROOT = Path(__file__).resolve().parents[2]
GET = ROOT.parent / "shared" / "local-model" / "get.sh"
QUESTION = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
CANARY = "sk-canary-a7730cc9"


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def header(*entries, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(entries)) + b"".join(entries)


def number(name, value, kind=4, form="I"):
    return text(name) + struct.pack(f"<I{form}", kind, value)


TOKENS = text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("b") + text("c")
SCORES = text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<fff", 1, 2, 3)
NAME = text("general.architecture") + struct.pack("<I", 8) + text("llama")


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("before", [(), (NAME,), (NAME, TOKENS, SCORES)])
@pytest.mark.parametrize("version", [2, 3])
def test_a_file_tells_what_context_its_model_was_trained_for(tmp_path, before, version):
    entries = (*before, number("llama.context_length", 8192), number("llama.other", 5))
    assert context_length(write(tmp_path / "m.gguf", header(*entries, version=version))) == 8192
    entries = (*before, number("qwen2.context_length", 2**40, 10, "Q"))
    assert context_length(write(tmp_path / "m.gguf", header(*entries))) == 2**40


def test_a_file_that_does_not_tell_is_none_the_worse(tmp_path):
    assert context_length(write(tmp_path / "m.gguf", header(NAME, TOKENS))) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not a GGUF file"),
        (b"PK\3\4 and so on", "is not a GGUF file"),
        (b"GGUF", "is damaged: it ends within its header"),
        (header(NAME)[:-2], "is damaged: it ends within its header"),
        (header(version=1), "is damaged: expected GGUF version 2 or 3, found 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "is damaged: expected at most 65536 of something"),
        (header(text("x") + struct.pack("<IQ", 8, 2**60)), "is damaged: expected at most 16777216 of something"),
        (header(number("x", 1, kind=99)), "is damaged: expected a type of value from 0 to 12, found 99"),
    ],
)
def test_a_file_that_is_no_model_is_refused_before_anything_starts(tmp_path, data, words):
    path = write(tmp_path / "m.gguf", data)
    for context in (None, 2048):
        with pytest.raises(EvoError, match=words) as caught:
            LocalModel(path, context=context)
    assert caught.value.kind == "endpoint"
    assert str(path) in caught.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(EvoError, match="cannot be read: No such file"):
        LocalModel(tmp_path / "m.gguf")


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EvoError, match="not installed") as caught:
        LocalModel(write(tmp_path / "m.gguf", header(NAME)))
    assert caught.value.hint == "pip install 'evo-search[local]'"


def test_threads_are_one_a_core_and_at_least_one(monkeypatch):
    assert 1 <= usual_threads() <= (os.cpu_count() or 1)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None)
    assert usual_threads() == 1


needs_llama = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")


@needs_llama
def test_a_header_without_a_model_is_told_in_llama_s_own_words(tmp_path):
    with (
        pytest.raises(EvoError, match="could not be served: it ended with status") as caught,
        LocalModel(write(tmp_path / "m.gguf", header(NAME))),
    ):
        pass
    assert "llama.cpp's last words: " in caught.value.hint
    assert "model" in caught.value.hint


@needs_llama
def test_a_model_that_takes_too_long_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "START_SECONDS", 0.0)
    model = LocalModel(write(tmp_path / "m.gguf", header(NAME)))
    with pytest.raises(EvoError, match="not ready after 0 seconds"), model:
        pass
    assert not children()


def children():
    return [child for child in psutil.Process().children() if "evo.serving.local_child" in " ".join(child.cmdline())]


@pytest.fixture(scope="module")
def small_model():
    """The file of a real model, fetched once a machine."""
    if not GET.is_file():
        pytest.skip(f"{GET} is not there")
    where = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evo-tests"
    try:
        done = subprocess.run(["bash", str(GET), "135m", str(where)], capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("the model could not be fetched in 240 s")
    if done.returncode:
        pytest.skip(f"the model could not be fetched: {done.stderr.strip().splitlines()[-1:]}")
    return Path(done.stdout.strip().splitlines()[-1])


def client_of(model):
    return openai.OpenAI(base_url=model.base_url, api_key=model.token, max_retries=0, timeout=120)


slow = pytest.mark.slow


@pytest.fixture(scope="module")
def served(small_model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", CANARY)
        with LocalModel(small_model, context=2048) as model:
            yield model
    assert not children()


@slow
@needs_llama
def test_a_real_model_answers_whole_and_in_pieces_the_same_for_the_same_seed(served):
    asked = {"model": served.model_id, "messages": QUESTION, "max_tokens": 24, "seed": 3, "temperature": 0.7}
    with client_of(served) as client:
        one, again = (client.chat.completions.create(**asked) for _ in range(2))
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "Paris" in one.choices[0].message.content
    assert one.choices[0].message.content == again.choices[0].message.content
    assert one.usage.prompt_tokens > 10
    assert 1 <= one.usage.completion_tokens <= 24
    streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert streamed == one.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == one.usage.completion_tokens


@slow
@needs_llama
def test_it_says_what_it_serves_and_refuses_another_key(served, small_model):
    with client_of(served) as client:
        assert [model.id for model in client.models.list()] == [served.model_id] == [small_model.stem]
    assert served.context_length == 2048
    assert served.failure == ""
    with (
        openai.OpenAI(base_url=served.base_url, api_key="another", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model=served.model_id, messages=QUESTION)


@slow
@needs_llama
def test_a_prompt_over_the_context_is_refused_in_words(served):
    long = [{"role": "user", "content": "one two three four " * 1000}]
    with client_of(served) as client, pytest.raises(openai.BadRequestError, match="context"):
        client.chat.completions.create(model=served.model_id, messages=long, max_tokens=8)


@slow
@needs_llama
def test_it_listens_on_loopback_alone_and_its_key_is_in_no_argument_and_no_environment(served):
    (child,) = children()
    listening = [c for c in child.net_connections("inet") if c.status == "LISTEN"]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    told = " ".join([*child.cmdline(), *child.environ().values()]) if os.getuid() == 0 else " ".join(child.cmdline())
    assert served.token not in told
    assert CANARY not in told


@slow
@needs_llama
def test_the_context_is_the_model_s_own_and_each_of_several_requests_has_all_of_it(small_model):
    own = context_length(small_model)
    assert own == 8192 <= MOST_CONTEXT
    with LocalModel(small_model, parallel=2, threads=1) as model:
        assert model.context_length == own


HOLDER = """
import sys, time
from pathlib import Path
from evo.serving.local import LocalModel
with LocalModel(Path(sys.argv[1]), context=512, threads=1) as model:
    print(model._process.pid, flush=True)
    time.sleep(120)
"""


@slow
@needs_llama
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_whoever_started_it_does_however_that_ends(small_model, number):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(small_model)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    pid = int(holder.stdout.readline())
    assert psutil.pid_exists(pid)
    holder.send_signal(number)
    holder.communicate(timeout=20)
    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < until:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                break
        time.sleep(0.05)
    else:
        assert not psutil.pid_exists(pid)


@slow
@needs_llama
def test_a_server_that_dies_is_started_again_where_it_was_and_one_that_keeps_dying_says_so(small_model, monkeypatch):
    monkeypatch.setattr(local, "RESTARTS", 2)
    monkeypatch.setattr(local, "_PAUSE_SECONDS", 0.1)
    with LocalModel(small_model, context=512, threads=1) as model:
        where = model.base_url
        for _ in range(2):
            kill_and_wait(model, lambda: client_answers(model))
            assert (model.base_url, model.failure) == (where, "")
        kill_and_wait(model, lambda: model.failure)
        assert model.failure.startswith("it ended with status -9: ")


def client_answers(model):
    with contextlib.suppress(openai.APIError), client_of(model) as client:
        asked = {"model": model.model_id, "messages": QUESTION, "max_tokens": 4}
        return client.chat.completions.create(**asked).choices[0].message.content


def kill_and_wait(model, until):
    """Kill the model's process, and wait until something holds."""
    model._process.kill()
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


@slow
@needs_llama
def test_evo_serve_says_where_it_is_and_stops_when_told(small_model, evo_command):
    serving = subprocess.Popen(
        [*evo_command, "serve", "--gguf", str(small_model), "--context", "1024", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = dict(serving.stdout.readline().strip().removeprefix("export ").split("=", 1) for _ in range(2))
    with openai.OpenAI(base_url=told["OPENAI_BASE_URL"], api_key=told["OPENAI_API_KEY"], max_retries=0) as client:
        name = client.models.list().data[0].id
        completion = client.chat.completions.create(model=name, messages=QUESTION, max_tokens=8)
    assert completion.choices[0].message.content
    serving.send_signal(signal.SIGINT)
    _, said = serving.communicate(timeout=20)
    assert serving.returncode == 0
    assert f"model: {name}, 1024 tokens of context" in said


def test_evo_serve_refuses_what_is_no_model(tmp_path, evo_command):
    path = write(tmp_path / "m.gguf", b"hello")
    done = subprocess.run([*evo_command, "serve", "--gguf", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"evo: {path} is not a GGUF file")
    assert "Traceback" not in done.stderr
