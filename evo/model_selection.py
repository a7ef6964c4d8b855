"""Choice of the model that proposes a candidate: by weight, or by a bandit on improvement per cost. No I/O.

The bandit is Thompson sampling by bootstrap (Eckles and Kaptein, 2014, arXiv:1410.4009) in its Bayesian form (Rubin,
1981). Each candidate in a model's record gets a fresh random weight, and the model with the best weighted improvement
per cost is chosen. A model with a short record keeps a chance.
"""

import operator
import random
from collections.abc import Mapping, Sequence
from typing import Any

from evo.config import Config, Model
from evo.rng import generator

Row = Mapping[str, Any]
FIRST = 3
"""Candidates that each model is asked for before records count."""


def choose(config: Config, number: int, rows: Sequence[Row]) -> Model:
    """Return the model for candidate `number`.

    Args:
        config: Configuration of the run.
        number: Number of the candidate.
        rows: Rows that the plan of the candidate may read, ordered by number from 0. The `base` of each row is among them.
    """
    models = [model for model in config.model if model.weight > 0]
    if len(models) == 1:
        return models[0]
    rng = generator(config.seed, number, "model")
    if config.choice == "bandit":
        records = {model.display_name: [row for row in rows if row["asked"] == model.display_name] for model in models}
        new = [model for model in models if len(records[model.display_name]) < FIRST]
        if not new:
            drawn = _by_record(models, records, rows, rng)
            return max(models, key=lambda model: (drawn[model.display_name], rng.random()))
        models = new
    return rng.choices(models, [model.weight for model in models])[0]


def gain(row: Row, rows: Sequence[Row]) -> float:
    """Return by how many nats the loss of a candidate is below that of its base, at least 0."""
    base = rows[row["base"]] if row["base"] is not None and row["base"] < len(rows) else None
    if row["val_loss"] is None or base is None or base["val_loss"] is None or row["duplicate_of"] is not None:
        return 0.0
    return max(0.0, float(base["val_loss"] - row["val_loss"]))


def _by_record(
    models: Sequence[Model], records: Mapping[str, Sequence[Row]], rows: Sequence[Row], rng: random.Random
) -> dict[str, float]:
    """Return a draw of improvement per cost for each model, times the weight of the model."""
    by_usd = all(model.price_in is not None and (model.price_in or model.price_out) for model in models)
    gains = {row["id"]: gain(row, rows) for row in rows}
    most = max(gains.values(), default=0.0)
    costs = {row["id"]: _cost(row, by_usd) for row in rows}
    dearest = max((cost for cost in costs.values() if cost is not None), default=1.0)

    def cost(row: Row) -> float:  # what is not known is not taken for free
        known = costs[row["id"]]
        return dearest if known is None else known

    drawn = {}
    for model in models:
        own = records[model.display_name]
        improved = _drawn([gains[row["id"]] for row in own], [cost(row) for row in own], most, rng)
        drawn[model.display_name] = model.weight * improved
    return drawn


def _drawn(gains: Sequence[float], costs: Sequence[float], most: float, rng: random.Random) -> float:
    """Return the reweighted improvement per cost of one record, with one optimistic candidate added."""
    weights = [rng.expovariate(1.0) for _ in range(len(gains) + 1)]
    improved = sum(map(operator.mul, weights, [*gains, most]))
    return float(improved / max(1e-12, sum(map(operator.mul, weights, [*costs, sum(costs) / len(costs)]))))


def _cost(row: Row, by_usd: bool) -> float | None:
    """Return the cost in US dollars or tokens, or None if it is unknown."""
    cost = row["cost_usd"] if by_usd else row["tokens"]
    return None if cost is None else float(cost)
