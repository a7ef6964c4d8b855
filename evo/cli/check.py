"""Commands `evo check` and `evo evaluate`: judge an evaluator, or a folder of files, without a search."""

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

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DeviceName = Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda or mps.")]
Isolation = Annotated[
    str, typer.Option("--isolation", help="Isolation level: auto (the strongest that works) or a name.")
]
Seed = Annotated[int, typer.Option(help="Random seed. The same seed and replicate give the same training.")]
Evaluator_ = Annotated[str, typer.Argument(metavar="EVALUATOR", help="Folder, or a name in evaluators/.")]


def check(
    evaluator: Evaluator_ = "tiny_gpt",
    trainings: Annotated[
        int, typer.Option(help="Number of seeds on which the baseline is trained to measure its noise.", min=1)
    ] = 5,
    seed: Seed = 1,
    device: DeviceName = "auto",
    isolation: Isolation = "auto",
    json: Json = False,
) -> None:
    """Check an evaluator: train its baseline on several seeds and try the standard cheats on it.

    Prints the noise between seeds, the smallest difference that a number of seeds can show, and one line per check. Exit 1
    if a check fails.
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
            _print_judgement(results[-1])
        if results[-1].status != Status.OK:
            output.note("the baseline failed, so it is not trained on more seeds")
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
        report = {"trainings": [r.as_dict() for r in results], "noise": noise, "checks": [vars(c) for c in checks]}
        output.as_json({"evaluator": judged.spec.name, "data": parts, **report})
    if any(result.status != Status.OK for result in results) or not all(c.passed for c in checks):
        raise typer.Exit(1)


def _noise(losses: list[float]) -> dict[str, Any]:
    """Return mean and standard deviation of the losses, and the difference that n seeds detect with a power of 0.9."""
    from evo.verify.statistics import detectable_difference

    if len(losses) < 2:
        return {"losses": losses, "says": ["noise needs at least 2 trained seeds: see --trainings"]}
    sd = statistics.stdev(losses)
    shown = {n: detectable_difference(sd, n) for n in (2, 3, 5, 8)}
    says = [
        f"{len(losses)} seeds: mean {statistics.mean(losses):.4f}, standard deviation {sd:.4f} nats a token",
        "smallest difference that n seeds per side detect (one-sided Welch test at 0.01, power 0.9): "
        + ", ".join(f"n = {n}: {difference:.4f}" for n, difference in shown.items()),
    ]
    return {"losses": losses, "mean": statistics.mean(losses), "sd": sd, "detectable": shown, "says": says}


def evaluate(
    evaluator: Evaluator_,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with the files. A missing file is the baseline's.")
    ],
    seed: Seed = 1,
    replicate: Annotated[int, typer.Option(help="Replicate number. A search trains replicate 0 first.", min=0)] = 0,
    device: DeviceName = "auto",
    isolation: Isolation = "auto",
    json: Json = False,
) -> None:
    """Judge the files in DIR as a search judges a candidate. Exit 1 if they fail.

    If no isolation stronger than `process` works, the command is refused until you pass --isolation process.
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
        _print_judgement(result)
    if result.status != Status.OK:
        raise typer.Exit(1)


def _load(name: str) -> "Evaluator":
    from evo import evaluator

    return evaluator.load(workspace.locate("evaluators", name))


def _files(folder: Path, evaluator: "Evaluator") -> dict[str, str]:
    """Return the evaluator's files from `folder`, with the baseline's in place of missing ones."""
    files = dict(evaluator.baseline)
    found = [name for name in evaluator.spec.files if (folder / name).is_file()]
    if not found:
        wanted = " or ".join(evaluator.spec.files)
        raise EvoError(f"expected {wanted} in {folder}, found none of them", kind="usage")
    for name in found:
        try:
            files[name] = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EvoError(f"cannot read {folder / name}: {error}", kind="usage") from None
    return files


def _trainer(evaluator: "Evaluator", device: str, asked: str, *, trusted: bool) -> "Trainer":
    """Return a trainer. `trusted` says that the user wrote the code it runs."""
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


def _print_judgement(result: "Judgement") -> None:
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
        print(f"--- output ---\n{output.clean(tail).rstrip()}")
