"""The tables of the configuration, but for `[[model]]`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Table(BaseModel):
    """Unknown keys are refused, values do not change, and the text below a key is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Selection(Table):
    """`[selection]`: who may be a parent."""

    rule: Literal["loss", "nsga2", "score"] = "loss"
    """loss: the lowest loss within `max_cost`; nsga2: the pair (loss, cost); score: tournament on loss + weight × minutes."""
    max_cost: float = Field(1.25, ge=1.0)
    """Times the baseline's cost; `inf` takes the clock out of the search."""
    weight: float = Field(0.01, ge=0.0, allow_inf_nan=False)
    """Of a minute, in nats, for `score`."""
    tournament: int = Field(3, ge=1)
    """Candidates drawn for one parent; the best of them is it."""
    clearly_worse: float = Field(0.05, ge=0.0)
    """Nats over the baseline's loss from which on a candidate is no parent, however fast it is, while there are others."""


class Variation(Table):
    """`[variation]`: what a child is made of. Weights are relative; 0 turns an operator off."""

    crossover: float = Field(0.3, ge=0.0, le=1.0)
    """Probability that a child has two parents."""
    immigrate: float = Field(0.1, ge=0.0, le=1.0)
    """Probability that a child is a fresh seed persona."""
    restart: float = Field(0.1, ge=0.0, le=1.0)
    """Probability that a child starts over from the baseline's files."""
    mutations: int = Field(2, ge=1, le=8)
    """The most mutations of one child, at least one."""
    swap_breakthrough: float = Field(2.0, ge=0.0)
    """Weight: a breakthrough gives way to another mind's."""
    emphasise: float = Field(3.0, ge=0.0)
    """Weight: a topic or direction gets a step of emphasis and moves up."""
    deemphasise: float = Field(1.0, ge=0.0)
    """Weight: it loses one and moves down."""
    drop: float = Field(1.0, ge=0.0)
    """Weight: a topic or direction is left out."""
    narrow_fields: float = Field(1.0, ge=0.0)
    """Weight: half of the fields are kept."""
    widen_fields: float = Field(1.0, ge=0.0)
    """Weight: up to six fields of other minds are added."""
    write_breakthrough: float = Field(0.0, ge=0.0)
    """Weight: a model writes a new breakthrough in the place of one, from what has worked; a short answer more a child."""
    sharpen_topic: float = Field(0.0, ge=0.0)
    """Weight: a model says a topic or direction more sharply, in the persona's voice; a short answer more a child."""


class Early(Table):
    """`[early]`: trainings that are clearly losing at the evaluator's rung are stopped there."""

    stop: bool = True
    """Whether any is."""
    control: float = Field(0.1, ge=0.0, le=1.0)
    """Share of candidates that are never stopped, drawn before anything is known of them."""
    window: int = Field(40, ge=2)
    """Of the earlier candidates that reached the rung, the last so many make the median: a search improves."""
    least: int = Field(8, ge=2)
    """Earlier candidates that must have reached the rung before their median there stops one."""


class Final(Table):
    """`[final]`: what is trained again when a search is done."""

    finalists: int = Field(4, ge=0)
    """The fittest candidates of a long run, trained again on fresh seeds, which alone make the leader; 0 for none."""
    seeds: int = Field(5, ge=2)
    """Fresh seeds of each finalist."""
    least: int = Field(160, ge=0)
    """Candidates from which on a run is long."""
    verdict_seeds: int = Field(8, ge=0)
    """Fresh seeds of the leader and of the baseline, on the test part, for the verdict; 0 for none."""


class Workers(Table):
    """`[workers]`: who trains."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """What trains; auto takes CUDA, else MPS, else the CPU."""
    slots: int = Field(0, ge=0)
    """Trainings at a time; 0 means one a GPU, one on MPS, or the CPU count over `threads`."""
    threads: int = Field(1, ge=1)
    """CPU threads of one training."""
    address: str | None = None
    """Of a Ray cluster (`auto` for the one of RAY_ADDRESS); none starts Ray on this machine."""


class Data(Table):
    """`[data]`: instead of the evaluator's own text."""

    source: Literal["plays", "shakespeare", "folder"] | None = None
    """Which text; none keeps the evaluator's."""
    path: str | None = None
    """The folder, or an existing tiny-Shakespeare file."""


class Budget(Table):
    """`[budget]`: what a run may spend. No request is sent that could exceed one; nothing given means no bound."""

    usd: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    """US dollars, by the models' prices."""
    tokens: int | None = Field(None, gt=0)
    """Input and output tokens."""
    hours: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    """Of a session: none is asked for after it; what is in work is finished, and the verdict comes on top."""
    candidates: int | None = Field(None, gt=0)
    """Candidates that models are asked for."""


class Prompt(Table):
    """`[prompt]`: what a prompt tells beside the persona, the files and their result."""

    lessons: int = Field(0, ge=0)
    """The most earlier changes to the same files that it tells of, with what came of them."""
    second_parent: bool = False
    """Whether it shows the files of a second parent."""
