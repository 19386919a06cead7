"""How often `tratree verify` would settle decisions whose sides are level, and such whose sides differ: the cost of looking repeatedly.

    python -m benchmarks.verifying

Both sides begin with one rollout, and these two differ: that is how a divergence is found.
Each look adds four attempts per side, up to 100.
"""

import numpy as np
import numpy.typing as npt

from tratree_data.preferences.pair_filters import posterior

LOOKS = range(4, 101, 4)
DECISIONS = 4_000
Floats = npt.NDArray[np.float64]


def scores(rng: np.random.Generator, graded: bool, mean: float, shape: tuple[int, int]) -> Floats:
    if graded:
        return np.clip(np.round((mean + 0.2 * rng.standard_normal(shape)) * 9) / 9, 0, 1)
    return (rng.random(shape) < mean).astype(np.float64)


def settle(graded: bool, mean: float, difference: float, z: float) -> dict[str, float]:
    """Shares of decisions whose better side is confirmed or reversed, and attempts per decision."""
    rng = np.random.default_rng(0)
    better, worse = (scores(rng, graded, side, (20 * DECISIONS, 1 + LOOKS[-1])) for side in (mean + difference / 2, mean - difference / 2))
    found = np.flatnonzero(better[:, 0] > worse[:, 0])[:DECISIONS]
    sides = better[found], worse[found]
    verdict, spent = np.zeros(len(found)), np.zeros(len(found))
    for look in LOOKS:
        (one, noise), (other, other_noise) = (
            posterior(side[:, : look + 1].mean(axis=1), np.full(len(found), look + 1), (side[:, : look + 1] ** 2).sum(axis=1))
            for side in sides
        )
        apart = (one - other) / np.sqrt(noise + other_noise)
        spent[verdict == 0] = 2 * look
        verdict = np.where((verdict == 0) & (np.abs(apart) >= z), np.sign(apart), verdict)
    return {"confirmed": float((verdict > 0).mean()), "reversed": float((verdict < 0).mean()), "attempts": float(spent.mean())}


if __name__ == "__main__":
    for graded, mean, difference in ((False, 0.5, 0.0), (False, 0.1, 0.0), (True, 0.6, 0.0), (False, 0.5, 0.3), (True, 0.6, 0.1)):
        for z in (1.96, 2.58):
            print(
                "graded" if graded else "0 or 1",
                f"mean {mean:g}, difference {difference:g}, settled at {z:g}:",
                settle(graded, mean, difference, z),
            )
