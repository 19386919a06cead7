"""Wilson's 95 % interval of a mean of scores.

It is honest for the handful of attempts that a node has (never wider than [0, 1], never of zero width at 0 of 3 successes), and
conservative for graded scores, because a coin has the highest variance of all variables on [0, 1] with a given mean.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NORMAL_QUANTILE = 1.959963984540054


def wilson_interval(mean: Floats, count: Ints) -> tuple[Floats, Floats]:
    """95 % interval of a mean of `count` scores in [0, 1]; NaN if there are none."""
    n = np.where(count > 0, count, np.nan)
    shift = NORMAL_QUANTILE**2 / n
    center = mean + shift / 2
    half = NORMAL_QUANTILE * np.sqrt(np.maximum(mean * (1 - mean), 0) / n + shift / (4 * n))
    return np.clip((center - half) / (1 + shift), 0, 1), np.clip((center + half) / (1 + shift), 0, 1)
