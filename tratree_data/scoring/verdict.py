"""What a source says about one rollout."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """A score, or why there is none; neither if the source has nothing to say."""

    score: float | None = None
    success: bool | None = None
    reason: str = ""
    problem: str = ""


def read_verdict(value: Any) -> Verdict:
    """What a function returned: None, a number from 0 to 1, true or false, or a mapping with score, success and reason."""
    if value is None:
        return Verdict()
    if isinstance(value, Mapping):
        verdict = read_verdict(value.get("score"))
        success = value.get("success")
        if verdict.problem or (success is not None and not isinstance(success, bool)):
            return Verdict(problem="wrong_type", reason=verdict.reason or f"success is {success!r}, but must be true or false")
        score = float(success) if verdict.score is None and success is not None else verdict.score
        return Verdict(score, success, str(value.get("reason") or ""))
    if isinstance(value, bool):
        return Verdict(float(value), value)
    try:
        score = float(value)
    except (TypeError, ValueError):
        return Verdict(problem="wrong_type", reason=f"{value!r:.80} is neither a number nor true or false")
    if not math.isfinite(score) or not 0 <= score <= 1:
        return Verdict(problem="score_out_of_range", reason=f"{score:g} is outside 0 to 1")
    return Verdict(score)
