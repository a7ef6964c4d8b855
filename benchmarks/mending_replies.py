"""What mending is worth on recorded answers of real models. `python -m benchmarks.mending_replies FOLDER FILE.gguf`

FOLDER holds `given-model.py` and one answer a file, `<model>_<what was asked for>_<n>.txt`. Each is judged as the first answer of
a candidate of `tiny_gpt` with that model.py; what fails goes back to the local model with the error, at most `REPAIRS` times.
"""

import json
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.machine import save
from evo import evaluator as evaluators
from evo import workspace
from evo.evaluator import Evaluator, code_hash
from evo.proposer.conversation import Conversation
from evo.proposer.repair import Failure
from evo.serving.local import LocalModel
from evo.status import Status
from evo.trainer import device, isolation
from evo.trainer.job import Job
from evo.trainer.trainer import Trainer
from evo.verify import static

REPAIRS, MOST_TOKENS = 2, 2048
ASKED = {
    "act": "a squared ReLU as its activation",
    "depth": "2 layers of width 96",
    "rms": "RMS norm in the place of its layer norm",
    "tie": "its head tied to the token embedding",
}


def main(folder: str, gguf: str) -> None:
    given = Path(folder) / "given-model.py"
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made, LocalModel(Path(gguf)) as model:
        copy = Path(made) / "tiny_gpt"
        shutil.copytree(workspace.locate("evaluators", "tiny_gpt"), copy)
        shutil.copy(given, copy / "model.py")
        evaluator = evaluators.load(copy)
        trainer = Trainer(evaluator, device.find("cpu"), isolation.choose("auto", trusted=False))
        for path in sorted(Path(folder).glob("*_*.txt")):
            told[path.stem] = _statuses(path, evaluator, trainer, model)
            print(path.stem, told[path.stem], flush=True)
    trained = {name: [statuses[0] == "ok", "ok" in statuses] for name, statuses in told.items()}
    figures = {
        "answers": len(told),
        "mended_by": Path(gguf).name,
        "trained_at_first": sum(first for first, _ in trained.values()),
        "trained_in_the_end": sum(last for _, last in trained.values()),
        "statuses": told,
    }
    save("mending_replies", figures)


def _statuses(path: Path, evaluator: Evaluator, trainer: Trainer, model: LocalModel) -> list[str]:
    """What an answer, and those that followed on it, came to."""
    base = {"model.py": evaluator.baseline["model.py"]}
    asked = ASKED[path.stem.split("_")[1]]
    question = (
        f"```python\nmodel.py\n{base['model.py']}```\n\nGive the complete new model.py with {asked}, and nothing else."
    )
    talk, found = Conversation([{"role": "user", "content": question}], base), list[str]()
    call: dict[str, Any] = {
        "status": "ok",
        "reason": "",
        "response": path.read_text(encoding="utf-8"),
        "finish_reason": None,
    }
    for attempt in range(REPAIRS + 1):
        heard = talk.hear(call)
        failure = Failure(heard.status, heard.reason, detail=heard.detail, finish_reason=call["finish_reason"])
        if heard.files is not None:
            failure = _judge({**evaluator.baseline, **heard.files}, evaluator, trainer)
        found.append(str(failure.status))
        if failure.status == Status.OK or attempt == REPAIRS:
            break
        talk.reply(call, failure)
        call |= _ask(model, talk.messages, attempt)
    return found


def _judge(files: dict[str, str], evaluator: Evaluator, trainer: Trainer) -> Failure:
    if refused := static.check(files, evaluator):
        return Failure(refused.status, refused.reason)
    if code_hash(files) == code_hash(evaluator.baseline):
        return Failure(Status.DUPLICATE, "the same code as candidate 0, the baseline")
    judged = trainer.judge(Job(files, 1, 2))
    return Failure(judged.status, judged.reason, judged.output_tail)


def _ask(model: LocalModel, messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
    body = {"model": model.model_id, "messages": messages, "max_tokens": MOST_TOKENS, "seed": seed}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {model.token}"}
    request = urllib.request.Request(f"{model.base_url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=1200) as answered:
        choice = json.load(answered)["choices"][0]
    return {"response": choice["message"]["content"], "finish_reason": choice["finish_reason"]}


if __name__ == "__main__":
    main(*sys.argv[1:])
