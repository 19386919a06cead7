"""Intervals, tests and power: over tasks for a single training run, over runs and tasks for several.

Two questions need two answers. *Is this trained model better than that one?* is about the tasks only. *Is this way of training better than
that one?* is also about other training runs, and a single run cannot answer it: its models may differ by luck alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 10_000
SAME = 1e-12
"""Standard deviations below this are rounding: all values are the same."""
MOST_RUNS = 10_000
Floats = np.ndarray[Any, np.dtype[np.float64]]
Runs = Sequence[dict[Any, float]]
"""For each training run, the difference at each task."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """How uncertain a mean over runs and tasks is: one part shrinks with more runs, the other only with more tasks."""

    between_runs: float
    """Variance of the mean that comes from the runs."""
    between_tasks: float
    """Variance of the mean that comes from the tasks that all runs share."""
    runs: int
    tasks: int

    @property
    def variance(self) -> float:
        return self.between_runs + self.between_tasks

    @property
    def degrees(self) -> float:
        """Welch and Satterthwaite's degrees of freedom; with two runs only 1, because two values hardly show how much runs differ."""
        if self.runs == 2:
            return 1.0
        parts = self.between_runs**2 / (self.runs - 1) + self.between_tasks**2 / max(self.tasks - 1, 1)
        return self.variance**2 / parts

    def with_runs(self, runs: int) -> "Spread":
        """The uncertainty with another number of runs on the same tasks."""
        return Spread(self.between_runs * self.runs / runs, self.between_tasks, runs, self.tasks)


def over_tasks(values: Floats, bounds: tuple[float, float] | None) -> Interval:
    """The mean over tasks of one trained model: bootstrapped on a bounded scale, Student's t on one without an upper end."""
    if bounds is not None:
        return bootstrap(values, bounds)
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, mean, mean)
    from scipy import stats

    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - reach, mean + reach)


def bootstrap(values: Floats, bounds: tuple[float, float], resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean and percentile interval of values on a bounded scale, by the Bayesian bootstrap.

    Half a task more is counted at each end of the scale. So 0 of 40 and 5 of 5 have intervals of some width, and for tasks that are
    either solved or not this is Jeffreys' interval.
    """
    found, counts = np.unique(values, return_counts=True)
    weights = np.random.default_rng(seed).dirichlet([*counts, 0.5, 0.5], size=resamples)
    low, high = np.percentile(weights @ np.array([*found, *bounds]), [2.5, 97.5])
    mean = float(values.mean())
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def spread_of(runs: Runs) -> Spread:
    """The parts of a two-way layout of runs and tasks.

    The variance between the runs' means holds what is particular to one task in one run, and so does that between the tasks' means: it is
    counted once. Runs that have no tasks in common differ by their tasks as well, so only their own variance counts.
    """
    means = np.array([np.mean(list(run.values())) for run in runs])
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    between_tasks = 0.0
    if len(shared) > 1:
        table = np.array([[run[task] for task in shared] for run in runs])
        rows, columns = table.shape
        residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
        interaction = (residual**2).sum() / ((rows - 1) * (columns - 1)) / table.size
        between_tasks = max(0.0, float(table.mean(0).var(ddof=1) / columns - interaction))
    return Spread(float(means.var(ddof=1) / len(means)), between_tasks, len(runs), len(shared))


def over_runs(runs: Runs, bounds: tuple[float, float] | None = None) -> Interval:
    """The mean of several runs' differences and how far other runs on other tasks might be from it, by Student's t."""
    mean = float(np.mean([np.mean(list(run.values())) for run in runs]))
    spread = spread_of(runs)
    if spread.variance < SAME**2:
        return over_tasks(pooled(runs), bounds)
    from scipy import stats

    reach = float(stats.t.ppf(0.975, spread.degrees)) * spread.variance**0.5
    return Interval(mean, mean - reach, mean + reach)


def p_over_runs(runs: Runs) -> float:
    """Two-sided p-value that the mean over all runs and tasks that might have been is 0: the t test that belongs to `over_runs`."""
    mean = float(np.mean([np.mean(list(run.values())) for run in runs]))
    spread = spread_of(runs)
    if spread.variance < SAME**2:
        return sign_flip(pooled(runs))
    from scipy import stats

    return float(2 * stats.t.sf(abs(mean) / spread.variance**0.5, spread.degrees))


def runs_needed(spread: Spread, difference: float, power: float = 0.8) -> int | None:
    """The fewest runs that find this difference with this probability at the 5 % level; None if only more tasks would help."""
    for runs in range(2, MOST_RUNS + 1):
        if _power(spread.with_runs(runs), difference) >= power:
            return runs
    return None


def _power(spread: Spread, difference: float) -> float:
    """The probability that the two-sided t test at the 5 % level finds the difference."""
    if spread.variance < SAME**2:
        return 1.0
    from scipy import stats

    shift, limit = abs(difference) / spread.variance**0.5, stats.t.ppf(0.975, spread.degrees)
    return float(stats.nct.sf(limit, spread.degrees, shift) + stats.nct.cdf(-limit, spread.degrees, shift))


def pooled(runs: Runs) -> Floats:
    """Each task's mean over the runs that have it, tasks in order."""
    tasks = sorted(set().union(*runs))
    return np.array([np.mean([run[task] for run in runs if task in run]) for task in tasks])


def effect_size(differences: Floats) -> float:
    """The mean difference in standard deviations of the tasks' differences; infinite if every task differs by the same amount."""
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if deviation < SAME:
        return 0.0 if abs(mean) < SAME else float(np.copysign(np.inf, mean))
    return mean / deviation


def sign_flip(differences: Floats, flips: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p-value that the mean difference is 0: how often random signs give as large a mean."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], size=(flips, len(differences)))
    means = np.abs(signs @ differences) / len(differences)
    return float((1 + np.sum(means >= abs(differences.mean()) - SAME)) / (1 + flips))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that hold for all comparisons of a table together."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = highest
    return corrected
