"""A score from 0 to 1 of the rewards that another library's environment paid."""

from tratree_data.errors import BadInputError

ROUNDING = 1e-9


def scaled_return(environment: str, earned: float, low: float, high: float) -> float:
    """`low` becomes 0 and `high` 1; a sum outside them is refused, because any score of it would be wrong."""
    score = (earned - low) / (high - low)
    if not -ROUNDING <= score <= 1 + ROUNDING:
        raise BadInputError(
            f"{environment} paid {earned:g}, outside {low:g} to {high:g}, from which scores of 0 to 1 are made.\n"
            "Next: name the lowest and the highest possible sum of rewards: --option low=-100 --option high=20"
        )
    return min(1.0, max(0.0, score))
