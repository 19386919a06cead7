"""Intervals and tests: over tasks where there is one run, over runs and tasks where there are several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 10_000
DRAWS = 200_000
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(values: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean and percentile interval, resampling the values."""
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples)
    means = weights @ values / len(values)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def over_runs(runs: Sequence[dict[Any, float]]) -> Interval:
    """The mean of several runs' differences, by task, and how far other runs on other tasks might lie from it.

    The variance between runs and that between tasks are added, and Student's t has the degrees of freedom that Welch and Satterthwaite
    give to such a sum: with three runs that disagree hardly more than two. Resampling three runs would promise far too much.
    """
    if len(runs) == 1:
        return bootstrap(np.array(list(runs[0].values())))
    means = np.array([np.mean(list(run.values())) for run in runs])
    parts = [(values.var(ddof=1) / len(values), len(values) - 1) for values in (means, pooled(runs)) if len(values) > 1]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Interval(*[float(means.mean())] * 3)
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    reach = np.quantile(np.abs(np.random.default_rng(0).standard_t(degrees, DRAWS)), 0.95) * np.sqrt(variance)
    return Interval(float(means.mean()), float(means.mean() - reach), float(means.mean() + reach))


def pooled(runs: Sequence[dict[Any, float]]) -> Floats:
    """Each task's mean over the runs that have it, tasks in order."""
    tasks = sorted(set().union(*runs))
    return np.array([np.mean([run[task] for run in runs if task in run]) for task in tasks])


def sign_flip(differences: Floats, flips: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p-value that the mean difference is 0: how often random signs give as large a mean."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], size=(flips, len(differences)))
    means = np.abs(signs @ differences) / len(differences)
    return float((1 + np.sum(means >= abs(differences.mean()) - 1e-12)) / (1 + flips))
