"""Configuration tables, except `[[model]]`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Table(BaseModel):
    """Immutable configuration table. Unknown keys are refused. The docstring below a key documents the key."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Selection(Table):
    """`[selection]`: how survivors and parents are selected."""

    rule: Literal["loss", "nsga2", "score"] = "loss"
    """loss: lowest loss within `max_cost`. nsga2: pair (loss, relative cost). score: tournament on loss + weight × minutes."""
    max_cost: float = Field(1.25, ge=1.0)
    """Maximum relative cost for rule `loss`; the baseline's is 1. With `inf`, rule `loss` does not depend on measured time."""
    weight: float = Field(0.01, ge=0.0, allow_inf_nan=False)
    """Weight of one minute in nats, for rule `score`."""
    tournament: int = Field(3, ge=1)
    """Number of candidates drawn per tournament. The best becomes the parent."""
    clearly_worse: float = Field(0.05, ge=0.0)
    """Maximum loss of a parent above the baseline's, in nats, at any relative cost. Ignored if no candidate meets it."""


class Variation(Table):
    """`[variation]`: how children are made. Operator weights are relative, and 0 disables an operator."""

    crossover: float = Field(0.3, ge=0.0, le=1.0)
    """Probability that a child has two parents."""
    immigrate: float = Field(0.1, ge=0.0, le=1.0)
    """Probability that a child is a newly drawn seed persona, without parents."""
    restart: float = Field(0.1, ge=0.0, le=1.0)
    """Probability that a child starts again from the baseline's files."""
    mutations: int = Field(2, ge=1, le=8)
    """Maximum number of mutations per child. The minimum is 1."""
    swap_breakthrough: float = Field(2.0, ge=0.0)
    """Weight: replace a breakthrough with one from another persona."""
    emphasise: float = Field(3.0, ge=0.0)
    """Weight: raise the emphasis of a topic or direction by one step and move it up."""
    deemphasise: float = Field(1.0, ge=0.0)
    """Weight: lower the emphasis of a topic or direction by one step and move it down."""
    drop: float = Field(1.0, ge=0.0)
    """Weight: remove a topic or direction."""
    narrow_fields: float = Field(1.0, ge=0.0)
    """Weight: keep half of the fields."""
    widen_fields: float = Field(1.0, ge=0.0)
    """Weight: add up to six fields from other personas."""
    write_breakthrough: float = Field(0.0, ge=0.0)
    """Weight: have a model replace a breakthrough, based on what has worked. Costs one extra short answer per child."""
    sharpen_topic: float = Field(0.0, ge=0.0)
    """Weight: have a model sharpen a topic or direction in the persona's voice. Costs one extra short answer per child."""


class Early(Table):
    """`[early]`: early stopping of trainings that are clearly losing at the evaluator's early-stopping step."""

    stop: bool = True
    """Whether trainings are stopped early."""
    control: float = Field(0.1, ge=0.0, le=1.0)
    """Share of candidates that are never stopped, drawn independently of their results."""
    window: int = Field(40, ge=2)
    """Number of latest candidates in the median loss at the early-stopping step. Older ones are ignored: a search improves."""
    least: int = Field(8, ge=2)
    """Minimum number of earlier candidates that must have reached the early-stopping step before any training is stopped."""


class Final(Table):
    """`[final]`: which candidates are trained again after a search."""

    finalists: int = Field(4, ge=0)
    """Number of fittest candidates of a long run to train again on fresh random seeds, which decide the leader. 0 for none."""
    seeds: int = Field(5, ge=2)
    """Number of fresh random seeds per finalist."""
    least: int = Field(160, ge=0)
    """Minimum number of candidates in a long run."""
    verdict_seeds: int = Field(8, ge=0)
    """Number of fresh random seeds for leader and baseline in the verdict, which uses the test part. 0 for no verdict."""


class Workers(Table):
    """`[workers]`: where trainings run."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device for training. auto selects CUDA, else MPS, else the CPU."""
    slots: int = Field(0, ge=0)
    """Number of concurrent trainings. 0 for one per GPU, one on MPS, or the CPU count divided by `threads`."""
    threads: int = Field(1, ge=1)
    """Number of CPU threads per training."""
    address: str | None = None
    """Address of a Ray cluster, or `auto` for the one in RAY_ADDRESS. If unset, Ray starts on this machine."""


class Data(Table):
    """`[data]`: text that replaces the evaluator's own."""

    source: Literal["plays", "shakespeare", "folder"] | None = None
    """Source of the text. If unset, the evaluator's text is used."""
    path: str | None = None
    """Path of the folder, or of an existing tiny-Shakespeare file."""


class Budget(Table):
    """`[budget]`: limits on what a run may spend. A request that could exceed a limit is never sent. Unset means unlimited."""

    usd: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    """Maximum money cost in US dollars, at the prices of the models."""
    tokens: int | None = Field(None, gt=0)
    """Maximum number of input and output tokens together."""
    hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    """Hours per session. After them, no candidate is requested, and those in progress finish. The verdict takes extra time."""
    candidates: int | None = Field(None, gt=0)
    """Maximum number of candidates requested from models."""


class Prompt(Table):
    """`[prompt]`: what a prompt contains besides the persona, the files and their result."""

    lessons: int = Field(0, ge=0)
    """Maximum number of earlier changes to the same files to describe, with their outcomes."""
    second_parent: bool = False
    """Whether to show the files of a second parent."""
