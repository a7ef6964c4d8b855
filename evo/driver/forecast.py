"""Forecast of the requests and spending of a run."""

from collections.abc import Sequence

from evo import persona
from evo.config import Config, Model
from evo.evaluator import Evaluator
from evo.proposer import prompt
from evo.proposer.client import price
from evo.proposer.gene_writing import MOST_TOKENS

_EDITS_SHARE = 0.1
"""Usual size of edits as a share of the whole files."""


def first_messages(config: Config, evaluator: Evaluator, seed: persona.Persona) -> list[dict[str, str]]:
    """Return the prompt of a seed persona. It lacks the baseline loss, which is not known before training."""
    outcome = prompt.Outcome(baseline_loss=None)
    return prompt.messages(prompt.parts(seed, evaluator.baseline, outcome, form=config.answer))


def answer_tokens(config: Config, evaluator: Evaluator) -> int:
    """Return the approximate number of tokens of an answer, which holds whole files or edits."""
    files = prompt.tokens("".join(evaluator.baseline.values()))
    return files if config.answer == "files" else round(files * _EDITS_SHARE)


def lines(config: Config, evaluator: Evaluator, seeds: Sequence[persona.Seed]) -> list[str]:
    """Return a text forecast of the candidates, tokens and cost of a run, with one line per model."""
    candidates = len(seeds) + config.generations * config.population
    longest = max((first_messages(config, evaluator, seed.persona) for seed in seeds), key=prompt.estimate)
    asked, answered = prompt.estimate(longest), answer_tokens(config, evaluator)
    said = [f"{candidates} candidates and the baseline; a prompt has about {asked} tokens, an answer about {answered}"]
    weights = sum(model.weight for model in config.model)
    for model in config.model:
        count = round(candidates * model.weight / weights)
        said.append(_line(config, model, count, asked, answered, prompt.most_tokens(longest)))
    if config.variation.write_breakthrough or config.variation.sharpen_topic:
        said.append("each child with a gene that a model writes needs one more short answer")
    budget = {name: value for name, value in config.budget.model_dump().items() if value is not None}
    told = ", ".join(f"{name} {value:g}" for name, value in budget.items())
    return [*said, f"budget: {told}" if told else "budget: none"]


def _line(config: Config, model: Model, count: int, asked: int, answered: int, most: int) -> str:
    """Return the line of one model. A repair request repeats the earlier answers, so prompts grow with each turn."""
    turns = 1 + config.repairs
    read = turns * most + sum(range(turns)) * model.max_tokens
    usual, worst = price(model, asked, answered), price(model, read, turns * model.max_tokens)
    requests = count * turns
    writes = count if config.variation.write_breakthrough or config.variation.sharpen_topic else 0
    gene = price(model, most, min(model.max_tokens, MOST_TOKENS)) or 0.0
    if usual is None or worst is None:
        cost = "cost unknown: price_in and price_out are not set"
    elif model.is_free:
        cost = "free"
    else:
        most_usd = count * worst + writes * gene
        cost = (
            f"about ${count * usual:.2f}; at most about ${most_usd:.2f} if all {requests + writes} answers, including "
            "repairs, reach the length limit"
        )
    return f"{model.display_name}: {count} candidates, about {count * (asked + answered)} tokens, {cost}"
