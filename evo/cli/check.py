"""`evo check` and `evo evaluate`: one evaluator, or one folder of files, judged as a search judges, without a search."""

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo import rng, workspace
from evo.cli import output
from evo.errors import EvoError
from evo.status import Status

if TYPE_CHECKING:
    from evo.evaluator import Evaluator
    from evo.trainer.job import Judgement
    from evo.trainer.trainer import Trainer

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Isolation = Annotated[str, typer.Option("--isolation", help="auto: the strongest that works; or a level by name.")]
Seed = Annotated[int, typer.Option(help="As in a run: the same seed and replicate train the same.")]
Evaluator_ = Annotated[str, typer.Argument(metavar="EVALUATOR", help="A folder, or a name in evaluators/.")]


def check(
    evaluator: Evaluator_ = "tiny_gpt",
    trainings: Annotated[
        int, typer.Option(help="Seeds on which the baseline is trained, to know its noise.", min=1)
    ] = 5,
    seed: Seed = 1,
    device: DeviceName = "auto",
    isolation: Isolation = "auto",
    json: Json = False,
) -> None:
    """Train an evaluator's baseline on several seeds, try the standard cheats on it, and print what was found.

    Tells whether the evaluator measures what it claims, gives the same twice, refuses cheats, and how small a difference
    so many seeds can show. Exit 1 where a check fails.
    """
    from evo import testing
    from evo.corpus import PARTS, warnings

    judged = _load(evaluator)
    text = judged.load_data()
    parts = {part: {"bytes": len(text.parts[part]), "sha256": digest} for part, digest in text.sha256().items()}
    if not json:
        print(f"{judged.spec.name}: {judged.spec.description}")
        print(f"protected settings: {', '.join(f'{k} = {v!r}' for k, v in judged.spec.settings.items())}")
        for part in PARTS:
            print(f"{part + ':':<9}{parts[part]['bytes']:>10} bytes  {str(parts[part]['sha256'])[:12]}")
    for warning in warnings(text):
        output.note(f"warning: {warning}")
    trainer = _trainer(judged, device, isolation, trusted=True)
    results = []
    for replicate in range(trainings):
        results.append(_judge(trainer, judged.baseline, seed, replicate))
        if not json and (replicate == 0 or results[-1].status != Status.OK):
            print(f"\nbaseline, replicate {replicate}:")
            _tell(results[-1])
        if results[-1].status != Status.OK:
            output.note("the baseline failed: it is not trained on further seeds")
            break
    noise = _noise([r.val_loss for r in results if r.val_loss is not None])
    if not json:
        print("\n" + "\n".join(noise["says"]) + "\n")
    checks = []
    for found in testing.conformance(judged, trainer, results[0], seed):
        checks.append(found)
        if not json:
            print(f"{'ok' if found.passed else 'NO':<4}{found.name}  ({output.clean(found.says)})", flush=True)
    if json:
        told = {"trainings": [r.as_dict() for r in results], "noise": noise, "checks": [vars(c) for c in checks]}
        output.as_json({"evaluator": judged.spec.name, "data": parts, **told})
    if any(result.status != Status.OK for result in results) or not all(c.passed for c in checks):
        raise typer.Exit(1)


def _noise(losses: list[float]) -> dict[str, Any]:
    """Mean, deviation, and the smallest difference that some numbers of seeds show in nine cases of ten."""
    from evo.verify.statistics import detectable_difference

    if len(losses) < 2:
        return {"losses": losses, "says": ["noise needs at least 2 trained seeds: see --trainings"]}
    sd = statistics.stdev(losses)
    shown = {n: detectable_difference(sd, n) for n in (2, 3, 5, 8)}
    says = [
        f"{len(losses)} seeds: mean {statistics.mean(losses):.4f}, standard deviation {sd:.4f} nats a token",
        "smallest difference that n seeds each show (one-sided Welch at 0.01, nine times of ten): "
        + ", ".join(f"n = {n}: {difference:.4f}" for n, difference in shown.items()),
    ]
    return {"losses": losses, "mean": statistics.mean(losses), "sd": sd, "detectable": shown, "says": says}


def evaluate(
    evaluator: Evaluator_,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the files are; a missing one is the baseline's.")
    ],
    seed: Seed = 1,
    replicate: Annotated[int, typer.Option(help="0 is what a search trains first.", min=0)] = 0,
    device: DeviceName = "auto",
    isolation: Isolation = "auto",
    json: Json = False,
) -> None:
    """Judge the files in DIR as a candidate would be judged, with no search and no model. Exit 1 where it fails.

    Where no isolation is stronger than a process of your own user's, it is refused until --isolation process says that you
    trust the code.
    """
    from evo.trainer.job import Judgement
    from evo.verify import static

    judged = _load(evaluator)
    files = _files(folder, judged)
    failure = static.check(files, judged)
    if failure is not None:
        result = Judgement(status=failure.status, reason=failure.reason)
    else:
        result = _judge(_trainer(judged, device, isolation, trusted=False), files, seed, replicate)
    if json:
        output.as_json(result.as_dict())
    else:
        _tell(result)
    if result.status != Status.OK:
        raise typer.Exit(1)


def _load(name: str) -> "Evaluator":
    from evo import evaluator

    return evaluator.load(workspace.locate("evaluators", name))


def _files(folder: Path, evaluator: "Evaluator") -> dict[str, str]:
    """The evaluator's files in `folder`, the baseline's where one is missing."""
    files = dict(evaluator.baseline)
    found = [name for name in evaluator.spec.files if (folder / name).is_file()]
    if not found:
        wanted = " or ".join(evaluator.spec.files)
        raise EvoError(f"expected {wanted} in {folder}, found neither", kind="usage")
    for name in found:
        try:
            files[name] = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EvoError(f"cannot read {folder / name}: {error}", kind="usage") from None
    return files


def _trainer(evaluator: "Evaluator", device: str, asked: str, *, trusted: bool) -> "Trainer":
    """The trainer; `trusted` is code that the user has written."""
    from evo.trainer import device as devices
    from evo.trainer import isolation
    from evo.trainer.trainer import Trainer

    if asked not in ("auto", *(level.name for level in isolation.LEVELS)):
        names = ", ".join(level.name for level in isolation.LEVELS)
        raise EvoError(f"expected isolation auto or one of {names}, found {asked!r}", kind="usage")
    level = isolation.choose(asked, trusted=trusted)
    output.note(f"isolation: {level.name}")
    return Trainer(evaluator, devices.find(device), level)


def _judge(trainer: "Trainer", files: dict[str, str], seed: int, replicate: int) -> "Judgement":
    from evo.trainer.job import Job

    began = time.perf_counter()
    initialisation, data_order = rng.replicate_seeds(seed, replicate)
    result = trainer.judge(Job(files, initialisation, data_order))
    output.note(f"judged in {time.perf_counter() - began:.1f} s")
    return result


def _tell(result: "Judgement") -> None:
    values = result.as_dict()
    tail = values.pop("output_tail")
    curve = values.pop("curve")
    values.pop("started_at")
    output.fields({name: value for name, value in values.items() if value not in (None, "")})
    if curve:
        shown = " ".join(
            f"{p['step']}:{p['reported_val_loss']:.3f}" for p in curve if p["reported_val_loss"] is not None
        )
        print(f"curve (step:reported validation loss): {shown}")
    if tail and result.status != Status.OK:
        print(f"--- what it printed ---\n{output.clean(tail).rstrip()}")
